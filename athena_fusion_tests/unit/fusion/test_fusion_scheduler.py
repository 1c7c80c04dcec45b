"""Scheduler answers: numbers or words, lists or objects, and never a silently missing request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from athena_fusion.clock import ManualClock
from athena_fusion.fusion.erp import BadAnswer
from athena_fusion.fusion.scheduler import Scheduler
from athena_fusion.http import HttpClient

START = datetime(2026, 9, 16, 9, 0, tzinfo=UTC)


@contextmanager
def scheduler(answer: Callable[[httpx.Request], Any]) -> Iterator[tuple[Scheduler, list[httpx.Request]]]:
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=answer(request))

    with HttpClient(
        "https://fa.test", clock=ManualClock(START), transport=httpx.MockTransport(serve)
    ) as http:
        yield Scheduler(http), seen


def entry(number: int, state: Any = "SUCCEEDED", parameters: Any = None) -> dict[str, Any]:
    return {
        "requestId": number,
        "jobDefinitionId": "JobDefinition://oracle/apps/ess/financials/programs/common/JournalImportLauncher",
        "state": state,
        "requestParameters": parameters,
    }


@pytest.mark.parametrize(
    "parameters",
    [
        [{"name": "submit.argument4", "paramType": "STRING", "value": "2026"}, {"name": "x", "value": None}],
        {"submit.argument4": 2026, "x": None},
    ],
)
def test_request_with_its_arguments(parameters: Any) -> None:
    with scheduler(lambda _: entry(7, 12, parameters)) as (client, seen):
        request = client.request("7")
    assert (request.id, request.definition, request.state) == ("7", "JournalImportLauncher", "SUCCEEDED")
    assert (request.argument(4), request.argument(5), request.parameters["x"]) == ("2026", "", "")
    assert seen[0].url.path == "/ess/rest/scheduler/v1/requests/7"
    assert "requestParameters" in seen[0].url.params["fields"]


@pytest.mark.parametrize(("state", "word"), [(13, "PAUSED"), ("running", "RUNNING"), (None, ""), (99, "")])
def test_states_as_number_and_word(state: Any, word: str) -> None:
    with scheduler(lambda _: entry(7, state)) as (client, _):
        assert client.request("7").state == word


def test_descendants_leave_out_the_request_itself() -> None:
    with scheduler(lambda _: {"items": [entry(9), entry(7), entry(8)]}) as (client, seen):
        assert [request.id for request in client.descendants("7")] == ["8", "9"]
    assert seen[0].url.params["q"] == "absParentRequestId eq 7"


def test_search_reads_all_pages() -> None:
    def answer(request: httpx.Request) -> Any:
        offset = int(request.url.params.get("offset", "0"))
        return {"items": [entry(offset + 1), entry(offset + 2)], "hasMore": offset < 4}

    with scheduler(answer) as (client, seen):
        assert [request.id for request in client.search("state eq x")] == ["1", "2", "3", "4", "5", "6"]
    assert len(seen) == 3


@pytest.mark.parametrize("page", [{"items": [entry(1)], "hasMore": True}, {"items": [], "hasMore": True}])
def test_pages_that_do_not_advance_are_not_taken_for_complete(page: Any) -> None:
    with scheduler(lambda _: page) as (client, _), pytest.raises(BadAnswer, match="narrow the search"):
        client.search("state eq x")


@pytest.mark.parametrize("answer", [{}, [], {"items": {}}, {"items": ["x"]}, {"items": [{"requestId": "x"}]}])
def test_answers_that_cannot_be_read(answer: Any) -> None:
    with scheduler(lambda _: answer) as (client, _), pytest.raises(BadAnswer):
        client.search("state eq x")


def test_request_ids_are_digits() -> None:
    with scheduler(lambda _: entry(7)) as (client, seen):
        for method in (client.request, client.descendants):
            with pytest.raises(ValueError, match="digits"):
                method("7 or 1")
    assert seen == []
