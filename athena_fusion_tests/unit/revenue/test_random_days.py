"""Random days: whatever happens, journals balance and A/R rolls forward as athenaOne's reports say.

An example is a run of 25 days through one ledger, extracted night by night with corrections; 14 examples make 350
days. Amounts, payers, responsibility, voids, takebacks and back-posting are random.
"""

from datetime import date, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from revenue_world import (
    BOOKS,
    CHART,
    LEDGER,
    NO_REVISIONS,
    NO_SENT,
    PACKAGES,
    POLICIES,
    TABLES_OF_TENANT,
    Practice,
    reports,
    table,
)

from athena_fusion.accounting.balance import require_balanced, t8
from athena_fusion.accounting.periods import accounting_dates
from athena_fusion.revenue.journals import journal_lines, line_amounts
from athena_fusion.revenue.postings import post
from athena_fusion.revenue.totals import roll_forward, t1, t7, t9

FIRST = date(2026, 9, 1)
DAYS = 25
OPEN = table(f"ledger_id,period_name,start,end,status\n{LEDGER},Sep-26,2026-09-01,2026-09-30,Open")

CENTS = st.integers(-90_000, 90_000)
ACTIONS = (
    *(
        "charge",
        "void",
        "insurer",
        "patient",
        "takeback",
        "contractual",
        "sequestration",
        "mips",
        "denial",
        "charity",
    ),
    *("small", "collections", "payer_refund", "transfer", "prepaid", "use", "move", "refund", "card_refund"),
    *("unpostable", "resolve", "recovery", "fee"),
)
EVENT = st.tuples(
    st.sampled_from(ACTIONS),
    CENTS,
    st.sampled_from(sorted(PACKAGES)),
    st.integers(0, DAYS - 1),
    st.sampled_from(["EFT", "LOCKBOX", "CARD", "CASH", "CLEARPAY"]),
)


def _write(p: Practice, event: tuple[str, int, str, int, str], charges: list[str]) -> None:  # noqa: C901
    action, cents, package, day, method = event
    p.day = FIRST + timedelta(days=day)
    amount = f"{cents / 100:.2f}" if cents % 7 else f"{cents // 100}.00"
    claim = p.claim(package, "1012" if cents % 2 else "1011")
    batch = {"PAYMENTBATCHID": p.batch()}
    match action:
        case "charge":
            charges.append(p.charge(claim, amount, "99213" if cents % 3 else "J1100"))
        case "void" if charges:
            p.void(charges.pop())
        case "insurer":
            p.payment(claim, amount, method)
        case "patient":
            p.payment(claim, amount, method, "Patient")
        case "takeback":
            p.payment(claim, amount, "EFT", REVERSALFLAG="Y")
        case "contractual":
            p.adjustment(claim, amount, "CONTRACTUAL", "CO", "45", REVERSALFLAG="Y" if cents < 0 else "N")
        case "sequestration":
            p.adjustment(claim, amount, "SEQUESTRATION", "CO", "253")
        case "mips":
            p.adjustment(claim, amount, "MIPS", "CO", "144" if cents < 0 else "237", RARC="N807")
        case "denial" | "charity":
            p.adjustment(claim, amount, action.upper())
        case "small":
            p.adjustment(claim, amount, "SMALLBALANCE")
        case "collections":
            p.adjustment(claim, amount, "COLLECTIONS", responsible="Patient")
        case "payer_refund":
            p.adjustment(claim, amount, "PAYERREFUND")
        case "transfer":
            p.transfer(claim, amount, "Patient" if cents % 5 else "Secondary")
        case "prepaid":
            p.unapplied("RECEIPT", amount)
        case "use" | "move":
            reason = {"TRANSACTIONREASON": "MOVED"} if action == "move" else {}
            used = p.payment(claim, amount, "UNAPPLIED", "Patient", **reason)
            p.unapplied("APPLIED", str(-float(amount)), method="", counterpart=used)
        case "refund":
            p.unapplied("REFUND", amount, method="CHECK")
        case "card_refund":
            p.unapplied("REFUND", amount, method="CARD", **batch)
        case "unpostable":
            p.unpostable("RECEIPT", amount)
        case "resolve":
            used = p.payment(claim, amount, "UNPOSTABLE")
            p.unpostable("RESOLVED", str(-float(amount)), counterpart=used)
        case "recovery":
            p.payment(claim, amount, "AGENCY", "Patient", CUSTOMTRANSACTIONCODE="AGENCYNET", **batch)
        case "fee":
            p.payment(claim, amount, "AGENCY", "Patient", CUSTOMTRANSACTIONCODE="AGENCYFEE", **batch)


def _moves(log: pl.DataFrame, prefix: str) -> dict[date, int]:
    """Net debit per post date of the accounts with a prefix."""
    net = (pl.col("debit_cents") - pl.col("credit_cents")).sum().alias("net")
    chosen = line_amounts(log).filter(CHART.segment("Account").str.starts_with(prefix))
    return {day: cents for day, cents in chosen.group_by("post_date").agg(net).rows() if cents}


@settings(max_examples=14, deadline=None)
@given(st.lists(st.lists(EVENT, max_size=12), min_size=DAYS, max_size=DAYS), st.integers(1, DAYS - 1))
def test_random_days_balance_and_roll_forward(
    days: list[list[tuple[str, int, str, int, str]]], half: int
) -> None:
    p = Practice()
    charges: list[str] = []
    log, sent, revisions = None, NO_SENT, NO_REVISIONS
    dates = accounting_dates(
        pl.Series([FIRST + timedelta(days=n) for n in range(DAYS)]),
        OPEN,
        ledger_id=LEDGER,
        late_policy="hold",
    )
    for batch_date, part in ((FIRST, days[:half]), (FIRST + timedelta(days=1), days[half:])):
        for event in (event for day in part for event in day):
            _write(p, event, charges)
        rows = p.rows()
        posted = post(rows, TABLES_OF_TENANT, BOOKS, POLICIES, batch_date=batch_date, frozen=log)
        assert posted.held.is_empty(), posted.held.rows()
        log = posted.postings if log is None else pl.concat([log, posted.postings])
        journals = journal_lines(log, sent, revisions, dates, BOOKS, batch_date=batch_date)
        require_balanced(t8(journals.lines, CHART))
        assert all(control.ok for control in t9(log, sent, journals.lines, journals.waiting))
        sent = pl.concat([sent, journals.lines.select(sent.columns)])
        made = journals.lines.select("entity", "post_date", "category", "revision").unique()
        stamped = made.with_columns(pl.lit(batch_date).alias("batch_date"), pl.lit(value=False).alias("open"))
        revisions = pl.concat([revisions, stamped.select(revisions.columns)])

    assert log is not None
    assert journal_lines(log, sent, revisions, dates, BOOKS, batch_date=FIRST).lines.is_empty()
    activity, ar = reports(p)
    scope = {"entity": "101", "medical_groups": ["101"], "go_live": FIRST}
    if rows.height:
        controls = [*t1(rows, activity, **scope), *t7(rows, ar, **scope)]
        assert [control for control in controls if not control.ok] == []
    roll = roll_forward(rows)
    for column, prefix, sign in (("ar_change", "110", 1), ("unapplied_change", "21010", -1)):
        expected = {day: sign * cents for day, cents in roll.select("post_date", column).rows() if cents}
        assert _moves(log, prefix) == expected
