"""Every change to a pack is found and placed; hostile archives are not opened."""

import io
import json
import random
import stat
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from pack_world import make_pack, pack, sign_day
from trust_world import make_world

from athena_fusion.assurance.archive import open_pack, write_zip
from athena_fusion.assurance.verify import verify_files, verify_pack
from athena_fusion.trust.keys import KeySet

HEAD = "_day/evidence/manifests/06-pack.a1.json"
PACKAGE = "101/rcm-gl/manifests/03-package.a1.json"


class Files(dict):
    """A pack in memory."""

    def names(self):
        return sorted(self)

    def size(self, name):
        return len(self[name])

    def open(self, name):
        return io.BytesIO(self[name])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    world, result = make_pack(folder, units=("101",))
    with open_pack(Path(world.store.root) / result.path) as opened:
        files = Files({name: opened.open(name).read() for name in opened.names()})
    return world, result, files


@pytest.fixture
def files(small):
    return Files(small[2])


@pytest.fixture
def keys(small):
    return small[0].keys.public()


def blamed(report):
    """The names a report points at; a pack manifest and its signature stand for each other."""
    names = {finding.file for finding in report.findings}
    return names | {f"{HEAD}.jws"} if HEAD in names else names


def test_the_pack_itself_is_sound(files, keys):
    report = verify_files(files, keys)
    assert report.findings == ()
    assert report.trusted


def test_a_thousand_random_mutations_are_found_and_placed(small, keys):
    rng = random.Random(20260915)
    names = small[2].names()
    for _ in range(1000):
        files = Files(small[2])
        name = rng.choice(names)
        data = bytearray(files[name])
        position = rng.randrange(len(data))
        kind = rng.choice(["flip", "drop", "insert", "swap bytes", "delete file", "swap files"])
        if kind == "flip":
            data[position] ^= 1 << rng.randrange(8)
        elif kind == "drop":
            del data[position]
        elif kind == "insert":
            data.insert(position, rng.randrange(256))
        elif kind == "swap bytes":
            other = rng.choice([p for p in range(len(data)) if data[p] != data[position]])
            data[position], data[other] = data[other], data[position]
        files[name] = bytes(data)
        if kind == "delete file":
            del files[name]
        elif kind == "swap files":
            other = rng.choice([n for n in names if files[n] != files[name]])
            files[name], files[other] = files[other], files[name]
        report = verify_files(files, keys)
        changed = {n for n in names if files.get(n) != small[2][n]}
        assert changed & blamed(report), (kind, name, report.findings)


def test_a_swapped_jwks_in_the_pack_is_found_even_without_trusted_keys(files):
    files["jwks.json"] = files["jwks.json"].replace(b'"af_state":"active"', b'"af_state":"retired"')
    assert "jwks.json" in blamed(verify_files(files))


def test_a_forged_pack_agrees_with_itself_and_fails_against_trusted_keys(small, tmp_path, keys):
    world, result = make_pack(tmp_path, units=("101",))  # same content, keys of somebody else
    path = Path(world.store.root) / result.path
    assert verify_pack(path).ok
    with open_pack(path) as forged:
        report = verify_files(forged, keys)
    assert "not in the trusted key set" in report.findings[0].reason


def test_a_replaced_pack_does_not_have_the_published_head(small, files, keys):
    assert verify_files(files, keys, small[1].head_sha256).ok
    report = verify_files(files, keys, "0" * 64)
    assert [f.reason for f in report.findings] == ["is not the pack whose head was published"]


def test_a_missing_middle_manifest_breaks_the_chain(files, keys):
    del files[PACKAGE], files[f"{PACKAGE}.jws"]
    reasons = {f.reason.split(":")[0] for f in verify_files(files, keys).findings if f.file == PACKAGE}
    assert reasons == {"MISSING", "BROKEN CHAIN"}


def test_an_added_file_is_found(files, keys):
    files["101/rcm-gl/payload/extra.csv"] = b"x"
    assert [f.file for f in verify_files(files, keys).findings] == ["101/rcm-gl/payload/extra.csv"]


def test_an_added_second_pack_manifest_is_refused(files, keys):
    files[HEAD.replace("a1", "a2")] = files[HEAD]
    assert "2 pack manifests" in verify_files(files, keys).findings[0].reason


