"""Combinations by the tenant's chart, and X10: translated, missing, disabled, by date."""

from datetime import date

import polars as pl
import pytest
from revenue_world import ACCOUNTS, CHART, X10, table

from athena_fusion.accounting.combinations import check, combine

DAY = date(2026, 9, 15)
COLUMNS = ("role", "company", "cost_center", "location", "service_line", "on")


def _combine(role: str, cost_center: str | None = "2100", x10: pl.DataFrame = X10) -> tuple[object, ...]:
    legs = pl.DataFrame(
        [(role, "101", cost_center, "014", "010", DAY)],
        schema={name: pl.Date if name == "on" else pl.String for name in COLUMNS},
        orient="row",
    )
    return combine(legs, ACCOUNTS, CHART, x10).row(0)


def _check(combination: str, x10: pl.DataFrame, on: date = DAY) -> str | None:
    return check(pl.DataFrame({"combination": [combination], "on": [on]}), CHART, x10).item()


def test_detail_and_summary_accounts() -> None:
    assert _combine("revenue_in_person") == ("101-2100-40010-014-010-000", None)
    assert _combine("ar_commercial") == ("101-0000-11030-000-000-000", None)


def test_a_value_that_x10_does_not_know() -> None:
    assert _combine("revenue_in_person", "2777") == (
        None,
        "X10: no line for CostCenter 2777 on 2026-09-15",
    )
    assert _combine("nobody") == (None, "accounts: role nobody has no account")


def test_x10_translates() -> None:
    lines = table(
        "segment,source_value,fusion_value,enabled,effective_from,effective_to\nCostCenter,A7,2100,Y,,"
    )
    assert _combine("revenue_in_person", "A7", pl.concat([X10, lines]))[0] == "101-2100-40010-014-010-000"


def _with(*lines: str) -> pl.DataFrame:
    rest = X10.filter(~((pl.col("segment") == "CostCenter") & (pl.col("source_value") == "2100")))
    header = "segment,source_value,fusion_value,enabled,effective_from,effective_to"
    return pl.concat([rest, table("\n".join([header, *lines]))])


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["CostCenter,2100,2100,Y,,"], None),
        (["CostCenter,2100,2100,N,,"], "X10: CostCenter 2100 is disabled on 2026-09-15"),
        (["CostCenter,2100,2100,Y,,2026-09-14"], "X10: CostCenter 2100 is missing on 2026-09-15"),
        (
            ["CostCenter,2100,2100,Y,,2026-09-14", "CostCenter,2100,2100,N,2026-09-15,"],
            "X10: CostCenter 2100 is disabled on 2026-09-15",
        ),
        (
            ["CostCenter,2100,2100,Y,,", "CostCenter,2100,2100,N,,"],
            "X10: CostCenter 2100 is disabled on 2026-09-15",
        ),
    ],
)
def test_enabled_on_the_day_that_counts(lines: list[str], problem: str | None) -> None:
    assert _check("101-2100-40010-014-010-000", _with(*lines)) == problem


def test_the_order_of_the_rows_stays() -> None:
    frame = pl.DataFrame(
        {"combination": ["101-9999-40010-014-010-000", None, "101-2100-40010-014-010-000"], "on": [DAY] * 3}
    )
    assert check(frame, CHART, X10).to_list() == ["X10: CostCenter 9999 is missing on 2026-09-15", None, None]
