"""The business events of a day as steps of scenarios.

A scenario is the life of one claim (or of one receipt without a claim); its steps are rows of the ledger. Each
step says which scenarios have it and how its row follows from the claim's own columns, so a whole day is made
of a few dozen vectorised selections. Step numbers end the row ids, order the rows in time, and link them.

Claim columns used here (amounts in cents): `charge`, `allowed`, `share` (patient or secondary share),
`sequestered`, `mips` (signed as athenaOne shows it), `paid` (first insurer payment), `extra` (receipts),
`self_pay`, `patient_method`, `insurer_method`, `refund_method`, `share_reason`, `share_carc`, `denial_carc`,
`primary_ins`, `secondary_ins`, `package`.

Signs are athenaOne's: charges +, payments and write-offs -, a transfer is an OUT/IN pair of - and +.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from athena_fusion.sandbox.world import MEDICARE, SELF_PAY

Table = Literal["txn", "unapplied", "unpostable"]
Group = Literal["insured", "medicare", "self", "any"]


@dataclass(frozen=True)
class Scenario:
    """How often it happens, among which patients, and whether there is a claim at all."""

    weight: int
    patients: Group
    claim: bool = True


SCENARIOS = {
    "open": Scenario(24, "any"),
    "paid": Scenario(18, "insured"),
    "settled": Scenario(10, "insured"),
    "copay": Scenario(8, "insured"),
    "mips": Scenario(5, "medicare"),
    "secondary": Scenario(4, "medicare"),
    "clearpay": Scenario(3, "insured"),
    "void": Scenario(2, "any"),
    "takeback": Scenario(2, "insured"),
    "payer_refund": Scenario(1, "insured"),
    "denied": Scenario(3, "insured"),
    "charity": Scenario(1, "self"),
    "discount": Scenario(2, "self"),
    "small_balance": Scenario(2, "any"),
    "collections": Scenario(2, "self"),
    "agency": Scenario(1, "self"),
    "payment_void": Scenario(1, "self"),
    "prepayment": Scenario(2, "any", claim=False),
    "refund": Scenario(2, "any", claim=False),
    "applied": Scenario(2, "self"),
    "from_claim": Scenario(1, "self"),
    "unpostable": Scenario(2, "any", claim=False),
    "resolved": Scenario(2, "insured"),
}
VOID_NEXT_DAY = "void_next_day"
"""A charge that the ledger voids on the following business day; not drawn, one per entity and day."""

PACKAGES: dict[Group, tuple[int, ...] | None] = {
    "insured": None,  # every package but self pay
    "medicare": (MEDICARE,),
    "self": (SELF_PAY,),
    "any": None,
}


@dataclass(frozen=True)
class Step:
    """One row of a scenario. Text values are literals, expressions are evaluated on the claim's columns."""

    number: int
    scenarios: frozenset[str]
    kind: str  # TRANSACTIONTYPE, UNAPPLIEDTYPE or UNPOSTABLETYPE
    amount: pl.Expr
    table: Table = "txn"
    responsible: str | None = None  # None: the payer the claim was created for
    intent: str | None = None
    reason: str | pl.Expr | None = None
    method: str | pl.Expr | None = None
    cas: str | None = None
    carc: str | pl.Expr | None = None
    rarc: str | None = None
    code: str | None = None
    reversal: bool = False
    acts_on: int = 1  # step of CHARGEID
    voids: int | None = None  # step that this row voids
    refers: int | None = None  # TRANSACTION step an unapplied or unpostable row belongs to
    receipt: int | None = None  # step that names the patient payment
    moment: int | None = None  # step whose time it shares
    when: pl.Expr | None = None


def _in(text: str) -> frozenset[str]:
    names = frozenset(text.split())
    unknown = names - set(SCENARIOS) - {VOID_NEXT_DAY}
    assert not unknown, unknown
    return names


_c = pl.col
_PATIENT, _INSURER = _c("patient_method"), _c("insurer_method")
_ADJUDICATED = "paid settled mips secondary clearpay takeback payer_refund"
_SHARED = "paid settled copay mips clearpay payer_refund"
_WITH_CLAIM = frozenset(name for name, s in SCENARIOS.items() if s.claim) | {VOID_NEXT_DAY}
_CONTRACTUAL = _c("charge") - _c("allowed")
_DISCOUNT = _c("charge") * 25 // 100
_SMALL = _c("extra") % 499 + 1
_HALF = _c("charge") // 2
_MOVED = _c("charge") * 30 // 100
_GROSS = _c("charge") * 40 // 100
_FEE = _GROSS // 4

