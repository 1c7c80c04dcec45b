"""A process killed between what Fusion did and what we wrote down: the next finds it, one group is in the ledger."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from integration.night_world import FOLLOW_UP, FOLLOW_UP_CENTS, World

pytestmark = pytest.mark.integration


def in_a_process(world: World, call: str) -> int:
    """How a process that loads and reads back ended; it dies after `call`."""
    script = Path(__file__).with_name("night_process.py")
    day = FOLLOW_UP.isoformat()
    command = [
        sys.executable,
        str(script),
        str(world.folder),
        json.dumps(world.environment),
        "101",
        day,
        call,
    ]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


@pytest.mark.parametrize("call", ["upload", "submit_load", "submit_import", "submit_autopost"])
def test_killed_between_submit_and_record(small: World, call: str) -> None:
    small.deliver(FOLLOW_UP)
    small.run("101", FOLLOW_UP, until="package")
    assert in_a_process(small, call) == -signal.SIGKILL

    small.reopen()
    night = small.run("101", FOLLOW_UP, run_id="the next process")
    assert night.finished
    ((_, group),) = small.groups().items()
    assert (group["batches"], group["journals"], group["lines"], group["posted"]) == (1, 1, 2, 1)
    assert small.in_ledger() == FOLLOW_UP_CENTS
    assert small.waiting() == 0
    assert small.requests() == 1
    adopted = [event for event in small.audited() if event["type"] == "fusion.adopted"]
    assert [event["step"] for event in adopted] == [call.removeprefix("submit_")]
    assert small.runtime.audit.verify().ok


def test_the_next_process_can_be_another_one(small: World) -> None:
    small.deliver(FOLLOW_UP)
    small.run("101", FOLLOW_UP, until="package")
    assert in_a_process(small, "submit_import") == -signal.SIGKILL
    assert in_a_process(small, "none") == 0
    assert small.in_ledger() == FOLLOW_UP_CENTS
    assert len(small.groups()) == 1
