"""Cumulative differences: what is still to send, what waits, and what is as it should be."""

from datetime import date

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from revenue_world import NO_REVISIONS, NO_SENT

from athena_fusion.accounting.corrections import corrections

D, NEXT = date(2026, 9, 15), date(2026, 9, 16)


def _lines(*rows: tuple[str, int, int], category: str = "01") -> pl.DataFrame:
    return pl.DataFrame(
        [("101", D, category, "P01", c, dr, cr) for c, dr, cr in rows], schema=NO_SENT.schema, orient="row"
    )


def _revisions(*rows: tuple[int, date, bool], category: str = "01") -> pl.DataFrame:
    return pl.DataFrame(
        [("101", D, category, n, batch, is_open) for n, batch, is_open in rows],
        schema=NO_REVISIONS.schema,
        orient="row",
    )


def _due(
    cumulative: pl.DataFrame, sent: pl.DataFrame, revisions: pl.DataFrame = NO_REVISIONS
) -> list[tuple[object, ...]]:
    found = corrections(cumulative, sent, revisions, batch_date=NEXT)
    return found.lines.select("revision", "combination", "debit_cents", "credit_cents").rows()


def test_the_first_revision_is_gross() -> None:
    assert _due(_lines(("a", 100, 30), ("b", 0, 70)), NO_SENT) == [(1, "a", 100, 30), (1, "b", 0, 70)]


def test_only_the_difference_goes_out_under_the_next_number() -> None:
    due = _due(
        _lines(("a", 150, 0), ("b", 0, 150)), _lines(("a", 100, 0), ("b", 0, 100)), _revisions((1, D, False))
    )
    assert due == [(2, "a", 50, 0), (2, "b", 0, 50)]


def test_a_negative_difference_changes_sides() -> None:
    due = _due(
        _lines(("a", 60, 0), ("b", 0, 60)), _lines(("a", 100, 0), ("b", 0, 100)), _revisions((1, D, False))
    )
    assert due == [(2, "a", 0, 40), (2, "b", 40, 0)]


def test_no_difference_sends_nothing_and_says_so() -> None:
    same = _lines(("a", 100, 0), ("b", 0, 100))
    found = corrections(same, same, _revisions((1, D, False)), batch_date=NEXT)
    assert found.lines.is_empty()
    assert found.unchanged.rows() == [("101", D, "01", "no difference to what Fusion holds; nothing is sent")]


def test_an_open_revision_of_another_day_makes_the_next_wait() -> None:
    both = pl.concat([_lines(("a", 150, 0), ("b", 0, 150)), _lines(("a", 9, 0), ("b", 0, 9), category="02")])
    found = corrections(both, NO_SENT, _revisions((1, D, True)), batch_date=NEXT)
    assert found.waiting.rows() == [
        ("101", D, "01", 1, 150, "revision r1 is not yet proven in Fusion; the difference waits")
    ]
    assert found.lines["category"].unique().to_list() == ["02"]


def test_the_open_revision_of_this_day_is_computed_again_under_its_number() -> None:
    due = _due(_lines(("a", 5, 0), ("b", 0, 5)), NO_SENT, _revisions((1, D, False), (2, NEXT, True)))
    assert {revision for revision, *_ in due} == {2}


def test_other_journals_are_left_alone() -> None:
    elsewhere = _lines(("a", 7, 0), ("b", 0, 7), category="02")
    assert _due(_lines(("a", 1, 0), ("b", 0, 1)), elsewhere) == [(1, "a", 1, 0), (1, "b", 0, 1)]


AMOUNTS = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1
)


@settings(max_examples=100, deadline=None)
@given(cumulative=AMOUNTS, sent=AMOUNTS)
def test_after_sending_the_difference_the_nets_agree_and_nothing_is_left(
    cumulative: dict[str, tuple[int, int]], sent: dict[str, tuple[int, int]]
) -> None:
    total, gone = (_lines(*((c, *sides) for c, sides in amounts.items())) for amounts in (cumulative, sent))
    lines = corrections(total, gone, NO_REVISIONS, batch_date=NEXT).lines
    assert (lines["debit_cents"] >= 0).all()
    assert (lines["credit_cents"] >= 0).all()
    after = pl.concat([gone, lines.drop("revision").select(gone.columns)])
    net = pl.col("debit_cents").sum() - pl.col("credit_cents").sum()
    nets = [
        frame.group_by("combination").agg(net.alias("net")).filter(pl.col("net") != 0)
        for frame in (total, after)
    ]
    assert nets[0].sort("combination").equals(nets[1].sort("combination"))
    assert corrections(total, after, NO_REVISIONS, batch_date=NEXT).lines.is_empty()
