"""The pod agrees with the reference samples and their expected outcomes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fusion_pod import RunningPod, northwind, running

pytestmark = pytest.mark.shared


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[RunningPod]:
    with running(northwind(), tmp_path / "pod.db") as running_pod:
        running_pod.act_as("app")
        yield running_pod


@pytest.fixture
def samples(shared_dir: Path) -> Path:
    return shared_dir / "reference/fbdi/samples"


@pytest.fixture
def expected(samples: Path) -> dict[str, Any]:
    return dict(json.loads((samples / "EXPECTED.json").read_text()))


def test_good_file_becomes_one_batch(pod: RunningPod, samples: Path, expected: dict[str, Any]) -> None:
    request, state = pod.load((samples / "gl_good/GlInterface.zip").read_bytes())
    assert state == "SUCCEEDED"
    assert "6 Rows successfully loaded." in pod.log(request)
    for group, wanted in expected["gl_good"]["groups"].items():
        assert pod.import_group(group) == expected["gl_good"]["import"]
        found = pod.summary()["groups"][group]
        assert {key: found[key] for key in wanted} == wanted
        assert found["interface_rows"] == 0


def test_rejections(pod: RunningPod, samples: Path, expected: dict[str, Any]) -> None:
    assert pod.load((samples / "gl_rejections/GlInterface.zip").read_bytes())[1] == "SUCCEEDED"
    states = {group: pod.import_group(group) for group in expected["gl_rejections"]["expected_status"]}
    assert set(states.values()) == {"WARNING"}
    found = {group: pod.statuses(group) for group in states}
    assert found == {
        "9001": {"K01-1": "EF04", "K01-2": "P"},
        "9002": {"K02-1": "EP01", "K02-2": "EP01"},
        "9003": {"K03-1": "EU02"},
        "9004": {"K04-1": "EC08", "K04-2": "EC08"},
        "9005": {"K05-1": "EM01", "K05-2": "EM01"},
        "9006": {"K06-1": "EF02", "K06-2": "P"},
        "9007": {"K07-1": "EF03", "K07-2": "P"},
        "9008": {"K08-1": "EF04", "K08-2": "P"},
        "9009": {"K09-1": "EC06", "K09-2": "EC06"},
        "9010": {"K10-1": "EC03", "K10-2": "EC03"},
        "9011": {"K12-1": "EF04", "K11-1": "P", "K11-2": "P", "K12-2": "P"},
    }
    assert pod.summary()["totals"]["batches"] == 0


def test_unbalanced_group_is_imported_where_suspense_is_on(pod: RunningPod, samples: Path) -> None:
    pod.control("suspense", enabled=True)
    pod.load((samples / "gl_rejections/GlInterface.zip").read_bytes())
    assert pod.import_group("9003") == "SUCCEEDED"
    assert pod.summary()["groups"]["9003"]["batches"] == 1


def test_loader_rejects_every_record(pod: RunningPod, samples: Path) -> None:
    request, state = pod.load((samples / "gl_loader_rejects/GlInterface.zip").read_bytes())
    assert state == "ERROR"
    log = pod.log(request)
    for line in (
        "Record 1: Rejected - Error on table GL_INTERFACE, column DATE_CREATED.\nORA-01400",
        "Record 2: Rejected - Error on table GL_INTERFACE, column ACCOUNTING_DATE.\nORA-018",
        "Record 3: Rejected - Error on table GL_INTERFACE, column ENTERED_DR.\nORA-01722",
        "Record 4: Rejected - Error on table GL_INTERFACE, column REFERENCE10.\nORA-12899",
        "Total logical records rejected: 4",
    ):
        assert line in log
    assert pod.summary()["totals"]["interface_rows"] == 0
