"""GlInterface.csv: exact bytes, refusals, and the way back."""

import csv
import dataclasses
import io
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athena_fusion.formats.fbdi import journal as journal_module
from athena_fusion.formats.fbdi.journal import JournalFile, read_journal, write_journal
from athena_fusion.formats.fbdi.layout import FbdiError
from athena_fusion.money import parse_cents

GOLDEN = Path(__file__).parents[2] / "golden" / "gl_interface_charges.csv"

HEADER = JournalFile(
    ledger_id="300000046975971",
    ledger_name="Athena Health Partners US",
    source="athenaCollector",
    category_name="ATH Charges",
    currency="USD",
    date_created=date(2026, 9, 15),
    group_id="20260915000010101",
    batch_name="ATH-101-20260915-CHARGES",
    rowset="0123456789abcdef" * 4,
    segments=6,
)

AR, REVENUE = "101-0000-11030-000-000-000", "101-2100-40010-014-010-000"


def make_lines(*amounts, journal="ATH-101-20260915-CHARGES-r1", **columns):
    """Lines of (combination, description, debit cents, credit cents)."""
    height = len(amounts)
    frame = pl.DataFrame(
        {
            "line_key": [f"101-20260915-01-r1-{n:05d}" for n in range(1, height + 1)],
            "journal": [journal] * height,
            "accounting_date": [date(2026, 9, 15)] * height,
            "category": ["01"] * height,
            "description": [row[1] for row in amounts],
            "combination": [row[0] for row in amounts],
            "debit_cents": pl.Series([row[2] for row in amounts], dtype=pl.Int64),
            "credit_cents": pl.Series([row[3] for row in amounts], dtype=pl.Int64),
        }
    )
    return frame.with_columns(**columns)


PAIR = make_lines((AR, "P01 A/R commercial", 25000, 0), (REVENUE, "P01 Gross revenue", 0, 25000))


def fields(data):
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))


def test_golden_file_byte_for_byte():
    lines = make_lines(
        ("101-0000-11010-000-000-000", "P01 A/R Medicare (Part B FFS)", 18000, 0),
        ("101-0000-11020-000-000-000", "P01 A/R Medicaid", 21000, 0),
        (AR, "P01 A/R commercial / managed care", 34500, 0),
        (AR, "P02 A/R commercial / managed care", 0, 9500),
        (REVENUE, "P01 Gross patient service revenue, in person", 0, 55500),
        (REVENUE, 'P02 Gross patient service revenue, "in person"', 9500, 0),
        ("101-2100-40020-014-010-000", "P01 Gross patient service revenue, télé", 0, 18000),
    )
    assert write_journal(lines, HEADER) == GOLDEN.read_bytes()


def test_values_stand_at_their_positions():
    first, second = fields(write_journal(PAIR, HEADER))
    filled = {position: value for position, value in enumerate(first, 1) if value}
    assert filled == {
        1: "NEW",
        2: "300000046975971",
        3: "2026/09/15",
        4: "athenaCollector",
        5: "ATH Charges",
        6: "USD",
        7: "2026/09/15",
        8: "A",
        9: "101",
        10: "0000",
        11: "11030",
        12: "000",
        13: "000",
        14: "000",
        39: "250.00",
        43: "ATH-101-20260915-CHARGES",
        46: "ATH-101-20260915-CHARGES-r1",
        52: "P01 A/R commercial",
        53: "101-20260915-01-r1-00001",
        54: "0123456789abcdef" * 2,
        67: "20260915000010101",
        92: "Athena Health Partners US",
        150: "END",
    }
    assert (second[38], second[39]) == ("", "250.00")


def test_switches_of_the_file():
    assert write_journal(PAIR, HEADER).startswith(b"NEW,300000046975971,2026/09/15,")
    assert write_journal(PAIR, HEADER).endswith(b",END\r\n")
    bare = write_journal(PAIR, dataclasses.replace(HEADER, end_marker=False, line_end="\n"))
    assert b"\r" not in bare
    assert {len(row) for row in fields(bare)} == {149}
    old = write_journal(PAIR, dataclasses.replace(HEADER, layout="gl_interface/94"))
    assert {len(row) for row in fields(old)} == {95}


def test_row_order_of_the_frame_does_not_matter():
    assert write_journal(PAIR.reverse(), HEADER) == write_journal(PAIR, HEADER)


