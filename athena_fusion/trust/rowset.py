"""`rowset/1`: one hash for a set of rows, equal on both sides whatever the order or the format.

Every row becomes a JSON array of canonical strings; the lines are sorted bytewise, ended by LF and hashed, so that
`LC_ALL=C sort rows | sha256sum` gives the same digest. Duplicates count. Null and empty text are one value,
because the Oracle database cannot tell them apart after read-back.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import polars as pl

SPEC = "rowset/1"
SPEC_KEYED = "rowset/1+hmac"

Kind = Literal["decimal", "cents", "date", "timestamp", "text", "code", "code_ci"]

_KINDS = get_args(Kind)
_DECIMAL = r"^[+-]?([0-9]+(\.[0-9]+)?|\.[0-9]+)$"
_DATE = r"^[0-9]{4}([-/])[0-9]{2}[-/][0-9]{2}$"
_TIMESTAMP = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:?[0-9]{2})$"
)
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'
_ESCAPED = ['"', "\\", *map(chr, range(0x20))]
_ESCAPES = [json.dumps(character)[1:-1] for character in _ESCAPED]
_HASH_SLICE = 100_000


class RowSetError(ValueError):
    """A column that has no canonical form; the message names the column and the row, never the value."""


@dataclass(frozen=True)
class Column:
    """A column and its kind.

    `cents` (integer cents) has the canonical text of `decimal`; `code` is text with its case kept,
    `code_ci` is upper-cased.
    """

    name: str
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise RowSetError(
                f"column {self.name}: unknown kind {self.kind!r}, known are {', '.join(_KINDS)}"
            )


@dataclass(frozen=True)
class RowSet:
    """Digest (hex) and row count of a frame's rows under the named columns."""

    spec: str
    columns: tuple[Column, ...]
    sha256: str
    count: int


def rowset(frame: pl.DataFrame, columns: Sequence[Column], *, hmac_key: bytes | None = None) -> RowSet:
    """Hash the rows of `frame`. With `hmac_key` each line is replaced by its HMAC-SHA-256 in hex first:
    plain hashes of rows with few unknowns can be guessed, so rows about patients use a key.
    """
    lines = canonical_lines(frame, columns)
    if hmac_key is not None:
        lines = pl.Series(
            [hmac.digest(hmac_key, line.encode(), "sha256").hex() for line in lines], dtype=pl.String
        )
    lines = lines.sort()
    digest = hashlib.sha256()
    for start in range(0, len(lines), _HASH_SLICE):
        digest.update(str(lines.slice(start, _HASH_SLICE).str.join("\n")[0]).encode())
        digest.update(b"\n")
    spec = SPEC if hmac_key is None else SPEC_KEYED
    # Both sides declare the canonical kind: cents here and a decimal read back are one column.
    declared = tuple(Column(c.name, "decimal" if c.kind == "cents" else c.kind) for c in columns)
    return RowSet(spec, declared, digest.hexdigest(), len(lines))


