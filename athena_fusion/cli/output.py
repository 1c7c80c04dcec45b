"""How commands speak: tables for people, JSON for programs, exit codes for scripts."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import click
from rich.console import Console
from rich.table import Table

OK, FINDINGS, USAGE, BLOCKED, UPSTREAM = 0, 1, 2, 3, 4

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


def emit_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
) -> Table:
    """A table; the columns named in `right` hold figures."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def pairs(values: Mapping[str, object]) -> None:
    """Name and value, a line each."""
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        console.print(f"{name:<{width}}  {value}", markup=False)


def stop(code: int, message: str) -> NoReturn:
    """Leave with `code` and one sentence for a person."""
    errors.print(message, markup=False, soft_wrap=True)
    sys.exit(code)


def run(command: click.Command, arguments: Sequence[str] | None) -> None:
    """Run a command; errors of the platform become one line and an exit code, never a traceback."""
    from athena_fusion.runtime import PLATFORM_ERRORS, UPSTREAM_ERRORS

    try:
        command.main(args=None if arguments is None else list(arguments), prog_name="athena-fusion")
    except UPSTREAM_ERRORS as error:
        stop(UPSTREAM, str(error))
    except PLATFORM_ERRORS as error:
        stop(FINDINGS, str(error))
