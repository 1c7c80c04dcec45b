"""02:00: one entity's change window, frozen, its raw bytes kept, its rows canonical or in quarantine."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
from sqlalchemy import select

from athena_fusion.athenaone.arrivals import CONTROL, DataViewError, day_end
from athena_fusion.athenaone.dataview import deliveries, table_columns
from athena_fusion.clock import iso_z
from athena_fusion.delivery.queue import Finding
from athena_fusion.money import cents_display, cents_text
from athena_fusion.revenue.dataview_rows import TABLES
from athena_fusion.revenue.dataview_source import DataViewSource
from athena_fusion.revenue.night.context import (
    FLOW,
    NightContext,
    StageRefused,
    asset_folder,
    controls_of,
    subject_named,
)
from athena_fusion.revenue.source import SourceExtract, Window
from athena_fusion.revenue.stage import CheckOutcome, StageResult
from athena_fusion.storage.artifacts import sha256_hex
from athena_fusion.storage.schema import watermark
from athena_fusion.trust.manifest import Manifest, Subject
from athena_fusion.trust.rowset import Column, rowset

SOURCE = "dataview"
RAW = "raw/dataview"
QUARANTINED = "QUARANTINED"
UNATTRIBUTED = "_unattributed"
"""In place of an entity for rows that belong to no known one: everybody's concern."""

_ROW_COLUMNS = (
    Column("row_id", "text"),
    Column("transaction_type", "text"),
    Column("post_date", "date"),
    Column("amount_cents", "cents"),
)


def extract(ctx: NightContext, entity: str, batch_date: date, run_id: str) -> StageResult:
    """Read the window of `entity`. The first run freezes it; later ones read the stored bytes again."""
    ctx.entity(entity, batch_date)
    earlier = ctx.manifest("extract", entity, batch_date)
    window = _window(ctx, entity, batch_date) if earlier is None else _frozen(earlier)
    if earlier is None:
        _keep_raw(ctx, window)
    with ctx.store.local_folder(RAW) as folder:
        found = DataViewSource(folder, ctx.tenant.tables["billing_entities"], ctx.tenant.practice_id).extract(
            entity, window
        )
        if earlier is None:
            _require_coverage(ctx, batch_date, found)
        raw = [_raw_subject(file.name, file.path, file.sha256) for file in found.files]
    ctx.audit.append(
        "source.read",
        "ok",
        source=SOURCE,
        entity=entity,
        batch_date=batch_date.isoformat(),
        files=str(len(raw)),
    )
    folder_of = asset_folder("extraction", "rcm_transactions", batch_date, entity)
    kept = ctx.keep(folder_of, "rows", found.rows)
    quarantine = ctx.keep(folder_of, "quarantine", found.quarantined)
    departments = _departments(ctx, batch_date) if earlier is None else _subjects(earlier, "departments")
    _queue(ctx, entity, batch_date, found)
    checks = _checks(found)
    ref = ctx.sign(
        "extract",
        entity,
        batch_date,
        run_id,
        subjects=sorted([*raw, kept, quarantine, *departments], key=lambda subject: subject.name),
        prev=[],
        rows=found.rows.height,
        sums=_sums(found.rows),
        rowset=rowset(found.rows, _ROW_COLUMNS),
        source={
            "system": "athenaOne Data View",
            "after": "" if window.after is None else iso_z(window.after),
            "upTo": iso_z(
                found.high
            ),  # not the clock: what arrives later with an earlier date is the next night's
            "deliveries": len({file.name.split("/")[0] for file in found.files}),
            "rowsRead": sum(found.read.values()),
            "rowsElsewhere": found.elsewhere,
            "rowsQuarantined": found.quarantined.height,
        },
        controls=controls_of(checks),
    )
    _advance(ctx, entity, batch_date, found.high, ref.sha256)
    return StageResult(
        "extract",
        entity,
        ref,
        rows=found.rows.height,
        sums=_sums(found.rows),
        checks=checks,
        preview=_preview(found.rows),
        notes={
            "window": f"{iso_z(window.after) if window.after else 'start'} to {iso_z(window.up_to)}",
            "quarantined": str(found.quarantined.height),
        },
    )


def _window(ctx: NightContext, entity: str, batch_date: date) -> Window:
    """From the watermark to now, but never past the day after the business day: that is the next night's."""
    end = day_end(batch_date + timedelta(days=1), ctx.tenant.zone)
    mine = (watermark.c.source == SOURCE) & (watermark.c.unit == entity)
    with ctx.database.begin() as connection:
        read = connection.execute(select(watermark.c.high, watermark.c.batch_date).where(mine)).one_or_none()
    up_to = min(ctx.clock.now(), end)
    if read is None:
        return Window(None, up_to)
    after = datetime.fromisoformat(read.high)
    if after >= up_to:
        raise StageRefused(
            f"entity {entity} is already read up to {read.high} by the night of {read.batch_date}; "
            f"the night of {batch_date} has nothing of its own and was not made"
        )
    return Window(after, up_to)


def _frozen(earlier: Manifest) -> Window:
    source = earlier.body["source"]
    assert isinstance(source, dict)
    after = str(source["after"])
    return Window(
        datetime.fromisoformat(after) if after else None, datetime.fromisoformat(str(source["upTo"]))
    )


