"""What every stage of the night needs, and the few things all of them do the same way."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from athena_fusion.accounting.combinations import Chart
from athena_fusion.athenaone.client import AthenaOne
from athena_fusion.clock import Clock
from athena_fusion.delivery.queue import ExceptionQueue
from athena_fusion.delivery.submission import JournalDelivery
from athena_fusion.money import cents_text
from athena_fusion.revenue.stage import CheckOutcome
from athena_fusion.storage.artifacts import ArtifactStore, sha256_hex
from athena_fusion.storage.database import Database
from athena_fusion.tenant.model import Entity, Tenant
from athena_fusion.trust.audit import AuditLog
from athena_fusion.trust.keys import KeyRing
from athena_fusion.trust.manifest import (
    REFERENCE,
    Control,
    Manifest,
    ManifestBook,
    ManifestConflict,
    ManifestRef,
    Subject,
)
from athena_fusion.trust.rowset import RowSet

FLOW = "rcm-gl"
PARQUET = "application/vnd.apache.parquet"


class StageRefused(Exception):
    """A stage that must not start: its input is missing, does not verify, or failed a control."""


@dataclass(frozen=True)
class NightContext:
    """The tenant's store, database, keys and clients, opened once per process."""

    tenant: Tenant
    store: ArtifactStore
    database: Database
    keys: KeyRing
    book: ManifestBook
    audit: AuditLog
    clock: Clock
    queue: ExceptionQueue
    athenaone: AthenaOne
    delivery: JournalDelivery

    def entity(self, entity: str, day: date) -> Entity:
        """X1 on `day`; `StageRefused` for an entity that the tenant does not have."""
        try:
            return self.tenant.entity(entity, day)
        except LookupError as error:
            raise StageRefused(f"{error}; nothing was done for it") from error

    def manifest(self, stage: str, unit: str, batch_date: date) -> Manifest | None:
        """The newest manifest of a stage, verified; None if the stage never finished."""
        ref = self.book.latest(stage=stage, flow=FLOW, unit=unit, business_date=batch_date)
        return None if ref is None else self.book.read(ref)

    def history(self, stage: str, unit: str, since: date, until: date) -> list[Manifest]:
        """The newest manifest of a stage per batch date in [since, until], oldest first."""
        refs = self.book.latest_per_day(stage=stage, flow=FLOW, unit=unit, since=since, until=until)
        return [self.book.read(ref) for ref in refs]

    def gate(self, stage: str, unit: str, batch_date: date) -> Manifest:
        """The input manifest of a stage, when its chain verifies and every control in it passed."""
        ref = self.book.latest(stage=stage, flow=FLOW, unit=unit, business_date=batch_date)
        if ref is None:
            raise StageRefused(
                f"entity {unit}, {batch_date}: stage {stage} has not finished; nothing was done"
            )
        manifest = next(found for found in self.book.verify_chain(ref) if found.ref == ref)
        failed = [control for control in manifest.controls if not control.ok]
        if failed:
            first = failed[0]
            raise StageRefused(
                f"entity {unit}, {batch_date}: control {first.id} of stage {stage} failed "
                f"(expected {first.expected}, actual {first.actual}); nothing was done"
            )
        return manifest

    def keep(self, folder: str, name: str, frame: pl.DataFrame, *, carried: str = REFERENCE) -> Subject:
        """Store a frame under a name made from its content: another content never overwrites it."""
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd", statistics=True)
        data = buffer.getvalue()
        path = f"{folder}/{name}.{sha256_hex(data)[:16]}.parquet"
        stored = self.store.write_bytes(path, data, immutable=True)
        return Subject(stored.path, stored.sha256, stored.size, PARQUET, frame.height, carried)

    def sign(  # noqa: PLR0913 - the fields of one statement, all by name
        self,
        stage: str,
        unit: str,
        batch_date: date,
        run_id: str,
        *,
        subjects: Sequence[Subject],
        prev: Sequence[ManifestRef],
        rows: int,
        sums: Mapping[str, str],
        rowset: RowSet | None = None,
        source: Mapping[str, str | int] | None = None,
        target: Mapping[str, str | int] | None = None,
        controls: Sequence[Control] = (),
    ) -> ManifestRef:
        """Sign a stage. A repeated run that says the same keeps its manifest; another statement is a new attempt."""
        place = {"stage": stage, "flow": FLOW, "unit": unit, "business_date": batch_date}
        following = self.book.next_attempt(**place)  # type: ignore[arg-type]  # the names are the parameters
        for attempt in (max(1, following - 1), following):
            try:
                return self.book.sign(
                    stage=stage,
                    flow=FLOW,
                    unit=unit,
                    business_date=batch_date,
                    run_id=run_id,
                    attempt=attempt,
                    subjects=subjects,
                    prev=prev,
                    row_count=rows,
                    sums=sums,
                    rowset=rowset,
                    source=source,
                    target=target,
                    controls=controls,
                )
            except ManifestConflict:
                if attempt == following:
                    raise
        raise AssertionError("unreachable")


def asset_folder(group: str, noun: str, batch_date: date, unit: str) -> str:
    """Where an asset of one partition keeps its files."""
    return f"assets/{group}/{noun}/{batch_date.isoformat()}/{unit}"


def subject_named(manifest: Manifest, name: str) -> Subject:
    """The subject whose file name starts with `name.`."""
    for subject in manifest.subjects:
        if subject.name.rsplit("/", 1)[-1].startswith(f"{name}."):
            return subject
    raise StageRefused(f"{manifest.ref.path} has no {name}; the stage before was made by another version")


def chart_of(tenant: Tenant) -> Chart:
    """The tenant's chart as the accounting room takes it."""
    chart = tenant.chart
    return Chart(chart.names, chart.separator, chart.balancing, chart.summary_defaults)


def controls_of(checks: Iterable[CheckOutcome]) -> list[Control]:
    """The checks that protect money, as the manifest's controls."""
    return [Control(check.name, check.right, check.left, check.ok) for check in checks if check.blocking]


def chain_verified(manifest: Manifest) -> CheckOutcome:
    """What `NightContext.gate` proved on the way in: it raises rather than hand over an unverified manifest."""
    head = manifest.ref.sha256[:16]
    return CheckOutcome(
        "chain_verified",
        ok=True,
        blocking=True,
        left=head,
        right=head,
        difference="none",
        summary="signatures and digests verified back to the extraction",
    )


def money_sums(
    frame: pl.DataFrame, *, debit: str = "debit_cents", credit: str = "credit_cents"
) -> dict[str, str]:
    """Debits and credits of journal lines as decimal text."""
    return {
        "debits": cents_text(int(frame[debit].sum() or 0)),
        "credits": cents_text(int(frame[credit].sum() or 0)),
    }
