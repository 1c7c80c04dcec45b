"""Journal lines: the log of postings, summed per journal, less what Fusion holds, under its proper date and name.

Debits and credits stay gross. Names and line keys are functions of the content alone: the same input gives the same
bytes (decision 8).
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from athena_fusion.accounting.combinations import ACCOUNT
from athena_fusion.accounting.corrections import JOURNAL, corrections
from athena_fusion.accounting.matrix import CATEGORY_WORDS
from athena_fusion.revenue.mapping import Accounts

JOURNAL_LINES: dict[str, pl.DataType] = {
    "line_key": pl.String(),  # REFERENCE21, kept on reload
    "journal": pl.String(),  # REFERENCE4
    "entity": pl.String(),
    "post_date": pl.Date(),
    "accounting_date": pl.Date(),
    "category": pl.String(),
    "revision": pl.Int64(),
    "seq": pl.Int64(),
    "posting_id": pl.String(),
    "description": pl.String(),  # REFERENCE10
    "combination": pl.String(),
    "debit_cents": pl.Int64(),  # zero on the empty side
    "credit_cents": pl.Int64(),
    "carried": pl.Boolean(),
}

_SIDES = ("debit", "credit")


@dataclass(frozen=True)
class Journals:
    """`lines` (JOURNAL_LINES) to send, and the journals that are not sent, each with its reason.

    `waiting`: entity, post_date, category, revision (not yet proven), debit_cents, reason. `held` (no accounting
    date): entity, post_date, category, debit_cents, decision (`hold` or `reject`), reason. `unchanged`: entity,
    post_date, category, reason.
    """

    lines: pl.DataFrame
    waiting: pl.DataFrame
    held: pl.DataFrame
    unchanged: pl.DataFrame


def batch_name(entity: str, batch_date: date, category: str) -> str:
    """REFERENCE1: `ATH-101-20260915-CHARGES`."""
    return f"ATH-{entity}-{batch_date:%Y%m%d}-{CATEGORY_WORDS[category]}"


def line_amounts(postings: pl.DataFrame) -> pl.DataFrame:
    """Gross sums: JOURNAL, posting_id, combination, debit_cents, credit_cents.

    A posting and its reversal cancel: what was never sent leaves no trace, and what was sent comes back as the
    difference to it. A journal whose postings all cancel stays, with zero amounts.
    """
    entry = (*JOURNAL, "posting_id", "row_id", "debit_combination", "credit_combination")
    postings = postings.group_by(entry).agg(pl.col("amount_cents").sum())
    amount = pl.col("amount_cents")
    legs = [
        postings.select(
            *JOURNAL,
            "posting_id",
            pl.col(f"{side}_combination").alias("combination"),
            pl.max_horizontal(amount if side == "debit" else -amount, pl.lit(0, pl.Int64)).alias(
                "debit_cents"
            ),
            pl.max_horizontal(-amount if side == "debit" else amount, pl.lit(0, pl.Int64)).alias(
                "credit_cents"
            ),
        )
        for side in _SIDES
    ]
    return (
        pl.concat(legs)
        .group_by(*JOURNAL, "posting_id", "combination")
        .agg(pl.col("debit_cents", "credit_cents").sum())
        .sort(*JOURNAL, "posting_id", "combination")
    )


def journal_lines(
    log: pl.DataFrame,
    sent: pl.DataFrame,
    revisions: pl.DataFrame,
    accounting_dates: pl.DataFrame,
    accounts: Accounts,
    *,
    batch_date: date,
) -> Journals:
    """The journals of one batch date of one billing entity.

    `log` (POSTINGS) holds all postings up to and with this batch date of every journal in it. `sent` (JOURNAL,
    posting_id, combination, debit_cents, credit_cents) and `revisions` (JOURNAL, revision, batch_date, open) as in
    `accounting.corrections`. `accounting_dates` as in `accounting.periods`; a post date that is not in it is held.
    """
    due = corrections(line_amounts(log), sent, revisions, batch_date=batch_date)
    dated = due.lines.join(accounting_dates, on="post_date", how="left", maintain_order="left")
    datable = pl.col("accounting_date").is_not_null()
    held = (
        dated.filter(~datable)
        .group_by(*JOURNAL, "decision", "reason")
        .agg(pl.col("debit_cents").sum())
        .select(
            *JOURNAL,
            "debit_cents",
            pl.col("decision").fill_null("hold"),
            pl.col("reason").fill_null("no period decision for this post date"),
        )
        .sort(JOURNAL)
    )
    return Journals(_named(dated.filter(datable), accounts), due.waiting, held, due.unchanged)


def _named(dated: pl.DataFrame, accounts: Accounts) -> pl.DataFrame:
    """One line per side that has an amount, numbered within its journal by posting id, combination and side."""
    sides = [
        dated.filter(pl.col(f"{side}_cents") > 0).with_columns(
            pl.lit(0, pl.Int64).alias(f"{other}_cents"), pl.lit(side != "debit").alias("_credit")
        )
        for side, other in (_SIDES, reversed(_SIDES))
    ]
    numbered = (
        pl.concat([frame.select(sides[0].columns) for frame in sides])
        .sort(*JOURNAL, "posting_id", "combination", "_credit")
        .with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(JOURNAL).alias("seq"))
    )
    names = accounts.table.select(pl.col("account").alias("_account"), "name").unique(
        "_account", keep="first"
    )
    day = pl.col("post_date").dt.strftime("%Y%m%d")
    word = pl.col("category").replace_strict(CATEGORY_WORDS, return_dtype=pl.String)
    revision = pl.format("r{}", "revision")
    carried = pl.when("carried").then(pl.format(" (post date {})", pl.col("post_date").cast(pl.String)))
    return (
        numbered.with_columns(accounts.chart.segment(ACCOUNT).alias("_account"))
        .join(names, on="_account", how="left", maintain_order="left")
        .with_columns(
            pl.format("ATH-{}-{}-{}-{}", "entity", day, word, revision).alias("journal"),
            pl.format(
                "{}-{}-{}-{}-{}",
                "entity",
                day,
                "category",
                revision,
                pl.col("seq").cast(pl.String).str.zfill(5),
            ).alias("line_key"),
            pl.format(
                "{} {}{}", "posting_id", pl.col("name").fill_null(pl.col("_account")), carried.fill_null("")
            ).alias("description"),
        )
        .select(pl.col(name).cast(kind) for name, kind in JOURNAL_LINES.items())
    )