def _keep_raw(ctx: NightContext, window: Window) -> None:
    """Copy every complete delivery up to the cut-off into the store, its control file last.

    Only one that can be read whole gets in, because what is kept is never replaced: a damaged delivery stays
    outside, and the same one is taken when it comes again.
    """
    for delivery in deliveries(Path(ctx.tenant.athenaone.dataview), window.after, window.up_to):
        if ctx.store.exists(f"{RAW}/{delivery.name}/{CONTROL}"):
            continue
        for table in table_columns():
            if table in TABLES or delivery.has(table):
                delivery.read(table)
        for name, path, sha256 in delivery.files():
            data = path.read_bytes() if path.is_file() else b""
            if sha256_hex(data) != sha256:
                raise DataViewError(
                    f"delivery {delivery.name}, {name}: the file is missing or not the one control.csv promises; "
                    "nothing was taken. Ask for the delivery again."
                )
            ctx.store.write_bytes(f"{RAW}/{delivery.name}/{name}", data)


def _require_coverage(ctx: NightContext, batch_date: date, found: SourceExtract) -> None:
    """A delivery made before the business day ended says nothing about the rest of it."""
    if found.high < day_end(batch_date, ctx.tenant.zone):
        raise StageRefused(
            f"the newest Data View delivery is as of {iso_z(found.high)}, before {batch_date} ended; "
            "nothing was extracted. Run again when the night's delivery is complete."
        )


def _departments(ctx: NightContext, batch_date: date) -> list[Subject]:
    """The practice's departments as the API lists them now: a department that X2 misses is seen before its money."""
    listed = [asdict(department) for department in ctx.athenaone.departments()]
    data = json.dumps(listed, sort_keys=True, indent=1).encode()
    path = f"raw/athenanet/{batch_date.isoformat()}/departments.{sha256_hex(data)[:16]}.json"
    stored = ctx.store.write_bytes(path, data, immutable=True)
    return [Subject(stored.path, stored.sha256, stored.size, "application/json", len(listed))]


def _subjects(manifest: Manifest, name: str) -> Iterable[Subject]:
    return [
        subject for subject in manifest.subjects if subject.name.rsplit("/", 1)[-1].startswith(f"{name}.")
    ]


def _raw_subject(name: str, path: Path, sha256: str) -> Subject:
    media_type = "application/vnd.apache.parquet" if path.suffix == ".parquet" else "text/csv"
    return Subject(f"{RAW}/{name}", sha256, path.stat().st_size, media_type)


def _queue(ctx: NightContext, entity: str, batch_date: date, found: SourceExtract) -> None:
    """Quarantined rows wait for a person; those that athenaOne has corrected since are closed."""
    since = ctx.history("extract", entity, batch_date + timedelta(days=1), date.max)
    later = [ctx.store.read_frame(subject_named(m, "rows").name, ["row_id"]) for m in since]
    bad = found.quarantined.join(
        pl.concat([found.rows.select("row_id").clear(), *later]), on="row_id", how="anti"
    )
    ctx.queue.put(
        [
            Finding(
                kind=QUARANTINED,
                stage="extract",
                flow=FLOW,
                entity=row["entity"] or UNATTRIBUTED,
                batch_date=batch_date.isoformat(),
                subject=row["row_id"] or f"{row['file']}:{row['row']}",
                reason=f"{row['file']}, row {row['row']}, column {row['column']}: {row['reason']}",
                amount_cents=abs(row["amount_cents"] or 0),
            )
            for row in bad.iter_rows(named=True)
        ]
    )
    good = set(found.rows["row_id"])
    healed = [
        item.id
        for item in ctx.queue.list_items(kind=QUARANTINED)
        if item.finding.subject in good and item.finding.entity in (entity, UNATTRIBUTED)
    ]
    if healed:
        ctx.queue.resolve(healed, "the row came again without the mistake")


def _checks(found: SourceExtract) -> list[CheckOutcome]:
    read = sum(found.read.values())
    bad = found.quarantined.select("file", "row").unique().height
    accounted = found.rows.height + bad + found.elsewhere + found.superseded
    return [
        CheckOutcome(
            "rows_accounted",
            ok=read == accounted,
            blocking=True,
            left=str(read),
            right=str(accounted),
            difference=str(read - accounted),
            summary=f"{read} rows read: {found.rows.height} canonical, {bad} quarantined, "
            f"{found.elsewhere} of others, {found.superseded} superseded",
        ),
        CheckOutcome(
            "nothing_quarantined",
            ok=bad == 0,
            blocking=False,
            left=str(bad),
            right="0",
            difference=str(bad),
            summary="no row needs a person" if not bad else f"{bad} rows wait in the queue; the rest goes on",
        ),
    ]


def _by_type(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.group_by("transaction_type")
        .agg(pl.len().alias("rows"), pl.col("raw_cents").sum())
        .sort("transaction_type")
    )


def _sums(rows: pl.DataFrame) -> dict[str, str]:
    return {kind.lower(): cents_text(cents) for kind, _, cents in _by_type(rows).iter_rows()}


def _preview(rows: pl.DataFrame) -> list[dict[str, str]]:
    return [
        {"type": kind, "rows": str(count), "amount": cents_display(cents)}
        for kind, count, cents in _by_type(rows).iter_rows()
    ]


def _advance(ctx: NightContext, entity: str, batch_date: date, high: datetime, manifest: str) -> None:
    """Move the watermark; never back, so that a repeated older night cannot open a window twice."""
    mine = (watermark.c.source == SOURCE) & (watermark.c.unit == entity)
    values = {"high": iso_z(high), "batch_date": batch_date.isoformat(), "manifest_sha256": manifest}
    with ctx.database.begin() as connection:
        standing = connection.execute(select(watermark.c.high).where(mine)).scalar_one_or_none()
        if standing is None:
            connection.execute(watermark.insert().values(source=SOURCE, unit=entity, **values))
        elif datetime.fromisoformat(standing) < high:
            connection.execute(watermark.update().where(mine).values(**values))
