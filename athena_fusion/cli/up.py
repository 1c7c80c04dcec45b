"""`athena-fusion up`: the Dagster UI behind its guard, the daemon, and the sandbox where the tenant uses it.

Four processes: the sandbox, one code server for the definitions, the daemon, and this one with the UI. UI and
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
from hashlib import sha256
from pathlib import Path
from types import FrameType

import click
import uvicorn
import yaml
from starlette.types import ASGIApp

from athena_fusion.cli.home import PROJECT, claim_home, prepare_home
from athena_fusion.cli.keys import ensure_keys
from athena_fusion.cli.output import FINDINGS, console, stop
from athena_fusion.cli.processes import Child
from athena_fusion.cli.sandbox import ATHENAONE, FUSION

_CODE_SERVER_SECONDS = 90.0
_CHILD_SECONDS = 4.0  # for each of three, after two for the UI: together below 15 seconds
_WATCH_SECONDS = 1.0

Ended = Callable[[], str]
"""Says why a process is no longer there; blank while it runs."""


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the UI, on 127.0.0.1 only.")
@click.option("--athenaone-port", default=8900, show_default=True, help="Port of the sandbox's athenaOne.")
@click.option("--fusion-port", default=8901, show_default=True, help="Port of the sandbox's Fusion.")
@click.option(
    "--sandbox/--no-sandbox", "with_sandbox", default=None, help="Default: on for the sandbox tenant."
)
def up(port: int, athenaone_port: int, fusion_port: int, with_sandbox: bool | None) -> None:
    """Start everything and leave it running until Ctrl-C or SIGTERM; schedules and gates work by themselves."""
    from athena_fusion.tenant.loader import default_tenant_dir, load_settings

    place = prepare_home()
    if with_sandbox is None:
        with_sandbox = load_settings(default_tenant_dir()).name == "sandbox"
    signals = _Signals()
    with ExitStack() as stack:
        try:
            stack.enter_context(claim_home(place))
            listener = stack.enter_context(_listener(port))
            stack.callback(console.print, "stopped")
            watched = [_start_sandbox(stack, place, athenaone_port, fusion_port)] if with_sandbox else []
            problem = _dagster(stack, signals, place, listener, watched)
        except _AskedToStop:
            problem = ""
        finally:
            signals.action = _wait_for_the_end
    if problem:
        stop(FINDINGS, problem)


class _AskedToStop(BaseException):
    """SIGTERM or Ctrl-C before the UI serves."""


class _Signals:
    """SIGTERM and Ctrl-C alike: they interrupt the start, end the serving, and never the stopping."""

    def __init__(self) -> None:
        self.action: Callable[[], None] = _interrupt
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._arrived)

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        self.action()


def _interrupt() -> None:
    raise _AskedToStop


def _wait_for_the_end() -> None:
    console.print("stopping, please wait")


@contextmanager
def _listener(port: int) -> Iterator[socket.socket]:
    """The UI's socket, taken before anything is started."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        stop(
            FINDINGS,
            f"port {port} on 127.0.0.1 cannot be used for the UI ({error.strerror}); nothing was started. "
            "Stop what listens there, or choose another with --port.",
        )
    with listener:
        # Connections inherit it; without it every answer waits 40 ms for the acknowledgement of its own header.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


def _start_sandbox(stack: ExitStack, place: Path, athenaone_port: int, fusion_port: int) -> Ended:
    from athena_fusion.sandbox.process import SandboxFailed, SandboxProcess

    sandbox = SandboxProcess(
        place / "sandbox", athenaone_port=athenaone_port, fusion_port=fusion_port, follow_clock=True
    )
    stack.callback(sandbox.stop, _CHILD_SECONDS)
    try:
        sandbox.start()
    except SandboxFailed as error:
        stop(FINDINGS, f"{error}\nThe ports are chosen with --athenaone-port and --fusion-port.")
    os.environ |= {ATHENAONE: sandbox.athenaone_url, FUSION: sandbox.fusion_url}
    ensure_keys()
    _say(
        "athenaOne", f"{sandbox.athenaone_url}   closes each business day when it is over; log {sandbox.log}"
    )
    _say("Fusion", sandbox.fusion_url)
    if (athenaone_port, fusion_port) != (8900, 8901):
        _say("", f"other terminals: export {ATHENAONE}={sandbox.athenaone_url} {FUSION}={sandbox.fusion_url}")
    return sandbox.ended


