"""The practice's ledger in one SQLite file, from which deliveries, reports and the API answer alike."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from athena_fusion.sandbox import golden, schema
from athena_fusion.sandbox.activity import Activity, claim_key, generate_day
from athena_fusion.sandbox.world import ZONE, World

__all__ = ["Activity", "Ledger", "generate_day"]

_SQL_TYPES = {pl.Int64: "INTEGER", pl.String: "TEXT"}
_VOID_STEP = 99  # row id of a void entered on a later day: its claim's, ending in 99

_INDEXES = (
    "CREATE INDEX txn_created ON txn (created_utc)",
    "CREATE INDEX txn_voided ON txn (voided_utc) WHERE voided_utc IS NOT NULL",
    "CREATE INDEX claim_created ON claim (created_utc)",
)


class Ledger:
    """All rows of the practice, added a business day at a time.

    `opening` holds each entity's A/R and unapplied money, in cents, before the first row. Rows are never
    deleted; a void only stamps the voided row.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.connect() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'txn'").fetchone():
                _create(connection)

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """A connection whose work is committed at the end of the block, or rolled back by an exception."""
        connection = sqlite3.connect(self._path, timeout=30)
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            with connection:
                yield connection
        finally:
            connection.close()

    def days(self) -> list[date]:
        """Business days in the ledger, in order."""
        with self.connect() as connection:
            rows = connection.execute("SELECT day FROM business_day ORDER BY day").fetchall()
        return [date.fromisoformat(day) for (day,) in rows]

    def add_day(
        self, world: World, day: date, *, lines_per_entity: int = 100, seed: int | str = 7
    ) -> int | None:
        """Enter the activity of `day` for every entity; number of rows, or None if the day is there already.

        One charge per entity of the calendar day before, where the ledger has it, is voided on `day`.
        """
        if day in self.days():
            return None
        activity = generate_day(world, day, lines_per_entity, seed)
        with self.connect() as connection:
            for entity in world.entities:
                connection.execute(
                    "INSERT OR IGNORE INTO opening VALUES (?, ?, ?)",
                    (entity.id, 25_000_000 + 1_000_000 * entity.index, 180_000 + 10_000 * entity.index),
                )
            for table, columns in schema.TABLES.items():
                marks = ", ".join("?" * len(columns))
                connection.executemany(
                    f"INSERT INTO {table} VALUES ({marks})",  # noqa: S608 - names of our own tables
                    getattr(activity, table).rows(),
                )
            voided = sum(_void_yesterday(connection, entity.ordinal, day) for entity in world.entities)
            connection.execute("INSERT INTO business_day VALUES (?, ?)", (day.isoformat(), activity.lines))
        return activity.lines + voided


def _create(connection: sqlite3.Connection) -> None:
    for table, columns in schema.TABLES.items():
        definition = ", ".join(
            f"{name} {_SQL_TYPES[dtype]}{' PRIMARY KEY' if i == 0 else ''}"
            for i, (name, dtype) in enumerate(columns.items())
        )
        connection.execute(f"CREATE TABLE {table} ({definition})")
    for statement in _INDEXES:
        connection.execute(statement)
    connection.execute("CREATE TABLE opening (entity TEXT PRIMARY KEY, ar INTEGER, unapplied INTEGER)")
    connection.execute("CREATE TABLE business_day (day TEXT PRIMARY KEY, lines INTEGER)")


def _void_yesterday(connection: sqlite3.Connection, ordinal: int, day: date) -> int:
    """Void the charge that yesterday's activity set aside for it (its sequence 0), with today's post date.

    On the days of the worked example entity 101 has no such charge and gets no void.
    """
    claim = claim_key(day - timedelta(days=1), ordinal, 0)
    charge = claim * 100 + 1
    found = connection.execute("SELECT entity FROM txn WHERE transactionid = ?", (charge,)).fetchone()
    if found is None or (found[0], day) in golden.DAYS:
        return 0
    entered = datetime(day.year, day.month, day.day, 9, 30, tzinfo=ZoneInfo(ZONE))
    at, utc = f"{entered:%Y-%m-%d %H:%M:%S}", int(entered.timestamp())
    own = {
        "transactionid": claim * 100 + _VOID_STEP,
        "chargeid": claim * 100 + _VOID_STEP,
        "chargevoidparentid": charge,
        "postdate": day.isoformat(),
        "transactioncreateddatetime": at,
        "reversalflag": "Y",
        "created_utc": utc,
        "expectedallowedamount": None,
        "workrvu": None,
    }
    copied = ", ".join(
        f":{name}" if name in own else "-amount" if name == "amount" else name for name in schema.TRANSACTION
    )
    connection.execute(
        f"INSERT INTO txn SELECT {copied} FROM txn WHERE transactionid = :chargevoidparentid",  # noqa: S608
        own,
    )
    connection.execute(
        "UPDATE txn SET voideddate = ?, voided_at = ?, voided_utc = ? WHERE transactionid = ?",
        (day.isoformat(), at, utc, charge),
    )
    return 1
