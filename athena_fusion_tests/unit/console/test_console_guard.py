"""The guard refuses what a foreign page could send, and lets Dagster's own UI through."""

import asyncio

import pytest

from athena_fusion.console.guard import Guard

HOST = b"127.0.0.1:3000"


async def _app(scope, receive, send):
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"dagster"})


def _call(method="GET", path="/graphql", query=b"", kind="http", **headers):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    raw = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": kind,
        "path": path,
        "query_string": query,
        "headers": [(name.encode(), value) for name, value in raw.items()],
    }
    if kind == "http":
        scope["method"] = method
    asyncio.run(Guard(_app, [HOST.decode()])(scope, receive, send))
    return sent[0].get("status", sent[0]["type"])


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (dict(path="/runs"), 200),
        (dict(path="/runs", host=b"evil.example"), 421),
        (dict(method="POST", content_type=b"application/json", origin=b"http://127.0.0.1:3000"), 200),
        (dict(method="POST", content_type=b"application/json"), 200),
        (dict(method="POST", content_type=b"application/json", origin=b"http://evil.example"), 403),
        (dict(method="POST", content_type=b"application/json", origin=b"null"), 403),
        (dict(method="POST", content_type=b"application/json", sec_fetch_site=b"cross-site"), 403),
        (dict(method="POST", content_type=b"application/json", sec_fetch_site=b"same-site"), 403),
        (dict(method="POST", content_type=b"text/plain; x=application/json"), 415),
        (dict(method="POST"), 415),
        (dict(method="DELETE", origin=b"http://evil.example"), 403),
        (dict(query=b"query=mutation%7BdeleteRun%7D"), 405),
        (dict(query=b"query="), 405),
        (dict(path="/graphql/", query=b"query=x"), 405),
        (dict(), 200),
        (dict(kind="websocket", origin=b"http://127.0.0.1:3000"), "websocket.accept"),
        (dict(kind="websocket", origin=b"http://evil.example"), "websocket.close"),
        (dict(kind="websocket", host=b"evil.example"), "websocket.close"),
    ],
)
def test_guard(call, status):
    assert _call(**call) == status
