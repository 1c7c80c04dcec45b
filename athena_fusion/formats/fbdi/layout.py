"""Column layouts of FBDI files: which value stands at which position, how long it may be.

A layout is a fact table under `layouts/`. Oracle only ever appends columns, so the layout of an older
release is the beginning of the newest one: `gl_interface/94` is the first 94 columns of `gl_interface/149`.
The version is pinned per pod release; a file of the wrong width puts its `END` marker into a real column.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "layouts"
_HEADER = ("position", "name", "type", "max_length", "required")
_TYPES = {"VARCHAR2": "text", "NUMBER": "number", "DATE": "date"}

RELEASES: dict[str, tuple[int, ...]] = {"gl_interface": (94, 149)}
"""Known widths of each object in columns: 94 until about 2018, 149 since."""


class FbdiError(ValueError):
    """A file that must not be sent, or cannot be read.

    `row` counts data rows from 1 (None: the file as a whole), `column` is the interface column name. The
    offending value itself is never part of the message: it may be anything.
    """

    def __init__(self, message: str, *, row: int | None = None, column: str | None = None) -> None:
        where = ", ".join(
            part for part in (f"row {row}" if row else "", f"column {column}" if column else "") if part
        )
        super().__init__(f"{where}: {message}" if where else message)
        self.row = row
        self.column = column


@dataclass(frozen=True)
class Column:
    """One position of the file.

    `kind` is text, number or date. `max_length` is bytes for text, digits for numbers, None where the table
    has no limit of its own. `required` is `Y`, `N`, `cond` (with another value) or `one-of(a,b)`, two
    positions of which one is filled.
    """

    position: int
    name: str
    kind: str
    max_length: int | None
    required: str


@dataclass(frozen=True)
class Layout:
    """All columns of one file version, in file order."""

    id: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Interface column names in file order."""
        return tuple(column.name for column in self.columns)


@cache
def load_layout(layout_id: str) -> Layout:
    """The shipped layout `object/width`, e.g. `gl_interface/149`; `FbdiError` when there is none."""
    name, _, width = layout_id.partition("/")
    if not width.isdecimal() or int(width) not in RELEASES.get(name, ()):
        known = ", ".join(f"{key}/{size}" for key, sizes in RELEASES.items() for size in sizes)
        raise FbdiError(f"there is no layout {layout_id!r}; known are {known}")
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))[: int(width)]
    columns = tuple(
        Column(
            int(row["position"]),
            row["name"],
            row["type"],
            int(row["max_length"]) if row["max_length"] else None,
            row["required"],
        )
        for row in rows
    )
    return Layout(layout_id, columns)


def rebuild(rows: Iterable[tuple[str, str, str, str, str]]) -> str:
    """Text of a layout file from (position, name, Oracle type, width, required) rows of an official template.

    The closing `END` column of a template is left out: it is a marker, not a column of the table. Raises
    `FbdiError` for gaps in the positions, repeated names and types that are not VARCHAR2, NUMBER or DATE.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_HEADER)
    seen: set[str] = set()
    for expected, (position, name, kind, width, required) in enumerate(
        (row for row in rows if row[2] != "literal"), 1
    ):
        if position != str(expected):
            raise FbdiError(f"position {position} stands where {expected} is due; nothing was rebuilt")
        if kind not in _TYPES:
            raise FbdiError(f"position {position} has the unknown type {kind!r}; nothing was rebuilt")
        if not name or name in seen:
            raise FbdiError(f"position {position} has no name of its own ({name!r}); nothing was rebuilt")
        seen.add(name)
        writer.writerow((position, name, _TYPES[kind], width, required))
    return out.getvalue()
