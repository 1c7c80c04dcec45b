"""GlInterface.csv: journal lines to the positional file of *Import Journals*, and back.

One file carries one group: one billing entity, one category, one attempt. Nothing in it comes from a clock,
a run or a random source, and lines stand in order of their key: the same lines give the same bytes.

File rules: no header row, UTF-8 without BOM, quotes only where a value needs them, dates `YYYY/MM/DD`,
amounts with two decimals and blank on the empty side, after the last column the literal `END` (a switch).
"""

import re
from dataclasses import dataclass
from datetime import date

import polars as pl

from athena_fusion.formats.fbdi.layout import Column, FbdiError, Layout, load_layout

ENTRY = "GlInterface.csv"
"""Name of the file inside the ZIP; it selects the loader's control file, case included."""

MAX_ROWS = 100_000
MAX_BYTES = 250_000_000

_LINE_COLUMNS = ("line_key", "journal", "accounting_date", "category", "description", "combination")
_AMOUNTS = {"ENTERED_DR": "debit_cents", "ENTERED_CR": "credit_cents"}
_CONTROL = r"[\p{Cc}\x{2028}\x{2029}]"
_FORMULA = r"^[=+\-@]"  # a leading tab is a control character already
_NUMBER = r"^(\d+(\.\d{2})?)?$"
_HEX = re.compile(r"[0-9a-f]{32,64}")
_SEGMENTS = 30

_Rule = tuple[pl.Expr, str, str]
"""When a row is unfit, in which interface column, and what is wrong, in words."""


@dataclass(frozen=True)
class JournalFile:
    """What all lines of one file share.

    `ledger_id` (digits) or `ledger_name` may be blank, not both; the id wins in Fusion. `category_name` is
    the name people see in Fusion. `date_created` is the business day of the batch. `group_id` must equal the
    group argument of *Import Journals*. `rowset` is the source row-set hash, 32 to 64 hex digits, of which
    the first 32 are written on every line. `segments` is the number of segments of the chart.
    """

    ledger_id: str
    ledger_name: str
    source: str
    category_name: str
    currency: str
    date_created: date
    group_id: str
    batch_name: str
    rowset: str
    segments: int
    separator: str = "-"
    end_marker: bool = True
    line_end: str = "\r\n"
    layout: str = "gl_interface/149"


def write_journal(lines: pl.DataFrame, header: JournalFile) -> bytes:
    """The file of one group.

    `lines` holds line_key, journal, accounting_date (Date), category, description, combination and the
    integer debit_cents and credit_cents, of which exactly one is positive and the other 0 or null; a column
    `period_name` is written where there is one. Row order does not matter.

    Raises `FbdiError`, with row and column, for anything Fusion would reject, cut or accept wrongly: values
    too long, control characters, text a spreadsheet would run as a formula, blank or repeated keys, a line
    with both or neither amount, negative amounts, a journal that does not balance, too many rows or bytes.
    Rows are counted in key order, the order of the file.
    """
    layout = load_layout(header.layout)
    constants = _constants(header)
    _refuse(constants, _cell_rules(constants, layout), rows=False)
    _check_shape(lines, header)
    frame = lines.sort("line_key")
    _refuse(frame, _line_rules(header))
    _check_balance(frame)
    cells = _cells(frame, header)
    _refuse(cells, _cell_rules(cells, layout))
    return _render(cells, constants, layout, header)


def read_journal(data: bytes, layout: str = "gl_interface/149", separator: str = "-") -> pl.DataFrame:
    """The lines of a file as line_key, journal, accounting_date, period_name, description, combination,
    debit_cents and credit_cents (Int64, 0 on the empty side) with the shared values ledger_id, ledger_name,
    source, category_name, currency, date_created, group_id, batch_name and rowset beside them.

    Quotes everywhere or nowhere, CRLF or LF, a missing `END`, a blank tail and a short row are all read;
    blank text is null. Raises `FbdiError` for bytes that are no such file, and for a date or an amount that
    is none.
    """
    try:
        raw = pl.read_csv(
            data,
            has_header=False,
            infer_schema=False,
            schema=dict.fromkeys(load_layout(layout).names, pl.String),
            extra_columns="ignore",
            missing_columns="insert",
        )
    except pl.exceptions.PolarsError:
        # The parser quotes the file in its message, so its error does not travel on.
        raise FbdiError("not a UTF-8 CSV file, or a quote is never closed; nothing was read") from None
    if "PERIOD_NAME" not in raw.columns:
        raw = raw.with_columns(PERIOD_NAME=pl.lit(None, pl.String))
    used = pl.exclude(r"^(GLOBAL_)?ATTRIBUTE.*$")
    raw = raw.select(pl.when(used != "").then(used))  # a quoted blank is a blank
    raw = raw.filter(~pl.all_horizontal(pl.all().is_null()))
    segments = [pl.col(f"SEGMENT{n}").fill_null("") for n in range(1, _SEGMENTS + 1)]
    blank_tail = f"(?:{re.escape(separator)})+$"
    lines = raw.select(
        line_key="REFERENCE21",
        journal="REFERENCE4",
        accounting_date=_date("ACCOUNTING_DATE"),
        period_name="PERIOD_NAME",
        description="REFERENCE10",
        combination=pl.concat_str(segments, separator=separator).str.replace(blank_tail, ""),
        debit_cents=_cents("ENTERED_DR"),
        credit_cents=_cents("ENTERED_CR"),
        ledger_id="LEDGER_ID",
        ledger_name="LEDGER_NAME",
        source="USER_JE_SOURCE_NAME",
        category_name="USER_JE_CATEGORY_NAME",
        currency="CURRENCY_CODE",
        date_created=_date("DATE_CREATED"),
        group_id="GROUP_ID",
        batch_name="REFERENCE1",
        rowset="REFERENCE22",
    )
    for column, name in {
        "ACCOUNTING_DATE": "accounting_date",
        "DATE_CREATED": "date_created",
        **_AMOUNTS,
    }.items():
        unread = (raw[column].is_not_null() & lines[name].is_null()).arg_true()
        if unread.len():
            what = "a plain amount of at most two decimals" if column in _AMOUNTS else "a date YYYY/MM/DD"
            raise FbdiError(f"the value is not {what}; nothing was read", row=unread[0] + 1, column=column)
    return lines.with_columns(pl.col(*_AMOUNTS.values()).fill_null(0))


