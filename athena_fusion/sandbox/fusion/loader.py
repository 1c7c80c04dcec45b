"""Load Interface File for Import: fetch the ZIP from UCM, check it, and load GL_INTERFACE as SQL*Loader does."""

import csv
import io
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

from athena_fusion.sandbox.fusion.amounts import plain
from athena_fusion.sandbox.fusion.ess import Run
from athena_fusion.sandbox.fusion.layout import LayoutColumn, gl_interface_columns

ENTRY = "GlInterface.csv"
INTERFACE_ID = "15"
_MAX_UNPACKED = 1024 * 1024 * 1024
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_NUMBER_DIGITS = 28  # of an unrestricted NUMBER; far above any amount
_DATE = re.compile(r"(\d{4})/(\d{2})/(\d{2})", re.ASCII)

csv.field_size_limit(4_000_000)


class FileRefused(Exception):
    """The ZIP is not one the loader takes; nothing of it is loaded."""


class RecordRejected(Exception):
    """SQL*Loader's verdict about one record."""

    def __init__(self, column: str, error: str) -> None:
        super().__init__(error)
        self.column = column
        self.error = error


def check_arguments(run: Run) -> str:
    """The controller's own part: its arguments name an interface this pod loads and a document in UCM."""
    run.log.append(f"Argument List 1::: interface id ::: {run.argument(1)}.")
    run.log.append(f"Argument List 2::: document id ::: {run.argument(2)}.")
    if run.argument(1) != INTERFACE_ID:
        return run.refuse(f"No import process has the interface options id {run.argument(1)}.")
    row = _document(run)
    if row is None:
        return run.refuse(f"FND_CMN_SERVER_CONN_ERROR: document {run.argument(2)} was not found in UCM.")
    run.connection.execute("UPDATE ess_requests SET document = ? WHERE id = ?", (row["name"], run.request))
    return "SUCCEEDED"


def transfer_file(run: Run) -> str:
    """Transfer File: unpack the ZIP and see that its entry has a control file."""
    row = _document(run)
    if row is None:
        return run.refuse("The document was removed from UCM.")
    try:
        unpack(row["content"], run.pod.setup.max_zip_bytes)
    except FileRefused as error:
        return run.refuse(str(error))
    run.log.append(f"File {row['name']} transferred, entry {ENTRY}.")
    return "SUCCEEDED"


def load_file(run: Run) -> str:
    """Load File to Interface. One rejected record leaves the table as it was, unless the pod keeps good rows."""
    row = _document(run)
    if row is None:
        return run.refuse("The document was removed from UCM.")
    content = unpack(row["content"], run.pod.setup.max_zip_bytes)
    good: list[dict[str, str]] = []
    read = rejected = 0
    run.log += ["SQL*Loader: Release 19.0.0.0.0", "Table GL_INTERFACE, loaded from every logical record."]
    for number, record in enumerate(records(content), start=1):
        read = number
        try:
            if isinstance(record, RecordRejected):
                raise record
            good.append(convert(record))
        except RecordRejected as verdict:
            rejected += 1
            run.log.append(
                f"Record {number}: Rejected - Error on table GL_INTERFACE, column {verdict.column}."
            )
            run.log.append(verdict.error)
    kept = good if not rejected or run.pod.setup.loader_keeps_good_rows else []
    _insert(run, kept)
    run.log += [
        "Table GL_INTERFACE:",
        f"  {len(kept)} Rows successfully loaded.",
        f"  {rejected} Rows not loaded due to data errors.",
        f"Total logical records read: {read}",
        f"Total logical records rejected: {rejected}",
    ]
    if not rejected:
        return "SUCCEEDED"
    return "WARNING" if run.pod.setup.loader_keeps_good_rows else "ERROR"


def purge(run: Run) -> str:
    """InterfaceLoaderPurge: delete interface rows of a range of load requests (arguments 3 and 4)."""
    low, high = run.argument(3), run.argument(4) or run.argument(3)
    if run.argument(1) != INTERFACE_ID or run.argument(6) != "ORA_FBDI":
        return run.refuse("Purge needs the interface options id and the purge intent ORA_FBDI.")
    if low is None or high is None or not (low.isdigit() and high.isdigit()):
        return run.refuse("Purge needs the first and the last load request id.")
    deleted = purge_loads(run.connection, int(low), int(high))
    run.log.append(f"{deleted} rows purged from GL_INTERFACE for load requests {low} to {high}.")
    return "SUCCEEDED"


def purge_loads(connection: sqlite3.Connection, low: int, high: int) -> int:
    """Delete the interface rows of these load requests; the number of rows."""
    return connection.execute(
        "DELETE FROM gl_interface WHERE LOAD_REQUEST_ID BETWEEN ? AND ?", (low, high)
    ).rowcount


