"""erpintegrations and the scheduler: forms, refusals, trees, searches."""

import base64
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fusion_pod import ACCOUNT, ERP, LEDGER, LOADER, RunningPod, northwind, packed, pair, running

SCHEDULER = "/ess/rest/scheduler/v1/requests"
ADF_ERROR = "application/vnd.oracle.adf.error+json"
IMPORT = f"{LEDGER},JournalImportLauncher"


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[RunningPod]:
    with running(northwind(), tmp_path / "pod.db") as running_pod:
        running_pod.act_as("app")
        yield running_pod


@pytest.fixture(scope="module")
def calm_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPod]:
    with running(northwind(), tmp_path_factory.mktemp("pod") / "pod.db") as running_pod:
        running_pod.act_as("app")
        yield running_pod


def bulk(pod: RunningPod, content: bytes, **changes: str) -> dict[str, Any]:
    return pod.post(
        **{
            "OperationName": "importBulkData",
            "DocumentContent": base64.b64encode(content).decode(),
            "ContentType": "zip",
            "FileName": "ATH_GL_1.zip",
            "DocumentAccount": ACCOUNT,
            "JobName": IMPORT,
            "ParameterList": "300000000000009,athenaCollector,300000000000001,1,N,N,N",
            "NotificationCode": "10",
            "JobOptions": "InterfaceDetails=15,ImportOption=Y,PurgeOption=N,ExtractFileType=ALL",
            **changes,
        }
    )


def wait_for(pod: RunningPod, request: str, jobs: int) -> list[dict[str, Any]]:
    """Tree once it holds that many root jobs and all have ended."""
    deadline = time.monotonic() + 10
    while True:
        tree = pod.tree(request)
        if len(tree) == jobs and all(job["STATUS"] in {"SUCCEEDED", "ERROR", "WARNING"} for job in tree):
            return tree
        assert time.monotonic() < deadline, tree
        time.sleep(0.005)


def test_import_bulk_data_runs_load_import_and_upload(pod: RunningPod) -> None:
    answer = bulk(pod, packed(pair("1.00")))
    assert answer["FileName"] == "ATH_GL_1.zip"
    assert answer["RequestStatus"] is None
    request = answer["ReqstId"]
    tree = wait_for(pod, request, 3)
    assert [job["JOBNAME"] for job in tree][:2] == ["Load Interface File for Import", "Import Journals"]
    assert tree[0]["DOCUMENTNAME"] == "ATH_GL_1.zip"
    assert [child["JOBNAME"] for child in tree[0]["CHILD"]] == ["Transfer File", "Load File to Interface"]
    assert pod.summary()["groups"]["1"]["batches"] == 1
    details = json.loads(pod.find(f"ESSExecutionDetailsRF;requestId={request}")[0]["RequestStatus"])
    assert details["SUMMARYSTATUS"] == "SUCCEEDED"
    output = pod.post(OperationName="getDocumentForDocumentId", DocumentId=details["DOCUMENTID"])
    assert output["FileName"] == f"{request}.zip"
    # The import was not submitted through erpintegrations, so it has no status there.
    assert pod.status(tree[1]["REQUESTID"]) == ""


def test_import_bulk_data_options(pod: RunningPod) -> None:
    held = packed(pair("1.00", SEGMENT4="777"))
    request = bulk(pod, held, JobOptions="InterfaceDetails=15,PurgeOption=Y,ExtractFileType=ERROR")["ReqstId"]
    tree = wait_for(pod, request, 3)
    assert (tree[1]["STATUS"], tree[1]["CHILD"][0]["STATUS"]) == ("SUCCEEDED", "WARNING")
    assert pod.statuses("1") == {}, "PurgeOption=Y clears what was left"
    only_load = bulk(pod, held, JobOptions="InterfaceDetails=15,ImportOption=N,ExtractFileType=NONE")[
        "ReqstId"
    ]
    assert pod.wait(only_load) == "SUCCEEDED"
    assert len(pod.tree(only_load)) == 1
    assert set(pod.statuses("1").values()) == {"NEW"}


def test_job_comes_from_the_properties_entry_where_the_call_names_none(pod: RunningPod) -> None:
    parameters = "300000000000009,athenaCollector,300000000000001,1,N,N,N"
    content = io.BytesIO(packed(pair("1.00")))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("job.properties", f"{IMPORT},ATH,{parameters}")
    request = bulk(pod, content.getvalue(), JobName="", ParameterList="")["ReqstId"]
    wait_for(pod, request, 3)
    assert pod.summary()["groups"]["1"]["batches"] == 1