def test_empty_side_may_be_zero_or_null():
    nulls = PAIR.with_columns(
        pl.when(pl.col(name) != 0).then(pl.col(name)) for name in ("debit_cents", "credit_cents")
    )
    assert nulls["debit_cents"].null_count() == 1
    assert write_journal(nulls, HEADER) == write_journal(PAIR, HEADER)


def test_period_name_is_written_where_given():
    named = PAIR.with_columns(period_name=pl.lit("Sep-26"))
    assert fields(write_journal(named, HEADER))[0][94] == "Sep-26"
    with pytest.raises(FbdiError, match="gl_interface/94 has no such column"):
        write_journal(named, dataclasses.replace(HEADER, layout="gl_interface/94"))


def test_either_ledger_id_or_name_is_enough():
    for blank in ("ledger_id", "ledger_name"):
        row = fields(write_journal(PAIR, dataclasses.replace(HEADER, **{blank: ""})))[0]
        assert (row[1] == "", row[91] == "") == (blank == "ledger_id", blank == "ledger_name")


def second_row(name, value):
    """The pair with one value of its second line replaced."""
    return PAIR.with_columns(
        pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
    )


@pytest.mark.parametrize(
    ("name", "value", "column", "message"),
    [
        ("description", "x" * 241, "REFERENCE10", "longer than 240 bytes"),
        ("description", "é" * 121, "REFERENCE10", "longer than 240 bytes"),
        ("description", "two\nlines", "REFERENCE10", "control character"),
        ("description", "two\rlines", "REFERENCE10", "control character"),
        ("description", "\tcell", "REFERENCE10", "control character"),
        ("description", "nul\x00", "REFERENCE10", "control character"),
        ("description", "next\x85line", "REFERENCE10", "control character"),
        ("description", "line\u2028separator", "REFERENCE10", "control character"),
        ("description", "=HYPERLINK(1)", "REFERENCE10", "formula"),
        ("description", "+1", "REFERENCE10", "formula"),
        ("description", "-1", "REFERENCE10", "formula"),
        ("description", "@SUM(A1)", "REFERENCE10", "formula"),
        ("journal", None, "REFERENCE4", "journal name is blank"),
        ("combination", "101-2100-40010-014-010", "SEGMENT1", "has not 6 filled segments"),
        ("combination", "101-2100-40010-014--000", "SEGMENT1", "has not 6 filled segments"),
        ("combination", "101-2100-40010-014-=10-000", "SEGMENT5", "formula"),
        ("combination", None, "SEGMENT1", "has not 6 filled segments"),
        ("accounting_date", None, "ACCOUNTING_DATE", "the date is blank"),
        ("credit_cents", 0, "ENTERED_DR", "neither debit nor credit"),
        ("credit_cents", None, "ENTERED_DR", "neither debit nor credit"),
        ("credit_cents", -25000, "ENTERED_CR", "negative; the debit side takes it"),
        ("debit_cents", 1, "ENTERED_DR", "not both"),
    ],
)
def test_bad_line_is_refused_by_row_and_column(name, value, column, message):
    with pytest.raises(FbdiError, match=message) as caught:
        write_journal(second_row(name, value), HEADER)
    assert (caught.value.row, caught.value.column) == (2, column)
    assert f"row 2, column {column}: " in str(caught.value)
    assert "no file was made" in str(caught.value)


def test_refusal_never_repeats_the_value():
    with pytest.raises(FbdiError) as caught:
        write_journal(second_row("description", "=secret"), HEADER)
    assert "secret" not in str(caught.value)


def test_journal_name_has_a_limit_too():
    with pytest.raises(FbdiError, match="row 1, column REFERENCE4: the value is longer than 100 bytes"):
        write_journal(PAIR.with_columns(journal=pl.lit("J" * 101)), HEADER)


def test_longest_value_still_fits():
    data = write_journal(second_row("description", "x" * 240), HEADER)
    assert fields(data)[1][51] == "x" * 240


def test_line_keys_must_be_there_and_differ():
    with pytest.raises(FbdiError, match="row 1, column REFERENCE21: the line key is blank"):
        write_journal(second_row("line_key", None), HEADER)
    with pytest.raises(FbdiError, match="row 2, column REFERENCE21: the line key is there twice"):
        write_journal(second_row("line_key", PAIR["line_key"][0]), HEADER)


