"""The money gate against real signed manifests."""

from dataclasses import replace
from datetime import date

import pytest
from sim.delivery_world import BATCH_DATE, START

from athena_fusion.clock import ManualClock
from athena_fusion.delivery.gate import GateRefused, admit
from athena_fusion.trust.keys import KeyRing
from athena_fusion.trust.manifest import Control, ManifestBook, Subject

GOOD = Control("T8", "0.00", "0.00", ok=True)


@pytest.fixture
def book(world):
    keys = KeyRing(world.folder / "signing", ManualClock(START))
    keys.ensure("manifest")
    return ManifestBook(
        world.store, world.database, keys, world.audit, world.clock, {"name": "athena-fusion"}
    )


def sign(book, package, *, controls=(GOOD,), reconciled=(GOOD,), **changes):
    """extract -> reconcile -> package; the package with its manifest."""
    common = {
        "flow": "rcm-gl",
        "unit": "101",
        "business_date": BATCH_DATE,
        "run_id": "r",
        "row_count": 4,
        "sums": {},
    }
    raw = Subject("raw/a", "0" * 64, 1, "text/csv")
    extract = book.sign(stage="extract", attempt=1, subjects=[raw], prev=[], **common)
    reconcile = book.sign(
        stage="reconcile", attempt=1, subjects=[], prev=[extract], controls=list(reconciled), **common
    )
    values = common | {"stage": "package", "attempt": 1} | changes
    subject = Subject(package.path, package.sha256, 1, "application/zip")
    ref = book.sign(subjects=[subject], prev=[reconcile], controls=list(controls), **values)
    return replace(package, manifest=ref)


def test_a_signed_chain_with_passed_controls_lets_the_bytes_through(world, book):
    package = sign(book, world.package())
    assert admit(package, book, world.store) == world.store.read_bytes(package.path)


@pytest.mark.parametrize("where", ["controls", "reconciled"])
def test_any_failed_control_of_the_chain_refuses_and_is_named(world, book, where):
    bad = Control("T1", "100.00", "99.99", ok=False)
    package = sign(book, world.package(), **{where: (GOOD, bad)})
    with pytest.raises(GateRefused, match=r"T1.*expected 100\.00, actual 99\.99") as refused:
        admit(package, book, world.store)
    assert refused.value.control == "T1"


def test_a_chain_without_any_control_proves_nothing(world, book):
    package = sign(book, world.package(), controls=(), reconciled=())
    with pytest.raises(GateRefused, match="nothing is proven"):
        admit(package, book, world.store)


def test_changed_bytes_are_refused(world, book):
    package = sign(book, world.package())
    world.store.write_bytes(package.path, b"changed")
    with pytest.raises(GateRefused, match="not the signed ones"):
        admit(package, book, world.store)


def test_a_package_that_is_no_subject_of_its_manifest_is_refused(world, book):
    signed = sign(book, world.package())
    other = replace(world.package(category="02"), manifest=signed.manifest)
    with pytest.raises(GateRefused, match="no subject"):
        admit(other, book, world.store)


def test_a_manifest_of_another_day_or_stage_is_refused(world, book):
    package = sign(book, world.package(), business_date=date(2026, 9, 14))
    with pytest.raises(GateRefused, match="manifest identity"):
        admit(package, book, world.store)
    package = sign(book, world.package(), stage="transform")
    with pytest.raises(GateRefused, match="manifest identity"):
        admit(package, book, world.store)


def test_a_broken_chain_is_refused(world, book):
    package = sign(book, world.package())
    path = package.manifest.path.replace("03-package", "00-extract")
    world.store.write_bytes(path, world.store.read_bytes(path) + b" ")
    with pytest.raises(GateRefused, match="manifest chain"):
        admit(package, book, world.store)


def test_a_failed_control_that_a_later_attempt_replaced_no_longer_counts(world, book):
    bad = Control("T8", "0.00", "0.01", ok=False)
    package = sign(book, world.package(), controls=(bad,))
    with pytest.raises(GateRefused):
        admit(package, book, world.store)
    again = sign(book, package, attempt=2)
    assert len(book.verify_chain(again.manifest)) == 4
    admit(again, book, world.store)
