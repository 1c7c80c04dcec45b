"""Data View deliveries: their tables, checked before use.

A delivery is a folder with one file per table and `control.csv`: file, rows, sha256. The tables and columns in
`tables.csv` are what the nightly flow relies on; those marked assumed no public source shows, and a first tenant
has to confirm them.

Every column is text and an empty cell is null. Messages name file, line and column, never the content of a cell.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow
import pyarrow.csv

from athena_fusion.athenaone.arrivals import CONTROL, DataViewError, arrivals
from athena_fusion.storage.artifacts import sha256_hex

_arrow: Any = pyarrow  # its compiled names have no types

_FILE = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(\.csv|\.csv\.gz|\.parquet)")
_CONTROL_COLUMNS = ("file", "rows", "sha256")
_MAX_BYTES = 8 * 2**30  # of one inflated file


@dataclass(frozen=True)
class DeliveredFile:
    """One line of control.csv."""

    name: str
    rows: int
    sha256: str


@cache
def table_columns() -> Mapping[str, tuple[str, ...]]:
    """Required columns by table, from `tables.csv`."""
    text = files(__package__).joinpath("tables.csv").read_text(encoding="utf-8")
    tables: dict[str, list[str]] = {}
    for row in csv.DictReader(text.splitlines()):
        tables.setdefault(row["table"], []).append(row["column"])
    return {table: tuple(columns) for table, columns in tables.items()}


@dataclass(frozen=True)
class Delivery:
    """One complete delivery. `control` are the files it promises, in their order there."""

    as_of: datetime
    folder: Path
    control: tuple[DeliveredFile, ...]

    @property
    def name(self) -> str:
        """The folder's name, its as-of instant in compact UTC."""
        return self.folder.name

    def files(self) -> list[tuple[str, Path, str]]:
        """(name, path, sha256 as promised) of every file, control.csv last with its own digest."""
        listed = [(file.name, self.folder / file.name, file.sha256) for file in self.control]
        control = self.folder / CONTROL
        return [*listed, (control.name, control, sha256_hex(control.read_bytes()))]

    def has(self, table: str) -> bool:
        """The delivery promises this table or report."""
        return any(_table(file.name) == table for file in self.control)

    def read(self, table: str) -> pl.DataFrame:
        """One table with the columns of `tables.csv`, all text, proven against control.csv first."""
        matches = [file for file in self.control if _table(file.name) == table]
        if len(matches) != 1:
            count = "no file" if not matches else "more than one file"
            raise DataViewError(
                f"delivery {self.name}: {count} for {table} in control.csv; nothing was read. "
                "Ask for a complete delivery."
            )
        path = self.folder / matches[0].name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataViewError(
                f"delivery {self.name}: {path.name} is in control.csv but cannot be read "
                f"({type(error).__name__}). Nothing was taken from it; ask for the delivery again."
            ) from None
        return read_table(table, matches[0], data, self.name)


def deliveries(folder: Path, after: datetime | None, up_to: datetime) -> list[Delivery]:
    """Complete deliveries with as-of in (after, up_to], oldest first; raises as `arrivals` and `read_control`."""
    return [
        Delivery(
            arrival.as_of,
            arrival.folder,
            read_control((arrival.folder / CONTROL).read_bytes(), arrival.folder.name),
        )
        for arrival in arrivals(folder)
        if arrival.as_of <= up_to and (after is None or arrival.as_of > after)
    ]


def read_control(data: bytes, delivery: str) -> tuple[DeliveredFile, ...]:
    """The promises of a control.csv."""
    where = f"delivery {delivery}, control.csv"
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        if tuple(reader.fieldnames or ()) != _CONTROL_COLUMNS:
            raise DataViewError(f"{where}: the header is not {','.join(_CONTROL_COLUMNS)}; nothing was read")
        listed = []
        for row in reader:
            name, rows, digest = (str(row[column] or "") for column in _CONTROL_COLUMNS)
            good = _FILE.fullmatch(name) and re.fullmatch(r"\d{1,12}", rows)
            if not good or not re.fullmatch(r"[0-9a-f]{64}", digest.lower()) or None in row:
                raise DataViewError(
                    f"{where}:{reader.line_num} is not a file name, a row count and a SHA-256; nothing was read"
                )
            listed.append(DeliveredFile(name, int(rows), digest.lower()))
    except (UnicodeDecodeError, csv.Error):
        raise DataViewError(f"{where} is not UTF-8 CSV; nothing was read") from None
    return tuple(listed)


