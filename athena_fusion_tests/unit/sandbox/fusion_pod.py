"""A sandbox pod on a free port, and the few calls the tests make on it."""

import base64
import csv
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from athena_fusion.sandbox.fusion.app import create_fusion_app
from athena_fusion.sandbox.fusion.layout import gl_interface_columns
from athena_fusion.sandbox.fusion.setup import (
    FUSION_SCOPE,
    AutoPostCriteria,
    Client,
    Combination,
    CrossValidationRule,
    DataAccessSet,
    FusionSetup,
    Ledger,
    Period,
    Segment,
    SegmentValue,
    Source,
    User,
)

ERP = "/fscmRestApi/resources/11.13.18.05/erpintegrations"
ACCOUNT = "fin$/generalLedger$/import$"
LOADER = "/oracle/apps/ess/financials/commonModules/shared/common/interfaceLoader"
LEDGER = "/oracle/apps/ess/financials/generalLedger/programs/common"
REPORT = "/Custom/athena_fusion/journal_readback.xdo"
DONE = {"SUCCEEDED", "WARNING", "ERROR"}
_COLUMNS = {column.name: position for position, column in enumerate(gl_interface_columns())}
_SOAP = "http://xmlns.oracle.com/oxp/service/PublicReportService"


def northwind(**changes: Any) -> FusionSetup:
    """The small chart that the reference samples assume."""
    segments = ("Company", "Line of Business", "Account", "Cost Center", "Product", "Intercompany")
    values = {
        "Company": ["101", "102"],
        "Line of Business": ["10"],
        "Account": ["10000", "11010", "12100", "41000", "41999", "42900"],
        "Cost Center": ["000", "110", "120", "999"],
        "Product": ["000"],
        "Intercompany": ["000"],
    }
    values_set_up = [SegmentValue(name, value) for name in segments for value in values[name]]
    settings: dict[str, Any] = {
        "ledgers": (
            Ledger("300000000000001", "Northwind US Ledger"),
            Ledger("300000000000002", "Other Ledger"),
        ),
        "data_access_sets": (DataAccessSet("300000000000009", frozenset({"300000000000001"})),),
        "sources": (Source("athenaCollector"), Source("Plain", import_references=False)),
        "categories": ("Revenue", "Adjustment", "Receipts"),
        "segments": tuple(Segment(name, f"Corporate {name}", 5) for name in segments),
        "values": (*values_set_up, SegmentValue("Account", "19000", summary=True)),
        "periods": (
            Period("Dec-25", date(2025, 12, 1), date(2025, 12, 31), "Closed"),
            Period("Jan-26", date(2026, 1, 1), date(2026, 1, 31)),
        ),
        "users": (User("FIN_INTEGRATION"), User("SECOND"), User("NOBODY", privileges=frozenset({"upload"}))),
        "clients": (
            Client("app", "app-secret", "FIN_INTEGRATION"),
            Client("second", "second-secret", "SECOND"),
            Client("nobody", "nobody-secret", "NOBODY"),
            Client("unmapped", "unmapped-secret", None),
        ),
        "separator": ".",
        "currencies": frozenset({"USD", "EUR"}),
        "combinations": (
            *(
                Combination(text)
                for text in (
                    "101.10.11010.000.000.000",
                    "101.10.12100.000.000.000",
                    "101.10.41000.110.000.000",
                    "101.10.42900.110.000.000",
                )
            ),
            Combination("101.10.10000.000.000.000", detail_posting=False),
            Combination("101.10.41999.110.000.000", enabled=False),
            Combination("101.10.11010.110.000.000", end=date(2025, 12, 31)),
        ),
        "cross_validation_rules": (
            CrossValidationRule(
                "Cost center 999 is barred with account 41000.", {"Account": "41000", "Cost Center": "999"}
            ),
        ),
        "autopost_criteria": (AutoPostCriteria("77", frozenset({"athenaCollector"})),),
        "default_job_seconds": 0.0,
        "zone": "America/New_York",
    }
    return FusionSetup(**{**settings, **changes})


