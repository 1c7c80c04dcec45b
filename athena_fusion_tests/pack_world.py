"""A small business day of two entities with its evidence pack, for the tests of assurance."""

from datetime import date
from pathlib import Path

from trust_world import DAY, World, make_world

from athena_fusion.assurance.pack import PackEntry, PackResult, build_pack
from athena_fusion.trust.manifest import Control, ManifestRef

ZIP = b"PK-journal-of-"
PHI = b"PATIENT CANARY ROWS"


def sign_day(world: World, unit: str, *, controls_ok: bool = True) -> list[ManifestRef]:
    """The chain of one entity from extract to readback."""
    raw = world.subject(f"raw/{unit}/transactions.csv", PHI + unit.encode(), carried=False)
    package = world.subject(
        f"assets/journal_fbdi/{unit}/01.zip", ZIP + unit.encode(), media_type="application/zip"
    )
    rows = world.subject(f"assets/journal_readback/{unit}.csv", b"LINE_KEY,DR\nx,1.00\n")
    control = Control("T10", "1.00", "1.00" if controls_ok else "2.00", ok=controls_ok)
    refs = [world.sign("extract", unit=unit, subjects=[raw], row_count=1)]
    refs.append(world.sign("transform", unit=unit, prev=refs[-1:], sums={"entered_dr": "1.00"}))
    refs.append(world.sign("package", unit=unit, prev=refs[-1:], subjects=[package]))
    refs.append(
        world.sign("readback", unit=unit, prev=refs[-1:], subjects=[rows, package], controls=[control])
    )
    return refs


def pack(
    world: World, *, units: tuple[str, ...] = ("101", "102"), day: date = DAY, **changes: object
) -> PackResult:
    """Build the pack of `day`, whose entity chains exist already; a unit without one is entered as missing."""
    heads = {u: world.book.latest(stage="readback", flow="rcm-gl", unit=u, business_date=day) for u in units}
    fields: dict = {
        "store": world.store,
        "book": world.book,
        "keys": world.keys,
        "audit": world.audit,
        "clock": world.clock,
        "business_date": day,
        "run_id": "run-pack",
        "entries": [PackEntry(u, "rcm-gl", head, "" if head else "no extract") for u, head in heads.items()],
        "reconciliation": {"results": [{"id": "T1", "expected": "1.00", "actual": "1.00", "ok": True}]},
        "decisions": [{"actor": "fin-01", "action": "approve", "item": "q-1"}],
    }
    return build_pack(**(fields | changes))


def make_pack(folder: Path, units: tuple[str, ...] = ("101", "102")) -> tuple[World, PackResult]:
    world = make_world(folder)
    for unit in units:
        sign_day(world, unit)
    return world, pack(world, units=units)
