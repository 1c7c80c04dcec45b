"""The tenant's CSV tables: what each column may hold, read strictly, with the line of every row kept.

UTF-8 with a header row; a blank value is null (in a key: any; as `effective_to`: open end); dates are
`YYYY-MM-DD` and both ends of a range are included. One mistake gives one finding.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from athena_fusion.tenant.model import ENTITY, PAYER_CLASSES, POSTING_ID

if TYPE_CHECKING:
    from polars import DataFrame

Row = dict[str, Any]
"""Typed values by column name, and `line`."""


@dataclass(frozen=True, order=True)
class Finding:
    """One mistake: the file below the tenant folder, its line (from 1), and what is wrong, for people."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Column:
    """`kind` is text, date or whole (number); `pattern` must match the whole text."""

    name: str
    pattern: str = r".+"
    kind: str = "text"
    blank: bool = False


@dataclass(frozen=True)
class Table:
    """A file, its columns, the columns that identify a row at one time, and the word for what they identify."""

    file: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    noun: str

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(column.name for column in self.columns)


_ID = r"[A-Za-z0-9_.-]+"
_VALUE = r"[A-Za-z0-9]+"
_ROLE = r"[a-z_]+"
_WHOLE = r"[1-9]\d*"
_EFFECTIVE = (Column("effective_from", kind="date"), Column("effective_to", kind="date", blank=True))


def _any(*names: str, pattern: str = r".+") -> tuple[Column, ...]:
    return tuple(Column(name, pattern, blank=True) for name in names)


ENTITIES = Table(
    "billing_entities.csv",
    (
        Column("practice_id", r"\d+"),
        Column("medical_group_id", _ID),
        Column("entity", ENTITY),
        Column("ordinal", r"[1-9]\d{0,4}", "whole"),
        Column("name"),
        Column("ledger_name"),
        Column("ledger_id", r"\d{1,18}"),
        Column("legal_entity"),
        Column("company", _VALUE),
        Column("business_unit"),
        Column("zone"),
        Column("late_policy", "next_open_first_day|hold|reject"),
        *_EFFECTIVE,
    ),
    ("entity",),
    "billing entity",
)
ACCOUNTS = Table(
    "accounts.csv",
    (
        Column("role", _ROLE),
        Column("account", _VALUE),
        Column("name"),
        Column("normal", "Dr|Cr|Dr/Cr"),
        Column("level", "summary|detail"),
    ),
    ("role",),
    "role",
)
PERIODS = Table(
    "periods.csv",
    (
        Column("ledger_id", r"\d{1,18}"),
        Column("period_name", r".{1,15}"),
        Column("start", kind="date"),
        Column("end", kind="date"),
        Column("status", "Open|Closed|Never Opened|Future Enterable"),
    ),
    ("ledger_id", "period_name"),
    "period",
)
CHANGES = Table(
    "crosswalks/changes.csv",
    (
        Column("crosswalk", _ID),
        Column("version", _WHOLE, "whole"),
        Column("author"),
        Column("approver"),
        Column("reason"),
        Column("approved_on", kind="date"),
    ),
    ("crosswalk", "version"),
    "version",
)
CROSSWALKS = {
    "x2": Table(
        "crosswalks/x2_departments.csv",
        (
            Column("department_id", _ID),
            Column("cost_center", _VALUE),
            Column("location", _VALUE),
            *_EFFECTIVE,
        ),
        ("department_id",),
        "department",
    ),
    "x3": Table(
        "crosswalks/x3_payers.csv",
        (Column("insurance_package_id", _ID), Column("payer_class", "|".join(PAYER_CLASSES)), *_EFFECTIVE),
        ("insurance_package_id",),
        "insurance package",
    ),
    "x4": Table(
        "crosswalks/x4_transactions.csv",
        (
            Column(
                "transaction_type", "CHARGE|PAYMENT|ADJUSTMENT|TRANSFERIN|TRANSFEROUT|UNAPPLIED|UNPOSTABLE"
            ),
            *_any("subtype", "responsible", "reason", "method", "cas_group", "carc", "rarc", "custom_code"),
            Column("reversal", "Y|N", blank=True),
            Column("posting_id", POSTING_ID),
            *_EFFECTIVE,
        ),
        (
            *("transaction_type", "subtype", "responsible", "reason", "method"),
            *("cas_group", "carc", "rarc", "custom_code", "reversal"),
        ),
        "transaction",
    ),
    "x5": Table(
        "crosswalks/x5_revenue.csv",
        (
            *_any("procedure", pattern=r"[A-Za-z0-9]+\*?"),
            *_any("place_of_service", "modifier", pattern=_VALUE),
            Column("account_role", _ROLE),
            Column("service_line", _VALUE),
            *_EFFECTIVE,
        ),
        ("procedure", "place_of_service", "modifier"),
        "procedure",
    ),
    "x8": Table(
        "crosswalks/x8_cash.csv",
        (*_any("deposit_location", "method"), Column("account_role", _ROLE), *_EFFECTIVE),
        ("deposit_location", "method"),
        "deposit",
    ),
    "x10": Table(
        "crosswalks/x10_segments.csv",
        (
            Column("segment"),
            Column("source_value"),
            Column("fusion_value", _VALUE),
            Column("enabled", "Y|N"),
            *_EFFECTIVE,
        ),
        ("segment", "source_value"),
        "segment value",
    ),
}
TABLES = (ENTITIES, ACCOUNTS, PERIODS, CHANGES, *CROSSWALKS.values())


