"""06:00, first half: the ledger of the day over all entities, and whether Fusion ties to athenaOne."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl
from sqlalchemy import func as sql
from sqlalchemy import select

from athena_fusion.accounting.combinations import ACCOUNT
from athena_fusion.accounting.matrix import CATEGORY_WORDS
from athena_fusion.delivery.queue import Status
from athena_fusion.delivery.states import PROVED, State
from athena_fusion.money import cents_display, cents_text, parse_cents
from athena_fusion.revenue.night.context import (
    FLOW,
    NightContext,
    asset_folder,
    chart_of,
    controls_of,
    subject_named,
)
from athena_fusion.revenue.night.extract import UNATTRIBUTED
from athena_fusion.revenue.night.reconcile import AR_MOVED, UNAPPLIED_MOVED
from athena_fusion.revenue.stage import CheckOutcome, StageResult
from athena_fusion.storage.schema import intent as intents
from athena_fusion.storage.schema import sent_amount
from athena_fusion.trust.manifest import CARRIED, DAY_UNIT, Manifest

STAGES = ("extract", "reconcile", "transform", "package", "submit", "readback")

LEDGER = {
    "entity": pl.String,
    "category": pl.String,
    "rows": pl.Int64,
    "sent_cents": pl.Int64,
    "fusion_cents": pl.Int64,
    "state": pl.String,
    "attempt": pl.Int64,
}


@dataclass(frozen=True)
class EntityNight:
    """How far one entity got: the last stage it signed, its manifest, and what stopped it in words.

    `waiting` items of this and earlier nights, worth `waiting_cents`, are held or quarantined: not in Fusion yet.
    """

    entity: str
    stage: str
    head: Manifest | None
    stopped_by: str
    waiting: int = 0
    waiting_cents: int = 0

    @property
    def finished(self) -> bool:
        """Whether its journals are read back and proven."""
        return self.stage == "readback" and not self.stopped_by

    @property
    def state(self) -> str:
        """One phrase for people."""
        open_items = (
            f"; {self.waiting} items wait, {cents_display(self.waiting_cents)}" if self.waiting else ""
        )
        return (self.stopped_by or "reconciled") + open_items


def reconcile_ledger(ctx: NightContext, batch_date: date, run_id: str) -> StageResult:
    """Per entity and category: what was sent, what Fusion holds, and the difference. Missing entities are named."""
    nights = entity_nights(ctx, batch_date)
    ledger = day_ledger(ctx, batch_date)
    kept = ctx.keep(
        asset_folder("reconciliation", "ledger_reconciliation", batch_date, DAY_UNIT),
        "ledger",
        ledger,
        carried=CARRIED,
    )
    ties = receivables(ctx, batch_date, nights)
    checks = [_t10(ledger, nights), _ties(ties), _t13(ctx, batch_date, nights), _present(ctx, nights)]
    sums = {
        "sent": cents_text(_total(ledger, "sent_cents")),
        "fusion": cents_text(_total(ledger, "fusion_cents")),
    }
    ref = ctx.sign(
        "reconcile",
        DAY_UNIT,
        batch_date,
        run_id,
        subjects=[kept],
        prev=[night.head.ref for night in nights if night.head is not None],
        rows=ledger.height,
        sums=sums,
        controls=controls_of(checks),
    )
    return StageResult(
        "reconcile",
        DAY_UNIT,
        ref,
        rows=int(ledger["rows"].sum()),
        sums=sums,
        checks=checks,
        preview=ledger_preview(ledger),
        notes={"entities": str(len(nights))}
        | {f"entity {n.entity}": n.state for n in nights if not n.finished or n.waiting}
        | {f"{tie.entity} {tie.measure}": _said(tie) for tie in ties if not tie.ok},
    )


@dataclass(frozen=True)
class LedgerView:
    """The day as `athena-fusion day show` prints it: rows for people, and the state of every entity."""

    batch_date: date
    rows: list[dict[str, str]]
    balances: list[dict[str, str]]
    states: dict[str, str]
    ties: bool

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "batchDate": self.batch_date.isoformat(),
            "ties": self.ties,
            "entities": self.states,
            "balances": self.balances,
            "ledger": self.rows,
        }


def ledger_view(ctx: NightContext, batch_date: date) -> LedgerView:
    """The day's ledger as it stands now."""
    nights = entity_nights(ctx, batch_date)
    ties = receivables(ctx, batch_date, nights)
    return LedgerView(
        batch_date,
        ledger_preview(day_ledger(ctx, batch_date)),
        receivables_preview(ties),
        {night.entity: night.state for night in nights},
        all(night.finished and not night.waiting for night in nights) and all(tie.ok for tie in ties),
    )


