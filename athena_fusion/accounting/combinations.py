"""Account combinations: segment values of a leg translated by X10, joined by the tenant's chart, and checked."""

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
    `summary` account use the chart's defaults. X10 translates every segment value; a value it does not know is a
    problem (text `X10: ...`) and leaves the combination null. Whether the values are usable is for `check` to say.
    """
    distinct = legs.unique(maintain_order=True)
    named = distinct.join(
        accounts.select("role", "account", "level"), on="role", how="left", maintain_order="left"
    )
    values = pl.concat(
        [
            named.select("on", _source(name, chart).alias("value"), segment=pl.lit(name))
            for name in chart.segments
        ]
    )
    keys = {"segment": "segment", "source_value": "value"}
    found = resolve(values, x10, keys, "on", crosswalk="X10", results=["fusion_value"])
    answers = pl.concat([values, found], how="horizontal")
    parts = [answers.slice(n * named.height, named.height) for n in range(len(chart.segments))]
    no_account = pl.format("accounts: role {} has no account", pl.col("role").fill_null("(blank)"))
    built = distinct.with_columns(
        pl.concat_str([pl.lit(part["fusion_value"]) for part in parts], separator=chart.separator).alias(
            "combination"
        ),
        pl.coalesce(
            pl.when(pl.lit(named["account"]).is_null()).then(no_account),
            *(pl.lit(part.select(_unknown()).to_series()) for part in parts),
        ).alias("problem"),
    )
    return legs.join(built, on=legs.columns, how="left", nulls_equal=True, maintain_order="left").select(
        "combination", "problem"
    )


def check(combinations: pl.DataFrame, chart: Chart, x10: pl.DataFrame) -> pl.Series:
    """The problem of each (`combination`, `on`), null where Fusion is expected to take it.

    A value is usable when X10 has an enabled line for it in effect and no disabled one. The first segment that is
    not names the problem.
    """
    asked = combinations.unique(maintain_order=True).drop_nulls("combination")
    lines = effective_dates(x10).select(
        code(pl.col("segment")).alias("key"),
        code(pl.col("fusion_value")).alias("value"),
        (code(pl.col("enabled")) == "Y").alias("enabled"),
        "effective_from",
        "effective_to",
    )
    values = pl.concat(
        [
            asked.with_columns(
                code(chart.segment(name)).alias("value"),
                segment=pl.lit(name),
                key=pl.lit(name.upper()),
                order=pl.lit(number),
            )
            for number, name in enumerate(chart.segments)
        ]
    )
    state = (
        values.select("on", "key", "value")
        .unique()
        .join(lines, on=["key", "value"])
        .filter(in_effect(pl.col("on")))
        .group_by("on", "key", "value")
        .agg(pl.col("enabled").all())
    )
    problems = (
        values.join(state, on=["on", "key", "value"], how="left")
        .filter(~pl.col("enabled").fill_null(value=False))
        .sort("order")
        .unique(["combination", "on"], keep="first", maintain_order=True)
        .select(
            "combination",
            "on",
            pl.format(
                "X10: {} {} is {} on {}",
                "segment",
                "value",
                pl.when(pl.col("enabled").is_null()).then(pl.lit("missing")).otherwise(pl.lit("disabled")),
                pl.col("on").cast(pl.String),
            ).alias("problem"),
        )
    )
    return combinations.join(problems, on=["combination", "on"], how="left", maintain_order="left")["problem"]


def _unknown() -> pl.Expr:
    """Null where X10 has a line for the value, else that it has none."""
    value, on = pl.col("value").fill_null("(blank)"), pl.col("on").cast(pl.String)
    return pl.when(pl.col("line").is_null()).then(
        pl.format("X10: no line for {} {} on {}", "segment", value, on)
    )


def _source(name: str, chart: Chart) -> pl.Expr:
    if name == chart.balancing:
        return pl.col("company")
    if name == ACCOUNT:
        return pl.col("account")
    default = pl.lit(chart.summary_defaults.get(name, ""))
    if name not in _SOURCES:
        return default
    return pl.when(pl.col("level") == "detail").then(pl.col(_SOURCES[name])).otherwise(default)
