"""The posting matrix: which accounts an event debits and credits.

`posting_matrix.csv` is the table of domain knowledge, one line per posting id. `debit` and `credit` hold account
roles, or a template that the event fills: `AR` and `CT` (A/R and contractual role of the payer class responsible),
`AR_FROM`/`AR_TO` (the two ends of a transfer), `REV` (revenue role of the procedure), `CASH` (role of the deposit),
`BAD_DEBT` and `MIPS` (the customer's policies). The amount of an entry is the canonical amount times `sign`; a
negative result swaps debit and credit, so that voids and takebacks need no rules of their own.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import polars as pl

NOTHING = "NONE"
TRANSFER = "P17"

CATEGORY_WORDS = {
    "01": "CHARGES",
    "02": "PAYMENTS",
    "03": "ADJUSTMENTS",
    "04": "TRANSFERS",
    "05": "UNAPPLIED",
    "06": "UNIDENTIFIED",
    "07": "PLB",
    "08": "REFUNDS",
    "09": "INCENTIVES",
}

TEMPLATES = frozenset({"AR", "AR_FROM", "AR_TO", "CT", "REV", "CASH", "BAD_DEBT", "MIPS"})

_BAD_DEBT = {
    "implicit_concession": "implicit_concession",
    "expense": "bad_debt_expense",
    "allowance": "allowance_implicit",
}
_MIPS = {"incentive": "incentive_mips", "net_revenue": "contractual_medicare"}


class PolicyError(ValueError):
    """A policy value that the posting matrix does not know."""


@dataclass(frozen=True)
class Policies:
    """The customer's accounting choices (P15 and P23 of the matrix)."""

    bad_debt: str = "implicit_concession"
    mips: str = "incentive"

    def __post_init__(self) -> None:
        for name, value, known in (("bad_debt", self.bad_debt, _BAD_DEBT), ("mips", self.mips, _MIPS)):
            if value not in known:
                raise PolicyError(
                    f"policy {name}: {value!r} is unknown, nothing can be posted; choose one of {', '.join(known)}"
                )


@cache
def posting_matrix() -> pl.DataFrame:
    """The matrix as written: posting_id, title, category, debit, credit (text) and sign (Int64)."""
    text = resources.files(__package__).joinpath("posting_matrix.csv").read_bytes()
    return pl.read_csv(text, infer_schema=False, empty_string_is_null=False).with_columns(
        pl.col("sign").cast(pl.Int64)
    )


def matrix_for(policies: Policies) -> pl.DataFrame:
    """The matrix with the customer's policies filled in; the templates of the event stay."""
    chosen = {"BAD_DEBT": _BAD_DEBT[policies.bad_debt], "MIPS": _MIPS[policies.mips]}
    return posting_matrix().with_columns(pl.col("debit", "credit").replace(chosen))
