"""The delivery through the real clients into the sandbox pod: HTTP, FBDI ZIP, ESS, read-back report."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sim.delivery_world import World
from unit.sandbox.fusion_pod import ACCOUNT, REPORT, RunningPod, northwind, running

from athena_fusion.clock import SystemClock
from athena_fusion.delivery.fusion_gateway import RestGateway
from athena_fusion.delivery.gateway import JobKind
from athena_fusion.delivery.package import Package, package_rowset, sent_rows
from athena_fusion.delivery.queue import Correction, Kind
from athena_fusion.delivery.readback import prove
from athena_fusion.delivery.reload import reload
from athena_fusion.delivery.states import State
from athena_fusion.formats.fbdi.journal import ENTRY, JournalFile, write_journal
from athena_fusion.formats.fbdi.package import zip_entry
from athena_fusion.fusion.erp import ErpIntegrations
from athena_fusion.fusion.reports import Reports
from athena_fusion.fusion.scheduler import Scheduler
from athena_fusion.http import HttpClient, OutcomeUnknown

pytestmark = pytest.mark.integration

LEDGER, ACCESS_SET = "300000000000001", "300000000000009"
POD_TIME = datetime(2026, 1, 31, 10, tzinfo=UTC)  # where the pod's clock stands still
DAY = date(2026, 1, 30)


class PodClock:
    """The pod's business time plus what passed since; waiting is real and short."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return POD_TIME + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)
        time.sleep(min(seconds, 0.01))


class Tokens:
    """A bearer token of the pod."""

    def __init__(self, pod: RunningPod) -> None:
        self._token = pod.sign_in()

    def token(self) -> str:
        return self._token

    def discard(self, token: str) -> None:
        raise AssertionError("the pod refused a fresh token")


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[RunningPod]:
    with running(northwind(), tmp_path / "pod.db") as started:
        started.act_as("app")
        yield started


@pytest.fixture
def gateway(pod: RunningPod) -> Iterator[RestGateway]:
    with HttpClient(pod.url, tokens=Tokens(pod), clock=SystemClock()) as http:
        yield RestGateway(ErpIntegrations(http), Scheduler(http), Reports(http, REPORT), ACCOUNT, "15", ".")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, PodClock())


def journal(accounts: tuple[str, ...]) -> pl.DataFrame:
    """One journal, a receivables debit and a revenue credit for each account."""
    rows = []
    for n, account in enumerate(accounts):
        for side, combination in enumerate(("101.10.12100.000.000.000", f"101.10.{account}.110.000.000")):
            rows.append(
                {
                    "line_key": f"101-20260130-01-r1-{2 * n + side + 1:05d}",
                    "journal": "ATH-101-20260130-CHARGES-r1",
                    "entity": "101",
                    "post_date": DAY,
                    "accounting_date": DAY,
                    "category": "01",
                    "revision": 1,
                    "seq": 2 * n + side + 1,
                    "posting_id": "P01",
                    "description": "P01 Patient receivables",
                    "combination": combination,
                    "debit_cents": 25010 if side == 0 else 0,
                    "credit_cents": 25010 if side == 1 else 0,
                    "carried": False,
                }
            )
    return pl.DataFrame(rows)


def package_of(world: World, lines: pl.DataFrame, attempt: int = 1) -> Package:
    """The FBDI package of `lines`, with the pod's ids."""
    named = {"source": "athenaCollector", "category_name": "Revenue", "currency": "USD"}
    draft = world.build(lines, "101", "01", attempt, 101)
    header = JournalFile(
        ledger_id=LEDGER,
        ledger_name="",
        date_created=DAY,
        group_id=draft.group_id,
        batch_name="ATH-101-20260130-CHARGES",
        rowset="a" * 64,
        segments=6,
        separator=".",
        **named,
    )
    stored = world.store.write_bytes(draft.path, zip_entry(ENTRY, write_journal(lines, header)))
    package = replace(
        draft,
        sha256=stored.sha256,
        ledger_id=LEDGER,
        data_access_set_id=ACCESS_SET,
        rowset=package_rowset(sent_rows(lines, ledger_id=LEDGER, **named)),
        **named,
    )
    world.book.register(package)
    return package


def test_a_package_is_loaded_proven_and_posted(world, gateway, pod):
    package = package_of(world, journal(("41000", "42900")))
    delivery = world.delivery(gateway, autopost_criteria_set="77")
    (result,) = delivery.load([package])
    assert result.ok, result.note
    (proof,) = prove(delivery, [package])
    assert proof.ok, proof.note
    assert proof.outcomes == {"LOADED": 4}
    assert delivery.find(package.intent.key).state is State.POSTED
    assert {row["BATCH_STATUS"] for row in pod.readback(package.group_id)} == {"P"}
    assert b"Import Journals" in b"".join(world.store.read_bytes(path) for path in result.logs)


def test_a_disabled_combination_is_queued_remapped_and_reloaded(world, gateway, pod):
    lines = journal(("41000", "41999"))
    package = package_of(world, lines)
    delivery = world.delivery(gateway)
    delivery.load([package])
    (proof,) = prove(delivery, [package])
    assert proof.outcomes == {"HELD": 3, "REJECTED": 1}
    (bad,) = [item for item in world.queue.list_items() if item.finding.kind == Kind.REJECTED]
    world.queue.correct(
        bad.id, actor="ana", reason="replaced", change=Correction({"Account": "42900"}), version=1
    )

    def rebuild(old, attempt, corrections):
        (key,) = corrections
        new = pl.when(line_key=key).then(pl.lit("101.10.42900.110.000.000")).otherwise("combination")
        return package_of(world, lines.with_columns(combination=new), attempt)

    done = reload(delivery, package.intent.key, "ana", rebuild)
    assert done.ok
    assert pod.readback(package.group_id) == []
    assert len(pod.readback(done.package.group_id)) == 4
    assert world.queue.list_items() == []


def test_after_a_lost_answer_the_earlier_load_request_is_found_by_its_document(world, gateway, pod):
    package = package_of(world, journal(("41000",)))
    real, calls = gateway.submit_load, []

    def lose(document_id: str) -> str:
        calls.append(real(document_id))
        raise OutcomeUnknown("the answer was lost")

    lossy = replace(gateway)
    object.__setattr__(lossy, "submit_load", lose)
    delivery = world.delivery(lossy)
    (result,) = delivery.load([package])
    assert result.ok
    assert [result.load_request_id] == calls
    assert prove(delivery, [package])[0].ok


def test_requests_are_searched_by_job_and_time(gateway, pod):
    document = gateway.upload("AF0.zip", b"PK")
    request = gateway.submit_load(document)
    (found,) = gateway.search_requests(JobKind.LOAD, POD_TIME - timedelta(hours=1))
    assert (found.id, found.argument(2)) == (request, document)
    assert gateway.search_requests(JobKind.IMPORT, POD_TIME - timedelta(hours=1)) == []
    assert gateway.search_requests(JobKind.LOAD, POD_TIME + timedelta(hours=1)) == []
    assert gateway.find_documents("AF0") == [document]
    assert gateway.document(document) == b"PK"
