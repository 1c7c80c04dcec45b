"""`athena-fusion audit`: the append-only, hash-chained log of everything that mattered."""

import sys

import click

from athena_fusion.cli.output import FINDINGS, console, emit_json, json_option
from athena_fusion.runtime import Runtime


@click.group()
def audit() -> None:
    """The chained audit log."""


@audit.command()
@json_option
def verify(as_json: bool) -> None:
    """Recompute the whole chain and its signed checkpoints; name the first event that does not fit."""
    report = Runtime.shared().audit.verify()
    if as_json:
        emit_json(
            {
                "ok": report.ok,
                "events": report.events,
                "head": report.head,
                "firstBad": report.first_bad,
                "problem": report.problem,
            }
        )
    elif report.ok:
        console.print(f"audit chain verified: {report.events} events, head {report.head}")
    else:
        console.print(f"AUDIT CHAIN BROKEN at event {report.first_bad}: {report.problem}", markup=False)
    sys.exit(0 if report.ok else FINDINGS)
