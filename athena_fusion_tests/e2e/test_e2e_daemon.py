"""`athena-fusion up` as an operator starts it: the clock begins a night, gates carry it on, SIGTERM ends everything.

Nothing is called from inside: the schedule ticks by itself, and what happened is read through the guarded UI. The
tenant is the sandbox's own, with the night's times moved to the next minute or two.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from athena_fusion.sandbox.control import BusinessDays
from athena_fusion.sandbox.ledger import Ledger
from athena_fusion.sandbox.process import SandboxProcess
from athena_fusion.sandbox.tenant_files import write_tenant
from athena_fusion.sandbox.world import ZONE, World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

START_SECONDS = 25  # until the daemon looks at the clock: a tick before that is not made up for
NIGHT_SECONDS = 230  # two minutes on an idle machine, most of it waiting for the clock
LINES = 40


@dataclass(frozen=True)
class Ports:
    ui: int
    athenaone: int
    fusion: int


@pytest.fixture
def ports() -> Ports:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    numbers = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return Ports(*numbers)


def local_now() -> datetime:
    return datetime.now(ZoneInfo(ZONE))


def business_day() -> date:
    """Yesterday in New York. Around midnight there is none yet: its delivery comes at 00:30 or 01:30."""
    now = local_now()
    if now.strftime("%H:%M") > "23:50" or now.strftime("%H:%M") < "01:40":
        pytest.skip("between the end of a business day and its delivery there is no night to run")
    return now.date() - timedelta(days=1)


def a_home(folder: Path, day: date) -> dict[str, str]:
    """A home whose athenaOne has closed the day before `day`, and a tenant whose night of `day` is about to begin."""
    world = World(3, open_through=max(World().open_through, day))
    ledger = Ledger(folder / "home" / "sandbox" / "ledger.db")
    days = BusinessDays(world, ledger, folder / "home" / "sandbox" / "dataview", lines_per_entity=LINES)
    days.close(day - timedelta(days=1))
    write_tenant(world, folder / "tenant")
    begin = local_now() + timedelta(seconds=START_SECONDS, minutes=1)
    settings = yaml.safe_load((folder / "tenant" / "tenant.yaml").read_text())
    stages = ("extraction", "reconciliation", "transformation", "load")
    settings["schedule"] = dict.fromkeys(stages, f"{begin:%H:%M}") | {"evidence": "23:59"}
    settings["first_batch_date"] = settings["go_live"] = (day - timedelta(days=1)).isoformat()
    (folder / "tenant" / "tenant.yaml").write_text(yaml.safe_dump(settings))
    own = ("ATHENA_FUSION_", "ATHENA_SANDBOX_URL", "FUSION_SANDBOX_URL", "DAGSTER_HOME")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | {
        "ATHENA_FUSION_HOME": str(folder / "home"),
        "ATHENA_FUSION_TENANT": str(folder / "tenant"),
        "DAGSTER_HOME": str(folder / "dagster"),
    }


@contextmanager
def up(ports: Ports, environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen]:
    options = ["--port", ports.ui, "--athenaone-port", ports.athenaone, "--fusion-port", ports.fusion]
    with (folder / "up.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from athena_fusion.cli import main; main()", "up", *map(str, options)],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def graphql(ports: Ports, query: str, **variables: object) -> dict:
    body = json.dumps({"query": query, "variables": variables}).encode()
    url = f"http://127.0.0.1:{ports.ui}/graphql"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found = json.load(answer)
    assert "errors" not in found, found
    return found["data"]


READBACK = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetMaterializations(limit: 10) { partition runOrError { ... on Run { tags { key value } } }
    metadataEntries { label ... on IntMetadataEntry { intValue } } } } } }"""
