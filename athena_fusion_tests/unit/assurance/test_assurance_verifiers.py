"""The two scripts that travel in every pack agree with our own verification, and name what is wrong."""

import json
import shutil
import subprocess
import time
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from pack_world import make_pack, pack, sign_day
from trust_world import DAY

from athena_fusion.assurance.pack import PackEntry
from athena_fusion.assurance.verify import verify_pack

PACKAGE = "101/rcm-gl/manifests/03-package.a1.json"
TRANSFORM = "101/rcm-gl/manifests/02-transform.a1.json"
PAYLOAD = "101/rcm-gl/payload/assets/journal_fbdi/101/01.zip"
HEAD = "_day/evidence/manifests/06-pack.a1.json"
TOOLS = {"verify.sh": {"jose": "jose", "jq": "jq"}, "verify-openssl.sh": {"openssl": "openssl"}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("made"))


@pytest.fixture(params=sorted(TOOLS))
def script(request):
    for tool, package in TOOLS[request.param].items():
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian package {package})")
    return request.param


@pytest.fixture
def folder(made, tmp_path):
    """The pack unpacked by somebody else."""
    world, result = made
    with zipfile.ZipFile(Path(world.store.root) / result.path) as archive:
        archive.extractall(tmp_path / "pack")
    return tmp_path / "pack"


@pytest.fixture
def trusted(made, tmp_path):
    path = tmp_path / "trusted.json"
    path.write_text(json.dumps(made[0].keys.jwks(), indent=2))
    return path


