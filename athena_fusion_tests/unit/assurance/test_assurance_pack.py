"""The evidence pack holds what it must, leaves out what it may not, and verifies."""

import io
import json
import zipfile
from datetime import date, timedelta

import pytest
from pack_world import PHI, ZIP, make_pack, pack, sign_day
from trust_world import DAY, make_world

from athena_fusion.assurance.archive import PackRefused, open_pack
from athena_fusion.assurance.pack import PackEntry, PackError, latest_pack
from athena_fusion.assurance.verify import verify_pack
from athena_fusion.trust.manifest import ChainBroken, ManifestRef, Subject

HEAD = "_day/evidence/manifests/06-pack.a1.json"


@pytest.fixture
def built(tmp_path):
    return make_pack(tmp_path)


def zip_of(world, result):
    return zipfile.ZipFile(io.BytesIO(world.store.read_bytes(result.path)))


def local(world, path):
    from pathlib import Path

    return Path(world.store.root) / path


def trusted(world, folder):
    path = folder / "trusted.json"
    path.write_text(json.dumps(world.keys.jwks(), indent=2))
    return path


def test_a_pack_has_its_files_in_their_places(built):
    world, result = built
    assert result.path == "evidence/2026-09-15/pack/athena-fusion-evidence-2026-09-15-a1.zip"
    expected = {
        HEAD, f"{HEAD}.jws", "audit/checkpoint.json", "audit/checkpoint.json.jws", "decisions.json",
        "decisions.json.jws", "external.json", "jwks.json", "reconciliation.json", "summary.html", "README.txt",
        "SHA256SUMS", "verify.sh", "verify-openssl.sh",
    }  # fmt: skip
    for unit in ("101", "102"):
        for stage in ("00-extract", "02-transform", "03-package", "05-readback"):
            expected |= {f"{unit}/rcm-gl/manifests/{stage}.a1.json{suffix}" for suffix in ("", ".jws")}
        expected |= {
            f"{unit}/rcm-gl/payload/assets/journal_fbdi/{unit}/01.zip",
            f"{unit}/rcm-gl/payload/assets/journal_readback/{unit}.csv",
        }
    assert set(zip_of(world, result).namelist()) == expected
    assert set(world.store.list(result.folder)) == {f"{result.folder}/{name}" for name in expected}


def test_folder_and_zip_both_verify(built, tmp_path):
    world, result = built
    for path in (local(world, result.folder), local(world, result.path)):
        report = verify_pack(path, trusted(world, tmp_path), result.head_sha256)
        assert report.findings == ()
        assert report.notes == ()
        assert report.trusted
        assert (report.business_date, report.attempt, report.head) == ("2026-09-15", 1, result.head_sha256)
        assert (report.manifests, report.files) == (9, 34)
        assert report.units == (("101", "rcm-gl", "readback"), ("102", "rcm-gl", "readback"))


def test_with_the_packs_own_keys_it_is_sound_but_not_trusted(built):
    world, result = built
    report = verify_pack(local(world, result.path))
    assert report.ok
    assert not report.trusted
    assert [note.file for note in report.notes] == ["jwks.json"]


def test_the_pack_manifest_names_every_file_and_every_head(built):
    world, result = built
    manifest = world.book.read(result.manifest)
    names = {subject.name for subject in manifest.subjects}
    assert names == set(zip_of(world, result).namelist()) - {HEAD, f"{HEAD}.jws"}
    heads = {
        world.book.latest(stage="readback", flow="rcm-gl", unit=unit, business_date=DAY)
        for unit in ("101", "102")
    }
    assert set(manifest.prev) == heads


def test_rows_about_patients_stay_behind_and_are_declared(built):
    world, result = built
    archive = zip_of(world, result)
    assert all(PHI not in archive.read(name) for name in archive.namelist())
    payloads = json.loads(archive.read("external.json"))["payloads"]
    assert [(p["name"], p["manifest"]) for p in payloads] == [
        (f"raw/{unit}/transactions.csv", f"{unit}/rcm-gl/manifests/00-extract.a1.json")
        for unit in ("101", "102")
    ]


def test_the_zip_is_made_of_its_files_and_nothing_else(built, tmp_path):
    world, result = built
    archive = zip_of(world, result)
    assert archive.namelist() == sorted(archive.namelist())
    assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert {i.filename for i in archive.infolist() if i.external_attr >> 16 & 0o111} == {
        "verify.sh",
        "verify-openssl.sh",
    }
    data = world.store.read_bytes(result.path)
    for changed in (data + b"x", b"x" + data, data.replace(b"\x21\x00", b"\x22\x00", 1)):
        path = tmp_path / "changed.zip"
        path.write_bytes(changed)
        with pytest.raises(PackRefused), open_pack(path):
            pass


def test_building_again_changes_nothing_until_something_changes(built):
    world, first = built
    world.clock.sleep(3600)
    assert pack(world) == first
    assert pack(world, decisions=[]).attempt == 2