CHECKS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { assetChecksOrError {
  ... on AssetChecks { checks { name blocking executionForLatestMaterialization { status } } } } } } }"""
TICKS = """query($selector: ScheduleSelector!) { scheduleOrError(scheduleSelector: $selector) { ... on Schedule {
  scheduleState { ticks(limit: 5) { status runIds } } } } }"""


def proven_nights(ports: Ports) -> list[dict]:
    try:
        found = graphql(ports, READBACK, key={"path": ["load", "journal_readback"]})
    except (OSError, urllib.error.URLError):
        return []
    return found["assetNodeOrError"].get("assetMaterializations", [])


def processes_of(marks: list[str]) -> list[str]:
    """Command lines (and pids) of living processes that carry one of `marks` in their environment or arguments."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            text = (place / "environ").read_bytes() + (place / "cmdline").read_bytes()
            state = (place / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z" and int(place.name) != os.getpid() and any(mark.encode() in text for mark in marks):
            found.append(f"{place.name} {(place / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}")
    return found


def test_the_clock_runs_a_night_and_sigterm_ends_everything(tmp_path, ports):
    day = business_day()
    environment = a_home(tmp_path, day)
    with up(ports, environment, tmp_path) as process:
        deadline = time.monotonic() + NIGHT_SECONDS
        while not (nights := proven_nights(ports)) and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "up.log").read_text()
            time.sleep(1)
        said = (tmp_path / "up.log").read_text()
        assert nights, f"no entity was read back within {NIGHT_SECONDS} s\n{said}"
        night = nights[0]
        assert night["partition"].startswith(f"{day}|")
        tags = {tag["key"]: tag["value"] for tag in night["runOrError"]["tags"]}
        assert tags["dagster/sensor_name"] == "gates"
        rows = {entry["label"]: entry.get("intValue") for entry in night["metadataEntries"]}
        assert rows["dagster/row_count"] > 0
        location = {"repositoryLocationName": "athena_fusion", "repositoryName": "__repository__"}
        ticked = graphql(ports, TICKS, selector=location | {"scheduleName": "nightly_extraction"})
        assert ticked["scheduleOrError"]["scheduleState"]["ticks"][0]["status"] == "SUCCESS"
        checked = graphql(ports, CHECKS, key={"path": ["extraction", "rcm_transactions"]})
        checks = checked["assetNodeOrError"]["assetChecksOrError"]["checks"]
        assert {check["executionForLatestMaterialization"]["status"] for check in checks} == {"SUCCEEDED"}
        assert f"http://127.0.0.1:{ports.ui}" in said
        assert f"FUSION_SANDBOX_URL=http://127.0.0.1:{ports.fusion}" in said

        assert len(processes_of([str(tmp_path)])) >= 4, "sandbox, code server, daemon and the UI"
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, (tmp_path / "up.log").read_text()
    assert processes_of([str(tmp_path)]) == []
    assert (tmp_path / "up.log").read_text().endswith("stopped\n")


@pytest.mark.parametrize("taken", ["ui", "athenaone"])
def test_a_taken_port_is_one_clear_line(tmp_path, ports, taken):
    environment = a_home(tmp_path, business_day())
    number = getattr(ports, taken)
    with socket.create_server(("127.0.0.1", number)), up(ports, environment, tmp_path) as process:
        assert process.wait(60) == 1
    said = (tmp_path / "up.log").read_text()
    assert f"port {number} on 127.0.0.1 cannot be used" in said
    assert "Traceback" not in said
    assert processes_of([str(tmp_path)]) == []


def test_a_home_has_one_owner(tmp_path, ports):
    environment = a_home(tmp_path, business_day())
    first = SandboxProcess(tmp_path / "elsewhere")  # only for two more free ports
    others = Ports(ports.fusion, first.athenaone_port, first.fusion_port)
    with up(ports, environment, tmp_path) as owner:
        deadline = time.monotonic() + 60
        while not (tmp_path / "home" / "in-use").exists() and time.monotonic() < deadline:
            assert owner.poll() is None
            time.sleep(0.1)
        (tmp_path / "second").mkdir()
        with up(others, environment, tmp_path / "second") as second:
            assert second.wait(60) == 1
        owner.send_signal(signal.SIGTERM)
        assert owner.wait(30) == 0
    assert "is in use by another athena-fusion up or demo" in (tmp_path / "second" / "up.log").read_text()
