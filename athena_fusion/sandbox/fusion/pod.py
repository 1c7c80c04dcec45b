"""The pod itself: its setup, its database, its business clock, and what is read from the set-up tables."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from athena_fusion.sandbox.fusion.setup import Client, FusionSetup, Ledger, User
from athena_fusion.sandbox.fusion.tables import create_tables, seed


class PodDatabase:
    """One SQLite file in WAL mode behind one lock: every step of the pod is a serial transaction."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit on leaving, roll back on an exception; nested use joins the outer transaction."""
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, sql: str, *parameters: object) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, *parameters: object) -> sqlite3.Row | None:
        """First row of a query, or None."""
        with self._lock:
            found: sqlite3.Row | None = self._connection.execute(sql, parameters).fetchone()
            return found

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close()


@dataclass
class Pod:
    """What every module of the pod works on. `clock` tells business time, `real` seconds of real time."""

    setup: FusionSetup
    database: PodDatabase
    clock: Callable[[], datetime]
    real: Callable[[], float] = field(default=time.time)

    def __post_init__(self) -> None:
        with self.database.transaction() as connection:
            create_tables(connection)
            seed(connection, self.setup)

    def user(self, name: str) -> User | None:
        """The Fusion user of that name."""
        return next((user for user in self.setup.users if user.name == name), None)

    def client(self, client_id: str) -> Client | None:
        """The confidential application of that id."""
        return next((client for client in self.setup.clients if client.id == client_id), None)

    def ledger(self, *, ledger_id: str | None = None, name: str | None = None) -> Ledger | None:
        """A ledger by id, or by name where no id is given: the id wins when both are."""
        for ledger in self.setup.ledgers:
            if (ledger_id is not None and ledger.id == ledger_id) or (
                ledger_id is None and ledger.name == name
            ):
                return ledger
        return None

    def stamp(self) -> str:
        """Business time in the pod's zone, as ISO text with its offset."""
        return self.clock().astimezone(ZoneInfo(self.setup.zone)).isoformat()

    def switch(self, name: str) -> bool:
        """An operator switch of the database, for example `suspense`."""
        row = self.database.row("SELECT value FROM switches WHERE name = ?", name)
        return row is not None and bool(row["value"])
