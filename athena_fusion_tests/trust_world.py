"""A small world of trust on a temporary folder, for the tests of this room and of assurance."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from athena_fusion.clock import ManualClock
from athena_fusion.storage.artifacts import ArtifactStore
from athena_fusion.storage.database import Database
from athena_fusion.trust.audit import AuditLog
from athena_fusion.trust.keys import KeyRing
from athena_fusion.trust.manifest import CARRIED, REFERENCE, ManifestBook, ManifestRef, Subject

DAY = date(2026, 9, 15)
SOFTWARE = {"name": "athena-fusion", "version": "0.1.0", "gitCommit": "0000000"}


@dataclass
class World:
    clock: ManualClock
    store: ArtifactStore
    database: Database
    keys: KeyRing
    audit: AuditLog
    book: ManifestBook

    def subject(
        self, name: str, data: bytes, *, carried: bool = True, media_type: str = "text/csv"
    ) -> Subject:
        artifact = self.store.write_bytes(name, data)
        return Subject(
            name, artifact.sha256, artifact.size, media_type, None, CARRIED if carried else REFERENCE
        )

    def sign(
        self, stage: str, *, unit: str = "101", day: date = DAY, attempt: int = 1, **changes: object
    ) -> ManifestRef:
        fields: dict = {
            "stage": stage,
            "flow": "rcm-gl",
            "unit": unit,
            "business_date": day,
            "run_id": "run-1",
            "attempt": attempt,
            "subjects": [],
            "prev": [],
            "row_count": 0,
            "sums": {},
        }
        return self.book.sign(**(fields | changes))


def make_world(folder: Path) -> World:
    clock = ManualClock(datetime(2026, 9, 16, 6, 0, tzinfo=UTC))
    store = ArtifactStore(folder / "store")
    database = Database(f"sqlite:///{folder}/state.db")
    database.migrate()
    keys = KeyRing(folder / "keys", clock)
    keys.ensure("manifest")
    keys.ensure("audit")
    audit = AuditLog(database, clock, keys)
    return World(
        clock, store, database, keys, audit, ManifestBook(store, database, keys, audit, clock, SOFTWARE)
    )
