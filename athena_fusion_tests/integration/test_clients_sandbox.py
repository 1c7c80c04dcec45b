"""Every client against the running sandbox: tokens, athenaNet, Data View, and a journal from ZIP to read-back."""

import io
import json
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from athena_fusion.athenaone.client import AthenaOne
from athena_fusion.athenaone.dataview import DataViewError, deliveries, table_columns
from athena_fusion.clock import SystemClock
from athena_fusion.fusion.erp import ErpIntegrations, NotScheduled
from athena_fusion.fusion.import_codes import explain
from athena_fusion.fusion.jobs import TERMINAL, JobCall, finished, import_job, load_job, purge_job, worst
from athena_fusion.fusion.reports import ReportError, Reports
from athena_fusion.fusion.scheduler import Scheduler
from athena_fusion.http import HttpClient, NotJson, OutcomeUnknown, QuotaExceeded, Refused, RetryPolicy
from athena_fusion.sandbox.process import SandboxProcess
from athena_fusion.trust.secrets import SecretRef
from athena_fusion.trust.tokens import TokenCache, TokenClient, TokenRefused, TokenSource

pytestmark = pytest.mark.integration

LEDGER, ACCESS_SET, SOURCE = "300000046975971", "300000046975980", "athenaCollector"
ACCOUNT = "fin$/generalLedger$/import$"
REPORT = "/Custom/athena_fusion/journal_readback.xdo"
END_OF_TIME = datetime(2100, 1, 1, tzinfo=UTC)


class Audit:
    def append(self, type: str, outcome: str, /, **detail: str) -> int:
        return 0


