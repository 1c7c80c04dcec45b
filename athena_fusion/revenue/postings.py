"""Events become postings: a debit and a credit combination with an amount.

Postings are a log that only grows. A row whose content changed posts the reversal of what was posted for it (the same
posting with a negative amount) and the new version. A void of a charge uses the accounts of the charge, even if
crosswalks changed since. What cannot be mapped is held with both legs, and the rest goes on.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from athena_fusion.accounting.combinations import Chart, check, combine
from athena_fusion.accounting.matrix import NOTHING, TRANSFER, Policies, matrix_for
from athena_fusion.revenue.events import events, with_originals
from athena_fusion.revenue.mapping import MISSING, Accounts, Tables, mapped

POSTINGS: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "row_hash": pl.String(),  # of the event: of a transfer both legs, of a void the voided row too
    "entity": pl.String(),
    "post_date": pl.Date(),
    "batch_date": pl.Date(),
    "category": pl.String(),
    "posting_id": pl.String(),
    "debit_role": pl.String(),
    "credit_role": pl.String(),
    "debit_combination": pl.String(),
    "credit_combination": pl.String(),
    "amount_cents": pl.Int64(),  # positive; negative only in the reversal of a superseded version
    "crosswalk_hash": pl.String(),
}

HELD: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "row_hash": pl.String(),
    "entity": pl.String(),
    "post_date": pl.Date(),
    "transaction_type": pl.String(),
    "posting_id": pl.String(),  # null where X4 is what is missing
    "crosswalk": pl.String(),  # the first that is missing; "pair", "void" or "accounts" where it is no crosswalk
    "reason": pl.String(),  # everything that is missing, in words
    "amount_cents": pl.Int64(),  # at stake, never negative
}

NOTICES: dict[str, pl.DataType] = {
    "crosswalk": pl.String(),
    "text": pl.String(),
    "rows": pl.Int64(),
    "amount_cents": pl.Int64(),
}

_STAMPS = ("batch_date", "crosswalk_hash")
_VERSION = tuple(name for name in POSTINGS if name not in (*_STAMPS, "amount_cents"))
_ENTRY = tuple(name for name in POSTINGS if name not in (*_STAMPS, "row_hash"))


@dataclass(frozen=True)
class Postings:
    """What this batch date adds to the log, and what it does not.

    `postings` (POSTINGS): new entries and reversals. `held` (HELD). `silent`: row_id and reason of events that post
    nothing by rule. `unchanged`: number of events whose posting in the log stands. `notices` (NOTICES).
    Every event is counted in exactly one of them; a transfer is one event under the row id of its TRANSFERIN.
    """

    postings: pl.DataFrame
    held: pl.DataFrame
    silent: pl.DataFrame
    unchanged: int
    notices: pl.DataFrame


def standing(log: pl.DataFrame) -> pl.DataFrame:
    """The posting that stands per row id (POSTINGS): a version and its reversal cancel out."""
    return (
        log.group_by(_VERSION)
        .agg(pl.col("amount_cents").sum(), pl.col(_STAMPS).last())
        .filter(pl.col("amount_cents") != 0)
        .select(*POSTINGS)
    )


def post(
    rows: pl.DataFrame,
    tables: Tables,
    accounts: Accounts,
    policies: Policies,
    *,
    batch_date: date,
    frozen: pl.DataFrame | None = None,
    accounting_dates: pl.DataFrame | None = None,
) -> Postings:
    """Post the events of `rows` (TRANSACTIONS) that the log `frozen` (POSTINGS) does not hold yet.

    `rows` are the current versions of all rows known of the entity, not only the night's: held events get their
    next chance, and both legs of a transfer and the charge behind a void are found. `accounting_dates` (post_date,
    accounting_date) tells X10 the date that counts; without it, or where it is null, the post date counts.

    Raises `CrosswalkTie` for a contradiction in the tables and `ValueError` for a row id given twice.
    """
    if rows["row_id"].is_duplicated().any():
        raise ValueError(
            "a row id occurs twice; give the current version of each row only. Nothing was posted."
        )
    log = standing(pl.DataFrame(schema=POSTINGS) if frozen is None else frozen)
    _require_one_version(log)
    every = events(rows)
    todo = every.join(log, on=["row_id", "row_hash"], how="anti", maintain_order="left")
    work = mapped(with_originals(todo, rows, log), tables, accounts, matrix_for(policies))
    work = _combinations(work, accounts, tables.x10, accounting_dates)
    work, reversals = _reversals(work, log, accounts.chart, tables.x10, accounting_dates)
    work = _voids_of_held(work)

    free = pl.col("problem") == ""
    held = work.filter(~free)
    new = work.filter(free & (pl.col("silent") == "") & ~pl.col("stands"))
    reversals = reversals.join(held, on="row_id", how="anti")
    added = pl.concat([reversals.select(*_VERSION, "amount_cents"), new.select(*_VERSION, "amount_cents")])
    return Postings(
        postings=added.with_columns(
            pl.lit(batch_date).alias("batch_date"), pl.lit(tables.sha256).alias("crosswalk_hash")
        )
        .select(pl.col(name).cast(kind) for name, kind in POSTINGS.items())
        .sort("row_id", "amount_cents"),
        held=_held(held),
        silent=work.filter(free & (pl.col("silent") != ""))
        .select("row_id", pl.col("silent").alias("reason"))
        .sort("row_id"),
        unchanged=every.height - todo.height + work.filter(free & pl.col("stands")).height,
        notices=_notices(new),
    )


class LogBroken(ValueError):
    """The log of postings holds a row twice, or only its reversal: nothing may be built on it."""


def _require_one_version(log: pl.DataFrame) -> None:
    """A void or a change of a row that stands twice would be posted several times."""
    bad = log.filter(pl.col("row_id").is_duplicated() | (pl.col("amount_cents") < 0))
    if bad.height:
        raise LogBroken(
            f"{bad['row_id'].n_unique()} rows stand more than once, or reversed only, in the posting log of "
            f"entity {bad['entity'][0]}, the first on post date {bad['post_date'][0]}; nothing was posted. "
            "Compare the postings of its nights before anything else."
        )


def _effect(frame: pl.DataFrame, accounting_dates: pl.DataFrame | None) -> pl.DataFrame:
    """`frame` with `on`: the accounting date of its post date, or the post date itself."""
    if accounting_dates is None:
        return frame.with_columns(pl.col("post_date").alias("on"))
    dates = accounting_dates.select("post_date", pl.col("accounting_date").alias("on"))
    return frame.join(dates, on="post_date", how="left", maintain_order="left").with_columns(
        pl.coalesce("on", "post_date").alias("on")
    )


def _combinations(
    work: pl.DataFrame, accounts: Accounts, x10: pl.DataFrame, accounting_dates: pl.DataFrame | None
) -> pl.DataFrame:
    """Both combinations, `silent` (why nothing is posted, "" = something is) and `problem` ("" = none)."""
    work = _effect(work, accounting_dates).with_columns(
        pl.when(pl.col("posting_id") == NOTHING)
        .then(pl.lit("posts nothing by rule: its counterpart posts the money"))
        .when(pl.col("amount_cents") == 0)
        .then(pl.lit("the amount is zero"))
        .otherwise(pl.lit(""))
        .alias("silent")
    )
    buildable = (pl.col("silent") == "") & pl.all_horizontal(pl.col(name).is_null() for name in MISSING)
    ready = work.filter(buildable)
    # Of a copied void the debit is what the original credited, and the reverse.
    legs = pl.concat(
        [
            ready.select(
                *("row_id", "copied", "on", "company", "cost_center", "location", "service_line"),
                role=pl.col(f"{side}_role"),
                original=pl.col(f"o_{other}_combination"),
            )
            for side, other in (("debit", "credit"), ("credit", "debit"))
        ]
    )
    built = combine(
        legs.select("company", "cost_center", "location", "service_line", "on", "role"),
        accounts.table,
        accounts.chart,
        x10,
    )
    copied = pl.col("copied")
    legs = legs.with_columns(
        pl.when(copied).then("original").otherwise(built["combination"]).alias("combination"),
        pl.when(~copied).then(built["problem"]).alias("problem"),
    )
    usable = check(legs.select("combination", "on"), accounts.chart, x10)
    legs = legs.with_columns(pl.coalesce("problem", usable).alias("problem"))
    sides = {side: legs.slice(n * ready.height, ready.height) for n, side in enumerate(("debit", "credit"))}
    work = work.join(
        ready.select(
            "row_id",
            *(part["combination"].alias(f"{side}_combination") for side, part in sides.items()),
            *(part["problem"].alias(f"X_{side}") for side, part in sides.items()),
        ),
        on="row_id",
        how="left",
        maintain_order="left",
    )
    void = pl.col("copied")
    same = (pl.col("posting_id") == TRANSFER) & (pl.col("debit_combination") == pl.col("credit_combination"))
    other = pl.when(pl.col("X_credit").ne_missing(pl.col("X_debit"))).then("X_credit")
    reasons = pl.concat_str([*MISSING, "X_debit", other], separator="; ", ignore_nulls=True)
    return work.with_columns(
        pl.when(void).then("o_credit_role").otherwise("debit_role").alias("debit_role"),
        pl.when(void).then("o_debit_role").otherwise("credit_role").alias("credit_role"),
        pl.when(same.fill_null(value=False))
        .then(pl.lit("both payer classes share an account"))
        .otherwise("silent")
        .alias("silent"),
    ).with_columns(
        # A half of a transfer is held whatever else; other missing keys do not matter to what posts nothing.
        pl.when((pl.col("silent") == "") | pl.col("X_pair").is_not_null())
        .then(reasons)
        .otherwise(pl.lit(""))
        .alias("problem")
    )


def _reversals(
    work: pl.DataFrame,
    log: pl.DataFrame,
    chart: Chart,
    x10: pl.DataFrame,
    accounting_dates: pl.DataFrame | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`work` with `stands` (the new version makes the same entry as the logged one) and the reversals due.

    A reversal that Fusion would refuse (a value disabled since) holds the whole event.
    """
    old = _effect(log.join(work, on="row_id", how="semi"), accounting_dates)
    same = old.select(_ENTRY).with_columns(pl.lit(value=True).alias("_same"))
    work = work.join(same, on=list(_ENTRY), how="left", nulls_equal=True, maintain_order="left").with_columns(
        (pl.col("_same").fill_null(value=False) & (pl.col("silent") == "")).alias("stands")
    )
    old = old.join(work.filter("stands"), on="row_id", how="anti")
    refused = [
        check(old.select(pl.col(f"{side}_combination").alias("combination"), "on"), chart, x10)
        for side in ("debit", "credit")
    ]
    old = old.with_columns(pl.coalesce(*refused).alias("_refused"))
    work = work.join(
        old.select("row_id", "_refused").drop_nulls(), on="row_id", how="left", maintain_order="left"
    ).with_columns(
        pl.when(pl.col("stands"))
        .then(pl.lit(""))
        .when((pl.col("problem") == "") & pl.col("_refused").is_not_null())
        .then(pl.format("{} (needed to reverse the earlier version)", "_refused"))
        .otherwise("problem")
        .alias("problem")
    )
    return work, old.with_columns(-pl.col("amount_cents"))


