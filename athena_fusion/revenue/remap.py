"""A person's remap of a rejected line: another segment value, in the line and in the postings behind it."""

from collections.abc import Mapping
from datetime import date

import polars as pl

from athena_fusion.accounting.combinations import Chart
from athena_fusion.revenue.postings import POSTINGS, standing

_KEYS = ("entity", "post_date", "category", "posting_id")


def remapped_lines(
    lines: pl.DataFrame, segments: Mapping[str, Mapping[str, str]], chart: Chart
) -> pl.DataFrame:
    """Journal lines with new segment values for the named line keys; amounts and keys stay."""

    def combination(key: str, standing: str) -> str:
        values = standing.split(chart.separator)
        for name, value in segments.get(key, {}).items():
            values[chart.segments.index(name)] = value
        return chart.separator.join(values)

    keys = zip(lines["line_key"], lines["combination"], strict=True)
    return lines.with_columns(
        pl.Series("combination", [combination(*pair) for pair in keys], dtype=pl.String)
    )


def remapped_postings(
    log: pl.DataFrame, before: pl.DataFrame, after: pl.DataFrame, batch_date: date
) -> pl.DataFrame:
    """What the log gains: the reversal of every posting behind a remapped line, and the same with the new combination.

    Behind a line stand the postings of the last nights whose sum is its amount: those of earlier nights are in
    Fusion under another revision and stay there. Where no such sum exists nothing moves; the caller compares.
    """
    side_amount = pl.col("debit_cents") - pl.col("credit_cents")
    lines = before.select(*_KEYS, "line_key", pl.col("combination").alias("old"), side_amount.alias("net"))
    moved = (
        lines.join(after.select("line_key", pl.col("combination").alias("new")), on="line_key")
        .filter(pl.col("old") != pl.col("new"))
        .group_by(*_KEYS, "old", "new")
        .agg(pl.col("net").sum())
    )
    posted = standing(log)
    moved = moved.join(_first_nights(posted, moved), on=[*_KEYS, "old"])
    for side in ("debit", "credit"):
        name = f"{side}_combination"
        of_line = pl.col("batch_date") >= pl.col("since")
        posted = (
            posted.join(
                moved.select(*_KEYS, "new", "since", pl.col("old").alias(name)),
                on=[*_KEYS, name],
                how="left",
                maintain_order="left",
            )
            .with_columns(pl.when(of_line).then("new").otherwise(name).alias(f"_{side}"))
            .drop("new", "since")
        )
    changed = posted.filter(
        (pl.col("_debit") != pl.col("debit_combination"))
        | (pl.col("_credit") != pl.col("credit_combination"))
    ).with_columns(pl.lit(batch_date).alias("batch_date"))
    new = changed.with_columns(
        pl.col("_debit").alias("debit_combination"), pl.col("_credit").alias("credit_combination")
    )
    return pl.concat(
        [changed.with_columns(-pl.col("amount_cents")).select(list(POSTINGS)), new.select(list(POSTINGS))]
    ).sort("row_id", "amount_cents")


def _first_nights(posted: pl.DataFrame, moved: pl.DataFrame) -> pl.DataFrame:
    """Per remapped combination `since`: the latest night from which on the postings add up to its lines."""
    legs = pl.concat(
        [
            posted.select(
                *_KEYS,
                "batch_date",
                pl.col(f"{side}_combination").alias("old"),
                (sign * pl.col("amount_cents")).alias("leg"),
            )
            for side, sign in (("debit", 1), ("credit", -1))
        ]
    )
    return (
        legs.join(moved, on=[*_KEYS, "old"])
        .group_by(*_KEYS, "old", "net", "batch_date")
        .agg(pl.col("leg").sum())
        .sort("batch_date", descending=True)
        .with_columns(pl.col("leg").cum_sum().over(*_KEYS, "old"))
        .filter(pl.col("leg") == pl.col("net"))
        .group_by(*_KEYS, "old")
        .agg(pl.col("batch_date").max().alias("since"))
    )
