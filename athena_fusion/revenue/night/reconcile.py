"""03:00: the extracted rows against athenaOne's own totals (T1, T7), before anything is made of them."""

from datetime import date

import polars as pl

from athena_fusion.accounting.controls import Control
from athena_fusion.athenaone.dataview import deliveries
from athena_fusion.money import cents_display, cents_text
from athena_fusion.revenue.dataview_source import ACTIVITY, AR
from athena_fusion.revenue.night.context import NightContext, controls_of, subject_named
from athena_fusion.revenue.night.extract import RAW
from athena_fusion.revenue.night.outcomes import summarise
from athena_fusion.revenue.quarantine import explanation, stand_ins, still_quarantined
from athena_fusion.revenue.stage import StageResult
from athena_fusion.revenue.totals import balances_moved, roll_forward, t1, t7
from athena_fusion.revenue.transactions import latest_versions
from athena_fusion.trust.manifest import Manifest

AR_MOVED, UNAPPLIED_MOVED = "ar_since_go_live", "unapplied_since_go_live"
"""Sums of the manifest: what athenaOne's own report says moved; the day's ledger compares Fusion with them."""


def reconcile_source(ctx: NightContext, entity: str, batch_date: date, run_id: str) -> StageResult:
    """Prove the extraction: rows and sums per type and post date, and the A/R roll-forward per day."""
    extracted = ctx.gate("extract", entity, batch_date)
    rows = current_rows(ctx, entity, batch_date)
    activity, ar = _reports(ctx, extracted)
    owner = ctx.entity(entity, batch_date)
    place = {"entity": entity, "medical_groups": [owner.medical_group_id], "go_live": ctx.tenant.go_live}
    activity_controls = t1(rows, activity, practice_id=ctx.tenant.practice_id, **place)  # type: ignore[arg-type]
    waiting = still_quarantined(_frames(ctx, entity, batch_date, "quarantine"), rows, entity)
    explained = explanation(activity_controls, waiting, ctx.tenant.go_live)
    complete = rows if not explained else pl.concat([rows, stand_ins(activity_controls, entity)])
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
            "quarantinedRows": waiting.height,
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
    return latest_versions(_frames(ctx, entity, until, "rows"))


def _frames(ctx: NightContext, entity: str, until: date, name: str) -> list[pl.DataFrame]:
    """One frame of every extraction up to `until`, oldest first."""
    manifests = ctx.history("extract", entity, ctx.tenant.first_batch_date, until)
    return [ctx.store.read_frame(subject_named(found, name).name) for found in manifests]


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