STEPS = (
    Step(1, _WITH_CLAIM, "CHARGE", _c("charge")),
    # the insurer's remittance
    Step(2, _in(_ADJUDICATED), "PAYMENT", -_c("paid"), method=_INSURER),
    Step(
        3, _in(_ADJUDICATED + " resolved"), "ADJUSTMENT", -_CONTRACTUAL, reason="CONTRACTUAL", cas="CO", carc="45"
    ),
    Step(
        4, _in(_ADJUDICATED + " resolved"), "ADJUSTMENT", -_c("sequestered"), reason="SEQUESTRATION", cas="CO",
        carc="253", when=_c("sequestered") > 0,
    ),
    Step(
        5, _in("mips"), "ADJUSTMENT", _c("mips"), reason="MIPS", cas="CO",
        carc=pl.when(_c("mips") > 0).then(pl.lit("144")).otherwise(pl.lit("237")), rarc="N807",
    ),
    # responsibility moves on
    Step(
        6, _in(_SHARED), "TRANSFEROUT", -_c("share"), intent="Patient", reason=_c("share_reason"), cas="PR",
        carc=_c("share_carc"),
    ),
    Step(
        7, _in(_SHARED), "TRANSFERIN", _c("share"), responsible="Patient", reason=_c("share_reason"), cas="PR",
        carc=_c("share_carc"), acts_on=6, moment=6,
    ),
    Step(
        8, _in("settled copay"), "PAYMENT", -_c("share"), responsible="Patient", method=_PATIENT, acts_on=7,
        receipt=8,
    ),
    Step(
        9, _in("clearpay"), "PAYMENT", -_c("share"), responsible="Patient", method="CLEARPAY", acts_on=7, receipt=9
    ),
    Step(
        10, _in("secondary"), "TRANSFEROUT", -_c("share"), intent="Secondary", reason=_c("share_reason"), cas="PR",
        carc=_c("share_carc"),
    ),
    Step(
        11, _in("secondary"), "TRANSFERIN", _c("share"), responsible="Secondary", reason=_c("share_reason"),
        cas="PR", carc=_c("share_carc"), acts_on=10, moment=10,
    ),
    Step(12, _in("secondary"), "PAYMENT", -_c("share"), responsible="Secondary", method=_INSURER, acts_on=11),
    # the insurer takes its payment back, or paid twice
    Step(13, _in("takeback"), "PAYMENT", _c("paid"), method=_INSURER, reversal=True),
    Step(
        14, _in("takeback"), "ADJUSTMENT", _CONTRACTUAL, reason="CONTRACTUAL", cas="CO", carc="45", reversal=True
    ),
    Step(
        15, _in("takeback"), "ADJUSTMENT", _c("sequestered"), reason="SEQUESTRATION", cas="CO", carc="253",
        reversal=True, when=_c("sequestered") > 0,
    ),
    Step(16, _in("payer_refund"), "PAYMENT", -_HALF, method=_INSURER),
    Step(17, _in("payer_refund"), "ADJUSTMENT", _HALF, reason="PAYERREFUND"),
    # write-offs
    Step(18, _in("void"), "CHARGE", -_c("charge"), reversal=True, voids=1),
    Step(19, _in("denied"), "ADJUSTMENT", -_c("charge"), reason="DENIAL", cas="CO", carc=_c("denial_carc")),
    Step(20, _in("charity"), "ADJUSTMENT", -_c("charge"), reason="CHARITY"),
    Step(21, _in("discount"), "ADJUSTMENT", -_DISCOUNT, reason="DISCOUNT"),
    Step(22, _in("discount"), "PAYMENT", _DISCOUNT - _c("charge"), method=_PATIENT, receipt=22),
    Step(
        23, _in("small_balance"), "PAYMENT", _SMALL - _c("charge"), receipt=23,
        method=pl.when("self_pay").then(_PATIENT).otherwise(_INSURER),
    ),
    Step(24, _in("small_balance"), "ADJUSTMENT", -_SMALL, reason="SMALLBALANCE"),
    Step(25, _in("collections agency"), "ADJUSTMENT", -_c("charge"), reason="COLLECTIONS"),
    Step(26, _in("agency"), "PAYMENT", _FEE - _GROSS, method="AGENCY", code="AGENCYNET"),
    Step(27, _in("agency"), "PAYMENT", -_FEE, method="AGENCY", code="AGENCYFEE"),
    # a patient payment entered by mistake
    Step(28, _in("payment_void"), "PAYMENT", -_HALF, method=_PATIENT, receipt=28),
    Step(29, _in("payment_void"), "PAYMENT", _HALF, method=_PATIENT, reversal=True, voids=28, receipt=28),
    # money without a charge
    Step(
        30, _in("prepayment refund"), "RECEIPT", _c("extra"), table="unapplied", receipt=30,
        method=pl.when(_c("refund_method") == "CARD").then(pl.lit("CARD")).otherwise(_PATIENT),
    ),
    Step(
        31, _in("refund"), "REFUND", -_c("extra") // 2, table="unapplied", method=_c("refund_method"), receipt=30
    ),
    Step(
        32, _in("applied"), "RECEIPT", _c("charge") + _c("extra"), table="unapplied", method=_PATIENT, receipt=32
    ),
    Step(33, _in("applied"), "PAYMENT", -_c("charge"), method="UNAPPLIED", receipt=32),
    Step(34, _in("applied"), "APPLIED", -_c("charge"), table="unapplied", refers=33, receipt=32, moment=33),
    Step(35, _in("from_claim"), "PAYMENT", -_c("charge"), method=_PATIENT, receipt=35),
    Step(36, _in("from_claim"), "PAYMENT", _MOVED, method="UNAPPLIED", receipt=35),
    Step(37, _in("from_claim"), "FROMCLAIM", _MOVED, table="unapplied", refers=36, receipt=35, moment=36),
    Step(38, _in("unpostable"), "RECEIPT", _c("extra"), table="unpostable", method=_INSURER),
    Step(39, _in("resolved"), "RECEIPT", _c("paid"), table="unpostable", method=_INSURER),
    Step(40, _in("resolved"), "PAYMENT", -_c("paid"), method="UNPOSTABLE"),
    Step(41, _in("resolved"), "RESOLVED", -_c("paid"), table="unpostable", refers=40, moment=40),
)  # fmt: skip

ROWS = {
    name: sum(1 for step in STEPS if name in step.scenarios and step.when is None)
    for name in (*SCENARIOS, VOID_NEXT_DAY)
}
"""Rows every claim of a scenario has at least (conditional steps are not counted)."""
