"""Data View text frames as one wide frame: joins, exact parsing, and what is wrong with each line.

Shape of the tables: the columns of TRANSACTION are public, the tables of unapplied and unpostable money and of the
batches are ASSUMED. Reasons never quote a cell: a shifted column may hold a patient's name.
"""

from collections.abc import Mapping

import polars as pl

EASTERN = "America/New_York"

MONEY_TABLES = ("TRANSACTION", "UNAPPLIED", "UNPOSTABLE")
TYPES = ("CHARGE", "PAYMENT", "ADJUSTMENT", "TRANSFERIN", "TRANSFEROUT")

# The columns that are read, per table. A delivery has more; those without meaning for money are not looked at.
TABLES: dict[str, tuple[str, ...]] = {
    "TRANSACTION": (
        *("CONTEXTID", "TRANSACTIONID", "CLAIMID", "CHARGEID", "PARENTCHARGEID", "CHARGEVOIDPARENTID"),
        *("TRANSACTIONTYPE", "TRANSACTIONTRANSFERTYPE", "TRANSACTIONTRANSFERINTENT", "TRANSACTIONREASON"),
        *(
            "TRANSACTIONMETHOD",
            "AMOUNT",
            "PROCEDURECODE",
            "OTHERMODIFIER",
            "CHARGEFROMDATE",
            "PLACEOFSERVICE",
        ),
        *("POSTDATE", "TRANSACTIONCREATEDDATETIME", "VOIDEDDATE", "REVERSALFLAG", "PAYMENTBATCHID"),
        *("TRANSACTIONPATIENTINSID", "CUSTOMTRANSACTIONCODE", "CASGROUPCODE", "CARC", "RARC", "LASTUPDATED"),
    ),
    "UNAPPLIED": (
        *("UNAPPLIEDID", "DEPARTMENTID", "UNAPPLIEDTYPE", "METHOD", "AMOUNT", "POSTDATE", "PAYMENTBATCHID"),
        *("TRANSACTIONID", "CREATEDDATETIME", "LASTUPDATED"),
    ),
    "UNPOSTABLE": (
        *("UNPOSTABLEID", "PAYMENTBATCHID", "INSURANCEPACKAGEID", "DEPARTMENTID", "UNPOSTABLETYPE", "METHOD"),
        *("AMOUNT", "POSTDATE", "TRANSACTIONID", "CREATEDDATETIME", "LASTUPDATED"),
    ),
    "CLAIM": ("CLAIMID", "CLAIMSERVICEDATE", "SERVICEDEPARTMENTID", "CLAIMPRIMARYPATIENTINSID"),
    "DEPARTMENT": ("DEPARTMENTID", "PROVIDERGROUPID"),
    "PROVIDERGROUP": ("PROVIDERGROUPID", "MEDICALGROUPID"),
    "PATIENTINSURANCE": ("PATIENTINSURANCEID", "INSURANCEPACKAGEID"),
    "PAYMENTBATCH": ("PAYMENTBATCHID", "DEPOSITBATCHID", "MEDICALGROUPID"),
    "DEPOSITBATCH": ("DEPOSITBATCHID", "MEDICALGROUPID", "DEPOSITDATE", "DEPOSITLOCATION"),
}

# Canonical name of the column, where it comes from per money table. Absent = null.
_COLUMNS: dict[str, dict[str, str]] = {
    "TRANSACTION": {
        "id": "TRANSACTIONID",
        "practice_id": "CONTEXTID",
        "transaction_type": "TRANSACTIONTYPE",
        "subtype": "TRANSACTIONTRANSFERINTENT",
        "responsible": "TRANSACTIONTRANSFERTYPE",
        "reason": "TRANSACTIONREASON",
        "method": "TRANSACTIONMETHOD",
        "cas_group": "CASGROUPCODE",
        "carc": "CARC",
        "rarc": "RARC",
        "custom_code": "CUSTOMTRANSACTIONCODE",
        "procedure_code": "PROCEDURECODE",
        "modifiers": "OTHERMODIFIER",
        "place_of_service": "PLACEOFSERVICE",
        "patient_insurance": "TRANSACTIONPATIENTINSID",
        "payment_batch": "PAYMENTBATCHID",
        "claim_id": "CLAIMID",
        "charge_id": "CHARGEID",
        "parent_charge_id": "PARENTCHARGEID",
        "void_parent": "CHARGEVOIDPARENTID",
        "amount_raw": "AMOUNT",
        "service_text": "CHARGEFROMDATE",
        "post_text": "POSTDATE",
        "created_text": "TRANSACTIONCREATEDDATETIME",
        "updated_text": "LASTUPDATED",
        "voided_text": "VOIDEDDATE",
        "reversal_text": "REVERSALFLAG",
    },
    "UNAPPLIED": {
        "id": "UNAPPLIEDID",
        "subtype": "UNAPPLIEDTYPE",
        "department": "DEPARTMENTID",
        "method": "METHOD",
        "payment_batch": "PAYMENTBATCHID",
        "counterpart": "TRANSACTIONID",
        "amount_raw": "AMOUNT",
        "post_text": "POSTDATE",
        "created_text": "CREATEDDATETIME",
        "updated_text": "LASTUPDATED",
    },
    "UNPOSTABLE": {
        "id": "UNPOSTABLEID",
        "subtype": "UNPOSTABLETYPE",
        "department": "DEPARTMENTID",
        "package": "INSURANCEPACKAGEID",
        "method": "METHOD",
        "payment_batch": "PAYMENTBATCHID",
        "counterpart": "TRANSACTIONID",
        "amount_raw": "AMOUNT",
        "post_text": "POSTDATE",
        "created_text": "CREATEDDATETIME",
        "updated_text": "LASTUPDATED",
    },
}
_PREFIX = {"TRANSACTION": "T-", "UNAPPLIED": "U-", "UNPOSTABLE": "B-"}
_WIDE = sorted({name for columns in _COLUMNS.values() for name in columns})

