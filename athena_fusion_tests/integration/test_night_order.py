"""Nights out of order: an earlier night that is repeated or finished late neither takes back nor doubles anything."""

from collections.abc import Mapping

import pytest
from integration.night_world import (
    CHARGES,
    DAY,
    FOLLOW_UP,
    FOLLOW_UP_CENTS,
    LATER,
    Edit,
    Rows,
    World,
    charges,
)

pytestmark = pytest.mark.integration

THREE = charges(("40.00", "1011"), ("12.00", "1012"))


def only_the_new_ones(rows: Rows) -> Rows:
    """What a change delivery really holds: the charge of the day before is not in it."""
    first = min((row for row in rows if row["AMOUNT"] == "88.00"), key=lambda row: int(row["CLAIMID"]))
    return [row for row in THREE["TRANSACTION"](rows) or [] if row["TRANSACTIONID"] != first["TRANSACTIONID"]]


CHANGES: Mapping[str, Edit] = {**THREE, "TRANSACTION": only_the_new_ones}


def test_the_first_night_repeated_after_its_correction_sends_nothing(forked: World) -> None:
    forked.deliver(FOLLOW_UP)
    assert forked.run("101", FOLLOW_UP).finished
    before = forked.requests("101")
    again = forked.run("101", DAY, run_id="the 15th again")
    assert again.finished
    assert again["transform"].notes["to_send"].startswith("nothing")
    assert forked.requests("101") == before
    assert forked.in_ledger("101") == FOLLOW_UP_CENTS


def test_a_stopped_night_is_made_up_for_and_adds_nothing_when_it_is_finished_late(small: World) -> None:
    small.deliver(FOLLOW_UP)
    small.run("101", FOLLOW_UP, until="reconcile_source")
    small.deliver(FOLLOW_UP, edits=CHANGES, again_on=LATER)
    later = small.run("101", LATER)
    assert later.finished
    assert [row["journal"] for row in later["transform"].preview] == [f"{CHARGES}-r1"]
    assert small.in_ledger("101") == 14_000

    for day in (FOLLOW_UP, LATER, FOLLOW_UP):
        again = small.run("101", day, run_id="again")
        assert again.finished
        assert again["transform"].notes["to_send"].startswith("nothing")
    assert small.in_ledger("101") == 14_000
    assert len(small.groups("101")) == 1


def test_lines_drawn_but_not_sent_belong_to_their_night(small: World) -> None:
    small.deliver(FOLLOW_UP)
    small.run("101", FOLLOW_UP, until="transform")
    small.deliver(FOLLOW_UP, edits=CHANGES, again_on=LATER)
    waits = small.run("101", LATER)
    assert waits.finished
    assert waits["transform"].notes["journals_waiting"].startswith("1; the first is 101-20260915-01, 52.00")
    assert small.groups("101") == {}

    small.night.package("101", FOLLOW_UP, "by hand")
    small.night.load("101", FOLLOW_UP, "by hand")
    small.night.read_back("101", FOLLOW_UP, "by hand")
    assert small.in_ledger("101") == 8_800
    assert small.run("101", LATER).finished
    assert small.in_ledger("101") == 14_000


def test_an_event_held_in_both_nights_is_posted_by_one(small: World) -> None:
    table = small.folder / "crosswalks" / "x2_departments.csv"
    before = table.read_bytes()
    small.edit(
        "crosswalks/x2_departments.csv", lambda rows: [r for r in rows if r["department_id"] != "1011"]
    )
    small.reopen()
    small.deliver(FOLLOW_UP)
    assert small.run("101", FOLLOW_UP)["transform"].rows == 0
    small.deliver(FOLLOW_UP, edits=CHANGES, again_on=LATER)
    assert small.run("101", LATER).finished  # 12.00; 88.00 and 40.00 are held
    assert small.in_ledger("101") == 1_200

    table.write_bytes(before)
    small.reopen()
    assert small.run("101", LATER).finished
    assert small.in_ledger("101") == 14_000
    assert small.items() == []
    again = small.run("101", FOLLOW_UP)
    assert again.finished
    assert again["transform"].rows == 0
    assert small.run("101", LATER).finished
    assert small.in_ledger("101") == 14_000