def test_a_late_entity_gives_a_new_issue_that_names_the_old_one(tmp_path):
    world = make_world(tmp_path)
    sign_day(world, "101")
    first = pack(world)
    report = verify_pack(local(world, first.path), trusted(world, tmp_path))
    assert report.trusted
    assert "unit 102 flow rcm-gl: expected a signed chain, found no extract" in [
        note.reason for note in report.notes
    ]
    assert b"no extract" in zip_of(world, first).read("summary.html")
    sign_day(world, "102")
    second = pack(world)
    assert (second.attempt, latest_pack(world.book, DAY)) == (2, second.manifest)
    report = verify_pack(local(world, second.path), trusted(world, tmp_path))
    assert report.trusted
    assert first.manifest in world.book.read(second.manifest).prev
    declared = json.loads(zip_of(world, second).read("external.json"))["manifests"]
    assert [(m["sha256"], m["reason"]) for m in declared] == [
        (first.head_sha256, "the pack that this one replaces")
    ]
    assert verify_pack(
        local(world, first.path), trusted(world, tmp_path)
    ).trusted  # the old issue still stands


def test_days_are_chained(built, tmp_path):
    world, monday = built
    world.clock.sleep(86400)
    day = DAY + timedelta(days=1)
    world.sign("extract", unit="101", day=day)
    entry = PackEntry(
        "101", "rcm-gl", world.book.latest(stage="extract", flow="rcm-gl", unit="101", business_date=day)
    )
    tuesday = pack(world, day=day, entries=[entry], previous_pack=monday.manifest)
    assert monday.manifest in world.book.read(tuesday.manifest).prev
    assert verify_pack(local(world, tuesday.path), trusted(world, tmp_path)).trusted


def test_a_predecessor_of_another_day_is_declared_external(tmp_path):
    world = make_world(tmp_path)
    earlier = world.sign("extract", day=date(2026, 9, 14))
    head = world.sign("reconcile", prev=[earlier])
    result = pack(world, entries=[PackEntry("101", "rcm-gl", head)])
    declared = json.loads(zip_of(world, result).read("external.json"))["manifests"]
    assert [m["name"] for m in declared] == [earlier.path]
    assert verify_pack(local(world, result.path), trusted(world, tmp_path)).trusted


def test_a_predecessor_that_is_gone_must_be_declared(tmp_path):
    world = make_world(tmp_path)
    gone = ManifestRef("evidence/2026-08-01/101/rcm-gl/manifests/00-extract.a1.json", "a" * 64)
    head = world.sign("reconcile", prev=[gone])
    with pytest.raises(ChainBroken):
        pack(world, entries=[PackEntry("101", "rcm-gl", head)])
    result = pack(world, entries=[PackEntry("101", "rcm-gl", head)], external=[gone])
    assert verify_pack(local(world, result.path), trusted(world, tmp_path)).trusted


def test_an_empty_day_has_a_pack_too(tmp_path):
    world = make_world(tmp_path)
    result = pack(world)
    report = verify_pack(local(world, result.path), trusted(world, tmp_path))
    assert report.trusted
    assert len(report.notes) == 2


def test_a_payload_changed_since_signing_stops_the_pack(tmp_path):
    world = make_world(tmp_path)
    sign_day(world, "101")
    world.store.write_bytes("assets/journal_fbdi/101/01.zip", ZIP + b"999")
    with pytest.raises(PackError, match=r"01\.zip is not what"):
        pack(world)
    assert latest_pack(world.book, DAY) is None


def test_a_head_under_a_wrong_name_stops_the_pack(tmp_path):
    world = make_world(tmp_path)
    head = sign_day(world, "101")[-1]
    with pytest.raises(PackError, match="not a head of unit 102"):
        pack(world, entries=[PackEntry("102", "rcm-gl", head)])


def test_floats_never_enter_a_pack(tmp_path):
    world = make_world(tmp_path)
    with pytest.raises(PackError, match="float"):
        pack(world, reconciliation={"results": [{"difference": 0.1}]})


def test_a_crash_between_signature_and_zip_is_repaired(built, tmp_path):
    world, result = built
    data = world.store.read_bytes(result.path)
    local(world, result.path).unlink()
    local(world, f"{result.folder}/{HEAD}").unlink()
    assert pack(world) == result
    assert world.store.read_bytes(result.path) == data
    local(world, result.path).unlink()
    local(world, f"{result.folder}/README.txt").write_text("changed")
    with pytest.raises(PackError, match=r"README\.txt was changed"):
        pack(world)


def test_the_summary_shows_what_failed_and_escapes_everything(tmp_path):
    world = make_world(tmp_path)
    sign_day(world, "101", controls_ok=False)
    result = pack(world, reconciliation={"note": "<script>alert(1)</script>", "ok": True})
    page = zip_of(world, result).read("summary.html").decode()
    assert "Failed controls" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    report = verify_pack(local(world, result.path), trusted(world, tmp_path))
    assert "failed controls: expected 0, found 1" in [note.reason for note in report.notes]


def test_the_readme_names_the_keys_to_compare(built):
    world, result = built
    text = zip_of(world, result).read("README.txt").decode()
    for purpose in ("manifest", "audit"):
        assert world.keys.active(purpose).public.kid in text


def test_a_subject_is_left_behind_unless_it_is_marked():
    assert Subject("x", "0" * 64, 1, "text/csv").carried == "reference"
