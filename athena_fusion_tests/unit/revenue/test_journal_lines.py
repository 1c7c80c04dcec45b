"""Journals: names, dates, what waits and what is held."""

from datetime import date

import polars as pl
from revenue_world import (
    BOOKS,
    DAY,
    LEDGER,
    NO_REVISIONS,
    NO_SENT,
    PERIODS,
    POLICIES,
    TABLES_OF_TENANT,
    Practice,
    golden_day,
)

from athena_fusion.accounting.periods import accounting_dates
from athena_fusion.revenue.journals import batch_name, journal_lines, line_amounts
from athena_fusion.revenue.postings import post

NEXT = date(2026, 9, 16)


def _log(practice: Practice, frozen: pl.DataFrame | None = None) -> pl.DataFrame:
    posted = post(
        practice.rows(),
        TABLES_OF_TENANT,
        BOOKS,
        POLICIES,
        batch_date=NEXT if frozen is not None else DAY,
        frozen=frozen,
    ).postings
    return posted if frozen is None else pl.concat([frozen, posted])


def _dates(log: pl.DataFrame, policy: str = "next_open_first_day") -> pl.DataFrame:
    return accounting_dates(log["post_date"], PERIODS, ledger_id=LEDGER, late_policy=policy)


def _charge(amount: str = "10.00", day: date = DAY) -> Practice:
    p = Practice(day=day)
    p.charge(p.claim("1003"), amount)
    return p


def test_names() -> None:
    assert batch_name("101", DAY, "02") == "ATH-101-20260915-PAYMENTS"


def test_line_keys_count_within_their_journal() -> None:
    log = _log(golden_day())
    lines = journal_lines(log, NO_SENT, NO_REVISIONS, _dates(log), BOOKS, batch_date=DAY).lines
    for _, journal in lines.group_by("journal"):
        assert sorted(journal["seq"]) == list(range(1, journal.height + 1))
    assert lines.filter(
        pl.col("line_key")
        != pl.format("101-20260915-{}-r1-{}", "category", pl.col("seq").cast(pl.String).str.zfill(5))
    ).is_empty()
    assert ((lines["debit_cents"] > 0) != (lines["credit_cents"] > 0)).all()


def test_a_held_late_arrival_makes_no_line_and_is_listed() -> None:
    log = _log(_charge(day=date(2026, 8, 20)))
    found = journal_lines(log, NO_SENT, NO_REVISIONS, _dates(log, "hold"), BOOKS, batch_date=DAY)
    assert found.lines.is_empty()
    assert found.held.select("post_date", "category", "debit_cents", "decision").rows() == [
        (date(2026, 8, 20), "01", 1000, "hold")
    ]
    assert "Aug-26 is Closed" in found.held["reason"].item()
    rejected = journal_lines(log, NO_SENT, NO_REVISIONS, _dates(log, "reject"), BOOKS, batch_date=DAY)
    assert rejected.held["decision"].item() == "reject"


def test_a_carried_line_names_its_day() -> None:
    log = _log(_charge(day=date(2026, 8, 20)))
    lines = journal_lines(log, NO_SENT, NO_REVISIONS, _dates(log), BOOKS, batch_date=DAY).lines
    assert set(lines["accounting_date"]) == {date(2026, 9, 1)}
    assert lines["carried"].all()
    assert lines["journal"].unique().to_list() == ["ATH-101-20260820-CHARGES-r1"]
    assert lines["description"].str.ends_with(" (post date 2026-08-20)").all()


def test_a_post_date_without_a_decision_is_held() -> None:
    log = _log(_charge())
    found = journal_lines(log, NO_SENT, NO_REVISIONS, _dates(log).head(0), BOOKS, batch_date=DAY)
    assert found.held["reason"].to_list() == ["no period decision for this post date"]


def test_a_new_version_sends_only_the_difference() -> None:
    first = _log(_charge())
    sent = line_amounts(first)
    revisions = pl.DataFrame([("101", DAY, "01", 1, DAY, False)], schema=NO_REVISIONS.schema, orient="row")
    log = _log(_charge("12.00"), first)
    lines = journal_lines(log, sent, revisions, _dates(log), BOOKS, batch_date=NEXT).lines
    assert lines.select("revision", "debit_cents", "credit_cents").rows() == [
        (2, 200, 0),
        (2, 0, 200),
    ]


def test_while_a_revision_is_unknown_the_next_waits() -> None:
    log = _log(_charge())
    revisions = pl.DataFrame([("101", DAY, "01", 1, DAY, True)], schema=NO_REVISIONS.schema, orient="row")
    found = journal_lines(log, NO_SENT, revisions, _dates(log), BOOKS, batch_date=NEXT)
    assert found.lines.is_empty()
    assert found.waiting.select("revision", "debit_cents").rows() == [(1, 1000)]
