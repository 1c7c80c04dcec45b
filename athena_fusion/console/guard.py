"""Guard in front of the Dagster UI.

Dagster's web server has no login, runs mutations sent by GET, and accepts any Host, any Origin and loose media
types, so a page opened by an engineer could launch or delete runs even on a loopback server (cross-site request
forgery, DNS rebinding). The guard refuses such requests before Dagster sees them; it changes nothing else.
"""

from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware; `hosts` are the exact `Host` values that belong to this server, e.g. `127.0.0.1:3000`."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            await PlainTextResponse(refusal[1] + "\n", status_code=refusal[0])(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._hosts:
            return 421, "this server does not answer for that host name"
        socket = scope["type"] == "websocket"
        method = scope.get("method", "GET")
        if socket or method not in _SAFE:
            foreign = self._foreign(headers)
            if foreign:
                return 403, foreign
        if socket:
            return None
        if method == "POST" and headers.get("content-type", "").lower() != "application/json":
            return 415, "POST takes exactly application/json"
        if method in _SAFE and scope["path"].rstrip("/").endswith("/graphql") and _carries_query(scope):
            return 405, "GraphQL is answered to POST only"
        return None

    def _foreign(self, headers: Headers) -> str | None:
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() not in self._hosts:
            return "a page of another origin may not do this"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "a page of another site may not do this"
        return None


def _carries_query(scope: Scope) -> bool:
    names = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    return "query" in names or "mutation" in names
