"""Columns of the ledger tables, in order, with their types in frames.

The public columns are named after the Data View columns in lower case; amounts are integer cents (`amount`,
`expectedallowedamount`), ids integers, dates and US Eastern date-times text. The columns below `internal` are
the sandbox's own: `entity` for the reports, seconds since 1970 UTC for the delivery windows. `voided_utc`
and `voided_at` (Eastern text) say when a row was voided, so that a delivery shows the row as it stood then.
"""

import polars as pl

_INT, _TEXT = pl.Int64, pl.String

TRANSACTION = {
    "transactionid": _INT,
    "claimid": _INT,
    "patientid": _INT,
    "chargeid": _INT,
    "parentchargeid": _INT,
    "chargevoidparentid": _INT,
    "transactiontype": _TEXT,
    "transactiontransfertype": _TEXT,
    "transactiontransferintent": _TEXT,
    "transactionreason": _TEXT,
    "transactionmethod": _TEXT,
    "amount": _INT,
    "procedurecode": _TEXT,
    "othermodifier": _TEXT,
    "units": _INT,
    "chargefromdate": _TEXT,
    "chargetodate": _TEXT,
    "placeofservice": _TEXT,
    "postdate": _TEXT,
    "closedpostdate": _TEXT,
    "transactioncreateddatetime": _TEXT,
    "voideddate": _TEXT,
    "reversalflag": _TEXT,
    "paymentbatchid": _INT,
    "patientpaymentid": _INT,
    "transactionpatientinsid": _INT,
    "expectedallowedamount": _INT,
    "workrvu": _TEXT,
    "customtransactioncode": _TEXT,
    "casgroupcode": _TEXT,
    "carc": _TEXT,
    "rarc": _TEXT,
    # internal
    "entity": _TEXT,
    "created_utc": _INT,
    "voided_utc": _INT,
    "voided_at": _TEXT,
}
CLAIM = {
    "claimid": _INT,
    "originalclaimid": _INT,
    "patientid": _INT,
    "claimservicedate": _TEXT,
    "servicedepartmentid": _TEXT,
    "renderingproviderid": _INT,
    "claimprimarypatientinsid": _INT,
    "lastupdated": _TEXT,
    # internal
    "entity": _TEXT,
    "created_utc": _INT,
}
UNAPPLIED = {
    "unappliedid": _INT,
    "patientpaymentid": _INT,
    "patientid": _INT,
    "departmentid": _TEXT,
    "unappliedtype": _TEXT,
    "method": _TEXT,
    "amount": _INT,
    "postdate": _TEXT,
    "paymentbatchid": _INT,
    "transactionid": _INT,
    "createddatetime": _TEXT,
    # internal
    "entity": _TEXT,
    "created_utc": _INT,
}
UNPOSTABLE = {
    "unpostableid": _INT,
    "paymentbatchid": _INT,
    "insurancepackageid": _INT,
    "departmentid": _TEXT,
    "unpostabletype": _TEXT,
    "method": _TEXT,
    "amount": _INT,
    "postdate": _TEXT,
    "transactionid": _INT,
    "createddatetime": _TEXT,
    # internal
    "entity": _TEXT,
    "created_utc": _INT,
}
PAYMENT_BATCH = {
    "paymentbatchid": _INT,
    "depositbatchid": _INT,
    "medicalgroupid": _TEXT,
    "paymentmethod": _TEXT,
    "amount": _INT,
    "createddatetime": _TEXT,
    "lastupdated": _TEXT,
    # internal
    "created_utc": _INT,
}
DEPOSIT_BATCH = {
    "depositbatchid": _INT,
    "medicalgroupid": _TEXT,
    "depositdate": _TEXT,
    "depositlocation": _TEXT,
    "amount": _INT,
    "lastupdated": _TEXT,
    # internal
    "created_utc": _INT,
}
TABLES = {
    "txn": TRANSACTION,
    "claim": CLAIM,
    "unapplied": UNAPPLIED,
    "unpostable": UNPOSTABLE,
    "paymentbatch": PAYMENT_BATCH,
    "depositbatch": DEPOSIT_BATCH,
}


def conform(frame: pl.DataFrame, columns: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    """`frame` with exactly these columns, missing ones null; other columns are dropped."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in columns.items()
    )
