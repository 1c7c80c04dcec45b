"""Tie-outs of the revenue flow: T1, T7 and T9 (domain section 9), as figures for others to judge.

A report of athenaOne that is not there makes a tie-out unproven; it never passes by silence.
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from athena_fusion.accounting.controls import Control
from athena_fusion.accounting.corrections import JOURNAL
from athena_fusion.money import MoneyError, parse_cents
from athena_fusion.revenue.journals import line_amounts

# Recoveries of an agency come as payments but lower no receivable: the balance was written off before.
AGENCY = "AGENCY"

ROLL_FORWARD: dict[str, pl.DataType] = {
    "post_date": pl.Date(),
    "charges": pl.Int64(),
    "payments_applied": pl.Int64(),
    "adjustments": pl.Int64(),
    "ar_change": pl.Int64(),
    "unapplied_change": pl.Int64(),
}


class ReportUnreadable(ValueError):
    """An athenaOne report with an amount, count or date that is not exact."""


def t1(
    rows: pl.DataFrame,
    activity: pl.DataFrame | None,
    *,
    entity: str,
    medical_groups: Sequence[str],
    go_live: date,
    practice_id: str | None = None,
) -> list[Control]:
    """Rows and raw sums per transaction type and post date against the activity report, from `go_live` on.

    `rows` are all current canonical rows of the entity (not only the night's: the report is cumulative). `activity`
    is the report as text: PRACTICE, MEDICALGROUPID, POSTDATE, TRANSACTIONTYPE, COUNT, AMOUNT, in athenaOne's signs.
    """
    if activity is None:
        return [Control("T1", entity, None, None, note="the activity report was not delivered")]
    keys = ["post_date", "transaction_type"]
    ours = (
        rows.filter((pl.col("entity") == entity) & (pl.col("post_date") >= go_live))
        .group_by(keys)
        .agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("raw_cents").sum().alias("cents"))
    )
    mine = pl.col("MEDICALGROUPID").is_in(list(medical_groups))
    if practice_id is not None:
        mine &= pl.col("PRACTICE") == practice_id
    report = activity.filter(mine)
    theirs = (
        report.select(
            _dates(report, "POSTDATE").alias("post_date"),
            pl.col("TRANSACTIONTYPE").alias("transaction_type"),
            _counts(report, "COUNT").alias("rows"),
            _cents(report, "AMOUNT").alias("cents"),
        )
        .filter(pl.col("post_date") >= go_live)
        .group_by(keys)
        .agg(pl.col("rows", "cents").sum())
    )
    both = (
        ours.join(theirs, on=keys, how="full", coalesce=True, suffix="_report")
        .fill_null(0)
        .sort(keys)
        .select(*keys, "rows", "rows_report", "cents", "cents_report")
    )
    if both.is_empty():
        return [Control("T1", entity, 0, 0, "rows", "no activity on either side")]
    return [
        control
        for day, kind, left, right, left_cents, right_cents in both.iter_rows()
        for control in (
            Control("T1", f"{entity} {day} {kind}", left, right, "rows"),
            Control("T1", f"{entity} {day} {kind}", left_cents, right_cents),
        )
    ]


def roll_forward(rows: pl.DataFrame) -> pl.DataFrame:
    """What the rows say A/R and unapplied money did, per post date (ROLL_FORWARD, cents).

    A/R changes by charges less payments applied less adjustments; transfers only move it between classes. Agency
    recoveries are not applied to A/R. Unapplied money changes by its own movements.
    """
    kind, amount = pl.col("transaction_type"), pl.col("amount_cents")
    agency = (pl.col("method").str.to_uppercase() == AGENCY).fill_null(value=False)
    parts = {
        "charges": kind == "CHARGE",
        "payments_applied": (kind == "PAYMENT") & ~agency,
        "adjustments": kind == "ADJUSTMENT",
        "unapplied_change": kind == "UNAPPLIED",
    }
    return (
        rows.group_by("post_date")
        .agg(amount.filter(where).sum().alias(name) for name, where in parts.items())
        .with_columns(
            (pl.col("charges") - pl.col("payments_applied") - pl.col("adjustments")).alias("ar_change")
        )
        .select(pl.col(name).cast(kind) for name, kind in ROLL_FORWARD.items())
        .sort("post_date")
    )


def balances_moved(ar: pl.DataFrame, *, medical_groups: Sequence[str], go_live: date) -> tuple[int, int]:
    """Cents by which A/R and unapplied money moved since the day before `go_live`, by athenaOne's own report."""
    days = _balances(ar, medical_groups)
    opening, now = days.filter(pl.col("post_date") < go_live).tail(1), days.tail(1)
    if opening.is_empty():
        raise ReportUnreadable(
            f"the A/R report has no balance before {go_live}; nothing can be compared with Fusion"
        )
    return (now["ar"] - opening["ar"]).item(), (now["unapplied"] - opening["unapplied"]).item()


def t7(
    rows: pl.DataFrame,
    ar: pl.DataFrame | None,
    *,
    entity: str,
    medical_groups: Sequence[str],
    go_live: date,
) -> list[Control]:
    """The A/R roll-forward per post date: end balance of the report against begin balance plus our rows.

    Domain section 9 writes "(A/R - unapplied) end = begin + charges - payments - adjustments + change in unapplied".
    That cannot be meant literally: applying unapplied money is itself a payment, and the worked example of section 10
    (A/R +208.75 = 640.00 - 210.86 - 220.39, unapplied +32.00) follows the true one, which is checked here:

    - A/R end = A/R begin + charges - payments applied - adjustments;
    - (A/R - unapplied) end = (A/R - unapplied) begin + the same - change in unapplied.

    `ar` is the report as text: MEDICALGROUPID, ASOFDATE, AR, UNAPPLIED, one row per day on which anything happened and
    the day before the first. A day without its row, or without an earlier one, is unproven.
    """
    if ar is None:
        return [Control("T7", entity, None, None, note="the A/R report was not delivered")]
    moves = roll_forward(rows.filter((pl.col("entity") == entity) & (pl.col("post_date") >= go_live)))
    balances = (
        _balances(ar, medical_groups)
        .with_columns(
            pl.col("ar").shift(1).alias("ar_begin"), pl.col("unapplied").shift(1).alias("unapplied_begin")
        )
        .filter(pl.col("post_date") >= go_live)
    )
    days = balances.join(moves, on="post_date", how="full", coalesce=True).sort("post_date")
    change, unapplied = pl.col("ar_change").fill_null(0), pl.col("unapplied_change").fill_null(0)
    figures = days.select(
        "post_date",
        pl.col("ar"),
        (pl.col("ar_begin") + change).alias("ar_computed"),
        (pl.col("ar") - pl.col("unapplied")).alias("net"),
        (pl.col("ar_begin") - pl.col("unapplied_begin") + change - unapplied).alias("net_computed"),
    )
    if figures.is_empty():
        return [Control("T7", entity, None, None, note="the A/R report has no balance of this entity")]
    note = "the A/R report has no balance for this day, or none before it"
    return [
        Control("T7", f"{entity} {day} {name}", left, right, note="" if None not in (left, right) else note)
        for day, balance, balance_computed, net, net_computed in figures.iter_rows()
        for name, left, right in (
            ("A/R", balance, balance_computed),
            ("A/R less unapplied", net, net_computed),
        )
    ]


def t9(log: pl.DataFrame, sent: pl.DataFrame, lines: pl.DataFrame, unsent: pl.DataFrame) -> list[Control]:
    """Postings by account combination against journal lines: net debits per journal and combination, in cents.

    Left: all postings of the log less `sent`. Right: `lines`. `unsent` (JOURNAL) names the journals that wait or are
    held; they are left out, because nothing of them is to be found in `lines`.
    """
    net = (pl.col("debit_cents") - pl.col("credit_cents")).cast(pl.Int64)
    columns = [*JOURNAL, "combination"]
    booked = log.select(JOURNAL).unique()
    sides = [
        line_amounts(log).select(*columns, net.alias("left"), pl.lit(0, pl.Int64).alias("right")),
        sent.join(booked, on=JOURNAL, how="semi").select(
            *columns, (-net).alias("left"), pl.lit(0, pl.Int64).alias("right")
        ),
        lines.select(*columns, pl.lit(0, pl.Int64).alias("left"), net.alias("right")),
    ]
    sums = (
        pl.concat(sides)
        .join(unsent.select(JOURNAL), on=JOURNAL, how="anti")
        .group_by(columns)
        .agg(pl.col("left", "right").sum())
        .sort(columns)
        .filter((pl.col("left") != 0) | (pl.col("right") != 0))
    )
    if sums.is_empty():
        return [Control("T9", "all journals", 0, 0, note="nothing to send")]
    return [
        Control("T9", f"{entity} {day} {category} {combination}", left, right)
        for entity, day, category, combination, left, right in sums.iter_rows()
    ]


def _balances(ar: pl.DataFrame, medical_groups: Sequence[str]) -> pl.DataFrame:
    """The A/R report of the medical groups: post_date, ar, unapplied (cents), by date."""
    report = ar.filter(pl.col("MEDICALGROUPID").is_in(list(medical_groups)))
    return (
        report.select(
            _dates(report, "ASOFDATE").alias("post_date"),
            _cents(report, "AR").alias("ar"),
            _cents(report, "UNAPPLIED").alias("unapplied"),
        )
        .group_by("post_date")
        .agg(pl.col("ar", "unapplied").sum())
        .sort("post_date")
    )


def _cents(report: pl.DataFrame, name: str) -> pl.Series:
    try:
        return pl.Series(name, [parse_cents(text or "") for text in report[name]], dtype=pl.Int64)
    except MoneyError as error:
        raise ReportUnreadable(f"report column {name}: {error}; the tie-out was not made") from error


def _counts(report: pl.DataFrame, name: str) -> pl.Series:
    try:
        return report[name].cast(pl.Int64)
    except pl.exceptions.InvalidOperationError as error:
        raise ReportUnreadable(
            f"report column {name}: not a whole number; the tie-out was not made"
        ) from error


def _dates(report: pl.DataFrame, name: str) -> pl.Series:
    try:
        return report[name].str.to_date("%Y-%m-%d")
    except pl.exceptions.InvalidOperationError as error:
        raise ReportUnreadable(f"report column {name}: not a date; the tie-out was not made") from error
