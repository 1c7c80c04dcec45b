"""Bad input: what cannot be trusted is held with its amount and its reason, the rest goes on, and nothing is lost.

The day is the single charge of 101 (88.00, department 1011) with further ones of 40.00 and 12.00 (1012).
"""

from collections.abc import Mapping

import polars as pl
import pytest
from integration.night_world import CHARGES, FOLLOW_UP, LATER, Edit, Rows, World, charges

from athena_fusion.athenaone.arrivals import DataViewError
from athena_fusion.formats.fbdi.journal import FbdiError
from athena_fusion.revenue.night import transform
from athena_fusion.revenue.night.context import StageRefused

pytestmark = pytest.mark.integration

THREE: Mapping[str, Edit] = charges(("40.00", "1011"), ("12.00", "1012"))


def nothing_sent(world: World) -> bool:
    return world.groups() == {} and world.requests("101") == 0


# -- rows that cannot be read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason", "at_stake"),
    [
        ("unknown_type", "column TRANSACTIONTYPE: transaction type is none of CHARGE, PAYMENT", 8_800),
        ("three_decimals", "column AMOUNT: amount has more than two decimals or too many digits", 0),
        (
            "duplicate_row",
            "the row id occurs 2 times in this delivery, each time with the same content",
            8_800,
        ),
    ],
)
def test_a_bad_row_waits_in_the_queue_and_the_rest_is_posted(
    small: World, fault: str, reason: str, at_stake: int
) -> None:
    small.deliver(FOLLOW_UP, fault, edits=THREE)
    night = small.run("101", FOLLOW_UP)
    assert night.finished
    assert "rows wait in the queue; the rest goes on" in night.check("nothing_quarantined").summary
    t1 = night.check("t1_activity_totals")
    assert "explained by 1 quarantined rows, 88.00 at stake" in t1.summary
    assert (t1.left, t1.right, t1.difference) == ("52.00", "140.00", "−88.00")
    items = small.items(kind="QUARANTINED", entity="101")
    assert all(
        reason in item.finding.reason and "TRANSACTION.csv, row " in item.finding.reason for item in items
    )
    assert {item.finding.amount_cents for item in items} == {at_stake}
    assert small.in_ledger("101") == 5_200

    # athenaOne corrects it: the row comes again with the next delivery, and the difference goes to Fusion.
    small.deliver(FOLLOW_UP, edits=THREE, again_on=LATER)
    corrected = small.run("101", LATER)
    assert corrected.finished
    assert corrected.check("t1_activity_totals").difference == "0.00"
    assert [row["journal"] for row in corrected["transform"].preview] == [f"{CHARGES}-r2"]
    assert small.items() == []
    assert small.in_ledger("101") == 14_000


def test_a_row_lost_on_the_way_is_no_bad_row(small: World) -> None:
    small.deliver(FOLLOW_UP, edits={**THREE, "TRANSACTION": lambda rows: rows})  # the reports count three
    night = small.run("101", FOLLOW_UP)
    assert night.blocked_by
    assert "1 rows against 3" in night.check("t1_activity_totals").summary
    assert not night.check("t7_receivables_rollforward").ok
    with pytest.raises(StageRefused, match="control t1_activity_totals of stage reconcile failed"):
        small.night.transform("101", FOLLOW_UP, "by hand")
    assert nothing_sent(small)


# -- deliveries that cannot be read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("truncated_file", r"TRANSACTION\.csv: the content is not the one control\.csv promises .* cut off"),
        ("wrong_column", r"TRANSACTION\.csv: column AMOUNT was expected .* not in the contract: AMT"),
        ("missing_column", r"TRANSACTION\.csv: column POSTDATE was expected"),
    ],
)
def test_an_unreadable_delivery_stops_the_entity_until_it_comes_again(
    small: World, fault: str, message: str
) -> None:
    small.deliver(FOLLOW_UP, fault, edits=THREE)
    with pytest.raises(DataViewError, match=message):
        small.run("101", FOLLOW_UP)
    assert small.runtime.night().ctx.manifest("extract", "101", FOLLOW_UP) is None
    assert nothing_sent(small)

    small.deliver(FOLLOW_UP, edits=THREE)  # the same delivery, whole
    assert small.run("101", FOLLOW_UP).finished
    assert small.in_ledger("101") == 14_000


def test_without_the_report_the_day_is_unproven_and_blocked(small: World) -> None:
    small.deliver(FOLLOW_UP, "missing_report", edits=THREE)
    night = small.run("101", FOLLOW_UP)
    (blocked,) = night.blocked_by
    assert "unproven, the activity report was not delivered" in blocked
    assert night["reconcile_source"].notes["reports"] == "missing: unproven"
    assert night.check("t7_receivables_rollforward").ok
    with pytest.raises(StageRefused, match="control t1_activity_totals of stage reconcile failed"):
        small.night.transform("101", FOLLOW_UP, "by hand")
    assert nothing_sent(small)

    small.deliver(
        FOLLOW_UP, edits=THREE, again_on=LATER
    )  # the next night has the report, and makes up for it
    assert small.run("101", LATER).finished
    assert small.in_ledger("101") == 14_000


def test_a_delivery_made_before_the_day_ended_says_nothing_about_it(small: World) -> None:
    small.deliver(FOLLOW_UP)
    with pytest.raises(StageRefused, match="as of 2026-09-18T05:30:00Z, before 2026-09-18 ended"):
        small.run("101", LATER)
    assert nothing_sent(small)


# -- crosswalks -------------------------------------------------------------------------------------------------


