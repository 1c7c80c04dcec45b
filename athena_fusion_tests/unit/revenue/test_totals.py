"""T1, T7 and T9: equal passes, different is found, a missing report is never a pass."""

import polars as pl
import pytest
from revenue_world import (
    BOOKS,
    DAY,
    LEDGER,
    NO_REVISIONS,
    NO_SENT,
    PERIODS,
    POLICIES,
    TABLES_OF_TENANT,
    golden_day,
    reports,
)

from athena_fusion.accounting.controls import Control
from athena_fusion.accounting.periods import accounting_dates
from athena_fusion.revenue.journals import journal_lines
from athena_fusion.revenue.postings import post
from athena_fusion.revenue.totals import ReportUnreadable, t1, t7, t9

SCOPE = {"entity": "101", "medical_groups": ["101"], "go_live": DAY}


def _bad(controls: list[Control]) -> list[tuple[str, int | None, int | None, str, str]]:
    return [(c.scope, c.left, c.right, c.unit, c.status) for c in controls if not c.ok]


def test_control_states() -> None:
    assert (Control("T1", "s", 5, 3).difference, Control("T1", "s", 5, 3).status) == (2, "different")
    assert (Control("T1", "s", None, 3).difference, Control("T1", "s", None, 3).ok) == (None, False)
    assert Control("T1", "s", 3, 3).ok


@pytest.mark.parametrize("tie_out", [t1, t7])
def test_without_the_report_it_is_unproven(tie_out: type) -> None:
    (control,) = tie_out(golden_day().rows(), None, **SCOPE)
    assert (control.status, control.ok) == ("unproven", False)
    assert "was not delivered" in control.note


def test_t1_finds_a_missing_row_and_a_wrong_amount() -> None:
    practice = golden_day()
    activity, _ = reports(practice)
    rows = practice.rows().filter(pl.col("raw_cents") != 21000)
    assert _bad(t1(rows, activity, **SCOPE)) == [
        ("101 2026-09-15 CHARGE", 4, 5, "rows", "different"),
        ("101 2026-09-15 CHARGE", 43000, 64000, "cents", "different"),
    ]


def test_t1_finds_what_only_one_side_has() -> None:
    activity, _ = reports(golden_day())
    rows = golden_day().rows()
    report = activity.filter(pl.col("TRANSACTIONTYPE") != "UNPOSTABLE")
    assert ("101 2026-09-15 UNPOSTABLE", 41207, 0, "cents", "different") in _bad(t1(rows, report, **SCOPE))
    none = rows.filter(pl.col("transaction_type") != "UNPOSTABLE")
    assert ("101 2026-09-15 UNPOSTABLE", 0, 1, "rows", "different") in _bad(t1(none, activity, **SCOPE))


def test_t1_looks_at_the_own_groups_from_go_live_on() -> None:
    activity, _ = reports(golden_day())
    other = activity.with_columns(MEDICALGROUPID=pl.lit("102"), AMOUNT=pl.lit("1.00"))
    earlier = activity.with_columns(POSTDATE=pl.lit("2026-08-01"))
    rows = golden_day().rows()
    assert not _bad(t1(rows, pl.concat([activity, other, earlier]), **SCOPE))
    assert _bad(t1(rows, activity, **SCOPE, practice_id="1"))
    (control,) = t1(rows.head(0), activity.head(0), **SCOPE)
    assert control.ok


def test_t7_finds_a_difference_in_either_balance() -> None:
    practice = golden_day()
    _, ar = reports(practice, opening={"ar": 1000, "unapplied": 10})
    assert not _bad(t7(practice.rows(), ar, **SCOPE))
    last = pl.col("ASOFDATE") == "2026-09-15"
    wrong = ar.with_columns(AR=pl.when(last).then(pl.lit("1208.76")).otherwise("AR"))
    assert _bad(t7(practice.rows(), wrong, **SCOPE)) == [
        ("101 2026-09-15 A/R", 120876, 120875, "cents", "different"),
        ("101 2026-09-15 A/R less unapplied", 116676, 116675, "cents", "different"),
    ]
    unapplied = practice.rows().filter(pl.col("subtype").ne_missing("REFUND"))
    assert _bad(t7(unapplied, ar, **SCOPE)) == [
        ("101 2026-09-15 A/R less unapplied", 116675, 111675, "cents", "different")
    ]


def test_t7_needs_the_day_and_the_day_before() -> None:
    practice = golden_day()
    _, ar = reports(practice)
    for report in (ar.head(1), ar.tail(1), ar.head(0)):
        assert {status for *_, status in _bad(t7(practice.rows(), report, **SCOPE))} == {"unproven"}


@pytest.mark.parametrize(
    ("column", "value"), [("AMOUNT", "1.234"), ("AMOUNT", None), ("COUNT", "many"), ("POSTDATE", "15.9.2026")]
)
def test_an_unreadable_report_stops(column: str, value: str | None) -> None:
    activity, _ = reports(golden_day())
    with pytest.raises(ReportUnreadable, match=f"report column {column}"):
        t1(golden_day().rows(), activity.with_columns(pl.lit(value, pl.String).alias(column)), **SCOPE)


def test_t9_finds_a_line_that_no_event_made() -> None:
    log = post(golden_day().rows(), TABLES_OF_TENANT, BOOKS, POLICIES, batch_date=DAY).postings
    dates = accounting_dates(pl.Series([DAY]), PERIODS, ledger_id=LEDGER, late_policy="hold")
    journals = journal_lines(log, NO_SENT, NO_REVISIONS, dates, BOOKS, batch_date=DAY)
    assert not _bad(t9(log, NO_SENT, journals.lines, journals.waiting))
    changed = journals.lines.with_columns(
        pl.when(pl.col("combination").str.contains("48010"))
        .then(81)
        .otherwise("credit_cents")
        .alias("credit_cents")
    )
    assert _bad(t9(log, NO_SENT, changed, journals.waiting)) == [
        ("101 2026-09-15 09 101-2100-48010-014-010-000", -80, -81, "cents", "different")
    ]
    charges = pl.DataFrame({"entity": ["101"], "post_date": [DAY], "category": ["01"]})
    rest = journals.lines.filter(pl.col("category") != "01")
    assert not _bad(t9(log, NO_SENT, rest, charges))  # waiting journals are named, not missed
    assert _bad(t9(log, NO_SENT, rest, charges.head(0)))
    assert t9(log.head(0), NO_SENT, rest.head(0), charges)[0].ok