def test_unbalanced_journal_is_refused_though_the_file_balances():
    lines = second_row("journal", "ATH-101-20260915-CHARGES-r2")
    with pytest.raises(FbdiError, match="25000 cents out of balance") as caught:
        write_journal(lines, HEADER)
    assert caught.value.column == "REFERENCE4"
    with pytest.raises(FbdiError, match="-1 cents out of balance"):
        write_journal(second_row("credit_cents", 25001), HEADER)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"ledger_id": "", "ledger_name": ""}, "LEDGER_ID"),
        ({"ledger_id": "ledger"}, "LEDGER_ID"),
        ({"ledger_name": "n" * 31}, "LEDGER_NAME"),
        ({"source": ""}, "USER_JE_SOURCE_NAME"),
        ({"category_name": "c" * 26}, "USER_JE_CATEGORY_NAME"),
        ({"currency": ""}, "CURRENCY_CODE"),
        ({"group_id": ""}, "GROUP_ID"),
        ({"group_id": "1" * 19}, "GROUP_ID"),
        ({"group_id": "ALL"}, "GROUP_ID"),
        ({"batch_name": "=1"}, "REFERENCE1"),
        ({"batch_name": "B" * 101}, "REFERENCE1"),
        ({"batch_name": ""}, "REFERENCE1"),
        ({"rowset": "xyz"}, "REFERENCE22"),
    ],
)
def test_bad_header_is_refused_without_a_row(change, column):
    with pytest.raises(FbdiError) as caught:
        write_journal(PAIR, dataclasses.replace(HEADER, **change))
    assert (caught.value.row, caught.value.column) == (None, column)


def test_shape_of_the_frame(monkeypatch):
    with pytest.raises(FbdiError, match="the lines have no description"):
        write_journal(PAIR.drop("description"), HEADER)
    with pytest.raises(FbdiError, match="0 rows"):
        write_journal(PAIR.clear(), HEADER)
    with pytest.raises(FbdiError, match="several categories"):
        write_journal(second_row("category", "02"), HEADER)
    with pytest.raises(FbdiError, match="integer cents"):
        write_journal(PAIR.with_columns(pl.col("debit_cents").cast(pl.Float64)), HEADER)
    monkeypatch.setattr(journal_module, "MAX_ROWS", 1)
    with pytest.raises(FbdiError, match="2 rows; a file holds 1 to 1"):
        write_journal(PAIR, HEADER)


def test_size_limit(monkeypatch):
    monkeypatch.setattr(journal_module, "MAX_BYTES", 700)
    with pytest.raises(FbdiError, match="at most 700"):
        write_journal(PAIR, HEADER)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40).filter(
    lambda text: text[:1] not in tuple("=+-@") or not text
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 10**12), TEXT, TEXT, st.integers(0, 2)), min_size=1, max_size=12),
    st.booleans(),
    st.sampled_from(["\r\n", "\n"]),
)
def test_round_trip(pairs, end_marker, line_end):
    rows, journals = [], []
    for cents, left, right, revision in pairs:
        rows += [(AR, left, cents, 0), (REVENUE, right, 0, cents)]
        journals += [f"ATH-101-20260915-CHARGES-r{revision}"] * 2
    lines = make_lines(*rows, journal="").with_columns(journal=pl.Series(journals))
    data = write_journal(lines, dataclasses.replace(HEADER, end_marker=end_marker, line_end=line_end))
    back = read_journal(data)
    same = [name for name in lines.columns if name != "category"]
    assert back.select(same).equals(lines.with_columns(pl.col("description").replace("", None)).select(same))
    assert back["debit_cents"].sum() == back["credit_cents"].sum()
    assert back["rowset"].unique().to_list() == [HEADER.rowset[:32]]
    # The bytes as an independent reader sees them balance as well.
    assert sum(parse_cents(row[38] or "0") for row in fields(data)) == lines["debit_cents"].sum()
    assert sum(parse_cents(row[39] or "0") for row in fields(data)) == lines["credit_cents"].sum()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=8), st.data())
