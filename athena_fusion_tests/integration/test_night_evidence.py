"""The pack of a day with an open and a missing entity, issued again after the reload; nobody's data in it."""

import io
import json
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path

import polars as pl
import pytest
from integration.conftest import GoldenNight, everything_logged
from integration.night_world import DAY, World

from athena_fusion.assurance.verify import verify_pack
from athena_fusion.delivery.queue import Correction
from athena_fusion.revenue.stage import StageResult

pytestmark = pytest.mark.integration

REASON = "CostCenter 2130 was enabled in Fusion"


@dataclass(frozen=True)
class Evidence:
    """Two issues of the pack of 2026-09-15 and everything that was said on the way."""

    world: World
    results: list[StageResult]
    log: str
    first: Path
    second: Path


@pytest.fixture(scope="module")
def evidence(golden: GoldenNight, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """101 is in Fusion; 102 is refused, 103 never ran; pack; 102 is reloaded; pack again."""
    world = golden.world.fork(tmp_path_factory.mktemp("evidence"))
    results = list(golden.night.results.values())
    night = world.night
    with everything_logged() as log:
        results += world.run("102", DAY).results.values()
        results.append(night.reconcile_ledger(DAY, "evidence"))
        results.append(night.issue_evidence(DAY, "evidence"))
        first = newest(world)
        items = world.items(entity="102")
        with world.sandbox.segment("CostCenter", "2130", enabled=True):
            for item in items:
                if item.finding.kind == "REJECTED":
                    world.runtime.queue.correct(
                        item.id, actor="r.santos", reason=REASON, change=Correction(), version=item.version
                    )
            for load in sorted({str(item.finding.intent_key) for item in items}):
                assert night.reload(load, "r.santos", "reload").ok
        results += world.run("102", DAY, run_id="after").results.values()
        results.append(night.reconcile_ledger(DAY, "late"))
        results.append(night.issue_evidence(DAY, "late"))
    yield Evidence(world, results, golden.log + "\n".join(log), first, newest(world))
    world.runtime.close()


def newest(world: World) -> Path:
    return max((world.home / "outbox").rglob("*.zip"), key=lambda path: path.stat().st_mtime_ns)


def document(pack: Path, name: str) -> dict:
    with zipfile.ZipFile(pack) as archive:
        return json.loads(archive.read(name))


def test_the_first_pack_says_what_is_open_and_what_is_missing(evidence: Evidence) -> None:
    assert evidence.first.name.endswith("-a1.zip")
    told = document(evidence.first, "reconciliation.json")
    states = {entity["entity"]: entity["state"] for entity in told["entities"]}
    assert told["complete"] is False
    assert states["101"] == "reconciled"
    assert "t10_sent_equals_imported failed" in states["102"]
    assert states["103"] == "nothing was extracted"
    kinds = {entry["kind"] for entry in told["queue"]}
    assert kinds == {"REJECTED", "HELD"}
    with zipfile.ZipFile(evidence.first) as archive:
        page = archive.read("summary.html").decode()
    assert "103" in page
    assert "nothing was extracted" in page


def test_the_second_issue_follows_the_reload_and_holds_the_decisions(evidence: Evidence) -> None:
    assert evidence.second.name.endswith("-a2.zip")
    told = document(evidence.second, "reconciliation.json")
    states = {entity["entity"]: entity["state"] for entity in told["entities"]}
    assert states == {"101": "reconciled", "102": "reconciled", "103": "nothing was extracted"}
    assert all(row["sent"] == row["inFusion"] for row in told["ledger"])
    decisions = document(evidence.second, "decisions.json")["decisions"]
    assert {entry["action"] for entry in decisions} == {"correct", "reload"}
    assert {entry["actor"] for entry in decisions} == {"r.santos"}
    assert {entry["detail"]["reason"] for entry in decisions if entry["action"] == "correct"} == {REASON}
    assert document(evidence.first, "decisions.json")["decisions"] == []


def test_both_packs_verify_offline_and_against_the_published_head(evidence: Evidence) -> None:
    heads = {
        path.name: json.loads(path.read_bytes())
        for path in (evidence.world.home / "published-heads").iterdir()
    }
    for issue, pack in ((1, evidence.first), (2, evidence.second)):
        head = heads[f"athena-fusion-head-{DAY}-a{issue}.json"]["headSha256"]
        report = verify_pack(pack, published_head=head)
        assert report.ok, report.findings
        assert report.head == head
        assert report.manifests > 12


def test_the_same_day_again_is_the_same_pack(evidence: Evidence) -> None:
    evidence.world.night.reconcile_ledger(DAY, "again")
    again = evidence.world.night.issue_evidence(DAY, "again")
    assert again.manifest == evidence.results[-1].manifest
    assert len(list((evidence.world.home / "outbox").rglob("*.zip"))) == 2


@pytest.mark.parametrize("change", ["amount", "left_out", "added", "other_manifest"])
def test_tampering_is_found(evidence: Evidence, tmp_path: Path, change: str) -> None:
    folder = tmp_path / "pack"
    with zipfile.ZipFile(evidence.second) as archive:
        archive.extractall(folder)
    assert verify_pack(folder).ok
    if change == "amount":
        path = folder / "reconciliation.json"
        path.write_bytes(re.sub(rb"\d\.\d\d", b"9.99", path.read_bytes(), count=1))
        touched = path.name
    elif change == "left_out":
        victim = next(path for path in sorted(folder.rglob("*.zip")))
        touched = victim.name
        victim.unlink()
    elif change == "added":
        (folder / "note.txt").write_text("one more")
        touched = "note.txt"
    else:
        manifests = sorted(folder.rglob("02-transform.a1.json"))
        shutil.copy(manifests[0], manifests[1])
        touched = manifests[1].name
    report = verify_pack(folder)
    assert not report.ok
    assert any(touched in finding.file for finding in report.findings)


def test_people_and_events_of_the_day_are_in_the_audit_log(evidence: Evidence) -> None:
    types = {event["type"] for event in evidence.world.audited()}
    assert types >= {
        *("token.issue", "source.read", "manifest.sign"),
        *("fusion.intent", "fusion.sent", "fusion.readback", "fusion.reload"),
        *("queue.correct", "evidence.deliver", "evidence.publish"),
    }
    assert evidence.world.runtime.audit.verify().ok


# -- canary: no patient, no claim, anywhere ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def canaries(evidence: Evidence) -> re.Pattern[str]:
    """Every claim and patient number of the practice. A claim number begins the ids of its rows; a patient number is
    short, so it counts only where no digit or letter touches it.
    """
    with closing(sqlite3.connect(evidence.world.sandbox.process.home / "ledger.db")) as ledger:
        claims = {str(number) for (number,) in ledger.execute("SELECT claimid FROM claim")}
        patients = {str(number) for (number,) in ledger.execute("SELECT patientid FROM claim")}
    assert len(claims) > 40
    assert all(len(number) >= 15 for number in claims)
    return re.compile(rf"{'|'.join(sorted(claims))}|(?<![\w.-])(?:{'|'.join(sorted(patients))})(?![\w-])")


def texts_of(pack: Path) -> Iterator[tuple[str, str]]:
    """Every file of a pack as text, names included; frames and inner ZIPs opened."""
    with zipfile.ZipFile(pack) as archive:
        for name in archive.namelist():
            yield name, name
            data = archive.read(name)
            if name.endswith(".parquet"):
                yield name, pl.read_parquet(io.BytesIO(data)).write_csv()
            elif name.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(data)) as inner:
                    yield from ((name, inner.read(part).decode()) for part in inner.namelist())
            else:
                yield name, data.decode()


