"""The posting matrix as data: every id, category, role and policy."""

import polars as pl
import pytest
from revenue_world import ACCOUNTS

from athena_fusion.accounting.matrix import (
    CATEGORY_WORDS,
    NOTHING,
    TEMPLATES,
    Policies,
    PolicyError,
    matrix_for,
    posting_matrix,
)

IDS = [f"P{n:02d}" for n in range(1, 19)] + ["P08R", "P16F", "P18C", "P20", "P20C", "P21", "P23", "NONE"]


def test_every_posting_id_is_there_once() -> None:
    assert sorted(posting_matrix()["posting_id"]) == sorted(IDS)


def test_roles_categories_and_signs_are_known() -> None:
    matrix = posting_matrix().filter(pl.col("posting_id") != NOTHING)
    roles = set(ACCOUNTS["role"]) | TEMPLATES
    assert set(matrix["debit"]) | set(matrix["credit"]) <= roles
    assert set(matrix["category"]) <= set(CATEGORY_WORDS)
    assert set(matrix["sign"]) == {1, -1}
    assert (matrix["debit"] != matrix["credit"]).all()


@pytest.mark.parametrize(
    ("policies", "posting_id", "side", "role"),
    [
        (Policies(), "P15", "debit", "implicit_concession"),
        (Policies(bad_debt="expense"), "P15", "debit", "bad_debt_expense"),
        (Policies(bad_debt="allowance"), "P15", "debit", "allowance_implicit"),
        (Policies(), "P23", "credit", "incentive_mips"),
        (Policies(mips="net_revenue"), "P23", "credit", "contractual_medicare"),
    ],
)
def test_policies_choose_the_account(policies: Policies, posting_id: str, side: str, role: str) -> None:
    assert matrix_for(policies).filter(pl.col("posting_id") == posting_id)[side].item() == role


def test_an_unknown_policy_stops() -> None:
    with pytest.raises(PolicyError, match="bad_debt: 'later' is unknown"):
        Policies(bad_debt="later")
    with pytest.raises(PolicyError, match="mips"):
        Policies(mips="cash")
