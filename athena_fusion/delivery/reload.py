"""Reload after correction: the rejected group is purged and a next attempt with equal totals takes its place.

A press is one decision per queue item and attempt. Pressing again, or starting again after a crash anywhere, goes
on with the attempt that was begun; another attempt needs a press on that one's own findings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from athena_fusion.clock import iso_z
from athena_fusion.delivery import gate, states
from athena_fusion.delivery.findings import DeliveryError
from athena_fusion.delivery.package import Package
from athena_fusion.delivery.proof import Proof
from athena_fusion.delivery.queue import (
    Correction,
    Item,
    Kind,
    Status,
    items_of,
    record_decision,
    set_status,
)
from athena_fusion.delivery.readback import prove
from athena_fusion.delivery.states import IntentRow
from athena_fusion.delivery.submission import JournalDelivery, LoadResult

Rebuild = Callable[[Package, int, Mapping[str, Correction]], Package]
"""Builds and signs the package again: (rejected package, new attempt, corrections by line key) -> new package."""


class ReloadRefused(DeliveryError):
    """The reload was not begun; nothing was purged and nothing was sent."""


@dataclass(frozen=True)
class Reloaded:
    """The new attempt: how its load went and, once the import ended, what the read-back proved."""

    package: Package
    load: LoadResult
    proof: Proof | None

    @property
    def ok(self) -> bool:
        """Whether the new attempt is proven."""
        return self.proof is not None and self.proof.ok


def reload(delivery: JournalDelivery, intent_key: str, actor: str, rebuild: Rebuild) -> Reloaded:
    """Load the attempt that replaces the failed one under `intent_key`.

    Refused while a finding that needs a person is not corrected, while any line of the group stands in the
    ledger, and for a rebuilt package with other totals or line keys. `rebuild` must give the same bytes for the
    same corrections.
    """
    old = delivery.find(intent_key)
    if old is None:
        raise ReloadRefused(f"There is no load {intent_key}.")
    new = delivery.find(old.package.intent.again().key)
    if new is None:
        new = _begin(delivery, old, actor, rebuild)
    (load,) = delivery.load([new.package])
    proof = prove(delivery, [new.package])[0] if load.ok else None
    return Reloaded(new.package, load, proof)


def _begin(delivery: JournalDelivery, old: IntentRow, actor: str, rebuild: Rebuild) -> IntentRow:
    """Check, rebuild and record the new attempt; from then on every press goes on with it."""
    if old.state not in states.PURGING:
        raise ReloadRefused(f"{old.key} is {old.state}; only a load that failed can be replaced.")
    with delivery.database.begin() as connection:
        items = items_of(connection, old.key)
    _refuse_uncorrected(old, items)
    found = delivery.patiently(lambda: delivery.rows_in_fusion(old.package))
    if len(found.filter(pl.col("origin") == "BASE")):
        raise ReloadRefused(
            f"{old.key}: the ledger holds lines of this group; another attempt would post them twice. "
            "Nothing was purged or sent. Reverse the surplus in Fusion, or read back again."
        )
    package = rebuild(old.package, old.package.intent.attempt + 1, corrections(items))
    _refuse_other(delivery, old.package, package)
    gate.admit(package, delivery.book, delivery.store)
    delivery.audit.append(
        "fusion.reload", "ok", intent=old.key, next=package.intent.key, actor=actor, items=str(len(items))
    )
    now = delivery.clock.now()
    with delivery.database.begin() as connection:
        begun = states.find(connection, package.intent.key)
        if begun is not None:  # the same button was pressed at the same moment
            return begun
        new = states.plan(connection, package, now)
        for item in items:
            detail = {"intent": old.key, "next": package.intent.key}
            attempt = package.intent.attempt
            record_decision(connection, item.id, actor, "reload", detail, iso_z(now), attempt)
        set_status(connection, [item.id for item in items], Status.RELOADED, now)
        return new


def corrections(items: list[Item]) -> dict[str, Correction]:
    """What people changed, by line key."""
    return {item.finding.subject: item.correction for item in items if item.correction is not None}


def _refuse_uncorrected(old: IntentRow, items: list[Item]) -> None:
    waiting = [item for item in items if item.finding.kind != Kind.HELD and item.status is Status.OPEN]
    if waiting:
        first = waiting[0].finding
        raise ReloadRefused(
            f"{old.key}: {len(waiting)} finding(s) are not corrected yet, the first is {first.subject} "
            f"({first.code or first.kind}). Nothing was purged or sent. Correct them, then reload."
        )


def _refuse_other(delivery: JournalDelivery, old: Package, new: Package) -> None:
    def refuse(why: str) -> None:
        raise ReloadRefused(f"{new.intent.key}: {why}. Nothing was purged or sent.")

    if new.intent != old.intent.again():
        refuse(
            f"the rebuilt package belongs to {new.intent.key}, not to the next attempt of {old.intent.key}"
        )
    if new.group_id == old.group_id:
        refuse("a reload needs a group id of its own")
    if new.totals != old.totals:
        refuse(f"rows and sums {new.totals} differ from {old.totals} (rows, debit cents, credit cents)")
    keys = [set(delivery.store.read_frame(p.lines, ["line_key"]).to_series()) for p in (old, new)]
    if keys[0] != keys[1]:
        refuse("the line keys are not the same")