@dataclass
class Side:
    """One side of the sandbox with an authorised client."""

    url: str
    http: HttpClient
    tokens: TokenSource

    def control(self, path: str, body: object) -> Any:
        request = urllib.request.Request(
            f"{self.url}/sandbox/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def fault(self, **fault: object) -> None:
        self.control("faults", fault)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox"), lines_per_entity=20) as running:
        yield running


def side(url: str, client_id: str, scope: str, secret: Path, cache: Path) -> Iterator[Side]:
    clock = SystemClock()
    client = TokenClient(
        "sandbox",
        f"{url}/oauth2/v1/token",
        client_id,
        frozenset({scope}),
        secret=SecretRef.parse(f"file:{secret}"),
    )
    source = TokenSource(client, TokenCache(cache), clock=clock, audit=Audit())
    retry = RetryPolicy(attempts=3, first_pause=0.05)
    with closing(source), HttpClient(url, clock=clock, tokens=source, retry=retry) as http:
        yield Side(url, http, source)


@pytest.fixture(scope="module")
def athena(sandbox: SandboxProcess) -> Iterator[Side]:
    home = sandbox.home
    yield from side(
        sandbox.athenaone_url,
        "athena-fusion-rcm",
        "athena/service/Athenanet.MDP.*",
        home / "secrets" / "athenaone",
        home / "tokens.db",
    )


@pytest.fixture(scope="module")
def fusion(sandbox: SandboxProcess) -> Iterator[Side]:
    home = sandbox.home
    yield from side(
        sandbox.fusion_url,
        "athena-fusion-gl",
        "urn:opc:resource:fa:instanceid=1urn:opc:resource:consumer::all",
        home / "secrets" / "fusion",
        home / "tokens.db",
    )


def test_athenaone_lists(athena: Side) -> None:
    one = AthenaOne(athena.http, "195900")
    one.ping()
    departments = {department.id: department for department in one.departments()}
    assert {"1011", "1012", "1021", "1022", "1031", "1032"} <= set(departments)
    assert departments["1011"].provider_group_id
    assert one.department("1011").id == "1011"
    assert one.providers()


@pytest.mark.parametrize("fault", ["503", "429", "403_qps", "early_401"])
def test_athenaone_faults_that_pass(athena: Side, fault: str) -> None:
    athena.fault(operation="ping", kind=fault, retry_after=0)
    AthenaOne(athena.http, "195900").ping()


def test_athenaone_html_and_quota_that_stays(athena: Side) -> None:
    athena.fault(operation="ping", kind="html")
    with pytest.raises(NotJson):
        AthenaOne(athena.http, "195900").ping()
    athena.fault(operation="ping", kind="429", times=1, retry_after=3600)
    with pytest.raises(QuotaExceeded):
        AthenaOne(athena.http, "195900").ping()


def test_revoked_tokens_are_replaced(athena: Side) -> None:
    before = athena.tokens.token()
    athena.fault(kind="expire_tokens")
    AthenaOne(athena.http, "195900").ping()
    assert athena.tokens.token() != before


def test_wrong_secret(sandbox: SandboxProcess, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary-wrong-secret")
    sides = side(sandbox.fusion_url, "athena-fusion-gl", "x", secret, tmp_path / "tokens.db")
    with pytest.raises(TokenRefused) as caught:
        next(sides).tokens.token()
    assert "canary" not in str(caught.value)
    sides.close()


def test_dataview_delivery_reads_and_a_cut_one_does_not(athena: Side, sandbox: SandboxProcess) -> None:
    athena.control("close-day", {"date": "2026-09-15"})
    (delivery,) = deliveries(sandbox.dataview, None, END_OF_TIME)
    for table, columns in table_columns().items():
        frame = delivery.read(table)
        assert tuple(frame.columns) == columns
    assert delivery.read("TRANSACTION").height > 0
    athena.fault(operation="dataview", kind="truncated_file")
    athena.control("close-day", {"date": "2026-09-16"})
    with pytest.raises(DataViewError, match=r"TRANSACTION\.csv"):
        deliveries(sandbox.dataview, delivery.as_of, END_OF_TIME)[0].read("TRANSACTION")
    athena.fault(operation="dataview", kind="wrong_column")
    athena.control("close-day", {"date": "2026-09-16", "again": True})
    with pytest.raises(DataViewError, match=r"TRANSACTION\.csv: column AMOUNT was expected"):
        deliveries(sandbox.dataview, delivery.as_of, END_OF_TIME)[0].read("TRANSACTION")


# --- A journal into Fusion --------------------------------------------------------------------------------------


def package(group: str, cost_center: str = "2100") -> bytes:
    """A two-line journal as GlInterface.csv (149 columns, END), written by hand."""
    rows = []
    for number, (account, debit, credit) in enumerate(
        (("11030", "125.5", ""), ("40010", "", "125.5")), start=1
    ):
        row = [""] * 149
        detail = account.startswith("4")
        segments = [
            "101",
            cost_center if detail else "0000",
            account,
            *(["014", "010", "000"] if detail else ["000"] * 3),
        ]
        first = ["NEW", LEDGER, "2026/09/15", SOURCE, "ATH Charges", "USD", "2026/09/15", "A"]
        row[0:8], row[8:14], row[38], row[39] = first, segments, debit, credit
        row[42], row[45], row[51] = "ATH-101-20260915-CHARGES", "ATH-101-20260915-CHARGES-r1", "P01"
        row[52], row[53], row[66] = f"101-20260915-01-r1-{group[-4:]}{number}", "ab" * 16, group
        rows.append(",".join([*row, "END"]))
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("GlInterface.csv", "\r\n".join(rows) + "\r\n")
    return data.getvalue()


class Ledger:
    """The clients of the Fusion side, and waiting for jobs."""

    def __init__(self, http: HttpClient) -> None:
        self.erp, self.scheduler = ErpIntegrations(http), Scheduler(http)
        self.reports = Reports(http, REPORT)

    def run(self, job: JobCall) -> str:
        request = self.erp.submit(job.package, job.definition, job.arguments)
        self.wait(request)
        return request

    def wait(self, request: str) -> None:
        deadline = time.monotonic() + 30
        while self.erp.status(request) not in TERMINAL or not finished(self.erp.execution(request)):
            assert time.monotonic() < deadline, f"request {request} did not end"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def ledger(fusion: Side) -> Ledger:
    return Ledger(fusion.http)


def test_journal_from_upload_to_read_back(ledger: Ledger) -> None:
    group, name = "20260915001010101", "AF0000000000000001_1.zip"
    content = package(group)
    document = ledger.erp.upload(name, content, ACCOUNT)
    assert ledger.erp.find_documents("AF0000000000000001", ACCOUNT) == [document]
    assert ledger.erp.document(document) == content
    load = ledger.run(load_job("15", document))
    assert worst(ledger.erp.execution(load)) == "SUCCEEDED"
    waiting = ledger.reports.journal_readback(group, LEDGER)
    assert waiting["STATUS"].to_list() == ["NEW", "NEW"]
    assert set(waiting["LOAD_REQUEST_ID"]) == {load}
    imported = ledger.run(import_job(ACCESS_SET, SOURCE, LEDGER, group))
    lines = ledger.reports.journal_readback(group, LEDGER)
    assert lines.select("ORIGIN", "debit_cents", "credit_cents").rows() == [
        ("BASE", 12550, 0),
        ("BASE", 0, 12550),
    ]
    assert lines["REFERENCE_2"].to_list() == ["ab" * 16] * 2
    assert set(lines["BATCH_STATUS"]) == {"U"}
    request = ledger.scheduler.request(imported)
    assert (request.definition, request.argument(4), request.state) == (
        "JournalImportLauncher",
        group,
        "SUCCEEDED",
    )
    assert [child.id for child in ledger.scheduler.descendants(imported)]
    found = ledger.scheduler.search('submissionTime ge "2000-01-01T00:00:00Z"')
    assert {load, imported} <= {request.id for request in found}
    assert group in ledger.erp.log(imported)


def test_rejected_journal_is_explained_and_purged(ledger: Ledger) -> None:
    group = "20260915001020101"
    document = ledger.erp.upload("AF0000000000000002_1.zip", package(group, cost_center="2130"), ACCOUNT)
    load = ledger.run(load_job("15", document))
    imported = ledger.run(import_job(ACCESS_SET, SOURCE, LEDGER, group))
    assert worst(ledger.erp.execution(imported)) in ("WARNING", "ERROR")
    held = ledger.reports.journal_readback(group, LEDGER).filter(ORIGIN="INTERFACE")
    verdicts = [explain(row["STATUS"], row["STATUS_DESCRIPTION"] or "") for row in held.to_dicts()]
    assert {verdict.kind for verdict in verdicts} == {"reference_data", "held"}
    assert any("CostCenter 2130" in verdict.words for verdict in verdicts)
    assert ledger.reports.journal_readback(group, LEDGER).filter(ORIGIN="BASE").height == 0
    ledger.run(purge_job("15", load))
    assert ledger.reports.journal_readback(group, LEDGER).height == 0


def test_bulk_import_is_the_second_path(ledger: Ledger) -> None:
    group = "20260915001030101"
    job = import_job(ACCESS_SET, SOURCE, LEDGER, group)
    load = ledger.erp.import_bulk("AF0000000000000003_1.zip", package(group), ACCOUNT, job, "15")
    ledger.wait(load)
    deadline = time.monotonic() + 30
    while not ledger.reports.journal_readback(group, LEDGER).filter(ORIGIN="BASE").height:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_job_that_the_pod_does_not_know(ledger: Ledger) -> None:
    with pytest.raises(NotScheduled):
        ledger.erp.submit("/oracle/apps/ess/nowhere", "NoSuchJob", ["1"])


def test_wrong_account_and_unknown_document_are_refused_in_fusions_words(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="not uploaded"):
        ledger.erp.upload("AF.zip", b"PK", "fin$/nowhere$/import$")
    with pytest.raises(Refused):
        ledger.erp.document("1")


def test_report_that_is_not_deployed(ledger: Ledger) -> None:
    with pytest.raises(ReportError, match="no report"):
        ledger.reports.run("/Custom/other.xdo", {"P_GROUP_ID": "1"})


def test_lost_answer_of_a_submit_is_unknown_and_then_found(fusion: Side, ledger: Ledger) -> None:
    group = "20260915001040101"
    fusion.fault(operation="submitESSJobRequest", kind="drop")
    job = import_job(ACCESS_SET, SOURCE, LEDGER, group)
    with pytest.raises(OutcomeUnknown):
        ledger.erp.submit(job.package, job.definition, job.arguments)
    found = ledger.scheduler.search('submissionTime ge "2000-01-01T00:00:00Z"')
    assert [request for request in found if request.argument(4) == group]


def test_tokens_that_end_in_the_middle_do_not_stop_a_write(fusion: Side, ledger: Ledger) -> None:
    fusion.fault(kind="expire_tokens")
    assert ledger.erp.upload("AF0000000000000009_1.zip", b"PK", ACCOUNT)
