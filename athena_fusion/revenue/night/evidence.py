"""06:00, second half: the signed pack that proves the day, verified, delivered, its head published."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from sqlalchemy import select

from athena_fusion.assurance.pack import PackEntry, build_pack, latest_pack
from athena_fusion.assurance.publish import deliver_pack, parse_target, publish_head
from athena_fusion.assurance.verify import verify_pack
from athena_fusion.delivery.queue import Item
from athena_fusion.money import cents_text
from athena_fusion.revenue.night.context import (
    FLOW,
    NightContext,
)
from athena_fusion.revenue.night.ledger import (
    STAGES,
    EntityNight,
    day_ledger,
    entity_nights,
    receivables,
    receivables_preview,
)
from athena_fusion.revenue.stage import CheckOutcome, StageResult
from athena_fusion.storage.schema import decision, exception_item
from athena_fusion.trust.manifest import DAY_UNIT


def issue_evidence(ctx: NightContext, batch_date: date, run_id: str) -> StageResult:
    """Build, sign, verify and deliver the day's pack, and publish its head outside the store."""
    nights = entity_nights(ctx, batch_date)
    day = ctx.book.latest(stage="reconcile", flow=FLOW, unit=DAY_UNIT, business_date=batch_date)
    entries = [
        PackEntry(night.entity, FLOW, night.head.ref if night.head else None, night.stopped_by)
        for night in nights
    ]
    if day is not None:
        entries.append(PackEntry(DAY_UNIT, FLOW, day))
    pack = build_pack(
        store=ctx.store,
        book=ctx.book,
        keys=ctx.keys,
        audit=ctx.audit,
        clock=ctx.clock,
        business_date=batch_date,
        run_id=run_id,
        entries=entries,
        reconciliation=_reconciliation(ctx, batch_date, nights),
        decisions=_decisions(ctx, batch_date),
        previous_pack=latest_pack(ctx.book, batch_date - timedelta(days=1)),
    )
    with ctx.store.local_folder(pack.folder) as folder:
        report = verify_pack(folder)
    findings = "; ".join(f"{found.file}: {found.reason}" for found in report.findings[:3])
    check = CheckOutcome(
        "pack_verifies",
        ok=not report.findings,
        blocking=True,
        left=report.head[:16],
        right=pack.head_sha256[:16],
        difference=str(len(report.findings)),
        summary=findings
        or f"{report.manifests} manifests and {report.files} files verified, head {report.head}",
    )
    notes = {"pack": pack.path, "head": pack.head_sha256, "attempt": str(pack.attempt)}
    if check.ok:
        evidence = ctx.tenant.evidence
        way_out = parse_target(evidence.delivery.model_dump(exclude_none=True))
        outside = parse_target(evidence.head_publication.model_dump(exclude_none=True))
        deliver_pack(pack, way_out, store=ctx.store, audit=ctx.audit)
        publish_head(pack, outside, store=ctx.store, audit=ctx.audit)
        notes |= {"delivered_to": way_out.describe(), "head_published_at": outside.describe()}
    return StageResult(
        "pack",
        DAY_UNIT,
        pack.manifest,
        rows=report.files,
        sums={},
        checks=[check],
        preview=[{"entity": n.entity, "last stage": n.stage, "state": n.state} for n in nights],
        notes=notes,
    )


def _reconciliation(ctx: NightContext, batch_date: date, nights: Sequence[EntityNight]) -> dict[str, object]:
    ledger = day_ledger(ctx, batch_date)
    return {
        "flow": FLOW,
        "tenant": ctx.tenant.name,
        "tenantVersion": ctx.tenant.version_hash,
        "complete": all(night.finished for night in nights),
        "entities": [
            {
                "entity": night.entity,
                "lastStage": night.stage,
                "state": night.state,
                "controls": [
                    {"id": c.id, "expected": c.expected, "actual": c.actual, "ok": c.ok}
                    for stage in STAGES
                    if (found := ctx.manifest(stage, night.entity, batch_date)) is not None
                    for c in found.controls
                ],
            }
            for night in nights
        ],
        "ledger": [
            {
                "entity": row["entity"],
                "category": row["category"],
                "lines": row["rows"],
                "sent": cents_text(row["sent_cents"]),
                "inFusion": cents_text(row["fusion_cents"]),
                "state": row["state"],
                "attempt": row["attempt"],
            }
            for row in ledger.iter_rows(named=True)
        ],
        "balancesSinceGoLive": receivables_preview(receivables(ctx, batch_date, nights)),
        "queue": [_queue_entry(item) for item in ctx.queue.list_items(batch_date=batch_date.isoformat())],
    }


def _queue_entry(item: Item) -> dict[str, object]:
    found = item.finding
    return {
        "id": item.id,
        "entity": found.entity,
        "kind": str(found.kind),
        "stage": found.stage,
        "code": found.code,
        "reason": found.reason,
        "amount": cents_text(found.amount_cents),
        "status": str(item.status),
    }


def _decisions(ctx: NightContext, batch_date: date) -> list[Mapping[str, object]]:
    """What people decided about the day's queue items, oldest first."""
    query = (
        select(decision, exception_item.c.entity)
        .join(exception_item, exception_item.c.id == decision.c.item_id)
        .where(exception_item.c.batch_date == batch_date.isoformat())
        .order_by(decision.c.created_at, decision.c.id)
    )
    with ctx.database.begin() as connection:
        rows = connection.execute(query).all()
    return [
        {
            "id": row.id,
            "item": row.item_id,
            "entity": row.entity,
            "actor": row.actor,
            "action": row.action,
            "detail": json.loads(row.detail),
            "at": row.created_at,
        }
        for row in rows
    ]
