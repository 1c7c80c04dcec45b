"""What is delivered: an intent (who, what, which day, which attempt) and the package made for it.

Every name derives from the intent, so that a probe after a crash asks Fusion for exactly the name that the
lost call would have used. Nothing here knows run ids, clocks or random values.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import date
from typing import Self

import polars as pl

from athena_fusion.trust.manifest import ManifestRef
from athena_fusion.trust.rowset import Column, RowSet, rowset

# The columns whose equality proves a load: what was sent against what the ledger holds (decision 11).
ROW_COLUMNS = (
    Column("key", "text"),
    Column("ledger", "text"),
    Column("accounting_date", "date"),
    Column("source", "text"),
    Column("category", "text"),
    Column("currency", "text"),
    Column("combination", "text"),
    Column("debit", "cents"),
    Column("credit", "cents"),
)


class PackageError(ValueError):
    """A package that contradicts itself; the message says in what."""


@dataclass(frozen=True)
class Intent:
    """One attempt to bring one category of one entity and batch date into Fusion (decision 6)."""

    tenant: str
    flow: str
    entity: str
    batch_date: date
    category: str
    attempt: int

    @property
    def key(self) -> str:
        """The intent key as text, e.g. `sandbox/rcm-gl/101/2026-09-15/01/1`."""
        return (
            f"{self.tenant}/{self.flow}/{self.entity}/{self.batch_date.isoformat()}"
            f"/{self.category}/{self.attempt}"
        )

    @property
    def short(self) -> str:
        """`AF` and 16 hex digits of the key's SHA-256: the prefix of every name given to Fusion."""
        return "AF" + hashlib.sha256(self.key.encode()).hexdigest()[:16]

    def file_name(self) -> str:
        """Name of the ZIP in Fusion's document store: found again by its prefix."""
        return f"{self.short}_{self.entity}_{self.batch_date:%Y%m%d}_{self.category}_{self.attempt:02d}.zip"

    def again(self, step: int = 1) -> Self:
        """The same intent, `step` attempts later (or earlier)."""
        return replace(self, attempt=self.attempt + step)


def group_id(batch_date: date, ordinal: int, category: str, attempt: int) -> str:
    """GROUP_ID: batch date (8), entity ordinal (5), category (2), attempt (2); 17 digits (decision 8)."""
    if (
        not 0 < ordinal <= 99_999
        or not 0 < attempt <= 99
        or not (len(category) == 2 and category.isdecimal())
    ):
        raise PackageError(f"no group id for ordinal {ordinal}, category {category!r}, attempt {attempt}")
    return f"{batch_date:%Y%m%d}{ordinal:05d}{category}{attempt:02d}"


@dataclass(frozen=True)
class Package:
    """A signed ZIP ready to be delivered.

    `path` is the ZIP in the artifact store and `sha256` the digest of its bytes; `lines` is the Parquet frame
    of the same journal lines, which the file holds in order of `line_key`. `category_name` and `currency` are
    Fusion's words. `rowset` is the canonical hash of the lines (`package_rowset`); `manifest` the signed package
    manifest.
    """

    intent: Intent
    file_name: str
    path: str
    sha256: str
    group_id: str
    ledger_id: str
    data_access_set_id: str
    source: str
    category_name: str
    currency: str
    rows: int
    debit_cents: int
    credit_cents: int
    rowset: RowSet
    lines: str
    manifest: ManifestRef

    def __post_init__(self) -> None:
        if not self.file_name.startswith(self.intent.short):
            raise PackageError(f"file name {self.file_name} does not start with {self.intent.short}")
        if self.rows != self.rowset.count:
            raise PackageError(f"{self.intent.key}: {self.rows} rows, but a row set of {self.rowset.count}")
        if self.debit_cents != self.credit_cents:
            raise PackageError(f"{self.intent.key}: debits and credits differ; nothing may be sent")

    @property
    def totals(self) -> tuple[int, int, int]:
        """Rows, debit cents, credit cents."""
        return self.rows, self.debit_cents, self.credit_cents

    def to_json(self) -> str:
        """Text for the `package` column of the intent table."""
        intent = self.intent
        return json.dumps(
            {
                "intent": {
                    "tenant": intent.tenant,
                    "flow": intent.flow,
                    "entity": intent.entity,
                    "batch_date": intent.batch_date.isoformat(),
                    "category": intent.category,
                    "attempt": intent.attempt,
                },
                **{name: getattr(self, name) for name in _PLAIN},
                "rowset": {
                    "spec": self.rowset.spec,
                    "columns": [[column.name, column.kind] for column in self.rowset.columns],
                    "sha256": self.rowset.sha256,
                    "count": self.rowset.count,
                },
                "manifest": {"path": self.manifest.path, "sha256": self.manifest.sha256},
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The package written by `to_json`."""
        body = json.loads(text)
        named = body.pop("intent")
        hashed = body.pop("rowset")
        return cls(
            intent=Intent(**{**named, "batch_date": date.fromisoformat(named["batch_date"])}),
            rowset=RowSet(
                hashed["spec"],
                tuple(Column(name, kind) for name, kind in hashed["columns"]),
                hashed["sha256"],
                hashed["count"],
            ),
            manifest=ManifestRef(**body.pop("manifest")),
            **body,
        )


_PLAIN = (
    "file_name",
    "path",
    "sha256",
    "group_id",
    "ledger_id",
    "data_access_set_id",
    "source",
    "category_name",
    "currency",
    "rows",
    "debit_cents",
    "credit_cents",
    "lines",
)


def sent_rows(
    lines: pl.DataFrame, *, ledger_id: str, source: str, category_name: str, currency: str
) -> pl.DataFrame:
    """Journal lines as the rows that `ROW_COLUMNS` hashes."""
    return lines.select(
        key="line_key",
        ledger=pl.lit(ledger_id),
        accounting_date="accounting_date",
        source=pl.lit(source),
        category=pl.lit(category_name),
        currency=pl.lit(currency),
        combination="combination",
        debit=_amount("debit_cents"),
        credit=_amount("credit_cents"),
    )


def ledger_rows(found: pl.DataFrame) -> pl.DataFrame:
    """Read-back rows (`gateway.READBACK_SCHEMA`) as the rows that `ROW_COLUMNS` hashes."""
    return found.select(
        key="line_key",
        ledger="ledger_id",
        accounting_date="accounting_date",
        source="source",
        category="category",
        currency="currency",
        combination="combination",
        debit=_amount("debit_cents"),
        credit=_amount("credit_cents"),
    )


def package_rowset(rows: pl.DataFrame) -> RowSet:
    """`rowset/1` of canonical rows made by `sent_rows` or `ledger_rows`."""
    return rowset(rows, ROW_COLUMNS)


def _amount(column: str) -> pl.Expr:
    # The empty side of a line is blank in Fusion and zero here: both become null.
    return pl.when(pl.col(column) != 0).then(pl.col(column).cast(pl.Int64))