def drop_department(rows: Rows) -> Rows:
    return [row for row in rows if row["department_id"] != "1012"]


def test_a_missing_department_holds_its_event_and_the_mapping_posts_it(small: World) -> None:
    before = (small.folder / "crosswalks" / "x2_departments.csv").read_bytes()
    small.edit("crosswalks/x2_departments.csv", drop_department)
    small.reopen()
    small.deliver(FOLLOW_UP, edits=THREE)
    night = small.run("101", FOLLOW_UP)
    assert night.finished
    assert night.check("everything_mapped").summary == (
        "1 wait, 12.00 at stake; the first: X2: no line for department_id 1012 on 2026-09-15"
    )
    (item,) = small.items()
    assert (item.finding.kind, item.finding.code, item.finding.amount_cents) == ("UNMAPPED", "X2", 1_200)
    assert "X2" in item.finding.reason
    assert "department_id 1012" in item.finding.reason
    assert small.in_ledger("101") == 12_800  # both legs are held: the journal balances without them

    (small.folder / "crosswalks" / "x2_departments.csv").write_bytes(before)
    small.reopen()
    again = small.run("101", FOLLOW_UP, run_id="after the mapping")
    assert again.finished
    assert {row["journal"] for row in again["transform"].preview} == {f"{CHARGES}-r1", f"{CHARGES}-r2"}
    assert again["transform"].notes["to_send"] == "2 lines"
    assert [group[-2:] for group in small.groups("101")] == ["01", "02"]
    assert small.in_ledger("101") == 14_000
    assert small.items() == []


def test_a_department_that_athenaone_opened_today(small: World) -> None:
    small.deliver(FOLLOW_UP, "unmapped_department")
    night = small.run("101", FOLLOW_UP, until="package")
    assert night.check("everything_mapped").summary.startswith("1 wait, 88.00 at stake")
    assert night["package"].rows == 0
    (item,) = small.items()
    assert "department_id 9999" in item.finding.reason


def test_an_event_held_for_nights_is_listed_once(small: World) -> None:
    small.edit("crosswalks/x2_departments.csv", drop_department)
    small.reopen()
    small.deliver(FOLLOW_UP, edits=THREE)
    small.run("101", FOLLOW_UP, until="transform")
    small.deliver(FOLLOW_UP, edits=THREE, again_on=LATER)
    small.run("101", LATER, until="transform")
    (item,) = small.items()
    assert (item.finding.amount_cents, item.finding.batch_date) == (1_200, FOLLOW_UP.isoformat())
    small.run("101", FOLLOW_UP, until="transform", run_id="the earlier night again")
    assert [found.id for found in small.items()] == [item.id]


def test_a_segment_known_to_be_disabled_holds_the_event_before_anything_is_sent(small: World) -> None:
    def fresh(rows: Rows) -> None:
        for row in rows:
            if (row["segment"], row["source_value"]) == ("CostCenter", "2110"):
                row["enabled"] = "N"

    small.edit("crosswalks/x10_segments.csv", fresh)
    small.reopen()
    small.deliver(FOLLOW_UP, edits=THREE)
    night = small.run("101", FOLLOW_UP)
    assert night.finished  # what is left balances and is in Fusion
    (item,) = small.items()
    assert item.finding.amount_cents == 1_200
    assert "X10: CostCenter 2110 is disabled on 2026-09-15" in item.finding.reason
    assert small.in_ledger("101") == 12_800
    assert not any("2110" in line["segments"] for line in small.lines("101"))


# -- journals that do not balance -------------------------------------------------------------------------------


def test_a_journal_out_of_balance_makes_no_file(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = transform.journal_lines

    def one_cent_more(*args, **rest):
        made = honest(*args, **rest)
        first = pl.int_range(pl.len()) == 0
        lines = made.lines.with_columns(pl.col("debit_cents") + first.cast(pl.Int64))
        return type(made)(lines, made.waiting, made.held, made.unchanged)

    monkeypatch.setattr(transform, "journal_lines", one_cent_more)
    small.deliver(FOLLOW_UP)
    night = small.run("101", FOLLOW_UP)
    (blocked,) = night.blocked_by
    assert "88.00 against 88.01" in blocked
    with pytest.raises(StageRefused, match="t9_events_equal_lines of stage transform failed"):
        small.night.package("101", FOLLOW_UP, "by hand")
    monkeypatch.setattr(transform, "t9", lambda *_: [])  # as if nobody compared lines with events
    small.run("101", FOLLOW_UP, until="transform")
    with pytest.raises(FbdiError, match="1 cents out of balance; no file was made"):
        small.night.package("101", FOLLOW_UP, "by hand")
    assert nothing_sent(small)


def test_companies_out_of_balance_are_blocked_by_t8(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = transform.post

    def of_another_company(*args, **rest):
        made = honest(*args, **rest)
        credit = pl.col("credit_combination").str.replace("101", "102", literal=True)
        postings = made.postings.with_columns(credit.alias("credit_combination"))
        return type(made)(postings, made.held, made.silent, made.unchanged, made.notices)

    monkeypatch.setattr(transform, "post", of_another_company)
    small.deliver(FOLLOW_UP)
    night = small.run("101", FOLLOW_UP)
    assert list(night.results)[-1] == "package"
    (blocked,) = night.blocked_by
    assert f"{CHARGES}-r1 Company 101: 88.00 against 0.00" in blocked
    with pytest.raises(StageRefused, match="control t8_debits_equal_credits of stage package failed"):
        small.night.load("101", FOLLOW_UP, "by hand")
    assert nothing_sent(small)
