"""A person's remap of a rejected line: another segment value, in the line and in the postings behind it."""

from collections.abc import Mapping
from datetime import date

import polars as pl

from athena_fusion.accounting.combinations import Chart
from athena_fusion.revenue.postings import POSTINGS, standing


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

    A line stands for all postings of its journal with its posting id and combination on its side.
    """
    keys = ["entity", "post_date", "category", "posting_id"]
    moved = (
        before.select(*keys, "line_key", pl.col("combination").alias("old"))
        .join(after.select("line_key", pl.col("combination").alias("new")), on="line_key")
        .filter(pl.col("old") != pl.col("new"))
        .select(*keys, "old", "new")
        .unique()
    )
    posted = standing(log)
    for side in ("debit", "credit"):
        name = f"{side}_combination"
        posted = (
            posted.join(moved.rename({"old": name}), on=[*keys, name], how="left", maintain_order="left")
            .with_columns(pl.coalesce("new", name).alias(f"_{side}"))
            .drop("new")
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
