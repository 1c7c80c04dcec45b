"""Payment batches and bank deposits: what the cash rows of a day sum to, exactly.

A payment batch holds the cash rows of one entity, day and method (fifty claims each); a deposit holds the
payment batches of one entity, day and deposit location. Rows that move no cash have no batch.
"""

from datetime import date

import polars as pl

from athena_fusion.sandbox import schema

DEPOSIT_LOCATIONS = {
    "EFT": "BANK-EFT",
    "LOCKBOX": "LOCKBOX",
    "CARD": "CARD-PROCESSOR",
    "CASH": "FRONT-DESK",
    "CHECK": "FRONT-DESK",
    "CLEARPAY": "LENDER",
    "AGENCY": "AGENCY",
}
CASH_METHODS = tuple(DEPOSIT_LOCATIONS)
_CLAIMS_PER_BATCH = 50


def batch_id(method: pl.Expr) -> pl.Expr:
    """Payment batch id of a cash row, from `claimid` (day, ordinal, sequence) and the method."""
    code = method.replace_strict(
        list(CASH_METHODS), list(range(1, len(CASH_METHODS) + 1)), default=None, return_dtype=pl.Int64
    )
    day_and_entity = pl.col("claimid") // 1_000_000
    batch = pl.col("claimid") % 1_000_000 // _CLAIMS_PER_BATCH
    return (day_and_entity * 10 + code) * 100_000 + batch


def make_batches(
    day: date, txn: pl.DataFrame, unapplied: pl.DataFrame, unpostable: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Payment and deposit batches of the rows entered on `day`.

    A transaction's money is the negated amount; unapplied and unpostable rows carry money as it comes in.
    """
    cash = pl.concat(
        [
            txn.select(
                "paymentbatchid", "entity", "created_utc", method="transactionmethod", money=-pl.col("amount"),
                at="transactioncreateddatetime",
            ),
            *(
                frame.select(
                    "paymentbatchid", "entity", "created_utc", "method", money="amount", at="createddatetime"
                )
                for frame in (unapplied, unpostable)
            ),
        ]
    ).filter(pl.col("paymentbatchid").is_not_null())  # fmt: skip
    location = list(DEPOSIT_LOCATIONS.values())
    number = {name: i for i, name in enumerate(dict.fromkeys(location), start=1)}
    payment = (
        cash.group_by("paymentbatchid")
        .agg(
            medicalgroupid=pl.col("entity").first(),
            paymentmethod=pl.col("method").first(),
            amount=pl.col("money").sum(),
            createddatetime=pl.col("at").min(),
            lastupdated=pl.col("at").max(),
            created_utc=pl.col("created_utc").max(),
        )
        .with_columns(depositlocation=pl.col("paymentmethod").replace_strict(list(CASH_METHODS), location))
        .with_columns(
            depositbatchid=pl.col("paymentbatchid") // 1_000_000 * 10
            + pl.col("depositlocation").replace_strict(list(number), list(number.values()))
        )
        .sort("paymentbatchid")
    )
    deposit = (
        payment.group_by("depositbatchid")
        .agg(
            pl.col("medicalgroupid").first(),
            pl.col("depositlocation").first(),
            pl.col("amount").sum(),
            pl.col("lastupdated").max(),
            pl.col("created_utc").max(),
        )
        .with_columns(depositdate=pl.lit(day.isoformat()))
        .sort("depositbatchid")
    )
    return schema.conform(payment, schema.PAYMENT_BATCH), schema.conform(deposit, schema.DEPOSIT_BATCH)
