"""Runs whose process was stopped are ended at the next start, so that they are retried and hold nobody."""

import json

import dagster as dg
import pytest

from athena_fusion.orchestration.orphans import end_orphaned_runs

MARK = "athena-fusion-0123456789ab-"
OURS = {".dagster/grpc_info": json.dumps({"host": "localhost", "socket": f"/run/{MARK}x/code.sock"})}
ANOTHERS = {".dagster/grpc_info": json.dumps({"host": "localhost", "socket": "/run/other/code.sock"})}


@dg.job
def nothing():
    pass


@pytest.mark.parametrize(
    ("status", "tags", "ended"),
    [
        (dg.DagsterRunStatus.STARTED, OURS, True),
        (dg.DagsterRunStatus.STARTING, OURS, True),
        (dg.DagsterRunStatus.CANCELING, OURS, True),
        (dg.DagsterRunStatus.NOT_STARTED, OURS, False),
        (dg.DagsterRunStatus.SUCCESS, OURS, False),
        (dg.DagsterRunStatus.STARTED, ANOTHERS, False),
        (dg.DagsterRunStatus.STARTED, {}, False),  # by hand, in another terminal
    ],
)
def test_only_our_unfinished_runs_are_ended(status, tags, ended):
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=status, tags=tags)
        assert end_orphaned_runs(instance, MARK) == ([run.run_id] if ended else [])
        found = instance.get_run_by_id(run.run_id)
        assert found.status == (dg.DagsterRunStatus.FAILURE if ended else status)
