"""Which accounting date a post date gets."""

from datetime import date

import polars as pl
import pytest
from revenue_world import LEDGER, PERIODS

from athena_fusion.accounting.periods import DECISIONS, accounting_dates

SEP, AUG, NOV = date(2026, 9, 15), date(2026, 8, 20), date(2026, 11, 3)


def _one(
    day: date, policy: str = "next_open_first_day", periods: pl.DataFrame = PERIODS
) -> tuple[object, ...]:
    found = accounting_dates(pl.Series([day]), periods, ledger_id=LEDGER, late_policy=policy)
    assert dict(found.schema) == DECISIONS
    return found.select("accounting_date", "carried", "decision", "reason").row(0)


def test_an_open_period_takes_the_post_date() -> None:
    assert _one(SEP) == (SEP, False, "open", "")


def test_a_late_arrival_follows_the_policy() -> None:
    reason = "period Aug-26 is Closed; "
    assert _one(AUG) == (date(2026, 9, 1), True, "carried", reason + "carried to 2026-09-01")
    held = (None, False, "hold", reason + "held by the late-arrival policy of the billing entity")
    assert _one(AUG, "hold") == held
    assert _one(AUG, "reject")[2:] == (
        "reject",
        reason + "rejected by the late-arrival policy of the billing entity",
    )


@pytest.mark.parametrize("policy", ["next_open_first_day", "hold", "reject"])
def test_the_future_is_held_whatever_the_policy(policy: str) -> None:
    assert _one(NOV, policy) == (
        None,
        False,
        "hold",
        "period Nov-26 is Never Opened; held until it is opened",
    )
    assert _one(date(2027, 2, 1), policy)[2] == "hold"


def test_before_the_calendar_is_late_too() -> None:
    assert _one(date(2025, 1, 1))[:3] == (date(2026, 9, 1), True, "carried")


def test_carrying_never_goes_backwards() -> None:
    status = (
        pl.when(pl.col("period_name") == "Oct-26").then(pl.lit("Closed")).otherwise("status").alias("status")
    )
    assert _one(date(2026, 10, 5), periods=PERIODS.with_columns(status)) == (
        None,
        False,
        "hold",
        "period Oct-26 is Closed and no later period is Open; held until one is",
    )


def test_another_ledger_and_an_unknown_policy() -> None:
    assert (
        accounting_dates(pl.Series([SEP]), PERIODS, ledger_id="1", late_policy="hold")["decision"].item()
        == "hold"
    )
    with pytest.raises(ValueError, match="late policy 'maybe' is unknown"):
        accounting_dates(pl.Series([SEP]), PERIODS, ledger_id=LEDGER, late_policy="maybe")


def test_one_row_per_post_date() -> None:
    found = accounting_dates(pl.Series([SEP, AUG, SEP]), PERIODS, ledger_id=LEDGER, late_policy="hold")
    assert found["post_date"].to_list() == [AUG, SEP]
