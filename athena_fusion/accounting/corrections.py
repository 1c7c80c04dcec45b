"""Correction journals: what is posted in total, less what was sent, is what goes next.

Source of the rule: domain section 7 and decision 9. Postings are a log that only grows, so the difference per
side is normally positive; what had been sent in excess comes back on the other side.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

JOURNAL = ("entity", "post_date", "category")
_LINE = (*JOURNAL, "posting_id", "combination")
_SIDES = ("debit_cents", "credit_cents")


@dataclass(frozen=True)
class Corrections:
    """The outcome per journal (entity, post date, category).

    `lines`: JOURNAL, revision, posting_id, combination, debit_cents, credit_cents; both sides may be filled.
    `waiting`: JOURNAL, revision (the open one), debit_cents (held back), reason.
    `unchanged`: JOURNAL, reason; nothing is sent for them.
    """

    lines: pl.DataFrame
    waiting: pl.DataFrame
    unchanged: pl.DataFrame


def corrections(
    cumulative: pl.DataFrame, sent: pl.DataFrame, revisions: pl.DataFrame, *, batch_date: date
) -> Corrections:
    """The lines still to send.

    `cumulative` and `sent` have entity, post_date, category, posting_id, combination, debit_cents, credit_cents
    (any number of rows per key). `sent` is what Fusion is proven to hold. Only journals that occur in
    `cumulative` are looked at, and each of them must be complete there.

    `revisions` has JOURNAL, revision, batch_date and `open` (true until read-back has proven it). An open revision of
    another batch date makes the journal wait; an open one of this batch date is computed again under its number;
    otherwise the number is one more than the highest.
    """
    differences = _differences(cumulative, sent)
    journals = (
        cumulative.select(JOURNAL).unique().join(_revisions(revisions, batch_date), on=JOURNAL, how="left")
    )
    changed = differences.group_by(JOURNAL).agg(pl.col("debit_cents").sum())
    waiting = journals.join(changed, on=JOURNAL).filter(pl.col("blocking").is_not_null())
    free = journals.filter(pl.col("blocking").is_null())
    lines = differences.join(free.select(*JOURNAL, "next"), on=JOURNAL).select(
        *JOURNAL,
        pl.col("next").fill_null(1).alias("revision"),
        "posting_id",
        "combination",
        *_SIDES,
    )
    return Corrections(
        lines=lines.sort(*JOURNAL, "posting_id", "combination"),
        waiting=waiting.select(
            *JOURNAL,
            pl.col("blocking").alias("revision"),
            "debit_cents",
            pl.format("revision r{} is not yet proven in Fusion; the difference waits", "blocking").alias(
                "reason"
            ),
        ).sort(JOURNAL),
        unchanged=journals.join(changed, on=JOURNAL, how="anti")
        .select(*JOURNAL, pl.lit("no difference to what Fusion holds; nothing is sent").alias("reason"))
        .sort(JOURNAL),
    )


def _differences(cumulative: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    journals = cumulative.select(JOURNAL).unique()
    minus = sent.join(journals, on=JOURNAL, how="semi").with_columns(-pl.col(side) for side in _SIDES)
    columns = [pl.col(name) for name in _LINE] + [pl.col(side).cast(pl.Int64) for side in _SIDES]
    both = pl.concat([cumulative.select(columns), minus.select(columns)])
    # Sent in excess on one side = a negative difference; it comes back on the other side. Sent in excess on both
    # sides cancels. Taking the lowest of (debit, credit, 0) from both does exactly that, and a second run after
    # the correction was proven finds nothing more to do.
    low = pl.min_horizontal(*_SIDES, pl.lit(0, pl.Int64))
    return (
        both.group_by(_LINE)
        .agg(pl.col(side).sum() for side in _SIDES)
        .with_columns(low.alias("_low"))
        .with_columns(pl.col(side) - pl.col("_low") for side in _SIDES)
        .filter(pl.any_horizontal(pl.col(side) != 0 for side in _SIDES))
        .drop("_low")
    )


def _revisions(revisions: pl.DataFrame, batch_date: date) -> pl.DataFrame:
    """Per journal: `blocking` (open revision of another batch date) and `next` (the number to use)."""
    own_open = pl.col("open") & (pl.col("batch_date") == batch_date)
    number = pl.col("revision").cast(pl.Int64)
    return revisions.group_by(JOURNAL).agg(
        number.filter(pl.col("open") & ~own_open).min().alias("blocking"),
        pl.coalesce(number.filter(own_open).max(), number.max() + 1).alias("next"),
    )