def test_failed_load_is_not_imported(pod: RunningPod) -> None:
    request = bulk(pod, packed(pair("1.00", DATE_CREATED="")))["ReqstId"]
    tree = wait_for(pod, request, 2)
    assert [job["STATUS"] for job in tree] == ["ERROR", "SUCCEEDED"]
    assert pod.summary()["totals"]["batches"] == 0


@pytest.mark.parametrize(
    "job", [f"{LEDGER};JournalImportLauncher", f"{LEDGER},NoSuchJob", "/wrong,JournalImportLauncher"]
)
def test_unknown_job_path_answers_minus_one(calm_pod: RunningPod, job: str) -> None:
    assert bulk(calm_pod, packed(pair("1.00")), JobName=job)["ReqstId"] == "-1"
    package, _, definition = job.partition(",")
    assert calm_pod.submit(package, definition or "JournalImportLauncher", "1") == "-1"


def test_child_jobs_cannot_be_submitted(calm_pod: RunningPod) -> None:
    assert calm_pod.submit(LEDGER, "JournalImport", "1,2,3,4") == "-1"


def test_missing_privilege_answers_minus_one(tmp_path: Path) -> None:
    with running(northwind(), tmp_path / "pod.db") as pod:
        pod.act_as("nobody")
        assert bulk(pod, packed(pair("1.00")))["ReqstId"] == "-1"
        assert pod.submit(LOADER, "InterfaceLoaderController", "15,1,N,N") == "-1"


