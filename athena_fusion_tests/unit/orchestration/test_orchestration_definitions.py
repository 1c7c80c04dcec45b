"""The code location as a whole, as text that a reviewer reads in the diff.

`UPDATE_GOLDEN=1 python -m pytest athena_fusion_tests/unit/orchestration/test_orchestration_definitions.py`
writes `golden/definitions.txt` anew.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from orchestration_world import GRAPH

from athena_fusion.definitions import defs
from athena_fusion.orchestration.partitions import BATCH_DATE, NIGHT

GOLDEN = Path(__file__).parents[2] / "golden" / "definitions.txt"
REPOSITORY = defs.get_repository_def()
ASSETS = sorted(GRAPH.get_all_asset_keys())


def text(keys) -> str:
    return ", ".join(sorted(key.to_user_string() for key in keys)) or "nothing"


def partitions(definition: dg.PartitionsDefinition | None) -> str:
    return {NIGHT: "night", BATCH_DATE: "day"}[definition]


def described() -> Iterator[str]:
    days = f"daily from {BATCH_DATE.start:%Y-%m-%d}, {BATCH_DATE.timezone}"
    yield f"partitions day: {days}"
    yield f"partitions night: {' x '.join(part.name for part in NIGHT.partitions_defs)}"
    yield ""
    for key in ASSETS:
        node = GRAPH.get(key)
        condition = node.automation_condition
        yield f"asset {key.to_user_string()}"
        yield f"  after       {text(node.parent_keys)}"
        yield f"  group       {node.group_name}"
        yield f"  owners      {', '.join(node.owners)}"
        yield f"  kinds       {', '.join(sorted(node.kinds))}"
        yield f"  partitions  {partitions(node.partitions_def)}"
        yield f"  automation  {condition.get_label() if condition else 'none'}"
        yield f"  pool        {', '.join(sorted(node.pools or ())) or 'none'}"
        for check in sorted(GRAPH.get_check_keys_for_assets({key})):
            spec = GRAPH.get_check_spec(check)
            kind = "blocking" if spec.blocking else "not blocking"
            yield f"  check       {spec.name}: {kind}, {partitions(spec.partitions_def)}"
        yield ""
    for job in sorted(REPOSITORY.get_all_jobs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            yield f"job {job.name}: {text(job.asset_layer.executable_asset_keys)}"
    for schedule in sorted(REPOSITORY.schedule_defs, key=lambda schedule: schedule.name):
        cron = schedule.cron_schedule
        times = cron if isinstance(cron, str) else "; ".join(cron)
        yield f"schedule {schedule.name}: {schedule.job_name} at {times}, {schedule.execution_timezone}"
        yield f"  {schedule.default_status.value}"
    for sensor in sorted(REPOSITORY.sensor_defs, key=lambda sensor: sensor.name):
        targets = text(sensor.asset_selection.resolve(GRAPH))
        yield f"sensor {sensor.name}: every {sensor.minimum_interval_seconds} s, {targets}"
        yield f"  {sensor.default_status.value}"
    yield f"executor {defs.executor.name}"


def test_definitions_are_the_reviewed_ones():
    found = "\n".join(described()) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


@pytest.mark.parametrize("key", ASSETS, ids=lambda key: key.to_user_string())
def test_every_asset_introduces_itself(key):
    node = GRAPH.get(key)
    assert len(key.path) == 2
    assert node.group_name
    assert node.description
    assert "PHI" not in node.description
    assert node.owners
    assert all(owner.startswith("team:") for owner in node.owners)
    assert 1 <= len(node.kinds) <= 3
    assert "athena" not in node.kinds  # its icon is that of the AWS query service
    assert node.partitions_def in (NIGHT, BATCH_DATE)
    checks = [GRAPH.get_check_spec(check) for check in GRAPH.get_check_keys_for_assets({key})]
    assert checks
    for check in checks:
        assert check.description
        # without partitions the last evaluation of any entity would decide for all
        assert check.partitions_def == node.partitions_def


def test_every_job_schedule_and_sensor_says_what_it_is_for():
    jobs = [job for job in REPOSITORY.get_all_jobs() if not job.name.startswith("__")]
    for definition in (*jobs, *REPOSITORY.schedule_defs, *REPOSITORY.sensor_defs):
        assert definition.description, definition.name
