"""Where a measurement happens: a home, a tenant and a sandbox of the wanted size, all below one folder."""

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from athena_fusion.cli.home import prepare_home
from athena_fusion.cli.sandbox import ATHENAONE, FUSION
from athena_fusion.sandbox.process import SandboxProcess
from athena_fusion.sandbox.tenant_files import write_tenant
from athena_fusion.sandbox.world import World

DAY = date(2026, 9, 15)


@dataclass(frozen=True)
class Size:
    """`lines` are ledger lines per billing entity and day."""

    entities: int
    lines: int
    workers: int


@contextmanager
def sandbox(folder: Path, size: Size) -> Iterator[SandboxProcess]:
    """A running sandbox with its tenant; the environment points every later import and process at them.

    The one cost centre that the world disables is enabled: every entity shall come to its proof.
    """
    write_tenant(World(size.entities), folder / "tenant")
    os.environ |= {
        "ATHENA_FUSION_HOME": str(folder / "home"),
        "ATHENA_FUSION_TENANT": str(folder / "tenant"),
        "DAGSTER_HOME": str(folder / "home" / "dagster"),
    }
    home = prepare_home()
    server = SandboxProcess(home / "sandbox", entities=size.entities, lines_per_entity=size.lines)
    with server:
        os.environ |= {ATHENAONE: server.athenaone_url, FUSION: server.fusion_url}
        control(f"{server.fusion_url}/sandbox/segments/CostCenter/2130", {"enabled": True})
        yield server


def control(url: str, body: dict[str, object]) -> dict[str, object]:
    """A control route of the sandbox."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=900) as answer:
        found: dict[str, object] = json.load(answer)
    return found
