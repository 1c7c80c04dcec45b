"""rowset/1 equals its definition row by row, whatever the types and formats it was fed."""

import hashlib
import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from athena_fusion.trust.rowset import Column, RowSetError, canonical_lines, difference, rowset

COLUMNS = [
    Column("key", "text"),
    Column("day", "date"),
    Column("currency", "code"),
    Column("dr", "decimal"),
    Column("cr", "decimal"),
    Column("note", "text"),
]
FIRST = ("AF-000000001", "2026-11-21", "USD", "1250.00", None, 'Claim "A" cafe\u0301 ')
SECOND = ("AF-000000002", "2026/11/21", "USD", "", "-0.05", "x\\y")
LINE_1 = '["AF-000000001","2026-11-21","USD","1250","","Claim \\"A\\" café"]'
LINE_2 = '["AF-000000002","2026-11-21","USD","","-0.05","x\\\\y"]'


def frame(*rows):
    return pl.DataFrame(list(rows), schema={c.name: pl.String for c in COLUMNS}, orient="row")


def one(values, kind, dtype=None):
    return canonical_lines(pl.DataFrame({"v": pl.Series(values, dtype=dtype)}), [Column("v", kind)]).to_list()


def test_published_lines_and_row_hashes():
    lines = canonical_lines(frame(FIRST, SECOND), COLUMNS).to_list()
    assert lines == [LINE_1, LINE_2]
    assert [hashlib.sha256(line.encode()).hexdigest() for line in lines] == [
        "61bbca87a8181a6605d6a3e2c17131285b4fd170906faf5c3af32c1e3bbd4786",
        "6b929ed25cd3ff1b91d84fe3b28fef65fa5ff4664cac8279f9cecbc639e4f79e",
    ]


@pytest.mark.parametrize("order", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_published_row_set_in_any_order(order):
    rows = (FIRST, SECOND)
    found = rowset(frame(*(rows[i] for i in order)), COLUMNS)
    assert (found.spec, found.count) == ("rowset/1", 3)
    assert found.sha256 == "cec3d1702f6bdab3662e8a9762bf8384fedaebfadc7bf856358b78625aaf5540"


def test_empty_set_is_the_hash_of_nothing():
    assert rowset(frame(), COLUMNS).sha256 == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("given_", "canonical"),
    [
        ("1250.00", "1250"),
        ("+1250", "1250"),
        ("01250.0", "1250"),
        ("-0.00", "0"),
        ("-0", "0"),
        (".5", "0.5"),
        ("-.50", "-0.5"),
        ("0", "0"),
        ("000", "0"),
        ("100", "100"),
        ("1200.10", "1200.1"),
        (None, ""),
        ("", ""),
    ],
)
def test_decimal_text(given_, canonical):
    assert one([given_], "decimal", pl.String) == [f'["{canonical}"]']


@pytest.mark.parametrize(
    "text", ["1,250.00", "1E3", "1.", "--1", " 1", "1 ", "1.2.3", "abc", "NaN", "+", "-", "٣"]
)
def test_decimal_text_that_is_refused(text):
    with pytest.raises(RowSetError, match="row 1") as caught:
        one(["1", text], "decimal", pl.String)
    assert repr(text) not in str(caught.value)


def test_floats_are_refused():
    for kind in ("decimal", "cents"):
        with pytest.raises(RowSetError, match="Float64"):
            one([1.0], kind)


def test_cents_at_the_edges():
    values = [0, 1, -1, 10, -10, 99, 100, 101, -100, 123456, -(2**63), 2**63 - 1, None]
    expected = [
        "0", "0.01", "-0.01", "0.1", "-0.1", "0.99", "1", "1.01", "-1", "1234.56",
        "-92233720368547758.08", "92233720368547758.07", "",
    ]  # fmt: skip
    assert one(values, "cents", pl.Int64) == [f'["{text}"]' for text in expected]


def test_dates_and_what_is_not_one():
    assert one([date(2026, 11, 21), None], "date") == ['["2026-11-21"]', '[""]']
    assert one(["2026/11/21", "2026-11-21", ""], "date") == ['["2026-11-21"]'] * 2 + ['[""]']
    for bad in ("2026-02-30", "21.11.2026", "2026-1-2", "20261121"):
        with pytest.raises(RowSetError):
            one([bad], "date")


def test_timestamps_become_utc_without_needless_zeros():
    eastern = timezone(timedelta(hours=-4))
    values = [
        datetime(2026, 9, 15, 20, 0, tzinfo=eastern),
        datetime(2026, 9, 16, 0, 0, 10, 500000, tzinfo=eastern),
    ]
    assert one([v.astimezone(UTC) for v in values], "timestamp") == [
        '["2026-09-16T00:00:00Z"]',
        '["2026-09-16T04:00:10.5Z"]',
    ]
    assert one(["2026-09-15T20:00:00-04:00", "2026-09-16 00:00:00.250Z", None], "timestamp") == [
        '["2026-09-16T00:00:00Z"]',
        '["2026-09-16T00:00:00.25Z"]',
        '[""]',
    ]
    assert one(
        [datetime(2026, 9, 15, 20, tzinfo=UTC)], "timestamp", pl.Datetime("ms", "America/New_York")
    ) == ['["2026-09-15T20:00:00Z"]']


def test_a_time_without_zone_is_refused():
    with pytest.raises(RowSetError):
        one([datetime(2026, 9, 15)], "timestamp")  # noqa: DTZ001
    with pytest.raises(RowSetError):
        one(["2026-09-15T20:00:00"], "timestamp")


