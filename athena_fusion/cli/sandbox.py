"""`athena-fusion sandbox`: athenaOne and Oracle Fusion on this machine, and what happens in them."""

import json
import os
import urllib.error
import urllib.request
from datetime import date
from pathlib import Path

import click

from athena_fusion.cli.day import day_argument
from athena_fusion.cli.home import home
from athena_fusion.cli.output import UPSTREAM, console, stop

ATHENAONE = "ATHENA_SANDBOX_URL"
FUSION = "FUSION_SANDBOX_URL"
_DEFAULTS = {ATHENAONE: "http://127.0.0.1:8900", FUSION: "http://127.0.0.1:8901"}


@click.group()
def sandbox() -> None:
    """athenaOne and Oracle Fusion on this machine."""


@sandbox.command()
@click.option("--athenaone-port", default=8900, show_default=True)
@click.option("--fusion-port", default=8901, show_default=True)
@click.option("--entities", default=3, show_default=True, help="Billing entities.")
@click.option("--lines", default=100, show_default=True, help="Ledger lines per entity and day.")
@click.option("--follow-clock", is_flag=True, help="Close every business day by itself when it is over.")
def up(athenaone_port: int, fusion_port: int, entities: int, lines: int, follow_clock: bool) -> None:
    """Serve both sides on 127.0.0.1 until Ctrl-C; state lives in <home>/sandbox."""
    from athena_fusion.sandbox.server import run

    console.print(f"athenaOne http://127.0.0.1:{athenaone_port}   Fusion http://127.0.0.1:{fusion_port}")
    run(
        home() / "sandbox",
        athenaone_port=athenaone_port,
        fusion_port=fusion_port,
        entities=entities,
        lines_per_entity=lines,
        follow_clock=follow_clock,
    )


@sandbox.command("close-day")
@day_argument
def close_day(batch_date: date) -> None:
    """End a business day: its activity is entered and the Data View delivery is written."""
    done = control(ATHENAONE, "/sandbox/close-day", {"date": batch_date.isoformat()})
    console.print(
        f"{done['date']} closed: {done['rows']} ledger rows, delivery {done['delivery']}", markup=False
    )


@sandbox.command("enable-segment")
@click.argument("segment")
@click.argument("value")
def enable_segment(segment: str, value: str) -> None:
    """Enable a segment value in Fusion's chart of accounts, for example CostCenter 2130."""
    control(FUSION, f"/sandbox/segments/{segment}/{value}", {"enabled": True})
    console.print(f"{segment} {value} is enabled in Fusion", markup=False)


@sandbox.command("disable-segment")
@click.argument("segment")
@click.argument("value")
def disable_segment(segment: str, value: str) -> None:
    """Disable a segment value in Fusion."""
    control(FUSION, f"/sandbox/segments/{segment}/{value}", {"enabled": False})
    console.print(f"{segment} {value} is disabled in Fusion", markup=False)


@sandbox.command()
@click.argument("name")
@click.argument("status", type=click.Choice(["Open", "Closed", "Never Opened", "Future Enterable"]))
def period(name: str, status: str) -> None:
    """Open or close a period in Fusion, for example: period Sep-26 Closed."""
    control(FUSION, f"/sandbox/periods/{name}", {"status": status})
    console.print(f"period {name} is {status} in Fusion", markup=False)


@sandbox.command()
@click.argument("side", type=click.Choice(["athenaone", "fusion"]))
@click.argument("fault")
def fault(side: str, fault: str) -> None:
    """Arm a fault, given as the JSON body of /sandbox/faults, for example '{"kind": "429", "operation": "*"}'."""
    try:
        body = json.loads(fault)
    except ValueError:
        raise click.UsageError("the fault is a JSON object") from None
    control(ATHENAONE if side == "athenaone" else FUSION, "/sandbox/faults", body)
    console.print(f"armed on the {side} side", markup=False)


@sandbox.command("write-tenant")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--entities", default=3, show_default=True)
def write_tenant(folder: Path, entities: int) -> None:
    """Write a tenant directory that fits a sandbox of any size."""
    from athena_fusion.sandbox.tenant_files import write_tenant as write
    from athena_fusion.sandbox.world import World

    write(World(entities), folder)
    console.print(
        f"{folder}: tenant for {entities} billing entities; use it with ATHENA_FUSION_TENANT", markup=False
    )


def control(side: str, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    """Call a control route of the running sandbox: POST with a body, GET without."""
    base = os.environ.get(side, _DEFAULTS[side])
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{base}{path}", data, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        stop(UPSTREAM, f"the sandbox refused {path}: {error.read().decode(errors='replace')[:300]}")
    except OSError:
        stop(UPSTREAM, f"no sandbox answers at {base}; start it with: athena-fusion sandbox up")
    assert isinstance(found, dict)
    return found
