"""Refused by Fusion, mended by a person, loaded again: nothing is edited but segments, nothing is loaded twice."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from integration.night_world import (
    CHARGES,
    DAY,
    FOLLOW_UP,
    LATER,
    Edit,
    Rows,
    World,
    charges,
    running_sandbox,
)

from athena_fusion.delivery.queue import Correction, Item, QueueError, StaleItem
from athena_fusion.delivery.reload import Reloaded, ReloadRefused

pytestmark = pytest.mark.integration

STALE, DISABLED = "2130", "2100"
NEXT = date(2026, 9, 19)
ELSEWHERE: Mapping[str, Edit] = charges(("12.00", "1012"))


def correct(world: World, item: Item, change: Correction | None = None, reason: str = "mended") -> Item:
    return world.runtime.queue.correct(
        item.id, actor="a.person", reason=reason, change=change or Correction(), version=item.version
    )


def rejected(world: World, entity: str = "101") -> list[Item]:
    return world.items(entity=entity, kind="REJECTED")


def reload(world: World, item: Item) -> Reloaded:
    return world.night.reload(str(item.finding.intent_key), "a.person", "reload")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """The practice in a pod of its own, that never saw the stale cost centre."""
    with running_sandbox(tmp_path / "sandbox", [DAY]) as sandbox:
        made = World(sandbox, tmp_path)
        yield made
        made.runtime.close()


def test_a_stale_cost_centre_is_refused_enabled_and_reloaded(fresh: World) -> None:
    world = fresh
    world.deliver(DAY)
    night = world.run("102", DAY)
    blocked = night.check("t10_sent_equals_imported")
    assert not blocked.ok
    assert f"CostCenter {STALE} does not exist in the chart of accounts or is not enabled" in blocked.summary
    assert (
        f"enable CostCenter {STALE} in Fusion, or map to another value and reload (Fusion: EF04"
        in blocked.summary
    )
    items, lines = world.items(entity="102"), rejected(world, "102")
    held = [item for item in items if item.finding.kind == "HELD"]
    assert len(lines) + len(held) == len(items)
    assert all(STALE in item.finding.reason and item.finding.code == "EF04" for item in lines)
    assert all(f"-{STALE}-" in item.finding.combination for item in lines)
    assert all("Nothing to correct here; it goes with the reload" in item.finding.reason for item in held)
    debits = sum(row["debit"] for row in sides(world, "102"))
    assert f"{debits / 100:,.2f} not in Fusion" in blocked.summary
    healthy = world.in_ledger("102")
    total = healthy + debits

    loads = {str(item.finding.intent_key): item for item in items}
    with world.sandbox.segment("CostCenter", STALE, enabled=True):
        for item in lines:
            correct(world, item, reason=f"CostCenter {STALE} was enabled in Fusion")
        first = [reload(world, item) for item in loads.values()]
        assert all(done.ok for done in first)
        again = [reload(world, item) for item in loads.values()]  # the button is pressed twice
    assert [done.package.group_id for done in again] == [done.package.group_id for done in first]
    assert all(done.package.intent.attempt == 2 for done in first)
    assert world.items(entity="102") == []
    assert world.in_ledger("102") == total
    assert world.waiting("102") == 0
    after = world.run("102", DAY, run_id="after the reload")
    assert after.finished
    assert world.in_ledger("102") == total
    reloads = [event for event in world.audited() if event["type"] == "fusion.reload"]
    assert len(reloads) == len(loads)


def sides(world: World, entity: str) -> list[dict[str, int]]:
    """Debit cents of the groups that wait in Fusion's interface, from its own table."""
    rows = world.sandbox.books(
        "SELECT ENTERED_DR FROM gl_interface WHERE substr(GROUP_ID, 9, 5) = ?",
        f"{world.ordinals[entity]:05d}",
    )
    return [{"debit": int(Decimal(row["ENTERED_DR"] or "0") * 100)} for row in rows]


@pytest.fixture
def refused(small: World) -> World:
    """Entity 101 with its one charge refused: the cost centre was disabled meanwhile."""
    small.deliver(FOLLOW_UP)
    with small.sandbox.segment("CostCenter", DISABLED, enabled=False):
        assert small.run("101", FOLLOW_UP).blocked_by
    return small


def test_reload_needs_every_correction_first(refused: World) -> None:
    (item,) = rejected(refused)
    assert item.finding.amount_cents == 8_800
    with pytest.raises(
        ReloadRefused, match=r"1 finding\(s\) are not corrected yet.*Nothing was purged or sent"
    ):
        reload(refused, item)
    assert refused.waiting("101") == 2


def test_a_person_changes_segments_and_nothing_else(refused: World) -> None:
    (item,) = rejected(refused)
    (held,) = refused.items(kind="HELD")
    for field in ("AMOUNT", "debit_cents", "Account "):
        with pytest.raises(
            QueueError, match=r"is no segment of the chart .*amounts and other fields cannot be changed"
        ):
            correct(refused, item, Correction({field: "1"}))
    with pytest.raises(QueueError, match="is no segment value"):
        correct(refused, item, Correction({"CostCenter": "21 0"}))
    with pytest.raises(QueueError, match="A correction needs a reason"):
        correct(refused, item, reason=" ")
    with pytest.raises(QueueError, match="healthy line that waits for its sibling"):
        correct(refused, held)
    correct(refused, item)
    with pytest.raises(StaleItem, match="was changed meanwhile"):
        correct(refused, item)


