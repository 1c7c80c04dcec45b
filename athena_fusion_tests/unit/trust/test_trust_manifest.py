"""Manifests: exact form, immutability, attempts, chain."""

import json
from datetime import date
from decimal import Decimal

import polars as pl
import pytest
import rfc8785
from sqlalchemy import text
from trust_world import DAY, SOFTWARE, make_world

from athena_fusion.trust.audit import AuditUnavailable
from athena_fusion.trust.keys import KeyProblem
from athena_fusion.trust.manifest import (
    ChainBroken,
    Control,
    ManifestBook,
    ManifestConflict,
    ManifestError,
    ManifestRef,
    Subject,
)
from athena_fusion.trust.rowset import Column, rowset

EXTRACT = "evidence/2026-09-15/101/rcm-gl/manifests/00-extract.a1.json"


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path)


@pytest.fixture
def chain(world):
    extract = world.sign("extract")
    reconcile = world.sign("reconcile", prev=[extract])
    transform = world.sign("transform", prev=[reconcile])
    return [extract, reconcile, transform]


def test_the_body_is_exactly_the_statement(world):
    rows = rowset(pl.DataFrame({"v": [1, 2]}), [Column("v", "cents")])
    subjects = [
        world.subject("b/second.zip", b"zip", media_type="application/zip"),
        Subject("a/first.parquet", "0" * 64, 5, "application/vnd.apache.parquet", 2),
    ]
    previous = ManifestRef("evidence/2026-09-14/101/rcm-gl/manifests/02-transform.a1.json", "1" * 64)
    ref = world.sign(
        "package",
        subjects=subjects,
        prev=[previous],
        row_count=2,
        sums={"entered_dr": "12345.67"},
        rowset=rows,
        source={"system": "athenaOne", "pageCount": 3},
        target={"system": "fusion"},
        controls=[Control("T2", "1.00", "1.00", ok=True)],
    )
    data = world.store.read_bytes(ref.path)
    assert json.loads(data) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {
                "name": "a/first.parquet",
                "digest": {"sha256": "0" * 64},
                "annotations": {
                    "bytes": 5,
                    "carried": "reference",
                    "mediaType": "application/vnd.apache.parquet",
                    "rows": 2,
                },
            },
            {
                "name": "b/second.zip",
                "digest": {"sha256": subjects[0].sha256},
                "annotations": {"bytes": 3, "carried": "pack", "mediaType": "application/zip"},
            },
        ],
        "predicateType": "https://athena-fusion.dev/manifest/v1",
        "predicate": {
            "stage": "package",
            "flow": "rcm-gl",
            "unit": "101",
            "businessDate": "2026-09-15",
            "runId": "run-1",
            "attempt": 1,
            "createdAt": "2026-09-16T06:00:00Z",
            "software": SOFTWARE,
            "prev": [{"name": previous.path, "digest": {"sha256": previous.sha256}}],
            "rowCount": 2,
            "sums": {"entered_dr": "12345.67"},
            "rowset": {
                "spec": "rowset/1",
                "columns": [{"name": "v", "kind": "decimal"}],
                "sha256": rows.sha256,
                "count": 2,
            },
            "source": {"system": "athenaOne", "pageCount": 3},
            "target": {"system": "fusion"},
            "controls": [{"id": "T2", "expected": "1.00", "actual": "1.00", "ok": True}],
        },
    }
    assert data == rfc8785.dumps(json.loads(data))


def test_a_manifest_comes_back_typed(world):
    ref = world.sign("extract", row_count=7, sums={"a": "-1.5"}, controls=[Control("T1", "1", "2", ok=False)])
    manifest = world.book.read(ref)
    assert ref.path == EXTRACT
    assert (manifest.stage, manifest.flow, manifest.unit, manifest.attempt) == ("extract", "rcm-gl", "101", 1)
    assert (manifest.business_date, manifest.row_count, manifest.sums) == (DAY, 7, {"a": "-1.5"})
    assert manifest.created_at == world.clock.now()
    assert manifest.key_id == world.keys.active("manifest").public.kid
    assert not manifest.passed
    assert manifest.rowset_sha256 is None


