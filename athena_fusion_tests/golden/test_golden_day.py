"""The worked example of the domain reference, to the cent: entity 101, post date 2026-09-15, and its follow-up."""

from datetime import date

import polars as pl
import pytest
from revenue_world import (
    BOOKS,
    CHART,
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

from athena_fusion.accounting.balance import require_balanced, t8
from athena_fusion.accounting.periods import accounting_dates
from athena_fusion.revenue.journals import JOURNAL_LINES, Journals, journal_lines
from athena_fusion.revenue.postings import Postings, post
from athena_fusion.revenue.totals import roll_forward, t1, t7, t9

ACCOUNT_TABLE = {
    "10210": (61593, 4100),
    "10220": (13000, 0),
    "11010": (18080, 18080),
    "11020": (21000, 0),
    "11030": (40800, 34500),
    "11060": (4800, 11225),
    "21010": (6800, 10000),
    "21020": (0, 41207),
    "21110": (0, 5000),
    "40010": (9500, 55500),
    "40020": (0, 18000),
    "45010": (9000, 0),
    "45030": (8750, 2200),
    "45410": (144, 0),
    "46010": (6425, 0),
    "48010": (0, 80),
}

EVENTS = [
    ("P01", 25000, "11030", "40010"),
    ("P01", 18000, "11010", "40020"),
    ("P01", 21000, "11020", "40010"),
    ("P01", 9500, "11030", "40010"),
    ("P02", 9500, "40010", "11030"),
    ("P03", 13250, "10210", "11030"),
    ("P09", 8750, "45030", "11030"),
    ("P17", 3000, "11060", "11030"),
    ("P03", 7136, "10210", "11010"),
    ("P09", 9000, "45010", "11010"),
    ("P17", 1800, "11060", "11010"),
    ("P10", 144, "45410", "11010"),
    ("P23", 80, "11010", "48010"),
    ("P04", 3000, "10220", "11060"),
    ("P05", 10000, "10220", "21010"),
    ("P06", 1800, "21010", "11060"),
    ("P08", 41207, "10210", "21020"),
    ("P20", 5000, "21010", "21110"),
    ("P15", 6425, "46010", "11060"),
    ("P18", 4100, "11030", "10210"),
    ("P18C", 2200, "11030", "45030"),
]


def _dates(periods: pl.DataFrame = PERIODS, days: tuple[date, ...] = (DAY,)) -> pl.DataFrame:
    return accounting_dates(
        pl.Series("post_date", days), periods, ledger_id=LEDGER, late_policy="next_open_first_day"
    )


def _posted() -> Postings:
    return post(golden_day().rows(), TABLES_OF_TENANT, BOOKS, POLICIES, batch_date=DAY)


def _journals(log: pl.DataFrame) -> Journals:
    return journal_lines(log, NO_SENT, NO_REVISIONS, _dates(), BOOKS, batch_date=DAY)


def test_every_event_of_the_golden_day_posts_as_written() -> None:
    posted = _posted()
    account = {side: CHART.segment("Account", f"{side}_combination") for side in ("debit", "credit")}
    found = posted.postings.select(
        "posting_id", "amount_cents", account["debit"], account["credit"].alias("c")
    )
    assert sorted(found.rows()) == sorted(EVENTS)
    assert posted.held.is_empty()
    assert posted.notices.is_empty()
    assert posted.silent.height == 1  # the UNAPPLIED half of E16
    assert set(posted.postings["crosswalk_hash"]) == {"c" * 64}


def test_the_account_table_of_the_golden_day() -> None:
    lines = _journals(_posted().postings).lines
    sums = (
        lines.group_by(CHART.segment("Account").alias("account"))
        .agg(pl.col("debit_cents", "credit_cents").sum())
        .sort("account")
    )
    assert {account: (debit, credit) for account, debit, credit in sums.rows()} == ACCOUNT_TABLE
    assert lines["debit_cents"].sum() == lines["credit_cents"].sum() == 199892


def test_balance_sheet_lines_are_summary_and_results_are_detail() -> None:
    combinations = set(_journals(_posted().postings).lines["combination"])
    assert "101-0000-11030-000-000-000" in combinations
    assert "101-2100-40010-014-010-000" in combinations  # 99214
    assert "101-2100-40010-014-020-000" in combinations  # 20610
    assert all(text.split("-")[1:2] == ["0000"] for text in combinations if text.split("-")[2] < "40000")


def test_journals_balance_and_carry_their_names() -> None:
    lines = _journals(_posted().postings).lines
    require_balanced(t8(lines, CHART))
    assert set(lines["journal"]) == {
        f"ATH-101-20260915-{word}-r1"
        for word in (
            "CHARGES",
            "PAYMENTS",
            "ADJUSTMENTS",
            "TRANSFERS",
            "UNAPPLIED",
            "UNIDENTIFIED",
            "REFUNDS",
            "INCENTIVES",
        )
    }
    assert dict(lines.schema) == JOURNAL_LINES
    first = lines.filter(pl.col("category") == "01").row(0, named=True)
    assert first["line_key"] == "101-20260915-01-r1-00001"
    assert first["description"] == "P01 A/R Medicare"
    assert first["accounting_date"] == DAY
    assert lines["line_key"].is_unique().all()


def test_the_roll_forward_of_the_golden_day() -> None:
    assert roll_forward(golden_day().rows()).rows() == [(DAY, 64000, 21086, 22039, 20875, 3200)]
    log = _posted().postings
    lines = _journals(log).lines
    receivable = lines.filter(CHART.segment("Account").str.starts_with("110"))
    assert (receivable["debit_cents"] - receivable["credit_cents"]).sum() == 20875
    cash = lines.filter(CHART.segment("Account").str.starts_with("10"))
    assert (cash["debit_cents"] - cash["credit_cents"]).sum() == 70493


def test_the_golden_day_ties_out() -> None:
    practice = golden_day()
    activity, ar = reports(practice)
    scope = {"entity": "101", "medical_groups": ["101"], "go_live": DAY}
    rows, log = practice.rows(), _posted().postings
    journals = _journals(log)
    controls = [
        *t1(rows, activity, **scope),
        *t7(rows, ar, **scope),
        *t9(log, NO_SENT, journals.lines, journals.waiting),
    ]
    assert [control for control in controls if not control.ok] == []
    assert {control.id for control in controls} == {"T1", "T7", "T9"}


def test_the_same_rows_in_another_order_give_the_same_bytes() -> None:
    rows = golden_day().rows()
    shuffled = post(
        rows.sample(fraction=1, shuffle=True, seed=7), TABLES_OF_TENANT, BOOKS, POLICIES, batch_date=DAY
    )
    assert _journals(shuffled.postings).lines.equals(_journals(_posted().postings).lines)


@pytest.mark.parametrize(
    ("september", "accounting", "description"),
    [
        ("Open", DAY, "P01 A/R commercial"),
        ("Closed", date(2026, 10, 1), "P01 A/R commercial (post date 2026-09-15)"),
    ],
)
def test_a_charge_back_posted_to_the_golden_day_is_one_correction(
    september: str, accounting: date, description: str
) -> None:
    first = _posted().postings
    sent = _journals(first).lines
    practice = golden_day()
    late = practice.claim("1003")
    practice.charge(late, "88.00", "99212", TRANSACTIONCREATEDDATETIME="2026-09-17 09:00:00")
    batch = date(2026, 9, 17)
    second = post(practice.rows(), TABLES_OF_TENANT, BOOKS, POLICIES, batch_date=batch, frozen=first)
    assert second.postings.height == 1
    assert second.unchanged == 21
    revisions = (
        sent.select("entity", "post_date", "category", "revision")
        .unique()
        .with_columns(pl.lit(DAY).alias("batch_date"), pl.lit(value=False).alias("open"))
    )
    periods = PERIODS.with_columns(
        pl.when(pl.col("period_name") == "Sep-26").then(pl.lit(september)).otherwise("status").alias("status")
    )
    journals = journal_lines(
        pl.concat([first, second.postings]), sent, revisions, _dates(periods), BOOKS, batch_date=batch
    )
    assert journals.lines.select(
        "journal",
        "line_key",
        "accounting_date",
        "description",
        CHART.segment("Account"),
        "debit_cents",
        "credit_cents",
        "carried",
    ).rows() == [
        (
            "ATH-101-20260915-CHARGES-r2",
            "101-20260915-01-r2-00001",
            accounting,
            description,
            "11030",
            8800,
            0,
            september == "Closed",
        ),
        (
            "ATH-101-20260915-CHARGES-r2",
            "101-20260915-01-r2-00002",
            accounting,
            description.replace("A/R commercial", "Revenue, in person"),
            "40010",
            0,
            8800,
            september == "Closed",
        ),
    ]
    assert set(journals.unchanged["category"]) == {"02", "03", "04", "05", "06", "08", "09"}