def test_text_control_characters_are_escaped_and_never_dropped():
    assert one(["a\x00b\x1f\n\t\x7f", " lead, trail  ", "tab\t"], "text") == [
        '["a\\u0000b\\u001f\\n\\t\x7f"]',
        '[" lead, trail"]',
        '["tab\\t"]',
    ]


def test_codes_keep_their_case_unless_declared_otherwise():
    assert one(["uSd"], "code") == ['["uSd"]']
    assert one(["uSd"], "code_ci") == ['["USD"]']


def test_unknown_kinds_and_columns_are_refused():
    with pytest.raises(RowSetError):
        Column("a", "float")  # type: ignore[arg-type]
    with pytest.raises(RowSetError, match="nope"):
        rowset(frame(FIRST), [Column("nope", "text")])
    with pytest.raises(RowSetError):
        rowset(frame(FIRST), [])


def test_cents_and_a_decimal_read_back_are_the_same_declared_row_set():
    ours = pl.DataFrame({"k": ["a", "b"], "v": [1250, -5]})
    theirs = pl.DataFrame({"k": ["b", "a"], "v": [Decimal("-0.05"), Decimal("12.50")]})
    assert rowset(ours, [Column("k", "text"), Column("v", "cents")]) == rowset(
        theirs, [Column("k", "text"), Column("v", "decimal")]
    )


def test_a_keyed_row_set_differs_by_key_and_says_so():
    plain, a, b = (rowset(frame(FIRST), COLUMNS, hmac_key=key) for key in (None, b"a", b"b"))
    assert len({plain.sha256, a.sha256, b.sha256}) == 3
    assert (a.spec, a.count) == ("rowset/1+hmac", 1)
    assert rowset(frame(FIRST), COLUMNS, hmac_key=b"a") == a


# The slow form of the definition: Python and rfc8785 per row.
def slow_decimal(text):
    if not text:
        return ""
    plain = format(Decimal(text).normalize(), "f")
    return "0" if plain in ("-0", "0") else plain


def slow_text(text):
    return unicodedata.normalize("NFC", text or "").rstrip(" ")


def slow_rowset(rows):
    lines = sorted(rfc8785.dumps(list(row)) for row in rows)
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


texts = st.none() | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"])
    | st.sampled_from('"\\\x00\x1f\n\r\t\x7f e\u0301é '),
    max_size=12,
)
amounts = st.none() | st.decimals(min_value=-(10**12), max_value=10**12, places=2, allow_nan=False)
instants = st.none() | st.datetimes(
    min_value=datetime(1900, 1, 1),  # noqa: DTZ001
    max_value=datetime(2999, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
rows = st.lists(
    st.tuples(texts, amounts, st.none() | st.dates(date(1900, 1, 1), date(2999, 1, 1)), instants), max_size=8
)


@settings(max_examples=150, deadline=None)
@given(rows=rows, seed=st.integers(0, 1000))
def test_vectorised_equals_the_definition_row_by_row(rows, seed):
    expected = slow_rowset(
        (
            slow_text(text),
            slow_decimal(None if amount is None else str(amount)),
            "" if day is None else day.isoformat(),
            ""
            if at is None
            else at.replace(tzinfo=None).isoformat().rstrip("0").rstrip(".") + "Z"
            if at is not None and at.microsecond
            else ("" if at is None else at.replace(tzinfo=None).isoformat() + "Z"),
        )
        for text, amount, day, at in rows
    )
    kinds = [Column("t", "text"), Column("a", "decimal"), Column("d", "date"), Column("z", "timestamp")]
    schema = {"t": pl.String, "a": pl.Decimal(18, 2), "d": pl.Date, "z": pl.Datetime("us", "UTC")}
    typed = pl.DataFrame(rows, schema=schema, orient="row")
    cents = typed.with_columns(
        a=pl.Series([None if a is None else int(a * 100) for _, a, _, _ in rows], dtype=pl.Int64)
    )
    messy = pl.DataFrame(
        {
            "t": [None if t in (None, "") else unicodedata.normalize("NFD", t) + "  " for t, *_ in rows],
            "a": ["" if a is None else f"{a:+015.2f}0" for _, a, _, _ in rows],
            "d": ["" if d is None else d.isoformat().replace("-", "/") for *_, d, _ in rows],
            "z": [
                None if z is None else z.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
                for *_, z in rows
            ],
        },
        schema=dict.fromkeys(schema, pl.String),
    ).sample(fraction=1, shuffle=True, seed=seed)
    with_cents = [Column(c.name, "cents") if c.name == "a" else c for c in kinds]
    assert rowset(typed, kinds).sha256 == expected
    assert rowset(cents, with_cents).sha256 == expected
    assert rowset(messy, kinds).sha256 == expected


def test_difference_finds_a_cent_a_double_and_a_missing_row():
    columns = [Column("k", "text"), Column("v", "cents")]
    left = pl.DataFrame({"k": ["a", "b", "c", "d"], "v": [100, 200, 300, 400]})
    right = pl.DataFrame({"k": ["d", "a", "b", "b"], "v": [400, 101, 200, 200]})
    assert difference(left, right, columns).rows() == [
        ("a", "1", 1, 0),
        ("a", "1.01", 0, 1),
        ("b", "2", 1, 2),
        ("c", "3", 1, 0),
    ]
    assert difference(left, left, columns).is_empty()
    assert difference(left, left.reverse(), columns).is_empty()