def entity_nights(ctx: NightContext, batch_date: date) -> list[EntityNight]:
    """Every entity in effect on the day, with its newest stage."""
    return [_night(ctx, owner.entity, batch_date) for owner in ctx.tenant.entities_on(batch_date)]


def day_ledger(ctx: NightContext, batch_date: date) -> pl.DataFrame:
    """One row per entity and category that left for Fusion (LEDGER); a superseded attempt is left out."""
    query = (
        select(intents)
        .where(intents.c.flow == FLOW, intents.c.batch_date == batch_date.isoformat())
        .order_by(intents.c.entity, intents.c.category, intents.c.attempt)
    )
    with ctx.database.begin() as connection:
        rows = connection.execute(query).all()
    return pl.DataFrame(
        [
            (
                row.entity,
                CATEGORY_WORDS[row.category],
                row.rows,
                row.debit_cents,
                row.debit_cents if row.state in PROVED else 0,
                row.state,
                row.attempt,
            )
            for row in rows
            if row.state != State.PURGED
        ],
        schema=LEDGER,
        orient="row",
    )


def ledger_preview(ledger: pl.DataFrame) -> list[dict[str, str]]:
    """The ledger for people, a line per entity and category."""
    return [
        {
            "entity": row["entity"],
            "category": row["category"],
            "lines": str(row["rows"]),
            "sent": cents_display(row["sent_cents"]),
            "in Fusion": cents_display(row["fusion_cents"]),
            "difference": cents_display(row["sent_cents"] - row["fusion_cents"]),
            "attempt": str(row["attempt"]),
        }
        for row in ledger.iter_rows(named=True)
    ]


@dataclass(frozen=True)
class Tie:
    """One balance of one entity since go-live: moved by athenaOne's own report, and by what Fusion is proven to hold.

    `athenaone_cents` is None where the report was not delivered: the tie is then unproven.
    """

    entity: str
    measure: str
    athenaone_cents: int | None
    fusion_cents: int

    @property
    def ok(self) -> bool:
        """Equal to the cent."""
        return self.athenaone_cents == self.fusion_cents


def receivables(ctx: NightContext, batch_date: date, nights: Sequence[EntityNight]) -> list[Tie]:
    """A/R and unapplied money of every entity: athenaOne's A/R report against Fusion's accounts.

    The two sides share nothing on the way: the report is athenaOne's own, the other is what was read back from
    Fusion. Whatever is held, quarantined or refused shows here as a difference until it is posted.
    """
    accounts = ctx.tenant.accounts
    sides = {
        "A/R": (AR_MOVED, {a.account for role, a in accounts.items() if role.startswith("ar_")}, 1),
        "unapplied": (UNAPPLIED_MOVED, {accounts["unapplied"].account}, -1),
    }
    proven = _proven_by_account(ctx, batch_date)
    found = []
    for night in nights:
        reconciled = ctx.manifest("reconcile", night.entity, batch_date)
        for measure, (name, numbers, sign) in sides.items():
            reported = None if reconciled is None else reconciled.sums.get(name)
            held = sum(proven.get((night.entity, number), 0) for number in numbers)
            found.append(
                Tie(night.entity, measure, None if reported is None else parse_cents(reported), sign * held)
            )
    return found


def receivables_preview(ties: Sequence[Tie]) -> list[dict[str, str]]:
    """The ties for people."""
    return [
        {
            "entity": tie.entity,
            "balance": tie.measure,
            "athenaOne": "not delivered"
            if tie.athenaone_cents is None
            else cents_display(tie.athenaone_cents),
            "Fusion": cents_display(tie.fusion_cents),
            "difference": ""
            if tie.athenaone_cents is None
            else cents_display(tie.athenaone_cents - tie.fusion_cents),
        }
        for tie in ties
    ]


def _proven_by_account(ctx: NightContext, until: date) -> dict[tuple[str, str], int]:
    """Net debits per entity and account that Fusion is proven to hold from nights up to `until`."""
    query = (
        select(
            sent_amount.c.entity,
            sent_amount.c.combination,
            (sql.sum(sent_amount.c.debit_cents) - sql.sum(sent_amount.c.credit_cents)).label("net"),
        )
        .join(intents, intents.c.intent_key == sent_amount.c.intent_key)
        .where(intents.c.batch_date <= until.isoformat())
        .group_by(sent_amount.c.entity, sent_amount.c.combination)
    )
    chart, net = chart_of(ctx.tenant), dict[tuple[str, str], int]()
    position = chart.segments.index(ACCOUNT)
    with ctx.database.begin() as connection:
        for entity, combination, cents in connection.execute(query):
            key = entity, combination.split(chart.separator)[position]
            net[key] = net.get(key, 0) + int(cents)
    return net


