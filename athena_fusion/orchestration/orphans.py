"""Runs whose process is gone: left alone they would hold their billing entity until the longest runtime is over."""

import dagster as dg

_SERVER_TAG = ".dagster/grpc_info"  # Dagster's note of the code server that started the run
_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def end_orphaned_runs(instance: dg.DagsterInstance, mark: str) -> list[str]:
    """End the unfinished runs of code servers with `mark` in their address, none of which runs any more.

    They count as runs of a dead worker, so that the daemon's run retries start them again: every stage may be
    killed and run again. Runs started by hand carry no such note and are left alone.
    """
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        if mark in run.tags.get(_SERVER_TAG, ""):
            instance.report_run_failed(run, "The process of this run was stopped; nothing of it is running.")
            ended.append(run.run_id)
    return ended
