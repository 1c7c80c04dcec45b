"""Crosswalks X1 to X8 over events: posting id, account roles, Company and dimensions, or what is missing.

Every `X_<crosswalk>` column is null or says in words why the event cannot be posted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from athena_fusion.accounting.combinations import Chart
from athena_fusion.accounting.crosswalk import resolve
from athena_fusion.accounting.matrix import NOTHING, TRANSFER

_X4_KEYS = (
    *("transaction_type", "subtype", "responsible", "reason", "method", "cas_group", "carc", "rarc"),
    *("custom_code", "reversal"),
)
_SELF_PAY = "self_pay"

# In the order in which they are asked; the first that is missing names the hold.
MISSING = ("X_pair", "X_X4", "X_X1", "X_X3", "X_X8", "X_X2")


@dataclass(frozen=True)
class Tables:
    """The tenant's crosswalks as frames of their CSV columns plus `line`, and the hash of their version."""

    x1: pl.DataFrame
    x2: pl.DataFrame
    x3: pl.DataFrame
    x4: pl.DataFrame
    x5: pl.DataFrame
    x8: pl.DataFrame
    x10: pl.DataFrame
    sha256: str


@dataclass(frozen=True)
class Accounts:
    """Accounts (role, account, name, normal, level), the chart, and the X5 fall-back."""

    table: pl.DataFrame
    chart: Chart
    default_revenue_role: str
    default_service_line: str


def mapped(events: pl.DataFrame, tables: Tables, accounts: Accounts, matrix: pl.DataFrame) -> pl.DataFrame:
    """`events` with posting_id, category, debit_role, credit_role, company, cost_center, location, service_line.

    `amount_cents` becomes the amount of the entry, never negative: a negative one has swapped the two roles.
    `notice` names the X5 key that fell back on the default. Copied voids ask only X4 and X1.
    """
    work = events.with_columns(
        pl.coalesce("service_date", "map_date").alias("service_on"),
        pl.coalesce("deposit_date", "post_date").alias("deposit_on"),
    )
    work = _posting_ids(work, tables.x4, matrix)
    work = _answered(work, tables.x1, "X1", {"practice_id": None, "entity": None}, "post_date", ["company"])
    work = _classes(work, tables.x3)
    work = _cash(work, tables.x8)
    work = _revenue(work, tables.x5, accounts)
    work = work.with_columns(_role("debit").alias("debit_role"), _role("credit").alias("credit_role"))
    detail = accounts.table.filter(pl.col("level") == "detail")["role"].to_list()
    work = _answered(
        work,
        tables.x2,
        "X2",
        {"department_id": None},
        "map_date",
        ["cost_center", "location"],
        pl.col("debit_role").is_in(detail) | pl.col("credit_role").is_in(detail),
    )
    cents = pl.col("amount_cents") * pl.col("sign")
    first, second = pl.col("debit_role"), pl.col("credit_role")
    return work.with_columns(
        pl.col("amount_cents").abs().alias("at_stake"),
        cents.abs().alias("amount_cents"),
        pl.when(cents < 0).then(second).otherwise(first).alias("debit_role"),
        pl.when(cents < 0).then(first).otherwise(second).alias("credit_role"),
    )


def _answered(
    work: pl.DataFrame,
    table: pl.DataFrame,
    crosswalk: str,
    keys: Mapping[str, str | None],
    on: str,
    results: Sequence[str],
    needed: pl.Expr | None = None,
) -> pl.DataFrame:
    """`work` with the results of a crosswalk; `X_<crosswalk>` where it is needed and has no answer.

    `keys`: key of the table -> column of `work`, `None` for the same name. An event without a posting id needs
    nothing; a copied void needs nothing but its entity.
    """
    columns = {key: source or key for key, source in keys.items()}
    answers = resolve(work, table, columns, on, crosswalk=crosswalk, results=results)
    asked = pl.col("X_pair").is_null() & pl.col("X_X4").is_null()
    if needed is not None:
        asked &= needed.fill_null(value=False) & ~pl.col("copied")
    said = pl.format(f"{crosswalk}: no line for {{}}", pl.lit(answers["missing"]))
    return work.with_columns(
        *(answers[name] for name in results), pl.when(asked).then(said).alias(f"X_{crosswalk}")
    )


def _uses(*templates: str) -> pl.Expr:
    return pl.col("debit").is_in(templates) | pl.col("credit").is_in(templates)


