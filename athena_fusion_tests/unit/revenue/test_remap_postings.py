"""A remap moves the postings behind a line, those and no others."""

from datetime import date

import polars as pl
import pytest

from athena_fusion.accounting.combinations import Chart
from athena_fusion.revenue.journals import JOURNAL_LINES
from athena_fusion.revenue.postings import POSTINGS, standing
from athena_fusion.revenue.remap import remapped_lines, remapped_postings

SEGMENTS = ("Company", "CostCenter", "Account", "Location", "ServiceLine", "Intercompany")
CHART = Chart(SEGMENTS, "-", "Company", {})
POSTED, FIRST, SECOND = date(2026, 9, 15), date(2026, 9, 15), date(2026, 9, 17)
RECEIVABLE, OLD, NEW = (f"101-{segments}" for segments in ("0000-11030", "2100-40010", "2110-40010"))


def posting(row_id: str, batch_date: date, cents: int) -> dict[str, object]:
    return dict.fromkeys(POSTINGS, "x") | {
        "row_id": row_id,
        "entity": "101",
        "post_date": POSTED,
        "batch_date": batch_date,
        "category": "01",
        "posting_id": "P01",
        "debit_combination": RECEIVABLE,
        "credit_combination": OLD,
        "amount_cents": cents,
    }


def log(*postings: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(postings, schema=POSTINGS)


def lines(cents: int) -> pl.DataFrame:
    own = {"entity": "101", "post_date": POSTED, "category": "01", "posting_id": "P01", "revision": 2}
    rows = [
        own | {"line_key": "1", "combination": RECEIVABLE, "debit_cents": cents, "credit_cents": 0},
        own | {"line_key": "2", "combination": OLD, "debit_cents": 0, "credit_cents": cents},
    ]
    return pl.DataFrame(rows, schema=JOURNAL_LINES)


def stands(book: pl.DataFrame, moved: pl.DataFrame) -> dict[str, tuple[str, int]]:
    held = standing(pl.concat([book, moved])).select("row_id", "credit_combination", "amount_cents")
    return {row_id: (combination, cents) for row_id, combination, cents in held.iter_rows()}


def remap(book: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    changed = remapped_lines(sent, {"2": {"CostCenter": "2110"}}, CHART)
    assert changed["combination"].to_list() == [RECEIVABLE, NEW]
    return remapped_postings(book, sent, changed, SECOND)


def test_the_postings_of_the_line_move_and_the_entries_cancel():
    book = log(posting("a", SECOND, 4000), posting("b", SECOND, 1200))
    moved = remap(book, lines(5200))
    assert stands(book, moved) == {"a": (NEW, 4000), "b": (NEW, 1200)}
    assert moved["amount_cents"].sum() == 0
    assert set(moved["batch_date"]) == {SECOND}


def test_what_an_earlier_revision_brought_stays():
    book = log(posting("a", FIRST, 8800), posting("b", SECOND, 4000))
    assert stands(book, remap(book, lines(4000))) == {"a": (OLD, 8800), "b": (NEW, 4000)}


def test_a_line_may_bring_what_waited_for_nights():
    book = log(posting("a", FIRST, 8800), posting("b", SECOND, 4000))
    assert stands(book, remap(book, lines(12_800))) == {"a": (NEW, 8800), "b": (NEW, 4000)}


@pytest.mark.parametrize("cents", [1, 8800])
def test_without_a_matching_sum_nothing_moves(cents: int):
    book = log(posting("a", FIRST, 8800), posting("b", SECOND, 4000))
    assert remap(book, lines(cents)).is_empty()