def test_the_same_statement_again_is_the_same_manifest(world):
    ref = world.sign("extract", row_count=1)
    world.clock.sleep(60)
    assert world.sign("extract", row_count=1, run_id="run-2") == ref
    with pytest.raises(ManifestConflict, match="next attempt"):
        world.sign("extract", row_count=2)
    assert world.book.read(ref).row_count == 1


def test_signing_is_recorded_before_it_happens(world):
    ref = world.sign("extract")
    with world.database.begin() as connection:
        event = json.loads(connection.execute(text("SELECT body FROM audit_event")).scalar_one())
    assert (event["type"], event["sha256"], event["path"]) == ("manifest.sign", ref.sha256, ref.path)
    with world.database.begin() as connection:
        connection.execute(text("DROP TABLE audit_head"))
    with pytest.raises(AuditUnavailable):
        world.sign("extract", unit="102")
    assert not world.store.exists(EXTRACT.replace("101", "102"))


def test_without_a_key_nothing_is_signed(world):
    world.keys.retire(world.keys.active("manifest").public.kid)
    with pytest.raises(KeyProblem):
        world.sign("extract")
    assert world.store.list("evidence") == []


def test_attempts_name_what_they_replace(world, chain):
    extract, _, transform = chain
    assert world.book.next_attempt(stage="package", flow="rcm-gl", unit="101", business_date=DAY) == 1
    first = world.sign("package", prev=[transform])
    assert world.book.next_attempt(stage="package", flow="rcm-gl", unit="101", business_date=DAY) == 2
    second = world.sign("package", prev=[transform], attempt=2, row_count=1)
    assert {link.sha256 for link in world.book.read(second).prev} == {transform.sha256, first.sha256}
    assert world.book.latest(stage="package", flow="rcm-gl", unit="101", business_date=DAY) == second
    assert world.book.latest(stage="package", flow="rcm-gl", unit="102", business_date=DAY) is None
    tenth = world.sign("package", prev=[transform], attempt=10, row_count=2)
    assert world.book.latest(stage="package", flow="rcm-gl", unit="101", business_date=DAY) == tenth
    assert world.book.verify_chain(tenth)[0].ref == extract


def test_the_chain_is_walked_to_the_first_stage(world, chain):
    assert [m.ref for m in world.book.verify_chain(chain[-1])] == chain


def test_a_day_manifest_rests_on_every_unit(world):
    units = [world.sign("extract", unit=unit) for unit in ("101", "102", "103")]
    day = world.sign("reconcile", unit="_day", prev=units)
    walked = [m.ref for m in world.book.verify_chain(day)]
    assert set(walked[:-1]) == set(units)
    assert walked[-1] == day


def test_a_pack_closes_the_book_before_it(world, chain):
    yesterday = world.sign("pack", unit="_day", day=date(2026, 9, 14), prev=[chain[-1]])
    today = world.sign("pack", unit="_day", prev=[yesterday])
    assert [m.ref for m in world.book.verify_chain(today)] == [yesterday, today]


@pytest.mark.parametrize("link", [0, 1, 2])
@pytest.mark.parametrize("damage", ["changed", "gone", "unsigned", "other signature"])
def test_a_damaged_link_breaks_the_chain_by_name(world, chain, link, damage, tmp_path):
    path = tmp_path / "store" / chain[link].path
    signature = path.with_name(path.name + ".jws")
    if damage == "changed":
        path.write_bytes(path.read_bytes().replace(b'"rowCount":0', b'"rowCount":1'))
    elif damage == "gone":
        path.unlink()
    elif damage == "unsigned":
        signature.unlink()
    else:
        other = tmp_path / "store" / chain[(link + 1) % 3].path
        signature.write_bytes(other.with_name(other.name + ".jws").read_bytes())
    with pytest.raises(ChainBroken, match=path.name):
        world.book.verify_chain(chain[-1])


def test_a_manifest_signed_by_a_stranger_is_refused(world, chain, tmp_path):
    stranger = make_world(tmp_path / "stranger")
    foreign = stranger.sign("extract")
    for suffix in ("", ".jws"):
        world.store.write_bytes(foreign.path + suffix, stranger.store.read_bytes(foreign.path + suffix))
    with pytest.raises(ChainBroken, match="not in the trusted key set"):
        world.book.read(foreign)