def run(script, folder, *arguments):
    done = subprocess.run(
        ["sh", str(folder / script), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def resum(folder):
    """What a careful forger does: make the list of sums fit again."""
    sums = folder / "SHA256SUMS"
    names = [line.split("  ", 1)[1] for line in sums.read_text().splitlines()]
    present = [name for name in names if (folder / name).exists()]
    done = subprocess.run(["sha256sum", *present], cwd=folder, capture_output=True, text=True, check=True)
    sums.write_text(done.stdout)


def test_a_sound_pack_passes(script, folder, trusted, made):
    code, output = run(script, folder, trusted)
    assert code == 0, output
    assert output.strip() == f"OK 9 manifests, 34 files, head {made[1].head_sha256}"


def test_own_keys_are_said_to_be_own(script, folder):
    code, output = run(script, folder)
    assert code == 0, output
    assert "the pack's own keys" in output


def test_the_scripts_name_is_relative_to_where_they_are_called(script, folder, trusted):
    done = subprocess.run(
        ["sh", f"pack/{script}", "trusted.json"],
        check=False,
        cwd=folder.parent,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("with_sums", [False, True])
def test_one_payload_byte_changed(script, folder, trusted, with_sums):
    data = bytearray((folder / PAYLOAD).read_bytes())
    data[3] ^= 1
    (folder / PAYLOAD).write_bytes(data)
    if with_sums:
        resum(folder)
    code, output = run(script, folder, trusted)
    assert (code, output) == (1, f"BAD PAYLOAD {PAYLOAD}: signed by {PACKAGE}\n")


def test_a_payload_removed(script, folder, trusted):
    (folder / PAYLOAD).unlink()
    code, output = run(script, folder, trusted)
    assert (code, output) == (1, f"MISSING {PAYLOAD}: signed by {PACKAGE}\n")


def test_a_middle_manifest_removed(script, folder, trusted):
    (folder / TRANSFORM).unlink()
    (folder / f"{TRANSFORM}.jws").unlink()
    resum(folder)
    code, output = run(script, folder, trusted)
    assert code == 1
    assert output.startswith(f"BROKEN CHAIN {PACKAGE}: its predecessor evidence/2026-09-15/{TRANSFORM}")


def test_a_last_manifest_that_the_pack_does_not_follow(script, folder, trusted, tmp_path):
    world, result = make_pack(tmp_path / "other", units=("101",))
    readback = world.book.latest(stage="readback", flow="rcm-gl", unit="101", business_date=DAY)
    extra = world.sign("readback", attempt=2, prev=[readback], row_count=5)
    target = Path(world.store.root) / result.folder
    name = extra.path.split("/", 2)[2]
    for suffix in ("", ".jws"):
        (target / (name + suffix)).write_bytes(world.store.read_bytes(extra.path + suffix))
    jwks = tmp_path / "other.json"
    jwks.write_text(json.dumps(world.keys.jwks()))
    code, output = run(script, target, jwks)
    assert (code, output) == (1, f"BROKEN CHAIN {name}: nothing follows it\n")


def test_one_digit_changed_in_a_manifest(script, folder, trusted):
    path = folder / TRANSFORM
    path.write_bytes(path.read_bytes().replace(b'"1.00"', b'"7.00"'))
    resum(folder)
    code, output = run(script, folder, trusted)
    assert (code, output) == (1, f"BAD SIGNATURE {TRANSFORM}: it does not match the bytes\n")


def test_signed_by_another_key(script, folder, tmp_path):
    world, _ = make_pack(tmp_path / "stranger", units=("101",))
    jwks = tmp_path / "stranger.json"
    jwks.write_text(json.dumps(world.keys.jwks()))
    code, output = run(script, folder, jwks)
    assert code == 1
    assert output.startswith(
        "BAD SIGNATURE 101/rcm-gl/manifests/00-extract.a1.json: no trusted key may sign it"
    )


def test_signed_by_a_key_of_another_purpose(script, folder, made, tmp_path):
    jwks = made[0].keys.jwks()
    for key in jwks["keys"]:
        key["af_purpose"] = "audit"
    path = tmp_path / "mixed.json"
    path.write_text(json.dumps(jwks))
    code, output = run(script, folder, path)
    assert code == 1
    assert "no trusted key may sign it" in output


@pytest.mark.parametrize(
    "window",
    [
        {"af_not_before": "2026-09-16T06:00:01Z"},
        {"af_not_after": "2026-09-16T05:59:59.5Z"},
        {"af_revoked_at": "2026-09-16T06:00:00Z"},
    ],
)
def test_signed_outside_the_keys_window(script, folder, made, tmp_path, window):
    jwks = made[0].keys.jwks()
    for key in jwks["keys"]:
        key.update(window)
    path = tmp_path / "late.json"
    path.write_text(json.dumps(jwks))
    code, output = run(script, folder, path)
    assert code == 1
    assert "no trusted key may sign it" in output
    assert not verify_pack(folder, path).ok


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("external.json", "BAD PAYLOAD"),
        ("summary.html", "BAD PAYLOAD"),
        ("reconciliation.json", "BAD PAYLOAD"),
        ("decisions.json", "BAD SIGNATURE"),
        ("audit/checkpoint.json", "BAD SIGNATURE"),
        ("audit/checkpoint.json.jws", "BAD SIGNATURE"),
        (HEAD, "BAD SIGNATURE"),
        (f"{HEAD}.jws", "BAD SIGNATURE"),
        ("SHA256SUMS", "BAD PAYLOAD"),
        (f"{PACKAGE}.jws", "BAD SIGNATURE"),
        ("verify.sh", "BAD PAYLOAD"),
    ],
)
def test_one_byte_anywhere(script, folder, trusted, name, message):
    path = folder / name
    data = bytearray(path.read_bytes())
    place = data.rindex(b"a") if name.endswith(".jws") else data.index(b"e")
    data[place] ^= 4 if name != "verify.sh" else 0
    if name == "verify.sh":
        data += b"\n"
    path.write_bytes(data)
    code, output = run(script, folder, trusted)
    assert code == 1
    assert output.startswith(f"{message} {name.removesuffix('.jws')}"), output


def test_a_file_added(script, folder, trusted):
    (folder / "101" / "more.csv").write_text("x")
    code, output = run(script, folder, trusted)
    assert (code, output) == (1, "UNEXPECTED FILE 101/more.csv\n")


def test_no_pack_manifest(script, folder, trusted):
    (folder / HEAD).unlink()
    code, output = run(script, folder, trusted)
    assert (code, output) == (1, "NOT ONE PACK MANIFEST _day/evidence/manifests\n")


def test_texts_that_look_like_structure_confuse_nobody(script, tmp_path):
    world, first = make_pack(tmp_path, units=("101",))
    world.clock.sleep(timedelta(days=1).total_seconds())
    day = DAY + timedelta(days=1)
    evil = (
        '","prev":[{"digest":{"sha256":"'
        + "0" * 64
        + '"},"name":"x"}],"subject":[{"carried":"pack"},"digest":{"x'
    )
    sign_day(world, "102")
    extract = world.sign(
        "extract", day=day, run_id=evil, source={"system": evil, "prev": "[]", "subject": "["}
    )
    result = pack(
        world, day=day, entries=[PackEntry("101", "rcm-gl", extract)], previous_pack=first.manifest,
        reconciliation={"note": evil},
    )  # fmt: skip
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(world.keys.jwks()))
    code, output = run(script, Path(world.store.root) / result.folder, jwks)
    assert code == 0, output
    assert verify_pack(Path(world.store.root) / result.folder, jwks).trusted


def test_a_day_of_twelve_entities_takes_seconds(script, tmp_path):
    world, result = make_pack(tmp_path, units=tuple(str(n) for n in range(101, 113)))
    started = time.monotonic()
    code, output = run(script, Path(world.store.root) / result.folder)
    assert code == 0, output
    assert time.monotonic() - started < 20