_NUMBER = r"^[+-]?(?:\d+(?:\.\d+)?|\.\d+)$"
_DATE = r"^\d{4}-\d{2}-\d{2}(?: 00:00:00)?$"
_INSTANT = r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(?:\.\d{1,6})?$"


class TableShape(ValueError):
    """A table or a column of the delivery is absent: nothing of the delivery can be read safely."""


def require(tables: Mapping[str, pl.DataFrame]) -> None:
    """Raise `TableShape` unless every table and column that is read is there."""
    for name, columns in TABLES.items():
        if name not in tables:
            raise TableShape(
                f"the delivery has no table {name}; nothing was read. Ask for a complete delivery."
            )
        missing = [column for column in columns if column not in tables[name].columns]
        if missing:
            raise TableShape(
                f"table {name} has no column {', '.join(missing)}; nothing was read. Compare the export's column list."
            )


def joined(tables: Mapping[str, pl.DataFrame], files: Mapping[str, str], practice_id: str) -> pl.DataFrame:
    """Every data line of the money tables with canonical names, still text, and all look-ups joined."""
    money = pl.concat([_money(tables[name], name, files[name]) for name in MONEY_TABLES])
    claims = _lookup(
        tables["CLAIM"],
        "CLAIMID",
        {
            "claim_service_text": "CLAIMSERVICEDATE",
            "claim_department": "SERVICEDEPARTMENTID",
            "claim_insurance": "CLAIMPRIMARYPATIENTINSID",
        },
    )
    departments = _lookup(tables["DEPARTMENT"], "DEPARTMENTID", {"provider_group": "PROVIDERGROUPID"})
    groups = _lookup(tables["PROVIDERGROUP"], "PROVIDERGROUPID", {"medical_group_id": "MEDICALGROUPID"})
    insurances = _lookup(
        tables["PATIENTINSURANCE"], "PATIENTINSURANCEID", {"held_package": "INSURANCEPACKAGEID"}
    )
    batches = _lookup(
        tables["PAYMENTBATCH"],
        "PAYMENTBATCHID",
        {"deposit_batch": "DEPOSITBATCHID", "batch_group": "MEDICALGROUPID"},
        grows=True,
    )
    deposits = _lookup(
        tables["DEPOSITBATCH"],
        "DEPOSITBATCHID",
        {
            "deposit_text": "DEPOSITDATE",
            "deposit_location": "DEPOSITLOCATION",
            "bank_group": "MEDICALGROUPID",
        },
        grows=True,
    )
    transaction = pl.col("source_table") == "TRANSACTION"
    primary = pl.col("responsible").str.to_uppercase().fill_null("PRIMARY") == "PRIMARY"
    wide = money.with_columns(
        pl.when(transaction).then("practice_id").otherwise(pl.lit(practice_id)).alias("practice_id"),
        pl.when(transaction).then("transaction_type").otherwise("source_table").alias("transaction_type"),
    )
    wide = _left(wide, claims, "claim_id", "CLAIMID", "claim_known").with_columns(
        pl.when(transaction).then("claim_department").otherwise("department").alias("department_id"),
        # Without an own insurance the claim's primary one answers, where no other payer is named responsible.
        pl.coalesce("patient_insurance", pl.when(primary).then("claim_insurance")).alias("patient_insurance"),
    )
    wide = _left(wide, departments, "department_id", "DEPARTMENTID", "department_known")
    wide = _left(wide, groups, "provider_group", "PROVIDERGROUPID", "group_known")
    wide = _left(wide, insurances, "patient_insurance", "PATIENTINSURANCEID", "insurance_known")
    wide = _left(wide, batches, "payment_batch", "PAYMENTBATCHID", "batch_known")
    wide = _left(wide, deposits, "deposit_batch", "DEPOSITBATCHID", "deposit_known")
    transfer_in = pl.col("transaction_type") == "TRANSFERIN"
    return wide.with_columns(
        pl.coalesce("package", "held_package").alias("insurance_package_id"),
        pl.coalesce("bank_group", "batch_group").alias("deposit_group"),
        pl.coalesce("service_text", "claim_service_text").alias("service_text"),
        pl.when(pl.col("id").is_not_null())
        .then(pl.col("source_table").replace_strict(_PREFIX, return_dtype=pl.String) + pl.col("id"))
        .alias("row_id"),
        ("T-" + pl.col("void_parent")).alias("void_parent_id"),
        ("T-" + pl.when(transfer_in).then("charge_id").otherwise("counterpart")).alias("counterpart_id"),
    )


