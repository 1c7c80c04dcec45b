"""The Dagster web application as an ASGI app of ours.

The workspace classes are private in Dagster: the release is pinned, a test covers this module, and the fallback
is Dagster's own `dagster-webserver` process behind the guard.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.types import ASGIApp

from athena_fusion.console.guard import Guard


@contextmanager
def guarded_dagster_ui(instance: dg.DagsterInstance, workspace: Path, hosts: list[str]) -> Iterator[ASGIApp]:
    """Dagster's UI for the code locations of `workspace`, answering only to `hosts`."""
    target = WorkspaceFileTarget(paths=[str(workspace)])
    with WorkspaceProcessContext(instance=instance, workspace_load_target=target) as context:
        yield Guard(create_app_from_workspace_process_context(context), hosts)