def test_a_key_revoked_later_leaves_the_time_open_unless_the_head_was_published(tmp_path):
    world, result = make_pack(tmp_path, units=("101",))
    path = Path(world.store.root) / result.path
    world.clock.sleep(timedelta(days=1).total_seconds())
    world.keys.revoke(world.keys.active("manifest").public.kid)
    trusted = tmp_path / "jwks.json"
    trusted.write_text(json.dumps(world.keys.jwks()))
    report = verify_pack(path, trusted)
    assert report.ok
    assert not report.trusted
    assert any("revoked" in note.reason for note in report.notes)
    assert verify_pack(path, trusted, result.head_sha256).trusted


def test_a_pack_made_after_revocation_fails(small, files):
    keys = json.loads(json.dumps(small[0].keys.jwks()))
    for key in keys["keys"]:
        key["af_revoked_at"] = "2026-09-01T00:00:00Z"
    report = verify_files(files, KeySet.from_json(json.dumps(keys).encode()))
    assert "revoked" in report.findings[0].reason


def test_key_rotation_does_not_touch_old_packs(tmp_path):
    world, first = make_pack(tmp_path, units=("101",))
    new = world.keys.new("manifest")
    world.clock.sleep(timedelta(days=8).total_seconds())
    world.keys.promote(new.kid)
    sign_day(world, "102")
    second = pack(world)
    trusted = tmp_path / "jwks.json"
    trusted.write_text(json.dumps(world.keys.jwks()))
    for result in (first, second):
        assert verify_pack(Path(world.store.root) / result.path, trusted).trusted


def test_unusable_inputs_are_findings_and_not_crashes(tmp_path, small):
    world, result, _ = small
    good = Path(world.store.root) / result.path
    (tmp_path / "not.zip").write_bytes(b"not a zip")
    (tmp_path / "bad.json").write_bytes(b"{}")
    (tmp_path / "empty").mkdir()
    for path, jwks in (
        (tmp_path / "not.zip", None),
        (tmp_path / "absent.zip", None),
        (tmp_path / "empty", None),
        (good, tmp_path / "bad.json"),
        (good, tmp_path / "absent.json"),
    ):
        report = verify_pack(path, jwks)
        assert not report.ok
        assert not report.trusted


def hostile(tmp_path, *entries, compression=zipfile.ZIP_STORED):
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.compress_type = compression
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return path


FILE = stat.S_IFREG | 0o644


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "C:\\x",
        "a\\..\\x",
        "./x",
        "a//b",
        "a\nb",
        ".hidden",
        "a b",
        "ä",
        "-rf",
        "",
    ],
)
def test_unsafe_names_are_refused(tmp_path, name):
    report = verify_pack(hostile(tmp_path, (name, b"x", FILE)))
    assert "safe file name" in report.findings[0].reason or "sound ZIP" in report.findings[0].reason


def test_bombs_links_and_doubles_are_refused(tmp_path):
    bomb = hostile(tmp_path, ("a", b"0" * 10_000_000, FILE), compression=zipfile.ZIP_DEFLATED)
    assert "larger than the archive" in verify_pack(bomb).findings[0].reason
    small_deflated = hostile(
        tmp_path, ("a", random.Random(1).randbytes(10), FILE), compression=zipfile.ZIP_DEFLATED
    )
    assert "compressed" in verify_pack(small_deflated).findings[0].reason
    link = hostile(tmp_path, ("a", b"/etc/passwd", stat.S_IFLNK | 0o777))
    assert "link" in verify_pack(link).findings[0].reason
    with pytest.warns(UserWarning, match="Duplicate"):
        double = hostile(tmp_path, ("a", b"1", FILE), ("a", b"2", FILE))
    assert "twice" in verify_pack(double).findings[0].reason


def test_overlapping_entries_are_refused(tmp_path):
    path = tmp_path / "overlap.zip"
    with path.open("wb") as handle:
        write_zip(handle, Files({"a": b"0" * 4096, "b": b"0" * 4096}))
    data = bytearray(path.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = bytes(4)  # the second entry points at the first one's bytes
    path.write_bytes(data)
    assert not verify_pack(path).ok


def test_links_in_a_folder_are_refused(tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "a").symlink_to("/etc/passwd")
    assert "link" in verify_pack(tmp_path / "pack").findings[0].reason


def test_a_zip_with_any_byte_changed_is_refused(small, tmp_path):
    world, result, _ = small
    data = world.store.read_bytes(result.path)
    rng = random.Random(7)
    path = tmp_path / "changed.zip"
    for _ in range(60):
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        assert not verify_pack(path).ok


def test_worlds_do_not_share_keys(tmp_path, keys):
    assert {k.kid for k in make_world(tmp_path).keys.public()}.isdisjoint(k.kid for k in keys)
