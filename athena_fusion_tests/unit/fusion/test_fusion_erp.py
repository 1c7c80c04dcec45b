"""erpintegrations: what is sent, and what each answer means for a caller that must not load twice."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from athena_fusion.clock import ManualClock
from athena_fusion.fusion.erp import BadAnswer, ErpIntegrations, NotScheduled, read_log_archive
from athena_fusion.fusion.jobs import import_job, load_job, worst
from athena_fusion.http import HttpClient, OutcomeUnknown, Refused

RESOURCE = "/fscmRestApi/resources/11.13.18.05/erpintegrations"
START = datetime(2026, 9, 16, 9, 0, tzinfo=UTC)


class Pod:
    def __init__(self, *answers: Any) -> None:
        self.answers, self.seen = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(201, json=answer)

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.seen[-1].content)
        return body


@contextmanager
def erp(*answers: Any) -> Iterator[tuple[ErpIntegrations, Pod]]:
    pod = Pod(*answers)
    with HttpClient("https://fa.test", clock=ManualClock(START), transport=httpx.MockTransport(pod)) as http:
        yield ErpIntegrations(http), pod


def items(**item: Any) -> dict[str, Any]:
    return {"items": [item], "count": 1, "hasMore": False}


def archive(**files: str) -> str:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return base64.b64encode(data.getvalue()).decode()


def test_upload_sends_pascal_case_and_returns_the_document_id() -> None:
    with erp({"DocumentId": "7890181", "ReqstId": None}) as (client, pod):
        assert client.upload("ATH.zip", b"PK", "fin$/generalLedger$/import$") == "7890181"
    assert pod.seen[0].url.path == RESOURCE
    assert pod.body() == {
        "OperationName": "uploadFileToUCM",
        "DocumentContent": "UEs=",
        "ContentType": "zip",
        "FileName": "ATH.zip",
        "DocumentAccount": "fin$/generalLedger$/import$",
    }
    assert "application/vnd.oracle.adf.error+json" in pod.seen[0].headers["accept"]
    assert pod.seen[0].headers["content-type"] == "application/json"


def test_submit_load_job() -> None:
    job = load_job("15", "7890181")
    with erp({"ReqstId": 9763072}) as (client, pod):
        assert client.submit(job.package, job.definition, job.arguments) == "9763072"
    assert pod.body() == {
        "OperationName": "submitESSJobRequest",
        "JobPackageName": "/oracle/apps/ess/financials/commonModules/shared/common/interfaceLoader",
        "JobDefName": "InterfaceLoaderController",
        "ESSParameters": "15,7890181,N,N",
    }


def test_import_bulk() -> None:
    job = import_job("300000046975980", "athenaCollector", "300000046975971", "20260915001010101")
    with erp({"ReqstId": "9763072", "DocumentId": None}) as (client, pod):
        assert client.import_bulk("ATH.zip", b"PK", "fin$/x$", job, "15") == "9763072"
    body = pod.body()
    assert body["OperationName"] == "importBulkData"
    assert body["JobName"].endswith("programs/common,JournalImportLauncher")
    assert body["ParameterList"] == (
        "300000046975980,athenaCollector,300000046975971,20260915001010101,N,N,N"
    )
    assert body["JobOptions"] == "InterfaceDetails=15,ImportOption=Y,PurgeOption=N,ExtractFileType=ALL"
    assert body["CallbackURL"] == "#NULL"


@pytest.mark.parametrize("value", ["-1", -1])
def test_minus_one_is_not_scheduled_and_certain(value: Any) -> None:
    with erp({"ReqstId": value}) as (client, _), pytest.raises(NotScheduled, match="nothing was done"):
        client.submit("/p", "Job", ["1"])


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"ReqstId": None},
        {"ReqstId": ""},
        {"ReqstId": "soon"},
        [],
        httpx.Response(200, html="<html>Sign in</html>"),
        httpx.Response(500, json={"title": "Internal"}),
    ],
)
def test_accepted_without_a_usable_request_id_is_an_unknown_outcome(answer: Any) -> None:
    with erp(answer) as (client, pod), pytest.raises(OutcomeUnknown):
        client.submit("/p", "Job", ["1"])
    assert len(pod.seen) == 1


def test_refusal_keeps_the_pods_words() -> None:
    error = {"title": "Bad Request", "o:errorDetails": [{"detail": 'Invalid attribute "requestId"'}]}
    with (
        erp(httpx.Response(400, json=error)) as (client, _),
        pytest.raises(Refused, match="Invalid attribute"),
    ):
        client.upload("ATH.zip", b"PK", "x")


def test_find_documents_encodes_values_but_not_the_finders_separators() -> None:
    with erp({"items": [{"DocumentId": 1}, {"DocumentId": "2"}, {"DocumentId": None}]}) as (client, pod):
        assert client.find_documents("ATH_0f") == ["1", "2"]
    assert pod.seen[0].url.query == (
        b"finder=DocumentIdsByFilePrefixRF;filePrefix=ATH_0f,docAccount=%23NULL,comment=%23NULL"
    )


@pytest.mark.parametrize("value", ["a,docAccount=x", "a;b", "a&b", "", "a b"])
def test_finder_values_cannot_break_out(value: str) -> None:
    with erp({"items": []}) as (client, pod), pytest.raises(ValueError, match="finder"):
        client.find_documents(value)
    assert pod.seen == []


def test_document_bytes() -> None:
    with erp({"DocumentContent": "UEsD\r\nBA==", "FileName": "ATH.zip"}) as (client, pod):
        assert client.document("7890181") == b"PK\x03\x04"
    assert pod.body() == {"OperationName": "getDocumentForDocumentId", "DocumentId": "7890181"}


@pytest.mark.parametrize("answer", [{}, {"DocumentContent": "%%%"}, [], {"DocumentContent": 5}])
def test_document_without_bytes(answer: Any) -> None:
    with erp(answer) as (client, _), pytest.raises(BadAnswer):
        client.document("7890181")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (items(RequestStatus="SUCCEEDED"), "SUCCEEDED"),
        (items(RequestStatus="running "), "RUNNING"),
        (items(RequestStatus=""), ""),
        (items(RequestStatus=None), ""),
        (items(), ""),
        ({"items": []}, ""),
    ],
)
def test_status(answer: Any, status: str) -> None:
    with erp(answer) as (client, pod):
        assert client.status("9763072") == status
    assert pod.seen[0].url.query == b"finder=ESSJobStatusRF;requestId=9763072"


def test_status_is_repeated_on_passing_faults() -> None:
    with erp(httpx.Response(503), items(RequestStatus="WAIT")) as (client, pod):
        assert client.status("1") == "WAIT"
    assert len(pod.seen) == 2


def test_answer_without_items() -> None:
    with erp({"RequestStatus": "SUCCEEDED"}) as (client, _), pytest.raises(BadAnswer, match="no items"):
        client.status("1")


def test_execution_parses_the_json_in_the_string() -> None:
    details = {
        "JOBS": [
            {
                "JOBNAME": "Import Journals",
                "REQUESTID": "10",
                "STATUS": "SUCCEEDED",
                "CHILD": {"JOBNAME": "Import Journals: Child", "REQUESTID": 11, "STATUS": "WARNING"},
            }
        ],
        "DOCUMENTID": "77",
    }
    with erp(items(RequestStatus=json.dumps(details))) as (client, _):
        tree = client.execution("10")
    assert (worst(tree), tree.document_id) == ("WARNING", "77")


@pytest.mark.parametrize("text", ["{", "[]", '{"JOBS": ["x"]}', '"text"'])
def test_execution_that_cannot_be_read(text: str) -> None:
    with erp(items(RequestStatus=text)) as (client, _), pytest.raises(BadAnswer):
        client.execution("10")


def test_execution_not_there_yet() -> None:
    for answer in (items(RequestStatus=""), {"items": []}):
        with erp(answer) as (client, _):
            assert client.execution("10").jobs == ()


def test_log_joins_the_files_of_the_archive() -> None:
    content = archive(**{"10.log": "parent log", "sub/11.txt": "Error Lines"})
    with erp(items(DocumentContent=content)) as (client, pod):
        text = client.log("10")
    assert text == "===== 10.log =====\nparent log\n===== 11.txt =====\nError Lines"
    assert b"ESSJobExecutionDetailsRF;requestId=10,fileType=ALL" in pod.seen[0].url.query


def test_log_bomb_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athena_fusion.fusion.erp._LOG_BYTES", 2**20)
    data = base64.b64decode(archive(**{"1.log": "0" * 600_000, "2.log": "0" * 600_000}))
    assert len(data) < 10_000
    with pytest.raises(BadAnswer, match="1 MiB"):
        read_log_archive(data, "10")


def test_log_with_too_many_files() -> None:
    data = base64.b64decode(archive(**{f"{n}.log": "x" for n in range(501)}))
    with pytest.raises(BadAnswer, match="more than 500 files"):
        read_log_archive(data, "10")


@pytest.mark.parametrize("damage", [b"not a zip", b"", None])
def test_log_that_is_no_zip(damage: bytes | None) -> None:
    whole = base64.b64decode(archive(**{"1.log": "".join(map(str, range(9999)))}))
    data = damage if damage is not None else whole[:40] + b"\x00" * 40 + whole[80:]
    with pytest.raises(BadAnswer, match="not a readable ZIP"):
        read_log_archive(data, "10")


def test_no_log_yet() -> None:
    with erp({"items": []}) as (client, _), pytest.raises(BadAnswer, match="without content"):
        client.log("10")
