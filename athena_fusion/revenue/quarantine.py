"""Rows in quarantine as the explanation of a T1 difference: exactly these rows, or none.

A bad row is missing from our totals and present in athenaOne's. The difference is explained only when every figure is
off by precisely the quarantined rows of the entity; anything else stays a difference and blocks.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date

import polars as pl

from athena_fusion.accounting.controls import Control
from athena_fusion.money import cents_display
from athena_fusion.revenue.dataview_rows import TYPES
from athena_fusion.revenue.transactions import QUARANTINE, TRANSACTIONS

CRITICAL_CENTS = 1_000_000
"""A variance from which an entity's load stops, whatever explains it (domain section 9: 10,000.00)."""

_KINDS = (*TYPES, "UNAPPLIED", "UNPOSTABLE")
_NEGATED = ("PAYMENT", "ADJUSTMENT")
_Figure = tuple[str, str]


def still_quarantined(frames: Sequence[pl.DataFrame], rows: pl.DataFrame, entity: str) -> pl.DataFrame:
    """One line per quarantined row of `entity` over several nights, oldest first, less what came again whole.

    QUARANTINE columns; a row with several problems, or delivered twice with different amounts, has a null amount.
    """
    lines = pl.concat([pl.DataFrame(schema=QUARANTINE), *frames])
    mine = lines.filter(pl.col("entity") == entity).join(rows.select("row_id"), on="row_id", how="anti")
    subject = pl.coalesce("row_id", pl.format("{}:{}", "file", "row")).alias("subject")
    amount = pl.when(pl.col("amount_cents").n_unique() == 1).then(pl.col("amount_cents").first())
    return (
        mine.with_columns(subject)
        .group_by("subject", maintain_order=True)
        .agg(amount.alias("amount_cents"), pl.col("transaction_type", "post_date").last())
    )


def explanation(controls: Sequence[Control], quarantined: pl.DataFrame, go_live: date) -> str:
    """What accounts for every T1 difference in words, or "" where the quarantined rows do not.

    Rows whose type, post date and amount are readable must match their figure to the cent; the others may stand for
    what remains, each for one row.
    """
    off = _figures(controls)
    if not off or quarantined.is_empty():
        return ""
    counted, cents, wild = Counter[_Figure](), Counter[_Figure](), 0
    for _, amount, kind, day in quarantined.iter_rows():
        if day is not None and day < go_live:
            continue
        if day is None or kind not in _KINDS or amount is None:
            wild += 1
            continue
        counted[str(day), kind] += 1
        cents[str(day), kind] += amount
    if set(counted) - set(off):
        return ""
    remaining = 0
    for figure, (rows, missing) in off.items():
        left = rows - counted[figure]
        if left < 0 or (left == 0 and missing != cents[figure]):
            return ""
        remaining += left
    at_stake = sum(abs(missing) for _, missing in off.values())
    if remaining != wild or at_stake >= CRITICAL_CENTS:
        return ""
    return f"{remaining + counted.total()} quarantined rows, {cents_display(at_stake)} at stake"


def stand_ins(controls: Sequence[Control], entity: str) -> pl.DataFrame:
    """One row per figure for what is quarantined, so that the roll-forward is still proven (TRANSACTIONS)."""
    made = [
        {
            "row_id": f"quarantine {day} {kind}",
            "entity": entity,
            "transaction_type": kind,
            "post_date": date.fromisoformat(day),
            "raw_cents": cents,
            "amount_cents": -cents if kind in _NEGATED else cents,
        }
        for (day, kind), (_, cents) in _figures(controls).items()
    ]
    frame = pl.DataFrame(made, schema_overrides=TRANSACTIONS)
    return frame.select(
        pl.col(name) if name in frame.columns else pl.lit(None, kind).alias(name)
        for name, kind in TRANSACTIONS.items()
    )


def _figures(controls: Sequence[Control]) -> dict[_Figure, tuple[int, int]]:
    """Rows and cents that the report has and we have not, per post date and type; empty when one is unproven."""
    found: dict[_Figure, tuple[int, int]] = {}
    for control in controls:
        if control.difference is None:
            return {}
        if control.ok:
            continue
        _, day, kind = control.scope.split(" ")
        rows, cents = found.get((day, kind), (0, 0))
        missing = -control.difference
        found[day, kind] = (rows + missing, cents) if control.unit == "rows" else (rows, cents + missing)
    return found
