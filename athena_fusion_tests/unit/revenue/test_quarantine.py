"""Quarantine explains a T1 difference only row by row: the right figure, the right count, to the cent."""

from datetime import date

import polars as pl
import pytest

from athena_fusion.accounting.controls import Control
from athena_fusion.revenue.quarantine import CRITICAL_CENTS, explanation, stand_ins, still_quarantined
from athena_fusion.revenue.transactions import QUARANTINE, TRANSACTIONS

DAY = date(2026, 9, 15)


def _line(row_id="T-1", kind="CHARGE", cents=500, day=DAY, entity="101", row=1):
    return ("TRANSACTION.csv", row, "X", "bad", row_id, entity, cents, kind, day)


def _quarantine(*lines):
    return pl.DataFrame(lines, schema=QUARANTINE, orient="row")


def _known(*lines, rows=()):
    good = pl.DataFrame({"row_id": list(rows)}, schema={"row_id": pl.String})
    return still_quarantined([_quarantine(*lines)], good, "101")


def _t1(*figures):
    """(kind, our rows, their rows, our cents, their cents)"""
    controls = []
    for kind, ours, theirs, cents, their_cents in figures:
        controls.append(Control("T1", f"101 {DAY} {kind}", ours, theirs, "rows"))
        controls.append(Control("T1", f"101 {DAY} {kind}", cents, their_cents))
    return controls


ONE_MISSING = _t1(("CHARGE", 1, 2, 1000, 1500), ("PAYMENT", 3, 3, -70, -70))


@pytest.mark.parametrize(
    ("quarantined", "explained"),
    [
        ([_line()], True),
        ([_line(cents=499)], False),  # another amount
        ([_line(kind="PAYMENT")], False),  # another figure
        ([_line(day=date(2026, 9, 14))], False),
        ([_line(cents=None)], True),  # unreadable: takes the report's amount
        ([_line(kind="???")], True),
        ([_line(day=None)], True),
        ([_line(), _line("T-2")], False),  # more rows than are missing
        ([_line(), _line(row=2)], True),  # two problems of one row
        ([_line(), _line(cents=700, row=2)], True),  # delivered twice with different amounts
        ([_line(entity="102")], False),
        ([_line(entity=None)], False),  # nobody's row explains nothing
        ([], False),
    ],
)
def test_one_missing_charge(quarantined, explained):
    assert bool(explanation(ONE_MISSING, _known(*quarantined), DAY)) is explained


def test_a_row_that_came_again_whole_explains_nothing():
    assert explanation(ONE_MISSING, _known(_line(), rows=["T-1"]), DAY) == ""


def test_a_critical_amount_stops_whatever_explains_it():
    figures = _t1(("CHARGE", 1, 2, 0, CRITICAL_CENTS))
    assert explanation(figures, _known(_line(cents=CRITICAL_CENTS)), DAY) == ""
    figures = _t1(("CHARGE", 1, 2, 0, CRITICAL_CENTS - 1))
    assert explanation(figures, _known(_line(cents=CRITICAL_CENTS - 1)), DAY).startswith(
        "1 quarantined rows, 9,999.99"
    )


def test_a_surplus_or_an_unproven_figure_is_never_explained():
    assert explanation(_t1(("CHARGE", 2, 1, 1500, 1000)), _known(_line()), DAY) == ""
    assert explanation([Control("T1", "101", None, None)], _known(_line()), DAY) == ""


def test_stand_ins_carry_the_missing_money_in_canonical_signs():
    rows = stand_ins(_t1(("PAYMENT", 0, 1, 0, -250)), "101")
    assert dict(rows.schema) == TRANSACTIONS
    assert rows.select("transaction_type", "raw_cents", "amount_cents", "post_date").row(0) == (
        "PAYMENT",
        -250,
        250,
        DAY,
    )
