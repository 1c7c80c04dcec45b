"""The mounted Dagster UI really starts, really answers, and stands behind the guard.

Dagster's workspace classes are private: this test is what notices that a new release changed them.
"""

import asyncio
import json
from pathlib import Path

import dagster as dg
import pytest

from athena_fusion.console.dagster_ui import guarded_dagster_ui

PROJECT = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1:3000"
JSON = {"content_type": "application/json"}
OWN, FOREIGN = {"origin": f"http://{HOST}"}, {"origin": "http://evil.example"}

JOBS = "{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } location { name } } } } }"
STOP = 'mutation { terminateRun(runId: "none") { __typename } }'


class Browser:
    """Requests straight into the application."""

    def __init__(self, app) -> None:
        self._app = app

    def __call__(self, method, path, *, query="", body=None, host=HOST, **headers):
        """Status and body."""
        raw = [("host", host), *((name.replace("_", "-"), value) for name, value in headers.items())]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in raw],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 3000),
        }
        status, content = 0, b""

        async def receive():
            return {"type": "http.request", "body": json.dumps(body).encode() if body else b""}

        async def send(message):
            nonlocal status, content
            status = message.get("status", status)
            content += message.get("body", b"")

        asyncio.run(self._app(scope, receive, send))
        return status, content


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_bytes((PROJECT / "dagster.yaml").read_bytes())
    workspace = home / "workspace.yaml"
    workspace.write_text(
        (PROJECT / "workspace.yaml").read_text().replace("directory: .", f"directory: {PROJECT}")
    )
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        guarded_dagster_ui(instance, workspace, [HOST]) as app,
    ):
        yield Browser(app)


def test_page_is_served(browser):
    status, content = browser("GET", "/")
    assert status == 200
    assert content.startswith(b"<!DOCTYPE html>")
    assert b"initialization-data" in content  # Dagster's own page, not an error in HTML
    assert browser("GET", "/asset-groups")[0] == 200  # the pages live in the browser


def test_own_page_asks_over_graphql(browser):
    status, content = browser("POST", "/graphql", body={"query": JOBS}, **JSON, **OWN)
    assert status == 200
    (node,) = json.loads(content)["data"]["repositoriesOrError"]["nodes"]
    assert node["location"]["name"] == "athena_fusion"
    assert {"extraction", "nightly", "reload", "evidence"} <= {job["name"] for job in node["jobs"]}


def test_mutation_by_get_is_refused(browser):
    assert browser("GET", "/graphql", query=f"query={STOP}")[0] == 405
    assert browser("GET", "/graphql", query="query=%7B__typename%7D")[0] == 405


def test_mutation_of_a_foreign_page_is_refused_and_the_own_one_is_not(browser):
    body = {"query": STOP}
    assert browser("POST", "/graphql", body=body, **JSON, **FOREIGN)[0] == 403
    assert browser("POST", "/graphql", body=body, content_type="text/plain", **OWN)[0] == 415
    status, content = browser("POST", "/graphql", body=body, **JSON, **OWN)
    assert (status, json.loads(content)["data"]["terminateRun"]["__typename"]) == (200, "RunNotFoundError")


def test_foreign_host_is_not_answered(browser):
    for path in ("/", "/graphql", "/server_info"):
        assert browser("GET", path, host="evil.example:3000")[0] == 421
    assert browser("POST", "/graphql", body={"query": JOBS}, host="evil.example", **JSON)[0] == 421
