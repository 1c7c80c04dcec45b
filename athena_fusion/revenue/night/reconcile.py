"""03:00: the extracted rows against athenaOne's own totals (T1, T7), before anything is made of them."""

from datetime import date

import polars as pl

from athena_fusion.accounting.controls import Control
from athena_fusion.athenaone.dataview import deliveries
from athena_fusion.delivery.queue import Item
from athena_fusion.money import cents_display, cents_text
from athena_fusion.revenue.dataview_source import ACTIVITY, AR
from athena_fusion.revenue.night.context import NightContext, controls_of, subject_named
from athena_fusion.revenue.night.extract import QUARANTINED, RAW, UNATTRIBUTED
from athena_fusion.revenue.night.outcomes import summarise
from athena_fusion.revenue.stage import StageResult
from athena_fusion.revenue.totals import balances_moved, roll_forward, t1, t7
from athena_fusion.revenue.transactions import TRANSACTIONS, latest_versions
from athena_fusion.trust.manifest import Manifest

AR_MOVED, UNAPPLIED_MOVED = "ar_since_go_live", "unapplied_since_go_live"
"""Sums of the manifest: what athenaOne's own report says moved; the day's ledger compares Fusion with them."""

CRITICAL_CENTS = 1_000_000
"""A variance from which an entity's load stops, whatever explains it (domain section 9: 10,000.00)."""


def reconcile_source(ctx: NightContext, entity: str, batch_date: date, run_id: str) -> StageResult:
    """Prove the extraction: rows and sums per type and post date, and the A/R roll-forward per day."""
    extracted = ctx.gate("extract", entity, batch_date)
    rows = current_rows(ctx, entity, batch_date)
    activity, ar = _reports(ctx, extracted)
    owner = ctx.entity(entity, batch_date)
    place = {"entity": entity, "medical_groups": [owner.medical_group_id], "go_live": ctx.tenant.go_live}
    activity_controls = t1(rows, activity, practice_id=ctx.tenant.practice_id, **place)  # type: ignore[arg-type]
    waiting = _waiting(ctx, entity)
    explained = _explained(activity_controls, waiting)
    complete = rows if not explained else pl.concat([rows, _stand_ins(activity_controls, entity)])
    balance_controls = t7(complete, ar, **place)  # type: ignore[arg-type]  # the names are the parameters
    checks = [
        summarise("t1_activity_totals", activity_controls, explained=explained),
        summarise("t7_receivables_rollforward", balance_controls),
    ]
    today = roll_forward(rows).filter(pl.col("post_date") == batch_date)
    sums = {name: cents_text(int(today[name].sum())) for name in today.columns[1:]}
    if ar is not None:
        groups, go_live = [owner.medical_group_id], ctx.tenant.go_live
        moved, unapplied = balances_moved(ar, medical_groups=groups, go_live=go_live)
        sums |= {AR_MOVED: cents_text(moved), UNAPPLIED_MOVED: cents_text(unapplied)}
    ref = ctx.sign(
        "reconcile",
        entity,
        batch_date,
        run_id,
        subjects=[],
        prev=[extracted.ref],
        rows=rows.height,
        sums=sums,
        source={
            "system": "athenaOne reports",
            "figures": len(activity_controls) + len(balance_controls),
            "quarantinedRows": len(waiting),
        },
        controls=controls_of(checks),
    )
    return StageResult(
        "reconcile",
        entity,
        ref,
        rows=rows.height,
        sums=sums,
        checks=checks,
        preview=_differences(activity_controls + balance_controls),
        notes={"reports": "present" if activity is not None and ar is not None else "missing: unproven"},
    )


def current_rows(ctx: NightContext, entity: str, until: date) -> pl.DataFrame:
    """The current version of every canonical row of the entity known with the night of `until`."""
    manifests = ctx.history("extract", entity, ctx.tenant.first_batch_date, until)
    return latest_versions([ctx.store.read_frame(subject_named(found, "rows").name) for found in manifests])


def _reports(ctx: NightContext, extracted: Manifest) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
    """The two reports of the newest delivery in the window, from the bytes that were kept and signed."""
    names = {s.name.split("/")[2] for s in extracted.subjects if s.name.startswith(f"{RAW}/")}
    with ctx.store.local_folder(RAW) as folder:
        newest = next(
            found for found in reversed(deliveries(folder, None, ctx.clock.now())) if found.name in names
        )
        return (
            newest.read(ACTIVITY) if newest.has(ACTIVITY) else None,
            newest.read(AR) if newest.has(AR) else None,
        )


def _waiting(ctx: NightContext, entity: str) -> list[Item]:
    items = ctx.queue.list_items(kind=QUARANTINED)
    return [item for item in items if item.finding.entity in (entity, UNATTRIBUTED)]


def _explained(controls: list[Control], waiting: list[Item]) -> str:
    """What accounts for every T1 difference, or "": exactly the rows in quarantine, below the critical amount.

    The report must have more than we do, by at least the entity's own quarantined rows and at most those and the
    rows nobody could attribute; a row whose amount is unreadable is taken at the report's.
    """
    bad = [control for control in controls if not control.ok]
    if not bad or not waiting or any(control.difference is None for control in bad):
        return ""
    missing = [-(c.difference or 0) for c in bad if c.unit == "rows"]
    own = len({item.finding.subject for item in waiting if item.finding.entity != UNATTRIBUTED})
    anybody = len({item.finding.subject for item in waiting})
    if min(missing, default=0) < 0 or not own <= sum(missing) <= anybody:
        return ""
    at_stake = sum(abs(c.difference or 0) for c in bad if c.unit == "cents")
    if at_stake >= CRITICAL_CENTS:
        return ""
    return f"{sum(missing)} quarantined rows, {cents_display(at_stake)} at stake"


def _stand_ins(controls: list[Control], entity: str) -> pl.DataFrame:
    """One row per type and post date for what is quarantined, so that the roll-forward is still proven."""
    made = []
    for control in controls:
        if control.unit == "cents" and control.difference:
            _, day, kind = control.scope.split(" ")
            raw = -control.difference
            amount = -raw if kind in ("PAYMENT", "ADJUSTMENT") else raw
            made.append(
                {
                    "row_id": f"quarantine {control.scope}",
                    "entity": entity,
                    "transaction_type": kind,
                    "post_date": date.fromisoformat(day),
                    "raw_cents": raw,
                    "amount_cents": amount,
                }
            )
    return pl.DataFrame(made, schema_overrides=TRANSACTIONS).select(
        pl.col(name) if made and name in made[0] else pl.lit(None, kind).alias(name)
        for name, kind in TRANSACTIONS.items()
    )


def _differences(controls: list[Control]) -> list[dict[str, str]]:
    return [
        {
            "tie-out": control.id,
            "scope": control.scope,
            "athenaFusion": _text(control, control.left),
            "athenaOne": _text(control, control.right),
        }
        for control in controls
        if not control.ok
    ][:20]


def _text(control: Control, value: int | None) -> str:
    if value is None:
        return "missing"
    return str(value) if control.unit == "rows" else cents_display(value)