def test_a_manifest_moved_to_another_place_is_refused(world):
    ref = world.sign("extract")
    moved = ManifestRef(ref.path.replace("101", "102"), ref.sha256)
    for suffix in ("", ".jws"):
        world.store.write_bytes(moved.path + suffix, world.store.read_bytes(ref.path + suffix))
    with pytest.raises(ChainBroken, match="says it is"):
        world.book.read(moved)


def test_a_signature_after_revocation_is_refused(world, chain):
    kid = world.keys.active("manifest").public.kid
    world.keys.revoke(kid)
    with pytest.raises(ChainBroken, match="revoked"):
        world.book.read(chain[0])  # created at the very instant


def test_the_index_is_rebuilt_from_the_store(world, chain):
    with world.database.begin() as connection:
        before = connection.execute(text("SELECT * FROM manifest_index ORDER BY sha256")).all()
        connection.execute(text("DELETE FROM manifest_index"))
    assert world.book.latest(stage="extract", flow="rcm-gl", unit="101", business_date=DAY) is None
    assert world.book.rebuild_index() == 3
    with world.database.begin() as connection:
        assert connection.execute(text("SELECT * FROM manifest_index ORDER BY sha256")).all() == before


def test_a_lost_index_row_heals_when_the_stage_repeats(world, chain):
    with world.database.begin() as connection:
        connection.execute(text("DELETE FROM manifest_index"))
    with pytest.raises(ManifestConflict):
        world.sign("extract", row_count=9)
    assert world.book.next_attempt(stage="extract", flow="rcm-gl", unit="101", business_date=DAY) == 2


def test_a_signature_without_body_is_a_crash_and_not_a_manifest(world, tmp_path, monkeypatch):
    write = world.store.write_bytes

    def crash(path, data, *, immutable=False):
        if path == EXTRACT:
            raise OSError("power cut")
        return write(path, data, immutable=immutable)

    monkeypatch.setattr(world.store, "write_bytes", crash)
    with pytest.raises(OSError, match="power cut"):
        world.sign("extract")
    monkeypatch.undo()
    assert world.book.latest(stage="extract", flow="rcm-gl", unit="101", business_date=DAY) is None
    assert world.book.rebuild_index() == 0
    world.clock.sleep(5)
    world.book.read(world.sign("extract"))


@pytest.mark.parametrize(
    "change",
    [
        {"sums": {"a": 12.5}},
        {"sums": {"a": Decimal("12.5")}},
        {"sums": {"a": "1,250.00"}},
        {"sums": {"a": "1E3"}},
        {"row_count": 2**53},
        {"source": {"pages": [1]}},
        {"source": {"ratio": 0.5}},
        {"attempt": 0},
        {"unit": "../101"},
        {"flow": ""},
        {"subjects": [Subject("../x", "0" * 64, 1, "text/csv")]},
        {"subjects": [Subject("x", "0" * 63, 1, "text/csv")]},
        {"subjects": [Subject("x", "0" * 64, 1, "text/csv", carried="maybe")]},
        {"subjects": [Subject("x", "0" * 64, 1, "text/csv")] * 2},
    ],
)
def test_what_cannot_be_signed(world, change):
    with pytest.raises(ManifestError):
        world.sign("extract", **change)
    assert world.store.list("evidence") == []


def test_only_a_first_stage_has_no_predecessor(world):
    with pytest.raises(ManifestError, match="first stage"):
        world.sign("transform")
    with pytest.raises(ManifestError, match="unknown stage"):
        world.sign("sign-off")


def test_two_books_agree_on_one_manifest(world, tmp_path):
    other = ManifestBook(world.store, world.database, world.keys, world.audit, world.clock, {"name": "other"})
    ref = world.sign("extract")
    fields = {"stage": "extract", "flow": "rcm-gl", "unit": "101", "business_date": DAY}
    assert other.latest(**fields) == ref
    assert other.read(ref).body == world.book.read(ref).body
