"""journalBatches: paging, the group between blanks, and attributes that must be there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from athena_fusion.clock import ManualClock
from athena_fusion.fusion.erp import BadAnswer
from athena_fusion.fusion.journals import JournalBatch, JournalBatches
from athena_fusion.http import HttpClient

GROUP = "20260915001010101"


@contextmanager
def journals(answer: Callable[[int], Any]) -> Iterator[tuple[JournalBatches, list[httpx.Request]]]:
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=answer(int(request.url.params["offset"])))

    clock = ManualClock(datetime(2026, 9, 16, tzinfo=UTC))
    with HttpClient("https://fa.test", clock=clock, transport=httpx.MockTransport(serve)) as http:
        yield JournalBatches(http), seen


def batch(number: int, name: str = f"ATH-101 athenaCollector A {GROUP} 9 N", **more: Any) -> dict[str, Any]:
    return {"JeBatchId": number, "BatchName": name, "Status": "U", **more}


def test_batches_of_a_group_over_pages() -> None:
    first = batch(
        1,
        Status="P",
        PostedDate="2026-09-16",
        DefaultPeriodName="Sep-26",
        RunningTotalAccountedDr="1250.5",
        RunningTotalAccountedCr=1250.5,
    )
    pages = {
        0: {"items": [first, batch(2, f"other 9{GROUP}9")], "hasMore": True},
        2: {"items": [batch(3)], "hasMore": False},
    }
    with journals(pages.__getitem__) as (client, seen):
        found = client.by_group(GROUP)
    assert found[0] == JournalBatch("1", first["BatchName"], "P", "Sep-26", "2026-09-16", 125050, 125050)
    assert [each.id for each in found] == ["1", "3"]
    assert (found[1].posted_on, found[1].debit_cents) == ("", None)
    assert seen[0].url.params["q"] == f"BatchName LIKE '%{GROUP}%'"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"items": [], "hasMore": True},
        {"items": ["x"]},
        {"items": [{"JeBatchId": 1, "Name": "renamed", "Status": "U"}]},
        {"items": [batch(1, RunningTotalAccountedDr="1.005")]},
        {"items": [batch(1, RunningTotalAccountedDr="x")]},
    ],
)
def test_answers_that_cannot_be_used(answer: Any) -> None:
    with journals(lambda _: answer) as (client, _), pytest.raises(BadAnswer):
        client.by_group(GROUP)


@pytest.mark.parametrize("group", ["ALL", "1' OR '1'='1", "", "%"])
def test_group_is_digits(group: str) -> None:
    with journals(lambda _: {"items": []}) as (client, seen), pytest.raises(ValueError, match="group id"):
        client.by_group(group)
    assert seen == []
