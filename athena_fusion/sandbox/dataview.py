"""Data View deliveries: one folder of CSV files per delivery, complete when it has its name.

Changed rows are those created or voided in (previous as-of, this as-of]; a row is written as it stood at the
as-of, so a delivery can be written again later with the same bytes.
"""

import csv
import hashlib
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from athena_fusion.sandbox import dataview_faults, reports, schema
from athena_fusion.sandbox.ledger import Ledger
from athena_fusion.sandbox.world import World

_MONEY = ("amount", "expectedallowedamount")
_INTERNAL = ("entity", "created_utc", "voided_utc", "voided_at")
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def deliver(
    ledger: Ledger,
    world: World,
    folder: Path,
    as_of: datetime,
    previous_as_of: datetime | None,
    *,
    faults: Collection[str] = (),
) -> Path:
    """Write the delivery of `as_of` into `folder` and return its path, `<folder>/<as-of compact>`.

    `previous_as_of` None means everything so far. The files are made under a temporary name and the folder is
    renamed at the end; a delivery of the same as-of is replaced. `faults` (see `dataview_faults`) spoil it.
    """
    unknown = set(faults) - dataview_faults.FAULTS
    if unknown:
        raise ValueError(f"unknown Data View faults: {', '.join(sorted(unknown))}")
    target = folder / f"{as_of.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    work = folder / f".{target.name}.part"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    window = {
        "after": int((previous_as_of or _BEGINNING).timestamp()),
        "upto": int(as_of.timestamp()),
        "practice": world.practice_id,
    }
    rows: dict[str, int] = {}
    with ledger.connect() as connection:
        for table, statement in _STATEMENTS.items():
            cursor = connection.execute(statement, window)
            header = [column[0] for column in cursor.description]
            rows[table] = _write(work / f"{table}.csv", header, cursor)
        for name, header, lines in _full_tables(world):
            rows[name] = _write(work / f"{name}.csv", header, lines)
        rows |= _write_reports(connection, world, work, as_of)
    dataview_faults.spoil(work, rows, faults)
    _write_control(work, rows)
    dataview_faults.spoil_after_control(work, faults)
    if target.exists():
        shutil.rmtree(target)
    work.rename(target)
    return target


def _cents(name: str) -> str:
    """SQL text of integer cents: two decimals, no floating point."""
    return (
        f"CASE WHEN {name} < 0 THEN '-' ELSE '' END || (abs({name}) / 100) || '.' || "
        f"substr('0' || (abs({name}) % 100), -2)"
    )


def _columns(table: str, **special: str) -> str:
    parts = []
    for name in schema.TABLES[table]:
        if name in _INTERNAL:
            continue
        expression = special.get(name) or (_cents(name) if name in _MONEY else name)
        parts.append(f"{expression} AS {name.upper()}")
    return ", ".join(parts)


def _statements() -> dict[str, str]:
    """The SELECT of each changed table; the names in them are the columns of `schema`, nothing from outside."""
    window = "(created_utc > :after AND created_utc <= :upto)"
    voided = "voided_utc <= :upto"
    transactions = f"FROM txn WHERE {window} OR (voided_utc > :after AND voided_utc <= :upto)"
    context = ":practice AS CONTEXTID, "
    transaction = _columns("txn", voideddate=f"CASE WHEN {voided} THEN voideddate END")
    updated = f"CASE WHEN {voided} THEN voided_at ELSE transactioncreateddatetime END AS LASTUPDATED"
    changed = {
        "TRANSACTION": f"SELECT {context}{transaction}, {updated} {transactions} ORDER BY transactionid",
        "CLAIM": f"SELECT {context}{_columns('claim')} FROM claim WHERE {window} "  # noqa: S608
        f"OR claimid IN (SELECT claimid {transactions}) ORDER BY claimid",
    }
    for table, order in (("unapplied", "unappliedid"), ("unpostable", "unpostableid")):
        changed[table.upper()] = (
            f"SELECT {_columns(table)}, createddatetime AS LASTUPDATED FROM {table} "  # noqa: S608
            f"WHERE {window} ORDER BY {order}"
        )
    for table in ("paymentbatch", "depositbatch"):
        changed[table.upper()] = f"SELECT {_columns(table)} FROM {table} WHERE {window} ORDER BY {table}id"  # noqa: S608
    return changed


_STATEMENTS = _statements()


def _full_tables(world: World) -> list[tuple[str, list[str], Iterable[Sequence[Any]]]]:
    return [
        (
            "DEPARTMENT",
            ["DEPARTMENTID", "DEPARTMENTNAME", "PROVIDERGROUPID"],
            [(d.id, d.name, d.provider_group_id) for d in world.departments],
        ),
        (
            "PROVIDERGROUP",
            ["PROVIDERGROUPID", "PROVIDERGROUPNAME", "MEDICALGROUPID"],
            [(e.provider_group_id, e.name, e.id) for e in world.entities],
        ),
        (
            "PAYER",
            ["INSURANCEPACKAGEID", "INSURANCEPACKAGENAME", "INSURANCEPACKAGETYPE"],
            [(p.id, p.name, p.type) for p in world.payers],
        ),
        (
            "PATIENTINSURANCE",
            ["PATIENTINSURANCEID", "PATIENTID", "INSURANCEPACKAGEID"],
            world.patient_insurances(),
        ),
    ]


def _write_reports(
    connection: sqlite3.Connection, world: World, work: Path, as_of: datetime
) -> dict[str, int]:
    activity = reports.activity_by_post_date(connection, world.practice_id, as_of)
    receivable = reports.ar_by_medical_group(connection, as_of)
    return {
        reports.ACTIVITY: _write(work / f"{reports.ACTIVITY}.csv", reports.ACTIVITY_HEADER, activity),
        reports.RECEIVABLE: _write(work / f"{reports.RECEIVABLE}.csv", reports.RECEIVABLE_HEADER, receivable),
    }


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    count = 0

    def counted() -> Iterable[Sequence[Any]]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(counted())
    return count


def _write_control(work: Path, rows: dict[str, int]) -> None:
    lines = []
    for path in sorted(work.glob("*.csv")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append((path.name, rows[path.stem], digest))
    _write(work / "control.csv", ["file", "rows", "sha256"], lines)
