"""The accounting date of a post date: open period, late arrival, or not yet.

Source of the rule: domain section 7. Fusion decides which periods are open; the billing entity decides what
happens to a late arrival.
"""

import polars as pl

LATE_POLICIES = ("next_open_first_day", "hold", "reject")
_AHEAD = ("Never Opened", "Future Enterable")

DECISIONS = {
    "post_date": pl.Date,
    "accounting_date": pl.Date,
    "carried": pl.Boolean,
    "decision": pl.String,
    "reason": pl.String,
}


def accounting_dates(
    post_dates: pl.Series, periods: pl.DataFrame, *, ledger_id: str, late_policy: str
) -> pl.DataFrame:
    """One row of `DECISIONS` per distinct post date.

    `decision` is `open` (accounting date = post date), `carried` (late arrival, first day of the earliest open
    period after the post date; `carried` is true), `hold` or `reject` (no accounting date, `reason` says why).
    `periods` has ledger_id, period_name, start, end (dates or YYYY-MM-DD) and status. Carrying only ever goes
    forward: with no later open period the date is held.
    """
    if late_policy not in LATE_POLICIES:
        raise ValueError(f"late policy {late_policy!r} is unknown; choose one of {', '.join(LATE_POLICIES)}")
    calendar = periods.filter(pl.col("ledger_id") == ledger_id).with_columns(
        pl.col(name).str.to_date("%Y-%m-%d") for name in ("start", "end") if periods.schema[name] == pl.String
    )
    opened = calendar.filter(pl.col("status") == "Open").sort("start")
    dates = post_dates.cast(pl.Date).unique().sort().to_frame("post_date")
    known = (
        dates.join_where(
            calendar, pl.col("post_date") >= pl.col("start"), pl.col("post_date") <= pl.col("end")
        )
        .unique("post_date", keep="first", maintain_order=True)
        .select("post_date", "period_name", "status")
    )
    nexts = dates.join_asof(
        opened.select(pl.col("start").alias("next_open")),
        left_on="post_date",
        right_on="next_open",
        strategy="forward",
    )
    ahead_of_all = pl.col("post_date") > pl.lit(calendar["end"].max(), pl.Date)
    ahead = pl.col("status").is_in(_AHEAD) | (pl.col("status").is_null() & ahead_of_all.fill_null(value=True))
    decision = (
        pl.when(pl.col("status") == "Open")
        .then(pl.lit("open"))
        .when(ahead)
        .then(pl.lit("hold"))
        .when(pl.lit(late_policy) == "reject")
        .then(pl.lit("reject"))
        .when((pl.lit(late_policy) == "hold") | pl.col("next_open").is_null())
        .then(pl.lit("hold"))
        .otherwise(pl.lit("carried"))
    )
    return (
        dates.join(known, on="post_date", how="left", maintain_order="left")
        .join(nexts, on="post_date", how="left", maintain_order="left")
        .with_columns(decision.alias("decision"), ahead.alias("ahead"))
        .with_columns(
            pl.when(pl.col("decision") == "open")
            .then(pl.col("post_date"))
            .when(pl.col("decision") == "carried")
            .then(pl.col("next_open"))
            .alias("accounting_date"),
            (pl.col("decision") == "carried").alias("carried"),
            _reason(late_policy).alias("reason"),
        )
        .select(*DECISIONS)
    )


def _reason(late_policy: str) -> pl.Expr:
    period = pl.coalesce(
        pl.format("period {} is {}", pl.col("period_name"), pl.col("status")),
        pl.format("no period of the ledger covers {}", pl.col("post_date").cast(pl.String)),
    )
    return (
        pl.when(pl.col("decision") == "open")
        .then(pl.lit(""))
        .when(pl.col("decision") == "carried")
        .then(pl.format("{}; carried to {}", period, pl.col("next_open").cast(pl.String)))
        .when(pl.col("ahead"))
        .then(pl.format("{}; held until it is opened", period))
        .when(pl.lit(late_policy) == "next_open_first_day")
        .then(pl.format("{} and no later period is Open; held until one is", period))
        .when(pl.lit(late_policy) == "hold")
        .then(pl.format("{}; held by the late-arrival policy of the billing entity", period))
        .otherwise(pl.format("{}; rejected by the late-arrival policy of the billing entity", period))
    )
