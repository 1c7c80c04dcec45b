"""Systems that misbehave in the middle of a night: the night ends all the same, or says what was not done.

The oracle is Fusion's own ledger: one group, two lines, 88.00, whatever happened on the way.
"""

from collections.abc import Callable
from datetime import datetime

import pytest
from integration.night_world import FOLLOW_UP, FOLLOW_UP_CENTS, World

from athena_fusion.clock import SystemClock
from athena_fusion.delivery.queue import Correction
from athena_fusion.http import NotJson, QuotaExceeded
from athena_fusion.runtime import Runtime

pytestmark = pytest.mark.integration


def once_in_the_ledger(world: World) -> bool:
    groups = world.groups()
    return (
        len(groups) == 1
        and world.in_ledger() == FOLLOW_UP_CENTS
        and world.waiting() == 0
        and all((found["journals"], found["lines"]) == (1, 2) for found in groups.values())
    )


# -- athenaOne ------------------------------------------------------------------------------------------------


def test_html_instead_of_json_extracts_nothing(small: World) -> None:
    small.deliver(FOLLOW_UP)
    small.sandbox.athenaone("faults", {"operation": "departments", "kind": "html"})
    with pytest.raises(
        NotJson, match=r"departments answered 200 with text/html.* instead of JSON.*Check the base URL"
    ):
        small.run("101", FOLLOW_UP)
    assert small.night.ctx.manifest("extract", "101", FOLLOW_UP) is None
    assert small.groups() == {}
    assert small.run("101", FOLLOW_UP).finished
    assert once_in_the_ledger(small)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "429", "retry_after": 1},
        {"kind": "429"},
        {"kind": "403_qps"},
        {"kind": "503"},
        {"kind": "early_401"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_athenaone_faults_that_pass(small: World, fault: dict[str, object]) -> None:
    small.deliver(FOLLOW_UP)
    small.sandbox.athenaone("faults", {"operation": "departments", **fault})
    assert small.run("101", FOLLOW_UP, until="extract")["extract"].rows == 1
    assert small.sandbox.athenaone("faults")["armed"] == []


def test_a_quota_that_stays_says_that_nothing_was_done(small: World) -> None:
    small.deliver(FOLLOW_UP)
    small.sandbox.athenaone("faults", {"operation": "departments", "kind": "429", "retry_after": 3600})
    with pytest.raises(QuotaExceeded, match=r"over its quota .* Nothing was done"):
        small.run("101", FOLLOW_UP)
    assert small.night.ctx.manifest("extract", "101", FOLLOW_UP) is None


# -- Fusion ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("submitESSJobRequest", {"kind": "429", "retry_after": 1}),
        ("submitESSJobRequest", {"kind": "429"}),
        ("submitESSJobRequest", {"kind": "503"}),
        ("submitESSJobRequest", {"kind": "html"}),
        ("submitESSJobRequest", {"kind": "drop"}),
        ("submitESSJobRequest", {"kind": "drop_before"}),
        ("submitESSJobRequest", {"kind": "late", "seconds": 0.3}),
        ("uploadFileToUCM", {"kind": "drop"}),
        ("uploadFileToUCM", {"kind": "html"}),
        ("*", {"kind": "html", "times": 3}),
        ("*", {"kind": "500", "times": 2}),
        ("getESSJobStatus", {"kind": "paused", "times": 5}),
        ("getESSJobStatus", {"kind": "blank", "times": 5}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_fusion_faults_end_with_one_group_in_the_ledger(
    small: World, operation: str, fault: dict[str, object]
) -> None:
    small.deliver(FOLLOW_UP)
    small.run("101", FOLLOW_UP, until="package")
    small.sandbox.fusion("faults", {"operation": operation, **fault})
    night = small.run("101", FOLLOW_UP)
    small.sandbox.clear_faults()
    assert night.finished, night.blocked_by
    assert once_in_the_ledger(small)
    assert small.items() == []
    assert small.runtime.audit.verify().ok


class Interrupted(SystemClock):
    """The clock of this process; what happens the first time somebody waits is told to it."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile: Callable[[], None] | None = meanwhile

    def now(self) -> datetime:
        return super().now()

    def sleep(self, seconds: float) -> None:
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        super().sleep(seconds)


def test_tokens_that_expire_in_the_middle_of_the_load(small: World) -> None:
    small.deliver(FOLLOW_UP)
    small.run("101", FOLLOW_UP, until="package")
    expired: list[int] = []

    def expire() -> None:
        expired.append(small.sandbox.fusion("faults", {"kind": "expire_tokens"})["expired"])

    runtime = Runtime(small.runtime.tenant, Interrupted(expire))
    night = runtime.night()
    night.load("101", FOLLOW_UP, "run-1")
    (check,) = night.read_back("101", FOLLOW_UP, "run-1").blocked_by or [None]
    runtime.close()
    assert check is None
    assert expired
    assert expired[0] > 0
    assert once_in_the_ledger(small)


def test_a_job_that_is_not_scheduled_waits_for_a_person(small: World) -> None:
    small.deliver(FOLLOW_UP)
    small.sandbox.fusion("faults", {"operation": "submitESSJobRequest", "kind": "reqstid"})
    night = small.run("101", FOLLOW_UP)
    assert "ATH Charges" in night.blocked_by[0]
    assert "did not schedule InterfaceLoaderController (ReqstId -1); nothing was done" in (
        night.check("ess_jobs_succeeded").summary
    )
    (item,) = small.items()
    assert (item.finding.kind, item.finding.amount_cents) == ("LOAD_FAILED", FOLLOW_UP_CENTS)
    assert "privilege" in item.finding.reason
    assert small.groups() == {}

    change = Correction()
    small.runtime.queue.correct(
        item.id, actor="a.person", reason="privilege granted", change=change, version=1
    )
    assert small.night.reload(str(item.finding.intent_key), "a.person", "reload").ok
    assert small.run("101", FOLLOW_UP, run_id="after").finished
    assert once_in_the_ledger(small)
    assert small.items() == []


def test_a_load_that_gave_up_goes_on_with_the_next_run(small: World) -> None:
    small.deliver(FOLLOW_UP)
    small.settings(lambda values: values["fusion"].update(job_timeout_seconds=1))
    small.reopen()
    small.sandbox.fusion(
        "faults", {"operation": "getESSJobStatus", "kind": "paused", "for_seconds": 30, "times": 999}
    )
    night = small.run("101", FOLLOW_UP)
    assert "gave up waiting: request" in night.check("ess_jobs_succeeded").summary
    assert "is still PAUSED" in night.check("ess_jobs_succeeded").summary
    assert "The load of ATH Charges has not ended (SUBMITTED); run it again" in night.blocked_by[0]
    assert small.items() == []
    small.sandbox.clear_faults()
    assert small.run("101", FOLLOW_UP, run_id="the next").finished
    assert once_in_the_ledger(small)


def test_a_period_closed_in_fusion_alone_refuses_the_journal(small: World) -> None:
    small.deliver(FOLLOW_UP)
    with small.sandbox.period("Sep-26", "Closed"):
        night = small.run("101", FOLLOW_UP)
    assert "88.00 not in Fusion" in night.blocked_by[0]
    assert "EP01" in night.blocked_by[0]
    items = small.items(entity="101")
    assert {(item.finding.kind, item.finding.code) for item in items} == {("REJECTED", "EP01")}
    assert all("period" in item.finding.reason.lower() for item in items)
    assert {item.finding.amount_cents for item in items} == {FOLLOW_UP_CENTS}
    assert small.in_ledger() == 0

    for item in items:
        small.runtime.queue.correct(
            item.id, actor="a.person", reason="September reopened", change=Correction(), version=item.version
        )
    assert small.night.reload(str(items[0].finding.intent_key), "a.person", "reload").ok
    assert once_in_the_ledger_as_second_attempt(small)


def once_in_the_ledger_as_second_attempt(world: World) -> bool:
    (group,) = (name for name, found in world.groups().items() if found["lines"])
    return group.endswith("02") and world.in_ledger() == FOLLOW_UP_CENTS and world.waiting() == 0