def typed(wide: pl.DataFrame) -> pl.DataFrame:
    """Amounts as integer cents, dates, and instants in UTC; null where the text cannot be read exactly."""
    amount = pl.col("amount_raw")
    number = amount.str.contains(_NUMBER)
    fraction = amount.str.extract(r"\.(\d+)$").fill_null("").str.strip_chars_end("0")
    whole = amount.str.extract(r"^[+-]?(\d*)").replace("", "0")
    cents = whole.cast(pl.Int64, strict=False) * 100 + fraction.str.pad_end(2, "0").cast(
        pl.Int64, strict=False
    )
    exact = number & (fraction.str.len_chars() <= 2) & (whole.str.len_chars() <= 15)
    signed = pl.when(amount.str.starts_with("-")).then(-cents).otherwise(cents)
    return wide.with_columns(
        number.fill_null(value=False).alias("is_number"),
        pl.when(exact).then(signed).alias("raw_cents"),
        _date("post_text").alias("post_date"),
        _date("service_text").alias("service_date"),
        _date("deposit_text").alias("deposit_date"),
        pl.col("voided_text").str.head(10).str.to_date("%Y-%m-%d", strict=False).alias("voided_date"),
        _instant("created_text").alias("created_at"),
        _instant("updated_text").alias("updated_at"),
        pl.col("reversal_text").str.to_uppercase().eq_missing("Y").alias("reversal"),
    )


def problems(wide: pl.DataFrame, practice_id: str) -> pl.DataFrame:
    """One line (file, row, column, reason, row_id, entity, amount_cents) per thing wrong; the row is not used."""
    blank = {name: pl.col(name).is_null() for name in wide.columns}
    transaction = pl.col("source_table") == "TRANSACTION"
    known = {name: pl.col(name).fill_null(value=False) for name in wide.columns if name.endswith("_known")}
    located = (~transaction | known["claim_known"]) & ~blank["department_id"]
    grouped = located & known["department_known"] & known["group_known"] & ~blank["medical_group_id"]
    own = pl.col("practice_id") == practice_id
    created = (
        pl.when(transaction).then(pl.lit("TRANSACTIONCREATEDDATETIME")).otherwise(pl.lit("CREATEDDATETIME"))
    )
    department = pl.when(transaction).then(pl.lit("CLAIMID")).otherwise(pl.lit("DEPARTMENTID"))
    rules: list[tuple[pl.Expr, pl.Expr | str, str]] = [
        (blank["id"], _id_column(), "the row has no id"),
        (~own.fill_null(value=False), "CONTEXTID", "the row belongs to another practice, or names none"),
        (
            transaction & ~pl.col("transaction_type").is_in(TYPES).fill_null(value=False),
            "TRANSACTIONTYPE",
            f"transaction type is none of {', '.join(TYPES)}",
        ),
        (blank["amount_raw"], "AMOUNT", "amount is missing"),
        (~blank["amount_raw"] & ~pl.col("is_number"), "AMOUNT", "amount is not a plain decimal number"),
        (
            pl.col("is_number") & blank["raw_cents"],
            "AMOUNT",
            "amount has more than two decimals or too many digits; amounts are never rounded",
        ),
        (blank["post_text"], "POSTDATE", "post date is missing"),
        (~blank["post_text"] & blank["post_date"], "POSTDATE", "post date is not a date (YYYY-MM-DD)"),
        (
            ~blank["service_text"] & blank["service_date"],
            "CHARGEFROMDATE",
            "service date is not a date (YYYY-MM-DD)",
        ),
        (
            ~blank["deposit_text"] & blank["deposit_date"],
            "PAYMENTBATCHID",
            "the deposit date of the row's deposit batch is not a date (YYYY-MM-DD)",
        ),
        (
            ~blank["voided_text"] & blank["voided_date"],
            "VOIDEDDATE",
            "voided date is not a date (YYYY-MM-DD)",
        ),
        (
            blank["created_at"],
            created,
            "creation time is missing or not a US Eastern time (YYYY-MM-DD HH:MM:SS)",
        ),
        (
            blank["updated_at"],
            "LASTUPDATED",
            "last update is missing or not a US Eastern time (YYYY-MM-DD HH:MM:SS)",
        ),
        (
            ~blank["reversal_text"] & ~pl.col("reversal_text").str.to_uppercase().is_in(["Y", "N"]),
            "REVERSALFLAG",
            "reversal flag is neither Y, N nor blank",
        ),
        (transaction & blank["claim_id"], "CLAIMID", "the row names no claim"),
        (
            transaction & ~blank["claim_id"] & ~known["claim_known"],
            "CLAIMID",
            "the claim of the row is not in the delivery, or is there twice",
        ),
        (
            ~located & (~transaction | known["claim_known"]),
            department,
            "the row or its claim names no department",
        ),
        (
            located & ~known["department_known"],
            department,
            "the department is not in table DEPARTMENT, or is there twice",
        ),
        (
            located & known["department_known"] & ~(known["group_known"] & ~blank["medical_group_id"]),
            department,
            "the department's provider group, or its medical group, is not in table PROVIDERGROUP, or is there twice",
        ),
        (
            own & grouped & blank["entity"],
            department,
            "the medical group is no billing entity on the post date (crosswalk X1)",
        ),
    ]
    found = [
        wide.filter(condition).select(
            "file",
            "row",
            (pl.lit(column) if isinstance(column, str) else column).alias("column"),
            pl.lit(reason).alias("reason"),
            "row_id",
            "entity",
            pl.col("raw_cents").alias("amount_cents"),
            "transaction_type",
            "post_date",
        )
        for condition, column, reason in rules
    ]
    return pl.concat([*found, _duplicates(wide)])


