"""Account combinations: segment values of a leg joined by the tenant's chart, each checked against X10."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from athena_fusion.accounting.crosswalk import code, effective_dates, in_effect, resolve

# Where a detail leg takes a segment from; the balancing segment is always the Company, others the chart's default.
_SOURCES = {"CostCenter": "cost_center", "Location": "location", "ServiceLine": "service_line"}
ACCOUNT = "Account"


@dataclass(frozen=True)
class Chart:
    """The tenant's chart of accounts: segment names in order, separator, balancing segment, summary defaults."""

    segments: tuple[str, ...]
    separator: str
    balancing: str
    summary_defaults: Mapping[str, str]

    def segment(self, name: str, combination: str = "combination") -> pl.Expr:
        """The value of one segment in a column of combination texts."""
        return pl.col(combination).str.split(self.separator).list.get(self.segments.index(name))


def combine(legs: pl.DataFrame, accounts: pl.DataFrame, chart: Chart, x10: pl.DataFrame) -> pl.DataFrame:
    """`combination` and `problem` for every leg, in the order of `legs`.

    `legs` has role, company, cost_center, location, service_line (text) and `on` (date of effect). Legs on a
    `summary` account use the chart's defaults. A problem is text (`X10: ...`); the combination is then null.
    """
    distinct = legs.unique(maintain_order=True)
    chosen = accounts.select(pl.col("role"), pl.col("account"), pl.col("level"))
    named = distinct.join(chosen, on="role", how="left", maintain_order="left")
    built = named.with_columns(
        pl.when(pl.col("account").is_null())
        .then(pl.format("accounts: role {} has no account", "role"))
        .alias("problem")
    )
    for name in chart.segments:
        values = pl.DataFrame(
            {
                "segment": pl.Series([name], dtype=pl.String).new_from_index(0, named.height),
                "value": named.select(_source(name, chart)).to_series(),
                "on": named["on"],
            }
        )
        found = resolve(
            values,
            x10,
            {"segment": "segment", "source_value": "value"},
            "on",
            crosswalk="X10",
            results=["fusion_value"],
        )
        built = built.with_columns(
            found["fusion_value"].alias(f"_{name}"),
            pl.coalesce("problem", pl.format("X10: no line for {}", found["missing"])).alias("problem"),
        )
    built = built.with_columns(
        pl.when(pl.col("problem").is_null())
        .then(pl.concat_str([f"_{name}" for name in chart.segments], separator=chart.separator))
        .alias("combination")
    )
    built = built.with_columns(
        pl.coalesce("problem", check(built.select("combination", "on"), chart, x10)).alias("problem")
    )
    return legs.join(
        built.select(
            *legs.columns,
            pl.when(pl.col("problem").is_null()).then(pl.col("combination")).alias("combination"),
            "problem",
        ),
        on=legs.columns,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    ).select("combination", "problem")


def check(combinations: pl.DataFrame, chart: Chart, x10: pl.DataFrame) -> pl.Series:
    """The problem of each (`combination`, `on`), null where Fusion is expected to take it.

    A value is usable when X10 has an enabled line for it in effect and no disabled one.
    """
    asked = combinations.unique().drop_nulls("combination")
    lines = effective_dates(x10).select(
        code(pl.col("segment")).alias("_segment"),
        code(pl.col("fusion_value")).alias("_value"),
        (code(pl.col("enabled")) == "Y").alias("_enabled"),
        "effective_from",
        "effective_to",
    )
    problem = pl.lit(None, pl.String)
    for name in chart.segments:
        values = asked.select("on", code(chart.segment(name)).alias("_value")).unique()
        state = (
            values.join(lines.filter(pl.col("_segment") == name.upper()), on="_value")
            .filter(in_effect(pl.col("on")))
            .group_by("on", "_value")
            .agg(pl.col("_enabled").all().alias(f"_{name}"))
        )
        asked = asked.with_columns(code(chart.segment(name)).alias("_value"))
        asked = asked.join(state, on=["on", "_value"], how="left")
        said = pl.format(
            "X10: {} {} is {} on {}",
            pl.lit(name),
            pl.col("_value"),
            pl.when(pl.col(f"_{name}").is_null()).then(pl.lit("missing")).otherwise(pl.lit("disabled")),
            pl.col("on").cast(pl.String),
        )
        asked = asked.with_columns(
            pl.coalesce(
                problem, pl.when(~pl.col(f"_{name}").fill_null(False)).then(said)
            ).alias("problem")
        )
        problem = pl.col("problem")
    return combinations.join(
        asked.select("combination", "on", "problem"),
        on=["combination", "on"],
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )["problem"]


def _source(name: str, chart: Chart) -> pl.Expr:
    if name == chart.balancing:
        return pl.col("company")
    if name == ACCOUNT:
        return pl.col("account")
    default = pl.lit(chart.summary_defaults.get(name, ""))
    if name not in _SOURCES:
        return default
    return pl.when(pl.col("level") == "detail").then(pl.col(_SOURCES[name])).otherwise(default)
