"""`athena-fusion fbdi`: the file formats of Fusion's File-Based Data Import."""

import csv
from pathlib import Path

import click

from athena_fusion.formats.fbdi.layout import rebuild


@click.group()
def fbdi() -> None:
    """File-Based Data Import formats."""


@fbdi.command()
@click.argument("table", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def layout(table: Path) -> None:
    """Print our layout file made from TABLE, a CSV of an official template's columns.

    TABLE needs the headers position, interface_table_column, type, max_length and required.
    """
    names = ("position", "interface_table_column", "type", "max_length", "required")
    with table.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle))
    missing = [name for name in names if rows and name not in rows[0]]
    if missing or not rows:
        raise click.UsageError(f"{table} has no {', '.join(missing) or 'rows'}")
    given = [tuple(row[name] or "" for name in names) for row in rows]
    click.echo(rebuild((a, b, c, d, e) for a, b, c, d, e in given), nl=False)