def read_rows(table: Table, data: bytes) -> tuple[list[Row], list[Finding]]:
    """The sound rows of a file and a finding for every other one, overlapping ranges included."""
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        header = next(reader, [])
        wrong = sorted(set(table.names) ^ set(header))
        if wrong or len(header) != len(table.names):
            named = ", ".join(wrong) or "a column twice"
            expected = ", ".join(table.names)
            return [], [Finding(table.file, 1, f"the header does not fit ({named}); expected {expected}")]
        rows: list[Row] = []
        findings: list[Finding] = []
        columns = {column.name: column for column in table.columns}
        order = [columns[name] for name in header]
        line = reader.line_num + 1
        for values in reader:
            if values:
                row = _row(table, order, values, line, findings)
                if row is not None:
                    rows.append(row)
            line = reader.line_num + 1
    except UnicodeDecodeError:
        return [], [Finding(table.file, 1, "the file is not UTF-8")]
    except csv.Error as error:
        return [], [Finding(table.file, reader.line_num, f"not a CSV row ({error}); the file was not read")]
    return rows, [*findings, *_repeats(table, rows)]


def to_frame(table: Table, rows: Iterable[Row]) -> DataFrame:
    """Rows as a typed frame in file order, with `line` (UInt32) last."""
    import polars as pl  # here, so that settings and entities are read without it

    kinds = {"text": pl.String(), "date": pl.Date(), "whole": pl.Int64()}
    schema = {column.name: kinds[column.kind] for column in table.columns}
    return pl.DataFrame(list(rows), schema={**schema, "line": pl.UInt32()}, orient="row")


def range_text(row: Row) -> str:
    """`2026-01-01..open`"""
    return f"{row['effective_from']}..{row['effective_to'] or 'open'}"


def _row(
    table: Table, columns: list[Column], values: list[str], line: int, findings: list[Finding]
) -> Row | None:
    if len(values) != len(columns):
        findings.append(Finding(table.file, line, f"{len(values)} values where {len(columns)} are due"))
        return None
    before = len(findings)
    row: Row = {"line": line}
    for column, text in zip(columns, values, strict=True):
        try:
            row[column.name] = _value(column, text)
        except ValueError as error:
            findings.append(Finding(table.file, line, f"{column.name} {error}"))
    if len(findings) > before:
        return None
    for first, last in (("effective_from", "effective_to"), ("start", "end")):
        if first in row and row[last] is not None and row[first] > row[last]:
            findings.append(Finding(table.file, line, f"{first} {row[first]} is after {last} {row[last]}"))
            return None
    return row


def _value(column: Column, text: str) -> str | date | int | None:
    if text != text.strip():
        raise ValueError(f"{text!r} has blanks around it")
    if not text:
        if column.blank:
            return None
        raise ValueError("is blank")
    if column.kind == "date":
        try:
            if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
                return date.fromisoformat(text)
        except ValueError:
            pass
        raise ValueError(f"{text!r} is not a date YYYY-MM-DD")
    if not re.fullmatch(column.pattern, text):
        choices = column.pattern.split("|")
        known = all(re.fullmatch(r"[\w/ ]+", choice) for choice in choices)
        hint = f"; known are {', '.join(choices)}" if known else f" (pattern {column.pattern})"
        raise ValueError(f"{text!r} is not accepted{hint}")
    return int(text) if column.kind == "whole" else text


def _end(row: Row) -> date:
    return row.get("effective_to") or date.max


def _repeats(table: Table, rows: list[Row]) -> list[Finding]:
    """Rows of one key that hold at the same time; without effective dates every repetition does."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in table.key), []).append(row)
    findings = []
    for key, group in groups.items():
        what = f"{table.noun} {' / '.join('any' if part is None else str(part) for part in key)}"
        standing, *others = sorted(group, key=lambda row: (row.get("effective_from", date.min), row["line"]))
        for row in others:
            early, late = sorted((standing, row), key=lambda row: row["line"])
            if "effective_from" not in row:
                message = f"{what} is there twice (line {early['line']})"
                findings.append(Finding(table.file, late["line"], message))
            elif _end(standing) >= row["effective_from"]:
                ranges = f"{range_text(early)} (line {early['line']}) and {range_text(late)}"
                findings.append(Finding(table.file, late["line"], f"{what} has overlapping rows {ranges}"))
            standing = max(standing, row, key=_end)
    return findings
