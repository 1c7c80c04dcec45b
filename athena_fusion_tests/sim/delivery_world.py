"""Packages, a store, a state database and a delivery for tests of `athena_fusion.delivery`."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from athena_fusion.clock import Clock, ManualClock
from athena_fusion.delivery.package import Intent, Package, group_id, package_rowset, sent_rows
from athena_fusion.delivery.queue import Correction, ExceptionQueue
from athena_fusion.delivery.submission import DeliverySettings, JournalDelivery
from athena_fusion.storage.artifacts import ArtifactStore
from athena_fusion.storage.database import Database
from athena_fusion.storage.schema import metadata
from athena_fusion.trust.audit import AuditLog
from athena_fusion.trust.keys import KeyRing
from athena_fusion.trust.manifest import Control, Manifest, ManifestRef, Subject

BATCH_DATE = date(2026, 9, 15)
START = datetime(2026, 9, 16, 9, 0, tzinfo=UTC)
SEGMENTS = ("Company", "CostCenter", "Account", "Location", "ServiceLine", "Intercompany")
NAMES = {"01": "ATH Charges", "02": "ATH Payments", "03": "ATH Adjustments"}


class TrustingBook:
    """Answers `verify_chain` with the manifest a package was registered with: the gate has tests of its own."""

    def __init__(self) -> None:
        self.manifests: dict[str, Manifest] = {}

    def register(self, package: Package) -> None:
        self.manifests[package.manifest.sha256] = Manifest(
            ref=package.manifest,
            stage="package",
            flow=package.intent.flow,
            unit=package.intent.entity,
            business_date=package.intent.batch_date,
            attempt=package.intent.attempt,
            created_at=START,
            subjects=(Subject(package.path, package.sha256, 1, "application/zip"),),
            prev=(),
            row_count=package.rows,
            sums={},
            controls=(Control("T8", "0", "0", ok=True),),
            key_id="k",
            body={},
        )

    def verify_chain(self, ref: ManifestRef) -> list[Manifest]:
        return [self.manifests[ref.sha256]]


class World:
    """One state database and store with everything around the delivery; `delivery()` is a fresh process."""

    def __init__(self, folder: Path, clock: Clock | None = None, *, database: Database | None = None) -> None:
        self.folder = folder
        self.clock = clock or ManualClock(START)
        self.database = database or Database("sqlite://")
        metadata.create_all(self.database.engine)
        self.store = ArtifactStore(folder / "store")
        keys = KeyRing(folder / "keys", self.clock)
        keys.ensure("audit")
        self.audit = AuditLog(self.database, self.clock, keys)
        self.book = TrustingBook()
        self.queue = ExceptionQueue(self.database, self.audit, self.clock, SEGMENTS)

    def delivery(self, gateway: object, **settings: object) -> JournalDelivery:
        values = {"settle_seconds": 900, "poll_seconds": 10, "job_timeout_seconds": 1800} | settings
        return JournalDelivery(
            gateway,  # type: ignore[arg-type] # any stand-in
            self.database,
            self.audit,
            self.book,  # type: ignore[arg-type]
            self.store,
            self.clock,
            DeliverySettings(**values),  # type: ignore[arg-type]
        )

    def package(
        self,
        *,
        entity: str = "101",
        category: str = "01",
        attempt: int = 1,
        cents: tuple[int, ...] = (25000, 18000),
        cost_centers: tuple[str, ...] = ("2100", "2110"),
        ordinal: int | None = None,
        malformed: tuple[int, ...] = (),
    ) -> Package:
        lines = journal_lines(entity, category, cents, cost_centers)
        return self.build(lines, entity, category, attempt, ordinal or int(entity), malformed)

    def build(
        self,
        lines: pl.DataFrame,
        entity: str,
        category: str,
        attempt: int,
        ordinal: int,
        malformed: tuple[int, ...] = (),
    ) -> Package:
        """Write and register the package of `lines`."""
        intent = Intent("test", "rcm-gl", entity, BATCH_DATE, category, attempt)
        group = group_id(BATCH_DATE, ordinal, category, attempt)
        named = {"ledger_id": "300", "source": "athenaCollector", "currency": "USD"}
        name = NAMES[category]
        rows = [
            {
                "line_key": line["line_key"],
                "accounting_date": line["accounting_date"].isoformat(),
                "combination": line["combination"],
                "debit_cents": line["debit_cents"],
                "credit_cents": line["credit_cents"],
                "journal": line["journal"],
                "group_id": group,
                "category": name,
                **named,
            }
            for line in lines.iter_rows(named=True)
        ]
        for number in malformed:
            rows[number - 1]["malformed"] = True
        content = json.dumps(rows).encode()
        folder = f"assets/journal_fbdi/{BATCH_DATE}/{entity}"
        stored = self.store.write_bytes(f"{folder}/{intent.file_name()}", content)
        buffer = io.BytesIO()
        lines.write_parquet(buffer)
        frame = self.store.write_bytes(f"{folder}/{intent.short}.parquet", buffer.getvalue())
        package = Package(
            intent=intent,
            file_name=intent.file_name(),
            path=stored.path,
            sha256=stored.sha256,
            group_id=group,
            data_access_set_id="400",
            category_name=name,
            rows=len(lines),
            debit_cents=int(lines["debit_cents"].sum()),
            credit_cents=int(lines["credit_cents"].sum()),
            rowset=package_rowset(
                sent_rows(
                    lines, ledger_id="300", source="athenaCollector", category_name=name, currency="USD"
                )
            ),
            lines=frame.path,
            manifest=ManifestRef(
                f"evidence/{intent.short}.json", hashlib.sha256(intent.key.encode()).hexdigest()
            ),
            **named,
        )
        self.book.register(package)
        return package

    def rebuild(self, old: Package, attempt: int, corrections: Mapping[str, Correction]) -> Package:
        """What the flow does on reload: the same lines, remapped where a person said so."""
        lines = self.store.read_frame(old.lines)
        lines = lines.with_columns(
            combination=pl.Series(
                [
                    _remap(line["combination"], corrections.get(line["line_key"]))
                    for line in lines.iter_rows(named=True)
                ]
            )
        )
        ordinal = int(old.group_id[8:13])
        return self.build(lines, old.intent.entity, old.intent.category, attempt, ordinal)


def journal_lines(
    entity: str,
    category: str,
    cents: tuple[int, ...],
    cost_centers: tuple[str, ...],
    post_date: date = BATCH_DATE,
) -> pl.DataFrame:
    """A balanced journal: for each amount a receivables line and a revenue line of its cost centre."""
    rows = []
    for seq, (amount, cost_center) in enumerate(zip(cents, cost_centers, strict=True)):
        for side, combination in enumerate(
            (f"{entity}-0000-11030-000-000-000", f"{entity}-{cost_center}-40010-014-010-000")
        ):
            rows.append(
                {
                    "line_key": f"{entity}-{post_date:%Y%m%d}-{category}-r1-{2 * seq + side + 1:05d}",
                    "journal": f"ATH-{entity}-{post_date:%Y%m%d}-CHARGES-r1",
                    "entity": entity,
                    "post_date": post_date,
                    "accounting_date": post_date,
                    "category": category,
                    "revision": 1,
                    "seq": 2 * seq + side + 1,
                    "posting_id": "P01",
                    "description": "P01 receivable",
                    "combination": combination,
                    "debit_cents": amount if side == 0 else 0,
                    "credit_cents": amount if side == 1 else 0,
                    "carried": False,
                }
            )
    return pl.DataFrame(rows)


def other_content(package: Package) -> Package:
    """The same intent with other bytes."""
    return replace(package, sha256=hashlib.sha256(b"other").hexdigest())


def _remap(combination: str, correction: Correction | None) -> str:
    if correction is None:
        return combination
    values = dict(zip(SEGMENTS, combination.split("-"), strict=True)) | dict(correction.segments)
    return "-".join(values.values())