def record(**fields: str) -> list[str]:
    """One GlInterface record: a valid debit line of group 1, changed by column name."""
    values = {
        "STATUS": "NEW",
        "LEDGER_NAME": "Northwind US Ledger",
        "ACCOUNTING_DATE": "2026/01/30",
        "USER_JE_SOURCE_NAME": "athenaCollector",
        "USER_JE_CATEGORY_NAME": "Revenue",
        "CURRENCY_CODE": "USD",
        "DATE_CREATED": "2026/01/31",
        "ACTUAL_FLAG": "A",
        **dict(
            zip(
                (f"SEGMENT{n}" for n in range(1, 7)), ["101", "10", "12100", "000", "000", "000"], strict=True
            )
        ),
        "REFERENCE1": "B1",
        "REFERENCE4": "J1",
        "GROUP_ID": "1",
    }
    line = [""] * len(_COLUMNS)
    for name, value in {**values, **fields}.items():
        line[_COLUMNS[name]] = value
    return [*line, "END"]


def pair(amount: str, key: str = "K", **fields: str) -> list[list[str]]:
    """A debit to 12100 and a credit to 41000.110, keys `<key>-1` and `<key>-2`."""
    return [
        record(ENTERED_DR=amount, REFERENCE21=f"{key}-1", **fields),
        record(
            **{"SEGMENT3": "41000", "SEGMENT4": "110", **fields}, ENTERED_CR=amount, REFERENCE21=f"{key}-2"
        ),
    ]


def packed(records: list[list[str]] | bytes, entry: str = "GlInterface.csv") -> bytes:
    """ZIP with one entry."""
    if not isinstance(records, bytes):
        text = io.StringIO(newline="")
        csv.writer(text).writerows(records)
        records = text.getvalue().encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(entry, records)
    return content.getvalue()


