"""Time passing in the scheduler, restart, AutoPost, ledger resources, reports, faults, speed."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from fusion_pod import ERP, LEDGER, LOADER, RunningPod, northwind, packed, pair, running

from athena_fusion.sandbox.fusion.app import create_fusion_app
from athena_fusion.sandbox.fusion.pod import Pod, PodDatabase
from athena_fusion.sandbox.fusion.reports import journal_readback

ROOT = "/fscmRestApi/resources/11.13.18.05"


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[RunningPod]:
    with running(northwind(), tmp_path / "pod.db") as running_pod:
        running_pod.act_as("app")
        yield running_pod


def test_states_pass_in_order_and_parents_pause(tmp_path: Path) -> None:
    with running(northwind(default_job_seconds=0.15), tmp_path / "pod.db") as pod:
        pod.act_as("app")
        request = pod.submit(
            LOADER, "InterfaceLoaderController", f"15,{pod.upload(packed(pair('1.00')))},N,N"
        )
        seen = []
        while not seen or seen[-1] != "SUCCEEDED":
            state = pod.status(request)
            if not seen or seen[-1] != state:
                seen.append(state)
            assert state != "ERROR"
        order = ["WAIT", "READY", "RUNNING", "PAUSED", "SUCCEEDED"]
        assert [state for state in order if state in seen] == seen
        assert {"RUNNING", "PAUSED"} <= set(seen)


def test_jobs_end_without_being_asked(pod: RunningPod) -> None:
    pod.submit(LOADER, "InterfaceLoaderController", f"15,{pod.upload(packed(pair('1.00')))},N,N")
    deadline = time.monotonic() + 5
    while pod.summary()["totals"]["interface_rows"] != 2:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_restart_continues_running_jobs_and_keeps_state(tmp_path: Path) -> None:
    database = tmp_path / "pod.db"
    with running(northwind(default_job_seconds=0.3), database) as pod:
        pod.act_as("app")
        authorization = pod.client.headers["Authorization"]
        pod.control("segments/Cost%20Center/120", enabled=False)
        request = pod.submit(
            LOADER, "InterfaceLoaderController", f"15,{pod.upload(packed(pair('1.00')))},N,N"
        )
        assert pod.status(request) not in {"SUCCEEDED", ""}
    with running(northwind(), database) as pod:
        pod.client.headers["Authorization"] = authorization
        assert pod.wait(request) == "SUCCEEDED"
        pod.load(packed(pair("1.00", GROUP_ID="2", SEGMENT4="120")))
        assert pod.import_group("2") == "WARNING", "the operator's change outlives the restart"


def test_request_ids_rise_from_the_first(pod: RunningPod) -> None:
    request, _ = pod.load(packed(pair("1.00")))
    assert request == "9763072"
    assert [child["REQUESTID"] for child in pod.tree(request)[0]["CHILD"]] == ["9763073", "9763074"]


def test_autopost_posts_named_sources_and_moves_balances(pod: RunningPod) -> None:
    pod.load(packed([*pair("10.50"), *pair("2.00", GROUP_ID="2", USER_JE_SOURCE_NAME="Plain")]))
    pod.import_group("1")
    pod.import_group("2", "Plain")
    request = pod.submit(LEDGER, "AutomaticPosting", "77")
    assert pod.wait(request) == "SUCCEEDED"
    child = pod.tree(request)[0]["CHILD"][0]["REQUESTID"]
    assert f"Your posting process {child} has been submitted for batches with priority 1." in pod.log(request)
    assert {row["BATCH_STATUS"] for row in pod.readback("1")} == {"P"}
    assert {row["BATCH_STATUS"] for row in pod.readback("2")} == {"U"}
    finder = "AccountBalanceFinder;ledgerName=Northwind US Ledger,accountingPeriod=Jan-26,currency=USD"
    items = pod.client.get(f"{ROOT}/ledgerBalances", params={"finder": finder}).json()["items"]
    assert {item["DetailAccountCombination"]: item["EndingBalance"] for item in items} == {
        "101.10.12100.000.000.000": "10.5",
        "101.10.41000.110.000.000": "-10.5",
    }
    one = f"{finder},accountCombination=101.10.41000.%"
    assert len(pod.client.get(f"{ROOT}/ledgerBalances", params={"finder": one}).json()["items"]) == 1
    assert pod.wait(pod.submit(LEDGER, "AutomaticPosting", "78")) == "ERROR"


def test_autopost_leaves_closed_periods(pod: RunningPod) -> None:
    pod.load(packed(pair("1.00")))
    pod.import_group("1")
    pod.control("periods/Jan-26", status="Closed")
    assert pod.wait(pod.submit(LEDGER, "AutomaticPosting", "77")) == "WARNING"
    assert pod.summary()["groups"]["1"]["posted"] == 0


def test_journal_batches_by_name_with_paging(pod: RunningPod) -> None:
    pod.load(
        packed([line for n in range(1, 5) for line in pair("1.00", GROUP_ID=str(n), REFERENCE1=f"ATH-{n}")])
    )
    pod.import_group("ALL")
    url = f"{ROOT}/journalBatches"
    found = pod.client.get(url, params={"q": "BatchName LIKE 'ATH-2 %'"}).json()
    assert [(item["GroupId"], item["Status"]) for item in found["items"]] == [(2, "U")]
    page = pod.client.get(url, params={"limit": "3", "offset": "0", "fields": "JeBatchId"}).json()
    assert (page["count"], page["hasMore"]) == (3, True)
    rest = pod.client.get(url, params={"limit": "3", "offset": "3"}).json()
    assert (rest["count"], rest["hasMore"]) == (1, False)
    batch = page["items"][0]["JeBatchId"]
    headers = pod.client.get(f"{url}/{batch}/child/journalHeaders").json()["items"]
    assert [(item["RunningTotalAccountedDr"], item["JeCategory"]) for item in headers] == [("1", "Revenue")]
    assert pod.client.get(f"{url}/{batch}").json()["JeBatchId"] == batch
    names = {
        each["name"]
        for each in pod.client.get(f"{url}/describe").json()["Resources"]["journalBatches"]["attributes"]
    }
    assert {"BatchName", "Status", "GroupId"} <= names
    both = {"q": "GroupId=3;Status='U'"}
    assert pod.client.get(url, params=both).json()["count"] == 1
    for query in ("NoSuch=1", "BatchName", "BatchName = 'a' OR 1=1"):
        assert pod.client.get(url, params={"q": query}).status_code == 400
    assert pod.client.get(f"{url}/999").status_code == 404


def test_report_faults(pod: RunningPod) -> None:
    unknown = pod.report("1", "/Custom/other.xdo")
    assert unknown.status_code == 500
    assert "env:Fault" in unknown.text
    assert pod.report("").status_code == 500
    url = "/xmlpserver/services/ExternalReportWSSService"
    soap = {"Content-Type": "application/soap+xml"}
    bomb = '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'
    assert pod.client.post(url, content=bomb, headers=soap).status_code == 500
    assert pod.client.post(url, content="<", headers=soap).status_code == 500
    assert pod.client.post(url, content="<x/>", headers={"Content-Type": "text/xml"}).status_code == 415
    pod.client.headers["Authorization"] = "Bearer wrong"
    assert pod.report("1").status_code == 401


def test_report_keeps_to_the_ledger_asked_for(tmp_path: Path) -> None:
    pod = Pod(northwind(), PodDatabase(tmp_path / "pod.db"), clock=lambda: datetime(2026, 1, 31, tzinfo=UTC))
    with pod.database.transaction() as connection:
        connection.execute(
            "INSERT INTO gl_interface (STATUS, LEDGER_ID, GROUP_ID, LOAD_REQUEST_ID, CREATED_BY, CREATION_DATE)"
            " VALUES ('NEW', '300000000000002', '1', 1, 'X', '')"
        )
    assert journal_readback(pod, "1", "300000000000002").count(b"\n") == 2
    assert journal_readback(pod, "1", "300000000000001").count(b"\n") == 1
    assert journal_readback(pod, "1", None).count(b"\n") == 2
    pod.database.close()


def test_control_answers_this_machine_only(tmp_path: Path) -> None:
    app = create_fusion_app(northwind(), tmp_path / "pod.db", clock=lambda: datetime(2026, 1, 31, tzinfo=UTC))

    async def ask(host: str) -> int:
        transport = httpx.ASGITransport(app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://pod") as client:
            return (await client.get("/sandbox/gl/summary")).status_code

    assert asyncio.run(ask("127.0.0.1")) == 200
    assert asyncio.run(ask("10.0.0.8")) == 403


def submission(document: str) -> dict[str, str]:
    return {
        "OperationName": "submitESSJobRequest",
        "JobPackageName": LOADER,
        "JobDefName": "InterfaceLoaderController",
        "ESSParameters": f"15,{document},N,N",
    }


def test_refusing_faults_hit_the_next_calls_only(pod: RunningPod) -> None:
    document = pod.upload(packed(pair("1.00")))
    pod.control("faults", operation="submitESSJobRequest", kind="429", retry_after=2)
    pod.control("faults", operation="submitESSJobRequest", kind="429")
    pod.control("faults", operation="submitESSJobRequest", kind="503")
    pod.control("faults", operation="submitESSJobRequest", kind="html")
    answers = [pod.client.post(ERP, json=submission(document)) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [429, 429, 503, 200, 201]
    assert answers[0].headers["Retry-After"] == "2"
    assert "Retry-After" not in answers[1].headers
    assert answers[3].headers["content-type"].startswith("text/html")
    assert pod.wait(answers[4].json()["ReqstId"]) == "SUCCEEDED"
    assert pod.summary()["totals"]["interface_rows"] == 2


def test_broken_connections_with_and_without_effect(pod: RunningPod) -> None:
    document = pod.upload(packed(pair("1.00")))
    for kind in ("drop_before", "drop"):
        pod.control("faults", operation="submitESSJobRequest", kind=kind)
        with pytest.raises(httpx.RemoteProtocolError):
            pod.client.post(ERP, json=submission(document))
    items = pod.client.get("/ess/rest/scheduler/v1/requests", params={"q": "parentRequestId eq 0"}).json()[
        "items"
    ]
    assert len(items) == 1
    pod.control("faults", operation="submitESSJobRequest", kind="late", seconds=0.15)
    with pytest.raises(httpx.RemoteProtocolError):
        pod.client.post(ERP, json=submission(document))

    def roots() -> int:
        query = {"q": "parentRequestId eq 0"}
        return len(pod.client.get("/ess/rest/scheduler/v1/requests", params=query).json()["items"])

    assert roots() == 1
    deadline = time.monotonic() + 5
    while roots() != 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lying_answers(pod: RunningPod) -> None:
    document = pod.upload(packed(pair("1.00")))
    pod.control("faults", operation="submitESSJobRequest", kind="reqstid")
    assert pod.client.post(ERP, json=submission(document)).json()["ReqstId"] == "-1"
    request = pod.submit(LOADER, "InterfaceLoaderController", f"15,{document},N,N")
    pod.wait(request)
    pod.control("faults", operation="getESSJobStatus", kind="blank", times=2)
    assert [pod.status(request) for _ in range(3)] == ["", "", "SUCCEEDED"]
    pod.control("faults", operation="getESSJobStatus", kind="paused", for_seconds=0.1)
    assert pod.status(request) == "PAUSED"
    time.sleep(0.11)
    assert pod.status(request) == "SUCCEEDED"
    pod.control("faults", operation="getESSExecutionDetails", kind="paused")
    assert pod.tree(request)[0]["STATUS"] == "PAUSED"
    pod.control("faults", operation="*", kind="503", times=3)
    assert pod.client.delete("/sandbox/faults").status_code == 200
    assert pod.status(request) == "SUCCEEDED"
    pod.control("faults", kind="expire_tokens")
    assert pod.client.get(ERP).status_code == 401


def test_control_refuses_what_it_does_not_know(pod: RunningPod) -> None:
    for path, body in (
        ("faults", {"kind": "earthquake"}),
        ("periods/Jan-26", {"status": "Ajar"}),
        ("suspense", {"enabled": "yes"}),
        ("suspense", {}),
    ):
        assert pod.client.post(f"/sandbox/{path}", json=body).status_code == 400
    assert pod.client.post("/sandbox/segments/Account/nope", json={"enabled": True}).status_code == 404


def test_concurrent_groups_do_not_mix(pod: RunningPod) -> None:
    token = pod.client.headers["Authorization"]
    errors: list[BaseException] = []

    def work(n: int) -> None:
        try:
            with httpx.Client(
                base_url=pod.url, headers={"Authorization": token}, timeout=10, trust_env=False
            ) as client:
                mine = RunningPod(pod.url, client)
                assert mine.load(packed(pair(f"{n}.00", GROUP_ID=str(n))))[1] == "SUCCEEDED"
                assert mine.import_group(str(n)) == "SUCCEEDED"
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    groups = pod.summary()["groups"]
    assert {n: (groups[str(n)]["batches"], groups[str(n)]["total_dr"]) for n in range(1, 7)} == {
        n: (1, str(n)) for n in range(1, 7)
    }


def test_two_thousand_rows_load_and_import_in_seconds(pod: RunningPod) -> None:
    content = packed([line for n in range(1000) for line in pair("1.01", f"K{n}")])
    started = time.perf_counter()
    pod.load(content)
    assert pod.import_group("1") == "SUCCEEDED"
    assert time.perf_counter() - started < 5, (
        "a real one takes a fifth of a second; only a disaster takes this long"
    )
    assert pod.summary()["groups"]["1"]["total_dr"] == "1010"