def test_payload_refusals(calm_pod: RunningPod) -> None:
    def post(body: Any, **headers: str) -> Any:
        return calm_pod.client.post(
            ERP, json=body, headers={"Accept": f"application/json,{ADF_ERROR}", **headers}
        )

    answer = post({"OperationName": "getDocumentForDocumentId", "requestId": "1"})
    assert answer.status_code == 400
    assert answer.json()["title"] == 'Invalid attribute "requestId" in the payload'
    assert answer.json()["o:errorDetails"][0]["detail"]
    plain = calm_pod.client.post(ERP, json={"requestId": "1"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert post({"OperationName": "importbulkdata"}).status_code == 400
    assert post([]).status_code == 400
    assert post({"OperationName": 5}).status_code == 400
    assert post({}, **{"Content-Type": "text/plain"}).status_code == 415
    assert post({}, **{"Accept": "text/html"}).status_code == 406
    assert post({}, **{"REST-Framework-Version": "99"}).status_code == 400
    assert post({"OperationName": "uploadFileToUCM", "FileName": "x"}).status_code == 400
    adf = post(
        {"OperationName": "getDocumentForDocumentId", "DocumentId": "1"},
        **{"Content-Type": "application/vnd.oracle.adf.resourceitem+json"},
    )
    assert adf.json()["title"] == "The document was not found."


def test_upload_needs_the_account_and_base64(calm_pod: RunningPod) -> None:
    def upload(account: str, content: str = "UEs=") -> int:
        body = {
            "OperationName": "uploadFileToUCM",
            "FileName": "a.zip",
            "DocumentAccount": account,
            "DocumentContent": content,
        }
        return calm_pod.client.post(ERP, json=body).status_code

    assert upload("fin/generalLedger/import") == 201
    assert upload("fin$/receivables$/import$") == 400
    assert upload(ACCOUNT, "no base64!") == 400


def test_documents_are_found_by_prefix(pod: RunningPod) -> None:
    ids = [pod.upload(b"1", "AF01_a.zip"), pod.upload(b"2", "AF01_b.zip"), pod.upload(b"3", "BF01.zip")]
    prefix = "DocumentIdsByFilePrefixRF;filePrefix={},docAccount={},comment=#NULL"
    found = [item["DocumentId"] for item in pod.find(prefix.format("AF01", "#NULL"))]
    assert found == ids[:2]
    assert [item["DocumentId"] for item in pod.find(prefix.format("AF", "fin/generalLedger/import"))] == ids[
        :2
    ]
    assert pod.find(prefix.format("AF%", "#NULL")) == []
    assert pod.find(prefix.format("AF", "fin/other")) == []
    content = pod.post(OperationName="getDocumentForDocumentId", DocumentId=ids[2])["DocumentContent"]
    assert base64.b64decode(content) == b"3"


def test_logs_only_for_the_submitter(pod: RunningPod) -> None:
    request, _ = pod.load(packed(pair("1.00")))
    assert len(pod.files(request, "log")) == 3
    by_finder = pod.find(f"ESSJobExecutionDetailsRF;requestId={request},fileType=LOG")
    assert by_finder[0]["DocumentContent"]
    pod.act_as("second")
    answer = pod.client.post(
        ERP, json={"OperationName": "downloadESSJobExecutionDetails", "ReqstId": request, "FileType": "log"}
    )
    assert answer.status_code == 400
    assert "FND-2" in answer.text


def test_finder_answers(pod: RunningPod) -> None:
    answer = pod.client.get(ERP, params={"finder": "ESSJobStatusRF;requestId=999", "fields": "RequestStatus"})
    assert answer.json()["items"] == [{"RequestStatus": ""}]
    assert answer.json()["hasMore"] is False
    for finder in ("", "NoSuchRF;requestId=1", "ESSJobStatusRF", "ESSJobStatusRF;requestId=x"):
        assert pod.client.get(ERP, params={"finder": finder}).status_code == 400
    assert pod.client.get(ERP, params={"finder": "ESSExecutionDetailsRF;requestId=999"}).status_code == 400


def test_jobs_as_one_object_where_set(tmp_path: Path) -> None:
    with running(northwind(execution_details_as_list=False), tmp_path / "pod.db") as pod:
        pod.act_as("app")
        request, _ = pod.load(packed(pair("1.00")))
        text = pod.find(f"ESSExecutionDetailsRF;requestId={request}")[0]["RequestStatus"]
        assert json.loads(text)["JOBS"]["REQUESTID"] == request


def test_scheduler_tells_parameters_and_descendants(pod: RunningPod) -> None:
    pod.load(packed(pair("1.00")))
    pod.import_group("1")
    items = pod.client.get(
        SCHEDULER, params={"q": 'definition co "JournalImportLauncher" and submitter eq "FIN_INTEGRATION"'}
    ).json()["items"]
    assert len(items) == 1
    assert items[0]["state"] == "SUCCEEDED"
    assert items[0]["jobDefinitionId"] == f"JobDefinition:/{LEDGER}/JournalImportLauncher"
    request = items[0]["requestId"]
    one = pod.client.get(f"{SCHEDULER}/{request}", params={"fields": "requestParameters"}).json()
    values = {each["name"]: each["value"] for each in one["requestParameters"]}
    assert values["submit.argument4"] == "1"
    tree = pod.client.get(SCHEDULER, params={"q": f"absParentRequestId eq {request}"}).json()["items"]
    assert [each["parentRequestId"] for each in tree] == [request, 0]
    since = {"q": 'submissionTime ge "2026-01-31T09:00:00+00:00"', "limit": "2", "fields": "@full"}
    page = pod.client.get(SCHEDULER, params=since).json()
    assert (page["count"], page["hasMore"]) == (2, True)
    assert page["items"][0]["requestParameters"]
    following = next(link["href"] for link in page["links"] if link["rel"] == "next")
    assert pod.client.get(following).json()["items"][0]["requestId"] == page["items"][1]["requestId"] - 1
    assert items[0]["submissionTime"].endswith("-05:00"), "the pod stamps its own zone"
    late = {"q": 'submissionTime gt "2026-01-31T11:00:00+00:00"'}
    assert pod.client.get(SCHEDULER, params=late).json()["items"] == []


def test_submission_through_the_scheduler_is_found_by_its_category(pod: RunningPod) -> None:
    document = pod.upload(packed(pair("1.00")))
    values = dict(enumerate(("15", document, "N", "N"), start=1))
    body = {
        "jobDefinitionId": f"JobDefinition:/{LOADER}/InterfaceLoaderController",
        "requestCategory": "AF0123",
        "requestParameters": [
            {"name": f"submit.argument{number}", "paramType": "STRING", "value": value}
            for number, value in values.items()
        ],
    }
    request = pod.client.post(SCHEDULER, json=body).json()["requestId"]
    found = pod.client.get(SCHEDULER, params={"q": 'requestCategory eq "AF0123"'}).json()["items"]
    assert [each["requestId"] for each in found] == [request]
    assert pod.status(str(request)) == "", "erpintegrations tells no status of what it did not submit"
    assert pod.client.post(SCHEDULER, json={**body, "jobDefinitionId": "x"}).status_code == 400
    assert pod.client.post(SCHEDULER, json=[]).status_code == 400


def test_scheduler_refusals(calm_pod: RunningPod) -> None:
    assert calm_pod.client.get(f"{SCHEDULER}/1").status_code == 404
    naive = 'submissionTime gt "2026-01-31T11:00:00"'
    for query in ("nonsense", "unknown eq 1", 'submissionTime gt "yesterday"', naive):
        calm_pod.submit(LOADER, "InterfaceLoaderController", "15,1,N,N")
        assert calm_pod.client.get(SCHEDULER, params={"q": query}).status_code == 400
