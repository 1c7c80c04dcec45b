"""Canonical transactions: one row per athenaOne event that concerns money, whatever table it came from.

Signs are turned once, here: `amount_cents` is positive for charges, for payments and adjustments that lower A/R, for
movements that raise unapplied money and for unpostable receipts. The raw amount stays beside it. The business date
is the post date (athenaOne's own general-ledger date); athenaOne writes instants as US Eastern text, kept here in UTC.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from athena_fusion.accounting.crosswalk import resolve
from athena_fusion.revenue import dataview_rows as dv

TRANSACTIONS: dict[str, pl.DataType] = {
    "row_id": pl.String(),  # "T-", "U-" or "B-" and the id in its table
    "source_table": pl.String(),
    "entity": pl.String(),
    "transaction_type": pl.String(),
    "subtype": pl.String(),
    "responsible": pl.String(),
    "reason": pl.String(),
    "method": pl.String(),
    "cas_group": pl.String(),
    "carc": pl.String(),
    "rarc": pl.String(),
    "custom_code": pl.String(),
    "procedure_code": pl.String(),
    "modifiers": pl.String(),
    "place_of_service": pl.String(),
    "department_id": pl.String(),
    "insurance_package_id": pl.String(),
    "deposit_location": pl.String(),
    "deposit_date": pl.Date(),
    "deposit_group": pl.String(),  # medical group that banked the money
    "medical_group_id": pl.String(),  # medical group of the event; differs from deposit_group only between entities
    "claim_id": pl.String(),
    "charge_id": pl.String(),
    "parent_charge_id": pl.String(),
    "void_parent_id": pl.String(),  # row_id of the voided row
    "counterpart_id": pl.String(),  # row_id: the TRANSFEROUT of a TRANSFERIN; the TRANSACTION of other movements
    "amount_raw": pl.String(),
    "raw_cents": pl.Int64(),
    "amount_cents": pl.Int64(),
    "service_date": pl.Date(),
    "post_date": pl.Date(),
    "created_at": pl.Datetime("us", "UTC"),
    "updated_at": pl.Datetime("us", "UTC"),
    "voided_date": pl.Date(),
    "reversal": pl.Boolean(),
    "practice_id": pl.String(),
    "row_hash": pl.String(),
}

# What decides the entry of a row. Not the instants, the raw text or the voided date: a void is a row of its own.
FINANCIAL = (
    *("row_id", "practice_id", "entity", "transaction_type", "subtype", "responsible", "reason", "method"),
    *("cas_group", "carc", "rarc", "custom_code", "procedure_code", "modifiers", "place_of_service"),
    *("department_id", "insurance_package_id", "deposit_location", "deposit_date", "deposit_group"),
    *("parent_charge_id", "void_parent_id", "counterpart_id", "amount_cents", "service_date", "post_date"),
    "reversal",
)

QUARANTINE: dict[str, pl.DataType] = {
    "file": pl.String(),
    "row": pl.Int64(),  # 1-based data line
    "column": pl.String(),
    "reason": pl.String(),  # never quotes a cell: a shifted column may hold a name
    "row_id": pl.String(),
    "entity": pl.String(),  # null: cannot be attributed to any entity
    "amount_cents": pl.Int64(),  # in athenaOne's sign; null: not readable
    "transaction_type": pl.String(),  # as delivered
    "post_date": pl.Date(),  # null: not readable
}

_NEGATED = ("PAYMENT", "ADJUSTMENT")


@dataclass(frozen=True)
class Canonical:
    """`rows` (TRANSACTIONS) and `quarantined` (QUARANTINE, one line per problem) of one delivery.

    `read` counts the data lines per table, `elsewhere` those of other entities, `superseded` those that a later
    delivery replaced: every line read is a row, is quarantined or is counted there.
    """

    rows: pl.DataFrame
    quarantined: pl.DataFrame
    read: Mapping[str, int]
    elsewhere: int
    superseded: int = 0

    @property
    def lines(self) -> int:
        """Data lines that became a row or are quarantined."""
        return self.rows.height + self.quarantined.select("file", "row").unique().height


def canonicalise(
    tables: Mapping[str, pl.DataFrame],
    billing_entities: pl.DataFrame,
    *,
    practice_id: str,
    entity: str | None = None,
    files: Mapping[str, str] | None = None,
) -> Canonical:
    """Canonical rows of one delivery of Data View text frames (all of `dataview_rows.TABLES`).

    `billing_entities` is X1 with `line`; `entity` selects one billing entity, `None` keeps all. `files` names the
    file of each table in quarantine reasons. UNAPPLIED and UNPOSTABLE carry no practice: they are `practice_id`'s.
    Raises `dataview_rows.TableShape` where a table or column is absent.
    """
    dv.require(tables)
    names = {name: f"{name}.csv" for name in dv.TABLES} | dict(files or {})
    wide = dv.typed(dv.joined(tables, names, practice_id))
    wide = wide.with_columns(_entity(wide, billing_entities)["entity"])
    every = wide.height
    if entity is not None:
        wide = wide.filter(pl.col("entity").is_null() | (pl.col("entity") == entity))
    quarantined = dv.problems(wide, practice_id).select(
        pl.col(name).cast(kind) for name, kind in QUARANTINE.items()
    )
    # Money that goes back from a claim to unapplied is told from money applied by its sign alone (P07, P06).
    back = (
        (pl.col("transaction_type") == "PAYMENT")
        & (pl.col("method").str.to_uppercase() == "UNAPPLIED")
        & (pl.col("raw_cents") > 0)
        & ~pl.col("reversal")
    )
    wide = wide.with_columns(pl.coalesce("subtype", pl.when(back).then(pl.lit("BACK"))).alias("subtype"))
    good = wide.join(quarantined.select("file", "row").unique(), on=["file", "row"], how="anti")
    sign = pl.when(pl.col("transaction_type").is_in(_NEGATED)).then(-1).otherwise(1)
    rows = with_hash(good.with_columns((pl.col("raw_cents") * sign).alias("amount_cents")))
    return Canonical(
        rows=rows.select(pl.col(name).cast(kind) for name, kind in TRANSACTIONS.items()).sort("row_id"),
        quarantined=quarantined.sort("file", "row", "column"),
        read={name: tables[name].height for name in dv.MONEY_TABLES},
        elsewhere=every - wide.height,
    )


def latest(deliveries: Sequence[Canonical]) -> Canonical:
    """Several deliveries, oldest first, as one: the latest version per row id wins.

    A version that a later one supersedes is dropped, and also when the later one is quarantined: what athenaOne
    has corrected is never posted in its old form.
    """
    number = pl.DataFrame({"_n": range(len(deliveries))}, schema={"_n": pl.Int64})["_n"]
    rows = pl.concat(
        [d.rows.with_columns(pl.lit(n).alias("_n")) for n, d in zip(number, deliveries, strict=True)]
    )
    bad = pl.concat(
        [d.quarantined.with_columns(pl.lit(n).alias("_n")) for n, d in zip(number, deliveries, strict=True)]
    )
    last = (
        pl.concat([rows.select("row_id", "_n"), bad.select("row_id", "_n").drop_nulls("row_id")])
        .group_by("row_id")
        .agg(pl.col("_n").max())
    )
    unnamed = bad.filter(pl.col("row_id").is_null())
    merged = Canonical(
        rows=rows.join(last, on=["row_id", "_n"], how="semi").drop("_n").sort("row_id"),
        quarantined=pl.concat([bad.join(last, on=["row_id", "_n"], how="semi"), unnamed])
        .drop("_n")
        .sort("file", "row", "column"),
        read={name: sum(d.read[name] for d in deliveries) for name in dv.MONEY_TABLES},
        elsewhere=sum(d.elsewhere for d in deliveries),
    )
    return replace(merged, superseded=sum(d.lines for d in deliveries) - merged.lines)


def latest_versions(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The current version of every row over extracts of several nights, oldest first (TRANSACTIONS)."""
    empty = pl.DataFrame(schema=TRANSACTIONS)
    return pl.concat([empty, *frames]).unique("row_id", keep="last", maintain_order=True).sort("row_id")


def with_hash(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `row_hash`: SHA-256 hex over the FINANCIAL columns as text, null as blank."""
    text = rows.select(
        pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in FINANCIAL], separator="\x1f")
    ).to_series()
    digests = [hashlib.sha256(line.encode()).hexdigest() for line in text]
    return rows.with_columns(pl.Series("row_hash", digests, dtype=pl.String))


def _entity(wide: pl.DataFrame, billing_entities: pl.DataFrame) -> pl.DataFrame:
    """X1 on the post date; a row whose post date is unreadable goes to the entity in force at the end of time."""
    end_of_time = pl.date(9999, 12, 31)
    return resolve(
        wide.select(
            "practice_id", "medical_group_id", pl.col("post_date").fill_null(end_of_time).alias("on")
        ),
        billing_entities,
        {"practice_id": "practice_id", "medical_group_id": "medical_group_id"},
        "on",
        crosswalk="X1",
        results=["entity"],
    )