def _night(ctx: NightContext, entity: str, batch_date: date) -> EntityNight:
    """Follow the stages as long as each rests on the newest of the one before."""
    head: Manifest | None = None
    for stage in STAGES:
        found = ctx.manifest(stage, entity, batch_date)
        if found is None or (head is not None and head.ref not in found.prev):
            break
        head = found
    items = [
        item.finding.amount_cents
        for item in ctx.queue.list_items(entity=entity, status=[Status.OPEN])
        if item.finding.stage in ("extract", "transform")
        and item.finding.batch_date <= batch_date.isoformat()
    ]
    if head is None:
        return EntityNight(entity, "", None, "nothing was extracted", len(items), sum(items))
    failed = next((control for control in head.controls if not control.ok), None)
    if failed is not None:
        stopped = f"{failed.id} failed: {failed.actual} against {failed.expected}"
    else:
        stopped = "" if head.stage == "readback" else f"stopped after {head.stage}"
    return EntityNight(entity, head.stage, head, stopped, len(items), sum(items))


def _t10(ledger: pl.DataFrame, nights: Sequence[EntityNight]) -> CheckOutcome:
    sent, held = _total(ledger, "sent_cents"), _total(ledger, "fusion_cents")
    open_units = [night.entity for night in nights if night.head is not None and not night.finished]
    said = f"{ledger.height} groups of {len(nights)} entities"
    if open_units:
        said += f"; not proven: {', '.join(open_units)}"
    return CheckOutcome(
        "t10_sent_equals_imported",
        ok=sent == held and not open_units,
        blocking=True,
        left=cents_display(sent),
        right=cents_display(held),
        difference=cents_display(sent - held),
        summary=said,
    )


def _said(tie: Tie) -> str:
    reported = "nothing" if tie.athenaone_cents is None else cents_display(tie.athenaone_cents)
    return f"{reported} reported by athenaOne, {cents_display(tie.fusion_cents)} in Fusion"


def _ties(ties: Sequence[Tie]) -> CheckOutcome:
    reported = sum(tie.athenaone_cents or 0 for tie in ties)
    held = sum(tie.fusion_cents for tie in ties)
    bad = [f"{tie.entity} {tie.measure}" for tie in ties if not tie.ok]
    return CheckOutcome(
        "fusion_ties_to_athenaone",
        ok=not bad,
        blocking=True,
        left=cents_display(reported),
        right=cents_display(held),
        difference=cents_display(reported - held),
        summary=f"{len(ties) - len(bad)} of {len(ties)} balances tie"
        + (f"; open: {', '.join(bad)}" if bad else ""),
    )


def _t13(ctx: NightContext, batch_date: date, nights: Sequence[EntityNight]) -> CheckOutcome:
    """What the read-backs of the day put on the suspense account, which must be nothing."""
    total = 0
    for night in nights:
        found = ctx.manifest("readback", night.entity, batch_date)
        if found is not None:
            lines = ctx.store.read_frame(subject_named(found, "readback").name)
            on_suspense = chart_of(ctx.tenant).segment(ACCOUNT) == ctx.tenant.chart.suspense_account
            total += int(
                lines.filter(on_suspense).select(pl.col("debit_cents") - pl.col("credit_cents")).sum().item()
            )
    return CheckOutcome(
        "t13_suspense_is_zero",
        ok=total == 0,
        blocking=True,
        left=cents_display(total),
        right=cents_display(0),
        difference=cents_display(total),
        summary=f"account {ctx.tenant.chart.suspense_account} over all lines read back",
    )


def _present(ctx: NightContext, nights: Sequence[EntityNight]) -> CheckOutcome:
    missing = [f"{night.entity} ({night.state})" for night in nights if not night.finished or night.waiting]
    if nobodys := ctx.queue.list_items(entity=UNATTRIBUTED, status=[Status.OPEN]):
        missing.append(f"{len(nobodys)} quarantined rows belong to no known entity")
    return CheckOutcome(
        "every_entity_present",
        ok=not missing,
        blocking=False,
        left=str(sum(night.finished for night in nights)),
        right=str(len(nights)),
        difference=str(len(missing)),
        summary="every entity finished, nothing waits" if not missing else "; ".join(missing),
    )


def _total(ledger: pl.DataFrame, column: str) -> int:
    return int(ledger[column].sum())
