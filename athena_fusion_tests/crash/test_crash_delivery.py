"""SIGKILL between any two effects of a load: the next start ends it, nothing doubled and nothing lost.

`ATHENA_CRASH_STEP=1` tries every point; the default takes every seventh, another offset for each test.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
STEP = int(os.environ.get("ATHENA_CRASH_STEP", "7"))

pytestmark = pytest.mark.crash


@pytest.mark.parametrize("offset", range(1, min(STEP, 2) + 1))
def test_killed_anywhere_the_next_start_ends_the_load_exactly_once(tmp_path: Path, offset: int) -> None:
    script = TESTS / "crash" / "delivery_process.py"
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(offset), str(STEP)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    points = [json.loads(line) for line in done.stdout.splitlines()]
    killed = [point for point in points if point["killed"]]
    assert len(killed) >= 100 // STEP
    for point in points:
        assert set(point["ledger"].values()) == {1}, f"point {point['point']}: a journal line is doubled"
        assert len(point["ledger"]) == 8, f"point {point['point']}: a journal line was lost"
        assert point["sent"] == point["ledger"]
        assert point["waiting"] == 0