def test_what_is_written_always_balances(amounts, data):
    sides = data.draw(st.lists(st.booleans(), min_size=len(amounts), max_size=len(amounts)))
    rows = [
        (AR, "x", cents if debit else 0, 0 if debit else cents)
        for cents, debit in zip(amounts, sides, strict=True)
    ]
    lines = make_lines(*rows)
    if lines["debit_cents"].sum() == lines["credit_cents"].sum():
        assert read_journal(write_journal(lines, HEADER)).height == len(rows)
    else:
        with pytest.raises(FbdiError, match="out of balance"):
            write_journal(lines, HEADER)


def test_reader_tolerates_what_fusion_tolerates():
    data = write_journal(PAIR, HEADER)
    expected = read_journal(data)
    quoted = io.StringIO(newline="")
    csv.writer(quoted, quoting=csv.QUOTE_ALL).writerows(fields(data))
    variants = {
        "all quoted": quoted.getvalue().encode(),
        "no END": data.replace(b",END\r\n", b"\r\n"),
        "blank tail": data.replace(b",END\r\n", b",,,,END\r\n"),
        "short rows": b"\n".join(",".join(row[:92]).encode() for row in fields(data)),
        "blank last line": data + b"\r\n",
    }
    for name, variant in variants.items():
        assert read_journal(variant).equals(expected), name
    assert read_journal(data, "gl_interface/94").equals(expected)


def raw(**values):
    """One line of text under column names."""
    names = journal_module.load_layout("gl_interface/149").names
    return ",".join(values.get(name, "") for name in names).encode()


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("9.1", 910),
        ("189", 18900),
        ("15250.75", 1525075),
        (".5", 50),
        ("7.", 700),
        ("-3.20", -320),
        ("1.500", 150),
    ],
)
def test_reader_takes_plain_amounts(text, cents):
    assert read_journal(raw(ENTERED_DR=text))["debit_cents"].to_list() == [cents]


@pytest.mark.parametrize("text", ["1,0", "1e3", "1.005", "$1", "-", ".", "1 000", "1" * 16])
def test_reader_refuses_other_amounts(text):
    with pytest.raises(FbdiError, match="row 1, column ENTERED_CR: the value is not a plain amount"):
        read_journal(raw(ENTERED_CR=f'"{text}"'))


def test_reader_refuses_what_is_no_file():
    with pytest.raises(FbdiError, match="row 2, column ACCOUNTING_DATE"):
        read_journal(raw(ACCOUNTING_DATE="2026/09/15") + b"\n" + raw(ACCOUNTING_DATE="15.09.2026"))
    for data in (b'"never closed', b"\xff\xfe\xff,1\n"):
        with pytest.raises(FbdiError, match="nothing was read") as caught:
            read_journal(data)
        assert caught.value.__suppress_context__
    assert read_journal(b"").height == 0


def test_combination_of_a_chart_with_other_separator():
    header = dataclasses.replace(HEADER, separator=".", segments=2)
    lines = PAIR.with_columns(combination=pl.lit("101.11-030"))
    back = read_journal(write_journal(lines, header), separator=".")
    assert back["combination"].to_list() == ["101.11-030"] * 2


@pytest.mark.shared
def test_reader_agrees_with_the_accepted_sample(shared_dir):
    samples = shared_dir / "reference/fbdi/samples"
    expected = json.loads((samples / "EXPECTED.json").read_text())["gl_good"]["groups"]
    lines = read_journal((samples / "gl_good/GlInterface.csv").read_bytes())
    (group,) = expected
    assert lines["group_id"].unique().to_list() == [group]
    assert lines.height == expected[group]["lines"]
    assert lines["journal"].n_unique() == expected[group]["journals"]
    assert lines["debit_cents"].sum() == parse_cents(expected[group]["total_dr"]) == 2856094
    assert lines["credit_cents"].sum() == parse_cents(expected[group]["total_cr"])
    assert lines["combination"][0] == "101-10-12100-000-000-000"
    assert lines["description"][3] == 'Contractual adjustments, "payer A"'


@pytest.mark.shared
def test_reader_reads_rejected_samples_as_far_as_the_loader_does(shared_dir):
    samples = shared_dir / "reference/fbdi/samples"
    assert read_journal((samples / "gl_rejections/GlInterface.csv").read_bytes()).height == 23
    with pytest.raises(FbdiError, match="row 2, column ACCOUNTING_DATE"):
        read_journal((samples / "gl_loader_rejects/GlInterface.csv").read_bytes())
