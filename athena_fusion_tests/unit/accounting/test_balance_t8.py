"""T8: an unbalanced journal is found, by journal and by Company, and named."""

import polars as pl
import pytest
from revenue_world import CHART

from athena_fusion.accounting.balance import UnbalancedJournal, require_balanced, t8


def _lines(*rows: tuple[str, str, int, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [(j, f"{company}-0000-11030-000-000-000", dr, cr) for j, company, dr, cr in rows],
        schema={
            "journal": pl.String,
            "combination": pl.String,
            "debit_cents": pl.Int64,
            "credit_cents": pl.Int64,
        },
        orient="row",
    )


def test_balanced_lines_pass() -> None:
    controls = t8(_lines(("J1", "101", 5, 0), ("J1", "101", 0, 5)), CHART)
    require_balanced(controls)
    assert [c.scope for c in controls] == ["J1", "J1 Company 101", "lines with not exactly one side"]


def test_the_journal_and_its_difference_are_named() -> None:
    controls = t8(
        _lines(("J1", "101", 123456, 0), ("J1", "101", 0, 123455), ("J2", "101", 1, 0), ("J2", "101", 0, 1)),
        CHART,
    )
    with pytest.raises(UnbalancedJournal, match=r"J1: debits less credits 0.01") as error:
        require_balanced(controls)
    assert "J2" not in str(error.value)


def test_a_journal_that_balances_only_across_companies_fails() -> None:
    controls = t8(_lines(("J1", "101", 500, 0), ("J1", "102", 0, 500)), CHART)
    with pytest.raises(
        UnbalancedJournal, match=r"J1 Company 101: debits less credits 5.00; J1 Company 102: .*5.00"
    ):
        require_balanced(controls)


@pytest.mark.parametrize("line", [("J1", "101", 5, 5), ("J1", "101", 0, 0), ("J1", "101", -5, -5)])
def test_a_line_fills_exactly_one_side(line: tuple[str, str, int, int]) -> None:
    with pytest.raises(UnbalancedJournal, match="lines with not exactly one side: 1 lines"):
        require_balanced(t8(_lines(line), CHART))