def canonical_lines(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.Series:
    """The canonical line of every row, in the frame's order. Raises `RowSetError`."""
    texts = [_escape(series) for series in _canonical(frame, columns)]
    body = pl.concat_str([pl.col(text.name) for text in texts], separator='","')
    return pl.DataFrame(texts).select(line=pl.concat_str(pl.lit('["'), body, pl.lit('"]'))).get_column("line")


def difference(left: pl.DataFrame, right: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """Rows whose number differs between two frames: canonical texts plus `n_left` and `n_right`, sorted.

    A multiset comparison: a doubled or a missing row is found even where every key matches.
    """
    names = [column.name for column in columns]
    sides = [
        pl.DataFrame(_canonical(frame, columns)).with_columns(
            n_left=pl.lit(n_left, pl.Int64), n_right=pl.lit(1 - n_left, pl.Int64)
        )
        for frame, n_left in ((left, 1), (right, 0))
    ]
    return (
        pl.concat(sides)
        .group_by(names)
        .agg(pl.col("n_left", "n_right").sum())
        .filter(pl.col("n_left") != pl.col("n_right"))
        .sort(names)
    )


def _canonical(frame: pl.DataFrame, columns: Sequence[Column]) -> list[pl.Series]:
    if not columns:
        raise RowSetError("a row set needs at least one column")
    missing = [column.name for column in columns if column.name not in frame.columns]
    if missing:
        raise RowSetError(f"the frame has no column {', '.join(missing)}")
    return [
        _CANONICAL[column.kind](frame.get_column(column.name)).fill_null("").alias(column.name)
        for column in columns
    ]


def _escape(series: pl.Series) -> pl.Series:
    if series.str.contains(_NEEDS_ESCAPE).any():
        return series.str.replace_many(_ESCAPED, _ESCAPES)
    return series


def _refuse_where(bad: pl.Series, series: pl.Series, why: str) -> None:
    row = bad.fill_null(value=False).arg_max() if len(bad) else None
    if row is not None and bad[row]:
        raise RowSetError(f"column {series.name}, row {row}: {why}; nothing was hashed")


def _no_form(series: pl.Series, kind: str) -> RowSetError:
    return RowSetError(
        f"column {series.name}: {series.dtype} has no canonical {kind} form; nothing was hashed"
    )


def _blank_to_null(series: pl.Series) -> pl.Series:
    return series.set(series == "", None)


def _decimal(series: pl.Series) -> pl.Series:
    if series.dtype == pl.String:
        series = _blank_to_null(series)
        _refuse_where(~series.str.contains(_DECIMAL), series, "not a plain decimal number")
        text = series
    elif series.dtype.is_decimal() or series.dtype.is_integer():
        text = series.cast(pl.String)
    elif series.dtype == pl.Null:
        return series.cast(pl.String)
    else:
        raise _no_form(series, "decimal")
    bare = pl.col("bare")
    return (
        text.to_frame("text")
        .with_columns(bare=pl.col("text").str.strip_chars_start("+-").str.strip_chars_start("0"))
        .with_columns(
            bare=pl.when(bare.str.contains(".", literal=True))
            .then(bare.str.strip_chars_end("0").str.strip_chars_end("."))
            .otherwise(bare)
        )
        .with_columns(bare=pl.when((bare == "") | bare.str.starts_with(".")).then("0" + bare).otherwise(bare))
        .select(pl.when(pl.col("text").str.starts_with("-") & (bare != "0")).then("-" + bare).otherwise(bare))
        .to_series()
    )


def _cents(series: pl.Series) -> pl.Series:
    if series.dtype == pl.Null:
        return series.cast(pl.String)
    if not series.dtype.is_integer():
        raise _no_form(series, "cents")
    wide = series.cast(pl.Int128)  # so that the smallest Int64 has an absolute value
    value = pl.col("value")
    whole = (value.abs() // 100).cast(pl.String)
    rest = value.abs() % 100
    fraction = (
        pl.when(rest == 0)
        .then(pl.lit(""))
        .when(rest % 10 == 0)
        .then("." + (rest // 10).cast(pl.String))
        .otherwise("." + rest.cast(pl.String).str.zfill(2))
    )
    sign = pl.when(value < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return wide.to_frame("value").select(sign + whole + fraction).to_series()


def _date(series: pl.Series) -> pl.Series:
    if series.dtype == pl.String:
        text = _blank_to_null(series)
        parsed = text.str.replace_all("/", "-", literal=True).str.to_date("%Y-%m-%d", strict=False)
        bad = text.is_not_null() & (~text.str.contains(_DATE) | parsed.is_null())
        _refuse_where(bad, series, "not a date of the form YYYY-MM-DD")
        series = parsed
    elif series.dtype not in (pl.Date, pl.Null):
        raise _no_form(series, "date")
    return series.cast(pl.String)


def _timestamp(series: pl.Series) -> pl.Series:
    if series.dtype == pl.String:
        text = _blank_to_null(series)
        parsed = text.str.replace(" ", "T", literal=True).str.to_datetime(
            "%+", time_unit="us", time_zone="UTC", strict=False
        )
        bad = text.is_not_null() & (~text.str.contains(_TIMESTAMP) | parsed.is_null())
        _refuse_where(bad, series, "not a timestamp with a zone")
        series = parsed
    elif series.dtype == pl.Null:
        return series.cast(pl.String)
    elif not (
        isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone and series.dtype.time_unit != "ns"
    ):
        raise _no_form(series, "timestamp (an aware one of at most microseconds)")
    stamp = series.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
    return stamp.str.strip_chars_end("0").str.strip_chars_end(".") + "Z"


def _text(series: pl.Series) -> pl.Series:
    if series.dtype in (pl.Categorical, pl.Enum, pl.Null):
        series = series.cast(pl.String)
    if series.dtype != pl.String:
        raise _no_form(series, "text")
    return series.str.normalize("NFC").str.strip_chars_end(" ")


def _upper(series: pl.Series) -> pl.Series:
    return _text(_text(series).str.to_uppercase())  # upper-casing may leave the normal form


_CANONICAL: dict[str, Callable[[pl.Series], pl.Series]] = {
    "decimal": _decimal,
    "cents": _cents,
    "date": _date,
    "timestamp": _timestamp,
    "text": _text,
    "code": _text,
    "code_ci": _upper,
}