def test_a_remap_is_not_undone_by_the_next_night(small: World) -> None:
    small.deliver(FOLLOW_UP)
    with small.sandbox.segment("CostCenter", DISABLED, enabled=False):
        small.run("101", FOLLOW_UP)
        (item,) = rejected(small)
        correct(small, item, Correction({"CostCenter": "2110"}), "the department moved")
        assert reload(small, item).ok
        assert small.in_ledger("101") == 8_800
        again = small.run("101", FOLLOW_UP, run_id="the same night again")
        assert again.finished
        assert again["transform"].notes["to_send"].startswith("nothing")

        small.deliver(FOLLOW_UP, edits=ELSEWHERE, again_on=LATER)
        later = small.run("101", LATER)
    assert later.finished
    assert later["transform"].sums == {"debits": "12.00", "credits": "12.00"}
    assert small.in_ledger("101") == 10_000
    revenue = [line["segments"] for line in small.lines("101") if "-40010-" in line["segments"]]
    assert revenue == ["101-2110-40010-014-010-000", "101-2110-40010-015-010-000"]


def test_a_void_of_a_remapped_charge_takes_the_account_that_fusion_holds(small: World) -> None:
    small.deliver(FOLLOW_UP)
    with small.sandbox.segment("CostCenter", DISABLED, enabled=False):
        small.run("101", FOLLOW_UP)
        (item,) = rejected(small)
        correct(small, item, Correction({"CostCenter": "2110"}))
        assert reload(small, item).ok
        small.deliver(FOLLOW_UP, edits=voided(), again_on=LATER)
        assert small.run("101", LATER).finished
    void = [line for line in small.lines("101") if line["journal"].startswith(f"{CHARGES}-r2")]
    assert {(line["segments"], line["entered_dr"], line["entered_cr"]) for line in void} == {
        ("101-2110-40010-014-010-000", "88", None),
        ("101-0000-11030-000-000-000", None, "88"),
    }


def test_a_remap_moves_only_the_revision_that_was_refused(small: World) -> None:
    small.deliver(FOLLOW_UP)
    assert small.run("101", FOLLOW_UP).finished  # r1: 88.00 stands on the old cost centre
    small.deliver(FOLLOW_UP, edits=charges(("40.00", "1011")), again_on=LATER)
    with small.sandbox.segment("CostCenter", DISABLED, enabled=False):
        assert small.run("101", LATER).blocked_by
        (item,) = rejected(small)
        correct(small, item, Correction({"CostCenter": "2110"}))
        assert reload(small, item).ok
        small.deliver(FOLLOW_UP, edits=charges(("40.00", "1011"), ("12.00", "1012")), again_on=NEXT)
        following = small.run("101", NEXT)
    assert following.finished
    assert following["transform"].sums == {"debits": "12.00", "credits": "12.00"}
    assert small.in_ledger("101") == 14_000
    revenue = {line["segments"]: line["entered_cr"] for line in small.lines("101") if line["entered_cr"]}
    assert revenue == {
        "101-2100-40010-014-010-000": "88",
        "101-2110-40010-014-010-000": "40",
        "101-2110-40010-015-010-000": "12",
    }


def test_the_second_revision_waits_for_the_first_and_says_so(small: World) -> None:
    small.deliver(FOLLOW_UP)
    with small.sandbox.segment("CostCenter", DISABLED, enabled=False):
        small.run("101", FOLLOW_UP)
    (item,) = rejected(small)
    small.deliver(FOLLOW_UP, edits=ELSEWHERE, again_on=LATER)
    later = small.run("101", LATER)
    said = later["transform"].notes["journals_waiting"]
    assert "1; the first is 101-20260915-01, 12.00" in said
    assert "revision r1 is not yet proven in Fusion; the difference waits" in said
    assert later["package"].rows == 0
    (waits,) = small.items(kind="WAITING")
    assert (waits.finding.subject, waits.finding.amount_cents) == ("101-20260915-01", 1_200)
    assert "r1 is not yet proven" in waits.finding.reason
    assert later.check("t10_sent_equals_imported").summary == "this night sent nothing"
    assert small.in_ledger("101") == 0

    correct(small, item)
    assert reload(small, item).ok
    assert small.in_ledger("101") == 8_800
    freed = small.run("101", LATER, run_id="the later night again")
    assert freed.finished
    assert [row["journal"] for row in freed["transform"].preview] == [f"{CHARGES}-r2"]
    assert small.items() == []
    assert small.in_ledger("101") == 10_000


def voided() -> dict[str, Edit]:
    """The charge of 101 and its void, posted on the same day, in the rows and in both reports."""

    def transactions(rows: Rows) -> Rows:
        first = min(rows, key=lambda row: int(row["CLAIMID"]))
        own = f"{first['CLAIMID']}99"
        void = {"TRANSACTIONID": own, "CHARGEID": own, "CHARGEVOIDPARENTID": first["TRANSACTIONID"]}
        return [*rows, first | void | {"AMOUNT": f"-{first['AMOUNT']}", "REVERSALFLAG": "Y"}]

    def activity(rows: Rows) -> None:
        (row,) = (row for row in rows if row["MEDICALGROUPID"] == "101")
        row.update(COUNT="2", AMOUNT="0.00")

    def receivable(rows: Rows) -> None:
        for row in rows:
            if row["MEDICALGROUPID"] == "101" and row["ASOFDATE"] >= DAY.isoformat():
                row["AR"] = str(Decimal(row["AR"]) - Decimal("88.00"))

    return {"TRANSACTION": transactions, "activity_by_post_date": activity, "ar_by_medical_group": receivable}