def _voids_of_held(work: pl.DataFrame) -> pl.DataFrame:
    """A void whose charge is held waits with it: half of the pair alone would be wrong."""
    held = work.filter(pl.col("problem") != "").select(pl.col("row_id").alias("void_parent_id"))
    waits = work.join(held, on="void_parent_id", how="semi")["row_id"].to_list()
    return work.with_columns(
        pl.when((pl.col("problem") == "") & pl.col("row_id").is_in(waits))
        .then(pl.lit("void: the voided charge is held itself"))
        .otherwise("problem")
        .alias("problem")
    )


def _held(held: pl.DataFrame) -> pl.DataFrame:
    crosswalk = pl.col("problem").str.extract(r"^([A-Za-z0-9]+):")
    return held.select(
        *("row_id", "row_hash", "entity", "post_date", "transaction_type", "posting_id"),
        crosswalk.alias("crosswalk"),
        pl.col("problem").alias("reason"),
        pl.col("at_stake").alias("amount_cents"),
    ).sort("row_id")


def _notices(new: pl.DataFrame) -> pl.DataFrame:
    """Per fall-back taken: the key in words, how many rows and how much money."""
    said = (
        (pl.col("notice").is_not_null(), "X5", pl.format("default revenue used: no line for {}", "notice")),
        (
            pl.col("orphan"),
            "void",
            pl.lit(
                "the voided charge is not known (posted before the first day?); today's accounts were used"
            ),
        ),
    )
    found = [
        new.filter(where).select(
            pl.lit(crosswalk).alias("crosswalk"), text.alias("text"), pl.lit(1).alias("rows"), "amount_cents"
        )
        for where, crosswalk, text in said
    ]
    return (
        pl.concat(found)
        .group_by("crosswalk", "text")
        .agg(pl.col("rows", "amount_cents").sum())
        .select(pl.col(name).cast(kind) for name, kind in NOTICES.items())
        .sort("crosswalk", "text")
    )