def unpack(content: bytes, limit: int) -> bytes:
    """The CSV bytes of a ZIP that holds exactly `GlInterface.csv` at its root, beside job property files.

    Raises `FileRefused`.
    """
    if len(content) > limit:
        raise FileRefused(f"The ZIP has {len(content)} bytes, more than {limit}.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            for entry in entries:
                if "/" in entry.filename or "\\" in entry.filename:
                    raise FileRefused(f"{entry.filename}: the ZIP must not hold folders.")
                if (
                    entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
                    or entry.flag_bits & 1
                ):
                    raise FileRefused(
                        f"{entry.filename}: entries must be stored or deflated, without password."
                    )
            names = [entry.filename for entry in entries if not entry.filename.endswith(".properties")]
            if names != [ENTRY]:
                raise FileRefused(f"No control file for the entries {names}: expected {ENTRY} alone.")
            found = archive.getinfo(ENTRY)
            if found.file_size > _MAX_UNPACKED:
                raise FileRefused(f"{ENTRY} unpacks to {found.file_size} bytes.")
            return archive.read(ENTRY)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise FileRefused(f"The document is not a readable ZIP: {error}.") from error


def records(content: bytes) -> Iterator[list[str] | RecordRejected]:
    """Logical records: comma separated, optionally quoted; blank lines are passed over."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        yield RecordRejected("STATUS", f"SQL*Loader-00553: the file is not UTF-8 at byte {error.start}.")
        return
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RecordRejected("STATUS", f"second enclosure string not present ({error})")
            continue
        if any(record):
            yield record


def convert(record: list[str]) -> dict[str, str]:
    """Column values of one record by position; blanks stay NULL, fields after the last column are ignored.

    Raises `RecordRejected`.
    """
    values: dict[str, str] = {}
    for column, raw in zip(_COLUMNS, record, strict=False):
        if raw and (value := raw.strip(" \t")):
            values[column.name] = _CONVERT[column.kind](column, value)
    for name in _NOT_NULL:
        if name not in values:
            raise RecordRejected(
                name, f'ORA-01400: cannot insert NULL into ("FUSION"."GL_INTERFACE"."{name}")'
            )
    return values


def _text(column: LayoutColumn, value: str) -> str:
    if column.length is not None and len(value) > column.length:
        raise RecordRejected(
            column.name,
            f'ORA-12899: value too large for column "FUSION"."GL_INTERFACE"."{column.name}"'
            f" (actual: {len(value)}, maximum: {column.length})",
        )
    return value


def _number(column: LayoutColumn, value: str) -> str:
    if not _NUMBER.fullmatch(value):
        raise RecordRejected(column.name, "ORA-01722: invalid number")
    number = Decimal(value)
    if column.length is not None:
        number = number.to_integral_value(ROUND_HALF_UP)
    if len(number.as_tuple().digits) > (column.length or _NUMBER_DIGITS):
        raise RecordRejected(
            column.name, "ORA-01438: value larger than specified precision allowed for this column"
        )
    return plain(number)


def _date(column: LayoutColumn, value: str) -> str:
    day = _parse_day(value)
    if day.startswith("ORA-"):
        raise RecordRejected(column.name, day)
    return day


@lru_cache(maxsize=1000)  # a file repeats a handful of days in thousands of records
def _parse_day(value: str) -> str:
    """ISO date, or the error text."""
    match = _DATE.fullmatch(value)
    if match is None:
        return "ORA-01861: literal does not match format string"
    year, month, day = (int(part) for part in match.groups())
    if not 1 <= month <= 12:
        return "ORA-01843: not a valid month"
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return "ORA-01839: date not valid for month specified"


_COLUMNS = gl_interface_columns()
_NOT_NULL = tuple(column.name for column in _COLUMNS if column.not_null)
_CONVERT = {"text": _text, "number": _number, "date": _date}


def _document(run: Run) -> sqlite3.Row | None:
    document = run.argument(2)
    if document is None or not document.isdigit():
        return None
    row: sqlite3.Row | None = run.connection.execute(
        "SELECT name, content FROM ucm_documents WHERE id = ?", (int(document),)
    ).fetchone()
    return row


def _insert(run: Run, rows: list[dict[str, str]]) -> None:
    used = sorted(set[str]().union(*rows))
    names = ", ".join((*used, "LOAD_REQUEST_ID", "CREATED_BY", "CREATION_DATE"))
    marks = ", ".join("?" * (len(used) + 3))
    loaded = (run.parent, run.submitter, run.pod.stamp())
    run.connection.executemany(
        f"INSERT INTO gl_interface ({names}) VALUES ({marks})",  # noqa: S608 - column names of our own layout
        ((*map(row.get, used), *loaded) for row in rows),
    )
