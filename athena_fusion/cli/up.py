"""`athena-fusion up`: the Dagster UI behind its guard, the daemon, and the sandbox where the tenant uses it.

Four processes: the sandbox, one code server for the definitions, the daemon, and this one with the UI. Web and
daemon share the code server, and nothing is reloaded while they run: what is on disk at the start is what runs.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
import yaml

from athena_fusion.cli.home import PROJECT, claim_home, prepare_home
from athena_fusion.cli.keys import ensure_keys
from athena_fusion.cli.output import FINDINGS, console, stop
from athena_fusion.cli.processes import Child
from athena_fusion.cli.sandbox import ATHENAONE, FUSION

if TYPE_CHECKING:  # these libraries take a second to import, and `--help` needs none of them
    import uvicorn

    from athena_fusion.sandbox.process import SandboxProcess

_CODE_SERVER_SECONDS = 90.0
_STOP_SECONDS = 6.0
_WATCH_SECONDS = 1.0


class _AskedToStop(BaseException):
    """SIGTERM or Ctrl-C before the UI serves."""


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the UI, on 127.0.0.1 only.")
@click.option("--athenaone-port", default=8900, show_default=True, help="Port of the sandbox's athenaOne.")
@click.option("--fusion-port", default=8901, show_default=True, help="Port of the sandbox's Fusion.")
@click.option("--sandbox/--no-sandbox", "with_sandbox", default=None, help="Default: on for the sandbox tenant.")
def up(port: int, athenaone_port: int, fusion_port: int, with_sandbox: bool | None) -> None:
    """Start everything and leave it running until Ctrl-C or SIGTERM; schedules and gates work by themselves."""
    from athena_fusion.tenant.loader import default_tenant_dir, load_settings

    place = prepare_home()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _raise)
    problem = ""
    try:
        with ExitStack() as stack:
            stack.callback(_ignore_signals)  # runs last, and again first: see _stop
            stack.enter_context(claim_home(place))
            listener = stack.enter_context(_listener(port))
            if load_settings(default_tenant_dir()).name == "sandbox" if with_sandbox is None else with_sandbox:
                _start_sandbox(stack, place, athenaone_port, fusion_port)
            problem = _run_dagster(stack, place, listener)
    except _AskedToStop:
        pass
    console.print("stopped")
    if problem:
        stop(FINDINGS, problem)