def _constants(header: JournalFile) -> pl.DataFrame:
    """One row of the cells that are equal on every line."""
    if not header.ledger_id and not header.ledger_name:
        raise FbdiError(
            "neither a ledger id nor a ledger name is given; no file was made", column="LEDGER_ID"
        )
    if not header.batch_name.strip():
        raise FbdiError("the batch name is blank; no file was made", column="REFERENCE1")
    if not _HEX.fullmatch(header.rowset):
        raise FbdiError("the row-set hash is not 32 to 64 hex digits; no file was made", column="REFERENCE22")
    if not 1 <= header.segments <= _SEGMENTS or header.line_end not in {"\r\n", "\n"}:
        raise FbdiError(f"1 to {_SEGMENTS} segments and CRLF or LF line ends are possible; no file was made")
    return pl.DataFrame(
        {
            "STATUS": "NEW",
            "LEDGER_ID": header.ledger_id,
            "USER_JE_SOURCE_NAME": header.source,
            "USER_JE_CATEGORY_NAME": header.category_name,
            "CURRENCY_CODE": header.currency,
            "DATE_CREATED": header.date_created.strftime("%Y/%m/%d"),
            "ACTUAL_FLAG": "A",
            "REFERENCE1": header.batch_name,
            "REFERENCE22": header.rowset[:32],
            "GROUP_ID": header.group_id,
            "LEDGER_NAME": header.ledger_name,
        }
    )


def _check_shape(lines: pl.DataFrame, header: JournalFile) -> None:
    missing = [name for name in (*_LINE_COLUMNS, *_AMOUNTS.values()) if name not in lines.columns]
    if missing:
        raise FbdiError(f"the lines have no {', '.join(missing)}; no file was made")
    if not 0 < lines.height <= MAX_ROWS:
        raise FbdiError(f"{lines.height} rows; a file holds 1 to {MAX_ROWS}; no file was made")
    for column, name in _AMOUNTS.items():
        if not lines.schema[name].is_integer():
            raise FbdiError("amounts are integer cents; no file was made", column=column)
    if lines["category"].n_unique() != 1:
        raise FbdiError(
            f"lines of several categories in the file of {header.category_name!r}; no file was made",
            column="USER_JE_CATEGORY_NAME",
        )


def _line_rules(header: JournalFile) -> list[_Rule]:
    """What makes a journal line unfit, before it is text."""
    debit, credit = (pl.col(name).fill_null(0) for name in _AMOUNTS.values())
    parts = pl.col("combination").fill_null("").str.split(header.separator)
    misfit = (parts.list.len() != header.segments) | parts.list.contains("")
    return [
        (_blank("line_key"), "REFERENCE21", "the line key is blank"),
        (~pl.col("line_key").is_first_distinct(), "REFERENCE21", "the line key is there twice"),
        (_blank("journal"), "REFERENCE4", "the journal name is blank"),
        (pl.col("accounting_date").is_null(), "ACCOUNTING_DATE", "the date is blank"),
        (misfit, "SEGMENT1", f"the combination has not {header.segments} filled segments"),
        (debit < 0, "ENTERED_DR", "the amount is negative; the credit side takes it"),
        (credit < 0, "ENTERED_CR", "the amount is negative; the debit side takes it"),
        ((debit > 0) & (credit > 0), "ENTERED_DR", "a line has a debit or a credit, not both"),
        ((debit == 0) & (credit == 0), "ENTERED_DR", "the line has neither debit nor credit"),
    ]


