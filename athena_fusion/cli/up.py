"""`athena-fusion up`: the Dagster UI behind its guard, the daemon, and the sandbox where the tenant uses it."""

import os
import subprocess
import sys
from pathlib import Path

import click

from athena_fusion.cli.home import PROJECT, prepare_home
from athena_fusion.cli.output import console


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the UI, on 127.0.0.1 only.")
@click.option("--sandbox/--no-sandbox", "with_sandbox", default=None, help="Default: on for the sandbox tenant.")
def up(port: int, with_sandbox: bool | None) -> None:
    """Start everything and leave it running until Ctrl-C; schedules and gates then work by themselves."""
    from athena_fusion.runtime import Runtime

    place = prepare_home()
    sandbox = None
    if with_sandbox is None:
        with_sandbox = Runtime.shared().tenant.name == "sandbox"
    if with_sandbox:
        from athena_fusion.sandbox.process import SandboxProcess

        sandbox = SandboxProcess(place / "sandbox", athenaone_port=8900, fusion_port=8901, follow_clock=True)
        sandbox.start()
        Runtime.shared().keys.ensure()
        console.print(f"sandbox     {sandbox.athenaone_url} (athenaOne), {sandbox.fusion_url} (Fusion)")
    daemon = subprocess.Popen(  # started from Python: a background shell would make it ignore SIGTERM
        [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(PROJECT / "workspace.yaml")],
        cwd=PROJECT,
    )
    try:
        console.print(f"dagster     http://127.0.0.1:{port}   (state in {place})")
        _serve(port, PROJECT / "workspace.yaml")
    finally:
        daemon.terminate()
        daemon.wait(timeout=30)
        if sandbox is not None:
            sandbox.stop()


def _serve(port: int, workspace: Path) -> None:
    """Dagster's web application on the loopback interface until interrupted."""
    import dagster as dg
    import uvicorn

    from athena_fusion.console.dagster_ui import guarded_dagster_ui
    from athena_fusion.orchestration.entities import register_entities

    os.chdir(PROJECT)
    with dg.DagsterInstance.get() as instance:
        register_entities(instance)
        hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
        app = guarded_dagster_ui(instance, workspace, hosts)
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
