"""The Dagster web application as an ASGI app of ours.

The workspace classes are private in Dagster: the release is pinned, a test covers this module, and the fallback
is Dagster's own `dagster-webserver` process behind the guard.
"""

from pathlib import Path

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.types import ASGIApp

from athena_fusion.console.guard import Guard


def guarded_dagster_ui(instance: dg.DagsterInstance, workspace: Path, hosts: list[str]) -> ASGIApp:
    """Dagster's UI for the code locations of `workspace`, answering only to `hosts`."""
    target = WorkspaceFileTarget(paths=[str(workspace)])
    context = WorkspaceProcessContext(instance=instance, workspace_load_target=target)
    context.__enter__()  # lives as long as the server process
    return Guard(create_app_from_workspace_process_context(context), hosts)
