"""Column list of GlInterface.csv as this pod's control file reads it (149 columns, release 25C)."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class LayoutColumn:
    """`kind` is text, number or date; `length` counts characters, or digits of an integer number."""

    name: str
    kind: str
    length: int | None
    not_null: bool


@cache
def gl_interface_columns() -> tuple[LayoutColumn, ...]:
    """Columns in file order."""
    text = files(__package__).joinpath("layouts/gl_interface.csv").read_text("utf-8")
    rows = sorted(csv.DictReader(text.splitlines()), key=lambda row: int(row["position"]))
    return tuple(
        LayoutColumn(
            row["column"], row["type"], int(row["length"]) if row["length"] else None, bool(row["not_null"])
        )
        for row in rows
    )