def read_table(table: str, promised: DeliveredFile, data: bytes, delivery: str) -> pl.DataFrame:
    """The bytes of one delivered file as a frame; the same for bytes kept in the artifact store.

    Raises `DataViewError` for content that differs from its promise, an absent or unknown column, a broken line.
    """
    where = f"delivery {delivery}, {promised.name}"
    columns = table_columns().get(table)
    if columns is None:
        raise DataViewError(f"{table} is not a table of the Data View contract")
    if sha256_hex(data) != promised.sha256:
        raise DataViewError(
            f"{where}: the content is not the one control.csv promises ({promised.rows} rows; the file holds "
            f"{_rows_for_people(promised.name, data)}). It was cut off or changed on the way; nothing was read. "
            "Ask for the delivery again."
        )
    try:
        frame = _parquet(data) if promised.name.endswith(".parquet") else _csv(data, where, promised.name)
    except (
        _arrow.ArrowException,
        pl.exceptions.PolarsError,
        gzip.BadGzipFile,
        EOFError,
        zlib.error,
    ) as error:
        raise DataViewError(f"{where} cannot be read ({type(error).__name__}); nothing was taken") from None
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        unknown = [column for column in frame.columns if column not in columns]
        hint = f" Columns not in the contract: {', '.join(unknown)}." if unknown else ""
        if len(unknown) == frame.width:  # a file without a header: its first line is a patient's, never shown
            hint = " Its first line is no header of this table."
        raise DataViewError(
            f"{where}: column {', '.join(missing)} was expected and is not there; nothing was read.{hint} "
            "Compare the export's column list with the contract."
        )
    if frame.height != promised.rows:
        raise DataViewError(
            f"{where}: control.csv promises {promised.rows} rows, the file holds {frame.height}; nothing was "
            "read. Ask for the delivery again."
        )
    return frame.select(columns)


def _table(file_name: str) -> str:
    match = _FILE.fullmatch(file_name)
    return match[1] if match else ""


def _parquet(data: bytes) -> pl.DataFrame:
    frame = pl.read_parquet(io.BytesIO(data))
    return frame.select(pl.all().cast(pl.String).replace("", None))


def _csv(data: bytes, where: str, name: str) -> pl.DataFrame:
    content = _inflate(data) if name.endswith(".gz") else data
    header = _header(content, where)
    strict = {
        # polars would fill a short line with nulls; a line of the wrong length must stop the reading.
        "parse_options": _arrow.csv.ParseOptions(newlines_in_values=True),
        "convert_options": _arrow.csv.ConvertOptions(
            column_types={column: _arrow.string() for column in header},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    }
    try:
        table = _arrow.csv.read_csv(io.BytesIO(content), **strict)
    except _arrow.ArrowInvalid:
        broken: str | None = _broken_line(content, where)
    else:
        broken = None
    if broken:
        raise DataViewError(broken)
    frame: Any = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _header(content: bytes, where: str) -> list[str]:
    try:
        first = next(csv.reader(io.StringIO(content.split(b"\n", 1)[0].decode("utf-8-sig"))), [])
    except UnicodeDecodeError:
        raise DataViewError(f"{where}:1 is not UTF-8; nothing was read") from None
    if not first:
        raise DataViewError(f"{where} is empty, even the header is missing; nothing was read")
    twice = [number for number, column in enumerate(first, start=1) if column in first[: number - 1]]
    if twice:
        raise DataViewError(
            f"{where}:1 repeats a name in column {twice[0]}; nothing was read. Is there a header?"
        )
    return first


def _broken_line(content: bytes, where: str) -> str:
    """Where a CSV is broken: slow, exact, and run only when it is known to be broken."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return f"{where}:{number} is not UTF-8; nothing was read. Correct the export."
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    width = len(next(reader))
    for row in reader:
        if row and len(row) != width:
            return (
                f"{where}:{reader.line_num} has {len(row)} values where {width} were expected; nothing was read. "
                "Correct the export (a value with a comma or a line break must be quoted)."
            )
    return f"{where} is not readable as CSV; nothing was read. Correct the export."


def _inflate(data: bytes) -> bytes:
    with gzip.open(io.BytesIO(data)) as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise DataViewError("a compressed file inflates beyond 8 GiB; nothing was read")
    return content


def _rows_for_people(name: str, data: bytes) -> str:
    """How many whole rows a damaged file still holds, as far as that can be told."""
    if name.endswith(".parquet"):
        return f"{len(data)} bytes"
    if name.endswith(".gz"):
        pieces, inflater = list[bytes](), zlib.decompressobj(wbits=31)
        try:
            pieces.append(inflater.decompress(data, _MAX_BYTES))
        except zlib.error:
            return f"{len(data)} bytes"
        data = b"".join(pieces)
    lines = data.decode("utf-8", "replace")
    try:
        held = max(sum(1 for row in csv.reader(io.StringIO(lines, newline="")) if row) - 1, 0)
    except csv.Error:
        return f"{len(data)} bytes"
    if held and not lines.endswith("\n"):
        return f"{held - 1} whole rows and a piece of another"
    return f"{held} rows"
