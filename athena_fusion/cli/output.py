"""How commands speak: tables for people, JSON for programs, exit codes for scripts."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import click
from rich.console import Console
from rich.table import Table

OK, FINDINGS, USAGE, BLOCKED, UPSTREAM = 0, 1, 2, 3, 4

_WIDE = 240  # a file or a pipe has no width of its own
console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
errors = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WIDE)

json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


def emit_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
) -> Table:
    """A table; the columns named in `right` hold figures."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        # The first column is what people copy into the next command.
        figures = column in right
        made.add_column(
            column,
            justify="right" if figures else "left",
            overflow="fold",
            no_wrap=number == 0 or figures,
        )
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
    try:
        command.main(args=None if arguments is None else list(arguments), prog_name="athena-fusion")
    except Exception as error:
        from sqlalchemy.exc import SQLAlchemyError

        from athena_fusion.runtime import PLATFORM_ERRORS, REFUSALS, UPSTREAM_ERRORS

        if isinstance(error, UPSTREAM_ERRORS):
            stop(UPSTREAM, str(error))
        if isinstance(error, REFUSALS):
            stop(BLOCKED, str(error))
        # Also a folder that cannot be written and a database that does not answer; a fault of ours keeps its traceback.
        if isinstance(error, (*PLATFORM_ERRORS, OSError, SQLAlchemyError)):
            stop(
                FINDINGS,
                f"{type(error).__name__}: {error}" if not isinstance(error, PLATFORM_ERRORS) else str(error),
            )
        raise