def _dagster(
    stack: ExitStack, signals: _Signals, place: Path, listener: socket.socket, watched: Sequence[Ended]
) -> str:
    """Code server, daemon and UI until asked to stop; otherwise what ended by itself, in words."""
    import dagster as dg

    from athena_fusion.console.dagster_ui import guarded_dagster_ui
    from athena_fusion.orchestration.cadence import CADENCE
    from athena_fusion.orchestration.entities import register_entities
    from athena_fusion.orchestration.orphans import end_orphaned_runs

    # A socket file, reachable for this user only, in a short path: the system allows about 100 characters.
    mark = f"athena-fusion-{sha256(f'{socket.gethostname()} {place}'.encode()).hexdigest()[:12]}-"
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=mark)))
    instance = stack.enter_context(dg.DagsterInstance.get())
    register_entities(instance)
    for run_id in end_orphaned_runs(instance, mark):
        _say("retried", f"run {run_id}, which an earlier stop cut off")
    code = _start_code_server(stack, folder / "code.sock", place / "logs" / "code-server.log")
    workspace = folder / "workspace.yaml"
    server = {"socket": str(folder / "code.sock"), "host": "localhost", "location_name": "athena_fusion"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
    arguments = ["-m", "dagster._daemon", "run", "--workspace", str(workspace)]
    daemon = Child("Dagster daemon", [sys.executable, *arguments], place / "logs" / "daemon.log", PROJECT)
    stack.callback(daemon.stop, _CHILD_SECONDS)
    stack.callback(code.ask_to_stop)  # first of all, so that both end at the same time
    port = listener.getsockname()[1]
    hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
    app = stack.enter_context(guarded_dagster_ui(instance, workspace, hosts))
    _say("Dagster", f"http://127.0.0.1:{port}   state in {place}; logs in {place / 'logs'}")
    _say("night", f"extraction from {CADENCE.extraction}, evidence at {CADENCE.evidence} ({CADENCE.zone})")
    _say("", "Ctrl-C stops everything.")
    return asyncio.run(_serve(app, listener, signals, [*watched, code.ended, daemon.ended]))


def _start_code_server(stack: ExitStack, path: Path, log: Path) -> Child:
    """The definitions, loaded once; runs are its children."""
    arguments = [
        "-m",
        "dagster",
        "api",
        "grpc",
        "--socket",
        str(path),
        "--module-name",
        "athena_fusion.definitions",
    ]
    arguments += [
        "--location-name",
        "athena_fusion",
        "--use-python-environment-entry-point",
        "--log-level",
        "warning",
    ]
    code = Child("code server", [sys.executable, *arguments], log, PROJECT)
    stack.callback(code.stop, _CHILD_SECONDS)
    deadline = time.monotonic() + _CODE_SERVER_SECONDS
    while not _answers(path):
        if time.monotonic() > deadline:
            stop(
                FINDINGS,
                f"the code server did not answer within {_CODE_SERVER_SECONDS:.0f} s; its log is {log}",
            )
        if why := code.ended():
            stop(FINDINGS, why)
        time.sleep(0.1)
    return code


def _answers(path: Path) -> bool:
    """The server listens only once the definitions are loaded."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class _Server(uvicorn.Server):
    """The signals are ours: uvicorn would send itself SIGTERM again at its end, before the children are stopped."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(app: ASGIApp, listener: socket.socket, signals: _Signals, watched: Sequence[Ended]) -> str:
    server = _Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2))

    def end() -> None:
        server.should_exit = True

    async def watch() -> str:
        while not server.should_exit:
            await asyncio.sleep(_WATCH_SECONDS)
            for why in filter(None, (ended() for ended in watched)):
                end()
                return f"{why}\nEverything was stopped."
        return ""

    signals.action = end
    watching = asyncio.create_task(watch())
    await server.serve(sockets=[listener])
    return await watching


def _say(what: str, text: str) -> None:
    console.print(f"{what:<10} {text}", markup=False, soft_wrap=True)
