"""T8: every journal balances, and so does every Company in it. Proved before anything is sent.

With suspense posting switched on, Fusion accepts an unbalanced journal without a word: this is the only guard.
"""

from collections.abc import Iterable

import polars as pl

from athena_fusion.accounting.combinations import Chart
from athena_fusion.accounting.controls import Control
from athena_fusion.money import cents_display


class UnbalancedJournal(ValueError):
    """A journal whose debits and credits differ; it must not leave the house."""


def t8(lines: pl.DataFrame, chart: Chart) -> list[Control]:
    """Σ debits against Σ credits per journal and per journal and balancing segment, in cents.

    `lines` has journal, combination, debit_cents, credit_cents. A line must fill exactly one side with a positive
    amount: the number of lines that do not is a control of its own, against zero.
    """
    debit, credit = pl.col("debit_cents").fill_null(0), pl.col("credit_cents").fill_null(0)
    malformed = lines.filter(~((debit > 0) & (credit == 0)) & ~((credit > 0) & (debit == 0)))
    sums = (debit.sum().alias("debit"), credit.sum().alias("credit"))
    journals = lines.group_by("journal").agg(*sums).sort("journal")
    companies = (
        lines.group_by("journal", chart.segment(chart.balancing).alias("company"))
        .agg(*sums)
        .sort("journal", "company")
    )
    return [
        *(Control("T8", name, left, right) for name, left, right in journals.iter_rows()),
        *(
            Control("T8", f"{name} {chart.balancing} {company}", left, right)
            for name, company, left, right in companies.iter_rows()
        ),
        Control("T8", "lines with not exactly one side", malformed.height, 0, "rows"),
    ]


def require_balanced(controls: Iterable[Control]) -> None:
    """Raise `UnbalancedJournal` naming each journal and its difference."""
    bad = [control for control in controls if not control.ok]
    if bad:
        said = "; ".join(
            f"{c.scope}: {c.difference} lines"
            if c.unit == "rows"
            else f"{c.scope}: debits less credits {cents_display(c.difference or 0)}"
            for c in bad
        )
        raise UnbalancedJournal(f"not balanced, nothing of it was packaged or sent: {said}")