@dataclass
class RunningPod:
    """Calls on a pod that runs in this process."""

    url: str
    client: httpx.Client

    def sign_in(self, client: str = "app") -> str:
        """A bearer token by client credentials."""
        answer = self.client.post(
            "/oauth2/v1/token",
            data={"grant_type": "client_credentials", "scope": FUSION_SCOPE},
            auth=(client, f"{client}-secret"),
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def act_as(self, client: str) -> None:
        """Use that client's token from now on."""
        self.client.headers["Authorization"] = f"Bearer {self.sign_in(client)}"

    def post(self, **payload: str) -> dict[str, Any]:
        """A successful erpintegrations POST."""
        answer = self.client.post(ERP, json=payload)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def find(self, finder: str) -> list[dict[str, Any]]:
        """Items of an erpintegrations finder."""
        answer = self.client.get(ERP, params={"finder": finder})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    def upload(self, content: bytes, name: str = "ATH.zip") -> str:
        """Document id of an uploaded ZIP."""
        return str(
            self.post(
                OperationName="uploadFileToUCM",
                FileName=name,
                ContentType="zip",
                DocumentAccount=ACCOUNT,
                DocumentContent=base64.b64encode(content).decode(),
            )["DocumentId"]
        )

    def submit(self, package: str, definition: str, arguments: str) -> str:
        """Request id of a submitted job."""
        return str(
            self.post(
                OperationName="submitESSJobRequest",
                JobPackageName=package,
                JobDefName=definition,
                ESSParameters=arguments,
            )["ReqstId"]
        )

    def status(self, request: str) -> str:
        """RequestStatus as getESSJobStatus tells it."""
        return str(self.find(f"ESSJobStatusRF;requestId={request}")[0]["RequestStatus"])

    def wait(self, request: str) -> str:
        """End state of a request."""
        deadline = time.monotonic() + 10
        while (state := self.status(request)) not in DONE:
            assert time.monotonic() < deadline, f"request {request} stays {state}"
            time.sleep(0.005)
        return state

    def load(self, content: bytes) -> tuple[str, str]:
        """Upload and load: request id and end state."""
        request = self.submit(LOADER, "InterfaceLoaderController", f"15,{self.upload(content)},N,N")
        return request, self.wait(request)

    def import_group(
        self, group: str, source: str = "athenaCollector", ledger: str = "300000000000001"
    ) -> str:
        """Run Import Journals for a group: the state of its child (of the parent where there is none)."""
        arguments = f"300000000000009,{source},{ledger},{group},N,N,N"
        request = self.submit(LEDGER, "JournalImportLauncher", arguments)
        state = self.wait(request)
        children = self.tree(request)[0].get("CHILD")
        return str(children[0]["STATUS"]) if children else state

    def tree(self, request: str) -> list[dict[str, Any]]:
        """JOBS of the execution details, always as a list."""
        details = json.loads(self.find(f"ESSExecutionDetailsRF;requestId={request}")[0]["RequestStatus"])
        jobs = details["JOBS"]
        return jobs if isinstance(jobs, list) else [jobs]

    def files(self, request: str, file_type: str = "ALL") -> dict[str, str]:
        """Logs and outputs of a request by file name."""
        answer = self.post(
            OperationName="downloadESSJobExecutionDetails", ReqstId=request, FileType=file_type
        )
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(answer["DocumentContent"]))) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}

    def log(self, request: str) -> str:
        """All logs of a request and its children."""
        return "\n".join(self.files(request, "LOG").values())

    def report(self, group: str, path: str = REPORT) -> httpx.Response:
        """Raw answer of runReport."""
        item = f"<item><name>P_GROUP_ID</name><values><item>{group}</item></values></item>"
        body = (
            '<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope"><env:Body>'
            f'<runReport xmlns="{_SOAP}"><reportRequest><attributeFormat>csv</attributeFormat>'
            f"<parameterNameValues>{item}</parameterNameValues><reportAbsolutePath>{path}</reportAbsolutePath>"
            "<sizeOfDataChunkDownload>-1</sizeOfDataChunkDownload></reportRequest></runReport></env:Body></env:Envelope>"
        )
        return self.client.post(
            "/xmlpserver/services/ExternalReportWSSService",
            content=body,
            headers={"Content-Type": "application/soap+xml; charset=utf-8"},
        )

    def readback(self, group: str) -> list[dict[str, str]]:
        """Rows of the read-back report."""
        answer = self.report(group)
        assert answer.status_code == 200, answer.text
        encoded = answer.text.partition("<reportBytes>")[2].partition("</reportBytes>")[0]
        return list(csv.DictReader(io.StringIO(base64.b64decode(encoded).decode())))

    def statuses(self, group: str) -> dict[str, str]:
        """Status by line key of what is still in the interface."""
        return {
            row["LINE_KEY"]: row["STATUS"] for row in self.readback(group) if row["ORIGIN"] == "INTERFACE"
        }

    def control(self, path: str, **body: Any) -> dict[str, Any]:
        """A control call that must succeed."""
        answer = self.client.post(f"/sandbox/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def summary(self) -> dict[str, Any]:
        """What the ledger holds."""
        return dict(self.client.get("/sandbox/gl/summary").json())


@contextmanager
def running(setup: FusionSetup, database: Path) -> Iterator[RunningPod]:
    """Serve the pod on a free port of this machine."""
    app = create_fusion_app(setup, database, clock=lambda: datetime(2026, 1, 31, 10, tzinfo=UTC))
    config = uvicorn.Config(app, port=0, log_level=60, ws="none", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.002)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
            yield RunningPod(url, client)
    finally:
        server.should_exit = True
        thread.join()


def money(text: str) -> Decimal:
    """An amount of a report, empty = 0."""
    return Decimal(text or "0")