def _duplicates(wide: pl.DataFrame) -> pl.DataFrame:
    """Every line of a row id that one delivery holds twice: which one is true is not ours to guess."""
    doubled = wide.filter(pl.col("row_id").is_not_null() & pl.col("row_id").is_duplicated())
    same = pl.col("content").n_unique().over("row_id") == 1
    return doubled.select(
        "file",
        "row",
        _id_column().alias("column"),
        pl.format(
            "the row id occurs {} times in this delivery, {}; none of them was used",
            pl.len().over("row_id"),
            pl.when(same)
            .then(pl.lit("each time with the same content"))
            .otherwise(pl.lit("with different content")),
        ).alias("reason"),
        "row_id",
        "entity",
        pl.col("raw_cents").alias("amount_cents"),
        "transaction_type",
        "post_date",
    )


def _id_column() -> pl.Expr:
    return pl.col("source_table") + "ID"


def _money(table: pl.DataFrame, name: str, file: str) -> pl.DataFrame:
    columns = _COLUMNS[name]
    return table.select(
        pl.lit(name).alias("source_table"),
        pl.lit(file).alias("file"),
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row"),
        pl.struct(pl.col(TABLES[name])).hash(0).alias("content"),
        *(
            (_text(columns[wide]) if wide in columns else pl.lit(None, pl.String)).alias(wide)
            for wide in _WIDE
        ),
    )


def _lookup(
    table: pl.DataFrame, key: str, columns: Mapping[str, str], *, grows: bool = False
) -> pl.DataFrame:
    """One line per key. A key with two answers has none: which one is true is not ours to guess.

    A table that `grows` is read over several deliveries, oldest first: its last line counts.
    """
    lines = table.select(_text(key), *(_text(source).alias(name) for name, source in columns.items()))
    lines = lines.drop_nulls(key).unique(maintain_order=True)
    if grows:
        return lines.unique(key, keep="last", maintain_order=True)
    return lines.filter(~pl.col(key).is_duplicated())


def _left(wide: pl.DataFrame, table: pl.DataFrame, on: str, key: str, known: str) -> pl.DataFrame:
    return wide.join(
        table.with_columns(pl.lit(value=True).alias(known)),
        left_on=on,
        right_on=key,
        how="left",
        maintain_order="left",
    )


def _text(name: str) -> pl.Expr:
    text = pl.col(name).cast(pl.String).str.strip_chars()
    return pl.when(text != "").then(text).alias(name)


def _date(name: str) -> pl.Expr:
    text = pl.col(name)
    return pl.when(text.str.contains(_DATE)).then(text.str.head(10)).str.to_date("%Y-%m-%d", strict=False)


def _instant(name: str) -> pl.Expr:
    """UTC of a US Eastern text. Of the doubled autumn hour the later instant is taken; the spring gap is null."""
    text = pl.col(name)
    local = (
        pl.when(text.str.contains(_INSTANT))
        .then(text)
        .str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    )
    return local.dt.replace_time_zone(EASTERN, ambiguous="latest", non_existent="null").dt.convert_time_zone(
        "UTC"
    )