def _posting_ids(work: pl.DataFrame, x4: pl.DataFrame, matrix: pl.DataFrame) -> pl.DataFrame:
    yes_no = pl.when("reversal").then(pl.lit("Y")).otherwise(pl.lit("N")).alias("reversal")
    asked = work.select(*_X4_KEYS, "post_date").with_columns(yes_no)
    answers = resolve(
        asked, x4, {key: key for key in _X4_KEYS}, "post_date", crosswalk="X4", results=["posting_id"]
    )
    work = work.with_columns(answers["posting_id"]).join(
        matrix.select("posting_id", "category", "debit", "credit", "sign"),
        on="posting_id",
        how="left",
        maintain_order="left",
    )
    posting, kind = pl.col("posting_id"), pl.col("transaction_type")
    transfer = kind.is_in(["TRANSFERIN", "TRANSFEROUT"])
    return work.with_columns(
        pl.when(posting.is_null())
        .then(pl.format("X4: no line for {}", pl.lit(answers["missing"])))
        .when(pl.col("sign").is_null())
        .then(pl.format("X4: posting id {} is not in the posting matrix", posting))
        .when((posting != NOTHING) & ((posting == TRANSFER) != transfer))
        .then(pl.format("X4: posting id {} does not fit a {} row", posting, kind))
        .alias("X_X4")
    )


def _classes(work: pl.DataFrame, x3: pl.DataFrame) -> pl.DataFrame:
    """Payer class of the row (`payer`) and of the leg that a transfer comes from (`payer_from`).

    Effective on the service date (the contract's date). A balance of the patient is self-pay by definition.
    """
    for name, prefix, needed in (
        ("payer", "", _uses("AR", "AR_TO", "CT")),
        ("payer_from", "out_", _uses("AR_FROM")),
    ):
        patient = (pl.col(f"{prefix}responsible").str.to_uppercase() == "PATIENT").fill_null(value=False)
        key = {"insurance_package_id": f"{prefix}insurance_package_id"}
        work = _answered(work, x3, "X3", key, "service_on", ["payer_class"], needed & ~patient).rename(
            {"X_X3": f"_missing_{name}"}
        )
        work = work.with_columns(
            pl.when(patient).then(pl.lit(_SELF_PAY)).otherwise("payer_class").alias(name)
        )
    return work.with_columns(pl.coalesce("_missing_payer", "_missing_payer_from").alias("X_X3")).drop(
        "payer_class", "_missing_payer", "_missing_payer_from"
    )


def _cash(work: pl.DataFrame, x8: pl.DataFrame) -> pl.DataFrame:
    """Cash role, effective on the deposit date. Money banked by another entity needs due-to/due-from lines."""
    needed = _uses("CASH")
    keys = {"deposit_location": None, "method": None}
    work = _answered(work, x8, "X8", keys, "deposit_on", ["account_role"], needed)
    elsewhere = needed & (pl.col("deposit_group") != pl.col("medical_group_id"))
    return work.rename({"account_role": "cash_role"}).with_columns(
        pl.when(elsewhere)
        .then(pl.lit("X8: another medical group banked this money; due-to and due-from lines are not set up"))
        .otherwise("X_X8")
        .alias("X_X8")
    )


def _revenue(work: pl.DataFrame, x5: pl.DataFrame, accounts: Accounts) -> pl.DataFrame:
    """Revenue role and service line, effective on the service date; without a line the default, with `notice`."""
    answers = resolve(
        work,
        x5,
        {"procedure": "procedure_code", "place_of_service": "place_of_service", "modifier": "modifiers"},
        "service_on",
        crosswalk="X5",
        results=["account_role", "service_line"],
        lists=["modifier"],
    )
    return work.with_columns(
        answers["account_role"].fill_null(accounts.default_revenue_role).alias("revenue_role"),
        answers["service_line"].fill_null(accounts.default_service_line),
        # Only revenue itself is worth a notice; an adjustment merely inherits the service line.
        pl.when(_uses("REV") & ~pl.col("copied")).then(pl.lit(answers["missing"])).alias("notice"),
    )


def _role(side: str) -> pl.Expr:
    """The template of one side filled in; null where the class or the cash role is unknown."""
    template, payer = pl.col(side), pl.col("payer")
    contractual = pl.when(payer == _SELF_PAY).then(pl.lit("other")).otherwise(payer)
    return (
        pl.when(template.is_in(["AR", "AR_TO"]))
        .then(pl.lit("ar_") + payer)
        .when(template == "AR_FROM")
        .then(pl.lit("ar_") + pl.col("payer_from"))
        .when(template == "CT")
        .then(pl.lit("contractual_") + contractual)
        .when(template == "REV")
        .then("revenue_role")
        .when(template == "CASH")
        .then("cash_role")
        .otherwise(template)
    )
