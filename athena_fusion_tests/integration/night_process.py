"""One entity's load in a process of its own, which dies by SIGKILL right after Fusion did what it was asked.

The call has taken effect and its answer is known to nobody: exactly between submit and record.

Usage: night_process.py <tenant folder> <environment as JSON> <entity> <batch date> <call of the gateway, or "none">
"""

import json
import os
import signal
import sys
from datetime import date
from pathlib import Path
from typing import Any

from athena_fusion.delivery.fusion_gateway import RestGateway
from athena_fusion.runtime import Runtime
from athena_fusion.tenant.loader import load_tenant


def die_after(call: str) -> None:
    """Let the next such call reach Fusion, and nothing after it."""
    real = getattr(RestGateway, call)

    def once(self: RestGateway, *args: Any, **rest: Any) -> None:
        real(self, *args, **rest)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(RestGateway, call, once)


def main() -> None:
    folder, environment, entity, day, call = sys.argv[1:]
    if call != "none":
        die_after(call)
    runtime = Runtime(load_tenant(Path(folder), json.loads(environment)))
    night = runtime.night()
    night.load(entity, date.fromisoformat(day), "the killed run")
    result = night.read_back(entity, date.fromisoformat(day), "the killed run")
    runtime.close()
    sys.exit(1 if result.blocked_by else 0)


if __name__ == "__main__":
    main()