def test_the_canaries_sing_where_the_data_is(evidence: Evidence, canaries: re.Pattern[str]) -> None:
    raw = next((evidence.world.home / "store" / "raw").rglob("CLAIM.csv")).read_text()
    assert len(canaries.findall(raw)) > 40
    rows = next((evidence.world.home / "store").rglob("rows.*.parquet"))
    assert canaries.search(pl.read_parquet(rows).write_csv())


def test_no_patient_in_the_packs(evidence: Evidence, canaries: re.Pattern[str]) -> None:
    for pack in (evidence.first, evidence.second):
        found = {name for name, text in texts_of(pack) if canaries.search(text)}
        assert found == set()


def test_no_patient_in_logs_and_metadata(evidence: Evidence, canaries: re.Pattern[str]) -> None:
    assert canaries.search(evidence.log) is None
    for result in evidence.results:
        assert canaries.search(str(astuple(result))) is None


def test_no_patient_in_the_audit_log_queue_texts_and_file_names(
    evidence: Evidence, canaries: re.Pattern[str]
) -> None:
    assert canaries.search(json.dumps(evidence.world.audited())) is None
    items = evidence.world.items(status=["OPEN", "CORRECTED", "RELOADED", "RESOLVED"])
    assert items
    assert canaries.search(str([item.finding.reason for item in items])) is None
    assert canaries.search("\n".join(str(path) for path in evidence.world.home.rglob("*"))) is None


def test_no_patient_in_what_fusion_was_given(evidence: Evidence, canaries: re.Pattern[str]) -> None:
    books = evidence.world.sandbox.books
    assert (
        canaries.search(str([tuple(row) for row in books("SELECT name, comments FROM ucm_documents")]))
        is None
    )
    held = books(
        "SELECT h.name, l.description, l.REFERENCE_1, l.REFERENCE_2 FROM gl_je_lines l"
        " JOIN gl_je_headers h ON h.id = l.header_id"
    )
    assert canaries.search(str([tuple(row) for row in held])) is None
