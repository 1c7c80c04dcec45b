"""The crosswalk engine: most specific line, prefixes, lists of codes, effective dates, ties, and words for gaps."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from revenue_world import table

from athena_fusion.accounting.crosswalk import CrosswalkTie, resolve

DAY = date(2026, 9, 15)
KEYS = {"procedure": "procedure", "pos": "pos"}


def _rows(*values: tuple[str | None, str | None], on: date | None = DAY) -> pl.DataFrame:
    return pl.DataFrame(
        [{"procedure": p, "pos": s, "on": on} for p, s in values],
        schema={"procedure": pl.String, "pos": pl.String, "on": pl.Date},
    )


def _resolve(rows: pl.DataFrame, lines: pl.DataFrame, lists: tuple[str, ...] = ()) -> pl.DataFrame:
    return resolve(rows, lines, KEYS, "on", crosswalk="X5", results=["result"], lists=lists)


LINES = table(
    """procedure,pos,result,effective_from,effective_to
    ,,any,,
    99*,,visit,,
    992*,,office,,
    99213,,exact,,
    99*,10,tele,,
    J1,,old drug,,2026-08-31
    J1,,new drug,2026-09-01,"""
)


@pytest.mark.parametrize(
    ("procedure", "pos", "expected"),
    [
        ("99381", "11", "visit"),
        ("99212", "11", "office"),
        ("99213", "11", "exact"),
        ("99213", "10", "tele"),  # two keys named outweigh one exact one
        ("70010", "11", "any"),
        (None, None, "any"),
        (" j1 ", "", "new drug"),
        ("9", "10", "any"),
    ],
)
def test_the_most_specific_line_wins(procedure: str | None, pos: str | None, expected: str) -> None:
    assert _resolve(_rows((procedure, pos)), LINES)["result"].to_list() == [expected]


@pytest.mark.parametrize(
    ("on", "expected"), [(date(2026, 8, 31), "old drug"), (date(2026, 9, 1), "new drug")]
)
def test_effective_dates_include_both_ends(on: date, expected: str) -> None:
    assert _resolve(_rows(("J1", ""), on=on), LINES)["result"].item() == expected


def test_the_answer_keeps_order_and_names_its_line() -> None:
    found = _resolve(_rows(("99213", ""), ("70010", ""), ("99213", "")), LINES)
    assert found.rows() == [("exact", 5, None), ("any", 2, None), ("exact", 5, None)]


def test_a_gap_is_told_in_words() -> None:
    found = _resolve(_rows(("X", "11"), ("", None)), LINES.filter(pl.col("result") == "exact"))
    assert found["missing"].to_list() == [
        "procedure X, pos 11 on 2026-09-15",
        "procedure, pos (blank) on 2026-09-15",
    ]
    assert found["line"].null_count() == 2


def test_without_a_date_nothing_is_in_effect() -> None:
    assert (
        _resolve(_rows(("99213", ""), on=None), LINES)["missing"].item()
        == "procedure 99213 on an unknown date"
    )


def test_an_empty_table_and_no_rows_are_no_accident() -> None:
    assert _resolve(_rows(("X", "")), LINES.head(0))["result"].item() is None
    assert _resolve(_rows(), LINES).height == 0


def test_a_contradiction_names_both_lines() -> None:
    lines = table(
        """procedure,pos,result,effective_from,effective_to
        99*,,one,,
        ,10,two,,
        99*,,one,,"""
    )
    assert _resolve(_rows(("99213", "11")), lines)["line"].item() == 2  # the same answer twice is no tie
    lines = table("procedure,pos,result,effective_from,effective_to\n992*,,one,,\n992*,,two,2026-09-01,")
    with pytest.raises(CrosswalkTie, match=r"X5: lines 2 and 3 answer procedure 99213, pos 10 on 2026-09-15"):
        _resolve(_rows(("99213", "10")), lines)
    assert _resolve(_rows(("99213", "10"), on=date(2026, 8, 1)), lines)["result"].item() == "one"


def test_any_code_of_a_list_matches() -> None:
    lines = table("procedure,pos,result,effective_from,effective_to\n,,plain,,\n,95,tele,,\n,GT,tele,,")
    rows = _rows(("1", "25, 95"), ("1", "25"), ("1", "95,GT"), ("1", None))
    assert _resolve(rows, lines, ("pos",))["result"].to_list() == ["tele", "plain", "tele", "plain"]


CODE = st.sampled_from(["", "A", "AB", "ABC", "B"])
PATTERN = st.sampled_from(["", "A", "AB", "A*", "AB*", "ABC", "B"])
EDGE = st.one_of(st.just(""), st.integers(0, 4).map(lambda n: str(DAY + timedelta(days=n))))


def _naive(
    row: tuple[str, str, date], lines: list[tuple[str, str, str, str, str, int]]
) -> tuple[str, set[str]]:
    """One row against every line, as the rule reads."""
    best, results, number = None, set(), 0
    for first, second, result, start, end, line in lines:
        if (start and date.fromisoformat(start) > row[2]) or (end and date.fromisoformat(end) < row[2]):
            continue
        score = [0, 0]
        for pattern, value in ((first, row[0]), (second, row[1])):
            if pattern == "":
                continue
            prefix = pattern.endswith("*")
            if not (value.startswith(pattern[:-1]) if prefix else value == pattern):
                break
            score[0] += 1
            score[1] += len(pattern) - 1 if prefix else 1000
        else:
            if best is None or score > best:
                best, results, number = score, {result}, line
            elif score == best:
                results.add(result)
    return str(number), results


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        st.tuples(CODE, CODE, st.integers(0, 4).map(lambda n: DAY + timedelta(days=n))),
        min_size=1,
        max_size=6,
    ),
    lines=st.lists(st.tuples(PATTERN, PATTERN, st.sampled_from("xyz"), EDGE, EDGE), max_size=7),
)
def test_it_agrees_with_a_row_by_row_reading(
    rows: list[tuple[str, str, date]], lines: list[tuple[str, str, str, str, str]]
) -> None:
    columns = ("procedure", "pos", "result", "effective_from", "effective_to")
    numbered = [(*line, number) for number, line in enumerate(lines, start=2)]
    frame = pl.DataFrame(
        numbered, schema=dict.fromkeys(columns, pl.String) | {"line": pl.Int64}, orient="row"
    )
    asked = pl.DataFrame(rows, schema={"procedure": pl.String, "pos": pl.String, "on": pl.Date}, orient="row")
    expected = [_naive(row, numbered) for row in rows]
    if any(len(results) > 1 for _, results in expected):
        with pytest.raises(CrosswalkTie):
            _resolve(asked, frame)
        return
    found = _resolve(asked, frame)
    assert [str(line or 0) for line in found["line"]] == [line for line, _ in expected]
    assert [{r} if r else set() for r in found["result"]] == [results for _, results in expected]
