"""Rows become events: the two legs of a transfer are one, and a void knows what it voids."""

import hashlib

import polars as pl

_LEG = ("row_id", "entity", "post_date", "amount_cents", "responsible", "insurance_package_id", "row_hash")
_COPIED = ("row_hash", "debit_role", "credit_role", "debit_combination", "credit_combination")
# What decides the accounts of a charge. A void takes it from the row that it voids.
_DECIDING = (
    *("responsible", "insurance_package_id", "procedure_code", "modifiers", "place_of_service"),
    *("department_id", "service_date"),
)
_VOID = (pl.col("transaction_type") == "CHARGE") & (
    pl.col("reversal") | pl.col("void_parent_id").is_not_null()
)


def events(rows: pl.DataFrame) -> pl.DataFrame:
    """One line per event of `rows` (TRANSACTIONS, each row id once).

    A TRANSFERIN takes its TRANSFEROUT in as `out_*` columns; `X_pair` says why two legs do not fit, and then nothing
    may be posted for them. The hash of a transfer covers both legs, that of a void the voided row too, so that a
    change of either is seen.
    """
    is_in, is_out = (pl.col("transaction_type") == f"TRANSFER{end}" for end in ("IN", "OUT"))
    outs = rows.filter(is_out)
    legs = outs.select(pl.col(name).alias(f"out_{name}") for name in _LEG)
    fits = (
        (pl.col("amount_cents") == -pl.col("out_amount_cents"))
        & (pl.col("post_date") == pl.col("out_post_date"))
        & (pl.col("entity") == pl.col("out_entity"))
    )
    ins = (
        rows.filter(is_in)
        .join(legs, left_on="counterpart_id", right_on="out_row_id", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("out_row_hash").is_null())
            .then(pl.lit("pair: the TRANSFEROUT of this TRANSFERIN is not there"))
            .when(pl.col("counterpart_id").is_duplicated())
            .then(pl.lit("pair: several TRANSFERIN rows name the same TRANSFEROUT"))
            .when(~fits)
            .then(pl.lit("pair: TRANSFERIN and TRANSFEROUT differ in amount, post date or entity"))
            .alias("X_pair")
        )
    )
    alone = outs.join(ins, left_on="row_id", right_on="counterpart_id", how="anti").with_columns(
        pl.lit("pair: the TRANSFERIN of this TRANSFEROUT is not there").alias("X_pair")
    )
    originals = rows.select(pl.col("row_id").alias("void_parent_id"), pl.col("row_hash").alias("_other"))
    plain = rows.filter(~is_in & ~is_out & ~_VOID)
    voids = rows.filter(_VOID).join(originals, on="void_parent_id", how="left", maintain_order="left")
    return pl.concat(
        [plain, _hashed(voids, "_other").drop("_other"), _hashed(ins, "out_row_hash"), alone], how="diagonal"
    )


def with_originals(found: pl.DataFrame, rows: pl.DataFrame, log: pl.DataFrame) -> pl.DataFrame:
    """For a void, what is known of the row that it voids; all other events keep what they have.

    The columns that decide the accounts come from the voided row, and `map_date` is its post date. `copied` says that
    its posting stands in `log` as the row is now: its roles and combinations come as `o_*`. `orphan` marks a void whose
    original is neither in the rows nor in the log (it was posted before the tenant's first day).
    """
    original = rows.select(
        pl.col("row_id").alias("void_parent_id"),
        *(pl.col(name).alias(f"p_{name}") for name in ("row_hash", "post_date", *_DECIDING)),
    )
    posted = log.select(
        pl.col("row_id").alias("void_parent_id"), *(pl.col(name).alias(f"o_{name}") for name in _COPIED)
    )
    known, logged = pl.col("p_row_hash").is_not_null(), pl.col("o_row_hash").is_not_null()
    current = ~known | (pl.col("p_row_hash") == pl.col("o_row_hash"))
    return (
        found.join(original, on="void_parent_id", how="left", maintain_order="left")
        .join(posted, on="void_parent_id", how="left", maintain_order="left")
        .with_columns(
            (_VOID & logged & current).alias("copied"),
            (_VOID & ~known & ~logged).alias("orphan"),
            pl.when(_VOID & known).then("p_post_date").otherwise("post_date").alias("map_date"),
            *(pl.when(_VOID & known).then(f"p_{name}").otherwise(name).alias(name) for name in _DECIDING),
        )
    )


def _hashed(pairs: pl.DataFrame, other: str) -> pl.DataFrame:
    """`pairs` with a `row_hash` over the own one and that of the row it belongs to."""
    both = pairs.select("row_hash", pl.col(other).fill_null("")).iter_rows()
    digests = [hashlib.sha256(f"{mine}{theirs}".encode()).hexdigest() for mine, theirs in both]
    return pairs.with_columns(pl.Series("row_hash", digests, dtype=pl.String))
