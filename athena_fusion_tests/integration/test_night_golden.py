"""The worked example through the whole night into Fusion, to the cent; its correction journal; the repeated night."""

from pathlib import Path

import pytest
from integration.conftest import GoldenNight
from integration.night_world import (
    CHARGES,
    DAY,
    FOLLOW_UP,
    FOLLOW_UP_CENTS,
    GOLDEN_CENTS,
    World,
    cents,
)

pytestmark = pytest.mark.integration

ACCOUNTS = {  # domain section 10: account -> debit, credit
    "10210": ("615.93", "41.00"),
    "10220": ("130.00", "0.00"),
    "11010": ("180.80", "180.80"),
    "11020": ("210.00", "0.00"),
    "11030": ("408.00", "345.00"),
    "11060": ("48.00", "112.25"),
    "21010": ("68.00", "100.00"),
    "21020": ("0.00", "412.07"),
    "21110": ("0.00", "50.00"),
    "40010": ("95.00", "555.00"),
    "40020": ("0.00", "180.00"),
    "45010": ("90.00", "0.00"),
    "45030": ("87.50", "22.00"),
    "45410": ("1.44", "0.00"),
    "46010": ("64.25", "0.00"),
    "48010": ("0.00", "0.80"),
}


def test_the_golden_day_is_in_fusion_to_the_cent(golden: GoldenNight) -> None:
    assert golden.night.finished
    world = golden.world
    held: dict[str, tuple[int, int]] = {}
    for line in world.lines("101"):
        account = line["segments"].split("-")[2]
        debit, credit = held.get(account, (0, 0))
        held[account] = debit + cents(line["entered_dr"]), credit + cents(line["entered_cr"])
    assert held == {account: (cents(debit), cents(credit)) for account, (debit, credit) in ACCOUNTS.items()}
    assert world.in_ledger("101") == GOLDEN_CENTS
    assert world.waiting() == 0
    t10 = golden.night.check("t10_sent_equals_imported")
    assert (t10.left, t10.right, t10.difference) == ("1,998.92", "1,998.92", "0.00")
    assert "rows, sums and row sets are equal" in t10.summary


def test_every_group_is_one_category_and_was_posted(golden: GoldenNight) -> None:
    groups = golden.world.groups("101")
    assert len(groups) == 8  # charges to refunds and incentives; no PLB
    assert all(found["batches"] == found["posted"] == found["journals"] == 1 for found in groups.values())
    lines = golden.world.lines("101")
    assert {line["effective_date"] for line in lines} == {"2026-09-15"}
    assert {line["period_name"] for line in lines} == {"Sep-26"}
    keys = [line["line_key"] for line in lines]
    assert len(set(keys)) == len(keys) == golden.night["read_back"].rows


def test_the_night_says_what_it_did(golden: GoldenNight) -> None:
    night = golden.night
    assert night.check("t1_activity_totals").summary.endswith("figures agree")
    assert night.check("t7_receivables_rollforward").ok
    assert night.check("everything_mapped").summary == "every event is on its way"
    assert night["reconcile_source"].sums["charges"] == "640.00"
    assert night["reconcile_source"].sums["payments_applied"] == "210.86"
    assert night["reconcile_source"].sums["adjustments"] == "220.39"
    assert night["reconcile_source"].sums["ar_change"] == "208.75"
    assert night["reconcile_source"].sums["unapplied_change"] == "32.00"
    assert night["read_back"].sums == {"debits": "1998.92", "credits": "1998.92"}


def test_a_repeated_night_keeps_every_manifest_and_sends_nothing(golden: GoldenNight, tmp_path: Path) -> None:
    world = golden.world.fork(tmp_path, renumber=False)
    before, books = world.requests("101"), world.groups("101")
    again = world.run("101", DAY, run_id="another run")
    assert again.finished
    assert again.digests == golden.night.digests
    assert world.requests("101") == before
    assert world.groups("101") == books
    world.runtime.close()
    assert "nothing" in again["transform"].notes["to_send"]
    assert "nothing to send" in again.check("ess_jobs_succeeded").summary


def test_the_back_posted_charge_is_revision_two(forked: World) -> None:
    forked.deliver(FOLLOW_UP)
    night = forked.run("101", FOLLOW_UP)
    assert night.finished
    assert night["transform"].preview == [
        {
            "journal": f"{CHARGES}-r2",
            "accounting date": "2026-09-15",
            "lines": "2",
            "debits": "88.00",
            "credits": "88.00",
        }
    ]
    debit, credit = sorted(forked.lines("101"), key=lambda line: line["entered_dr"] is None)
    assert debit["journal"].startswith(f"{CHARGES}-r2 ")
    assert (debit["segments"], debit["entered_dr"]) == ("101-0000-11030-000-000-000", "88")
    assert (credit["segments"], credit["entered_cr"]) == ("101-2100-40010-014-010-000", "88")
    assert {line["effective_date"] for line in (debit, credit)} == {"2026-09-15"}
    assert forked.in_ledger("101") == FOLLOW_UP_CENTS  # of this fork's groups: only the difference was sent
    again = forked.run("101", FOLLOW_UP, run_id="another run")
    assert again.digests == night.digests
    assert forked.in_ledger("101") == FOLLOW_UP_CENTS


def test_a_late_arrival_is_carried_to_the_open_period(forked: World) -> None:
    def close_september(rows: list[dict[str, str]]) -> None:
        for row in rows:
            if row["period_name"] == "Sep-26":
                row["status"] = "Closed"

    forked.edit("periods.csv", close_september)
    forked.reopen()
    forked.deliver(FOLLOW_UP)
    night = forked.run("101", FOLLOW_UP)
    assert night.finished
    assert night["transform"].notes["carried_to_later_period"] == "88.00"
    lines = forked.lines("101")
    assert {line["effective_date"] for line in lines} == {"2026-10-01"}
    assert {line["period_name"] for line in lines} == {"Oct-26"}
    assert all("(post date 2026-09-15)" in line["description"] for line in lines)
    assert all(line["journal"].startswith(f"{CHARGES}-r2 ") for line in lines)


def test_a_night_that_is_read_already_has_nothing_of_its_own(forked: World) -> None:
    forked.deliver(FOLLOW_UP)
    forked.run("101", FOLLOW_UP, until="extract")
    with pytest.raises(Exception, match="already read up to 2026-09-18T05:30:00Z by the night of 2026-09-17"):
        forked.run("101", DAY.replace(day=16), until="extract")