def _check_balance(frame: pl.DataFrame) -> None:
    """Every journal for itself: Fusion accepts an unbalanced one silently where suspense posting is on."""
    debit, credit = (pl.col(name).fill_null(0).cast(pl.Int64) for name in _AMOUNTS.values())
    net = frame.select("journal", "accounting_date", net=debit - credit).with_row_index("row", 1)
    journals = net.group_by("journal", "accounting_date", maintain_order=True)
    unbalanced = journals.agg(pl.col("row").first(), pl.col("net").sum()).filter(pl.col("net") != 0)
    if unbalanced.height:
        raise FbdiError(
            f"the journal that starts here is {unbalanced['net'][0]} cents out of balance; no file was made",
            row=unbalanced["row"][0],
            column="REFERENCE4",
        )


def _cells(frame: pl.DataFrame, header: JournalFile) -> pl.DataFrame:
    """The cells that differ from line to line, as text, blank where there is nothing."""
    parts = pl.col("combination").str.split(header.separator)
    segments = {f"SEGMENT{n + 1}": parts.list.get(n) for n in range(header.segments)}
    period = {"PERIOD_NAME": pl.col("period_name").fill_null("")} if "period_name" in frame.columns else {}
    return frame.select(
        ACCOUNTING_DATE=pl.col("accounting_date").dt.to_string("%Y/%m/%d"),
        ENTERED_DR=_amount_text("debit_cents"),
        ENTERED_CR=_amount_text("credit_cents"),
        REFERENCE4="journal",
        REFERENCE10=pl.col("description").fill_null(""),
        REFERENCE21="line_key",
        **segments,
        **period,
    )


def _amount_text(name: str) -> pl.Expr:
    cents = pl.col(name).fill_null(0)
    whole = (cents // 100).cast(pl.String)
    rest = (cents % 100).cast(pl.String).str.zfill(2)
    return pl.when(cents > 0).then(whole + "." + rest).otherwise(pl.lit(""))


def _cell_rules(cells: pl.DataFrame, layout: Layout) -> list[_Rule]:
    """What makes a cell unfit for its column: absent though required, too long, harmful."""
    columns: dict[str, Column] = {column.name: column for column in layout.columns}
    rules: list[_Rule] = []
    for name in cells.columns:
        value, column = pl.col(name), columns.get(name)
        if column is None:
            rules.append((value != "", name, f"layout {layout.id} has no such column"))
            continue
        if column.required == "Y":
            rules.append((value == "", name, "the value is blank"))
        if column.max_length is not None:
            # Bytes are the stricter reading of VARCHAR2(n): what passes here fits either way.
            long = value.str.len_bytes() > column.max_length
            rules.append((long, name, f"the value is longer than {column.max_length} bytes"))
        if column.kind == "number":
            rules.append((~value.str.contains(_NUMBER), name, "the value is not a plain number"))
        if column.kind == "text":
            rules.append(
                (value.str.contains(_CONTROL), name, "the value has a control character or line break")
            )
            rules.append((value.str.contains(_FORMULA), name, "the value starts like a formula (= + - @)"))
    return rules


def _refuse(frame: pl.DataFrame, rules: list[_Rule], *, rows: bool = True) -> None:
    """`FbdiError` for the first rule that any row breaks; `rows=False`: the value is on every line."""
    first = frame.select(pl.arg_where(bad).first().alias(str(n)) for n, (bad, _, _) in enumerate(rules)).row(
        0
    )
    for index, (_, column, message) in zip(first, rules, strict=True):
        if index is not None:
            raise FbdiError(f"{message}; no file was made", row=index + 1 if rows else None, column=column)


def _blank(name: str) -> pl.Expr:
    return pl.col(name).fill_null("").str.strip_chars() == ""


def _render(cells: pl.DataFrame, constants: pl.DataFrame, layout: Layout, header: JournalFile) -> bytes:
    fixed = constants.select(_quoted(name) for name in constants.columns).row(0, named=True)
    fields = [
        _quoted(name) if name in cells.columns else pl.lit(fixed.get(name, "")) for name in layout.names
    ]
    if header.end_marker:
        fields.append(pl.lit("END"))
    rows = cells.select(pl.concat_str(fields, separator=",")).to_series()
    data: bytes = (rows.str.join(header.line_end).item() + header.line_end).encode()
    if len(data) > MAX_BYTES:
        raise FbdiError(f"{len(data)} bytes; a file holds at most {MAX_BYTES}; no file was made")
    return data


def _quoted(name: str) -> pl.Expr:
    value = pl.col(name)
    escaped = pl.concat_str(pl.lit('"'), value.str.replace_all('"', '""', literal=True), pl.lit('"'))
    return pl.when(value.str.contains('[",]')).then(escaped).otherwise(value).alias(name)


def _date(name: str) -> pl.Expr:
    return pl.col(name).str.to_date("%Y/%m/%d", strict=False)


def _cents(name: str) -> pl.Expr:
    """Integer cents of plain amount text, null for anything else; further decimals may only be zeros."""
    groups = pl.col(name).str.extract_groups(r"^(-?)(\d{1,15})?(?:\.(\d{0,2})0*)?$").struct
    whole, rest = groups.field("2").fill_null(""), groups.field("3").fill_null("")
    cents = (whole + rest.str.pad_end(2, "0")).cast(pl.Int64)
    signed = pl.when(groups.field("1") == "-").then(-cents).otherwise(cents)
    return pl.when((whole != "") | (rest != "")).then(signed)
