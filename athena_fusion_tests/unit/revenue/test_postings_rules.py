"""From events to postings: mapping, holding both legs, voids, transfers, new versions, notices."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from revenue_world import (
    BOOKS,
    CHART,
    DAY,
    POLICIES,
    TABLES_OF_TENANT,
    X2,
    X3,
    X4,
    X5,
    X10,
    Practice,
    golden_day,
    table,
)

from athena_fusion.accounting.crosswalk import CrosswalkTie
from athena_fusion.accounting.matrix import Policies
from athena_fusion.revenue.journals import line_amounts
from athena_fusion.revenue.mapping import Tables
from athena_fusion.revenue.postings import HELD, NOTICES, POSTINGS, Postings, post, standing

NEXT = date(2026, 9, 16)


def _post(
    practice: Practice, tables: Tables = TABLES_OF_TENANT, frozen: pl.DataFrame | None = None, **more: object
) -> Postings:
    day = DAY if frozen is None else NEXT
    return post(practice.rows(), tables, BOOKS, POLICIES, batch_date=day, frozen=frozen, **more)  # type: ignore[arg-type]  # passed through


def _entries(posted: Postings) -> list[tuple[object, ...]]:
    accounts = [CHART.segment("Account", f"{side}_combination").alias(side) for side in ("debit", "credit")]
    return sorted(posted.postings.select("posting_id", *accounts, "amount_cents").rows())


def _charge(code: str = "99214", **more: str) -> Practice:
    p = Practice()
    p.charge(p.claim("1003"), "10.00", code, **more)
    return p


def test_frames_have_their_declared_schemas() -> None:
    posted = _post(golden_day())
    assert dict(posted.postings.schema) == POSTINGS
    assert dict(posted.held.schema) == HELD
    assert dict(posted.notices.schema) == NOTICES
    assert set(posted.postings["batch_date"]) == {DAY}


@pytest.mark.parametrize(
    ("kind", "responsible", "raw", "more", "expected"),
    [
        (
            "PAYMENT",
            "Patient",
            "5.00",
            {"TRANSACTIONMETHOD": "UNAPPLIED", "TRANSACTIONREASON": "MOVED"},
            ("P07", "11060", "21010"),
        ),
        ("PAYMENT", "Primary", "-5.00", {"TRANSACTIONMETHOD": "UNPOSTABLE"}, ("P08R", "21020", "11030")),
        ("ADJUSTMENT", "Primary", "-5.00", {"TRANSACTIONREASON": "DENIAL"}, ("P11", "45210", "11030")),
        ("ADJUSTMENT", "Patient", "-5.00", {"TRANSACTIONREASON": "CHARITY"}, ("P12", "45220", "11060")),
        ("ADJUSTMENT", "Patient", "-5.00", {"TRANSACTIONREASON": "DISCOUNT"}, ("P13", "45230", "11060")),
        ("ADJUSTMENT", "Patient", "-5.00", {"TRANSACTIONREASON": "SMALLBALANCE"}, ("P14", "45310", "11060")),
        ("ADJUSTMENT", "Primary", "-5.00", {"TRANSACTIONREASON": "SMALLBALANCE"}, ("P14", "45310", "11030")),
        ("ADJUSTMENT", "Primary", "5.00", {"TRANSACTIONREASON": "PAYERREFUND"}, ("P21", "11030", "21120")),
        (
            "PAYMENT",
            "Patient",
            "-5.00",
            {"TRANSACTIONMETHOD": "AGENCY", "CUSTOMTRANSACTIONCODE": "AGENCYNET"},
            ("P16", "10230", "46020"),
        ),
        (
            "PAYMENT",
            "Patient",
            "-5.00",
            {"TRANSACTIONMETHOD": "AGENCY", "CUSTOMTRANSACTIONCODE": "AGENCYFEE"},
            ("P16F", "62140", "46020"),
        ),
        ("PAYMENT", "Patient", "-5.00", {"TRANSACTIONMETHOD": "CLEARPAY"}, ("P04", "11510", "11060")),
        (
            "PAYMENT",
            "Patient",
            "5.00",
            {"TRANSACTIONMETHOD": "CASH", "REVERSALFLAG": "Y"},
            ("P04", "11060", "10230"),
        ),
    ],
)
def test_postings_beyond_the_golden_day(
    kind: str, responsible: str, raw: str, more: dict[str, str], expected: tuple[str, ...]
) -> None:
    p = Practice()
    p.transaction(kind, p.claim("1003"), raw, responsible, **more)
    assert _entries(_post(p)) == [(*expected, 500)]


def test_contractual_of_self_pay_and_negative_mips() -> None:
    p = Practice()
    p.adjustment(p.claim("0"), "3.00", "CONTRACTUAL", "CO", "45")
    p.adjustment(p.claim("1001"), "2.00", "MIPS", "CO", "237", RARC="N807")
    assert _entries(_post(p)) == [("P09", "45090", "11060", 300), ("P23", "48010", "11010", 200)]


def test_card_refund_goes_back_to_the_card() -> None:
    p = Practice()
    p.unapplied("REFUND", "-5.00", method="CARD", PAYMENTBATCHID=p.batch())
    assert _entries(_post(p)) == [("P20C", "21010", "10220", 500)]


def test_policies_reach_the_entry() -> None:
    p = Practice()
    p.adjustment(p.claim("1003"), "5.00", "COLLECTIONS", responsible="Patient")
    posted = post(p.rows(), TABLES_OF_TENANT, BOOKS, Policies(bad_debt="allowance"), batch_date=DAY)
    assert _entries(posted) == [("P15", "11920", "11060", 500)]


def _without(frame: pl.DataFrame, column: str, value: str) -> pl.DataFrame:
    return frame.filter(pl.col(column) != value)


COST_CENTRE_OFF = X10.with_columns(
    pl.when((pl.col("segment") == "CostCenter") & (pl.col("source_value") == "2100"))
    .then(pl.lit("N"))
    .otherwise("enabled")
    .alias("enabled")
)


@pytest.mark.parametrize(
    ("tables", "crosswalk", "reason"),
    [
        (
            replace(TABLES_OF_TENANT, x2=_without(X2, "department_id", "1011")),
            "X2",
            "X2: no line for department_id 1011 on 2026-09-15",
        ),
        (
            replace(TABLES_OF_TENANT, x3=_without(X3, "insurance_package_id", "1003")),
            "X3",
            "X3: no line for insurance_package_id 1003 on 2026-09-15",
        ),
        (
            replace(TABLES_OF_TENANT, x4=_without(X4, "posting_id", "P01")),
            "X4",
            "X4: no line for transaction_type CHARGE, responsible PRIMARY, reversal N on 2026-09-15",
        ),
        (
            replace(TABLES_OF_TENANT, x4=X4.with_columns(pl.col("posting_id").replace("P01", "P99"))),
            "X4",
            "X4: posting id P99 is not in the posting matrix",
        ),
        (
            replace(TABLES_OF_TENANT, x4=X4.with_columns(pl.col("posting_id").replace("P01", "P17"))),
            "X4",
            "X4: posting id P17 does not fit a CHARGE row",
        ),
        (
            replace(TABLES_OF_TENANT, x10=COST_CENTRE_OFF),
            "X10",
            "X10: CostCenter 2100 is disabled on 2026-09-15",
        ),
        (
            replace(TABLES_OF_TENANT, x10=_without(X10, "source_value", "2100")),
            "X10",
            "X10: no line for CostCenter 2100 on 2026-09-15",
        ),
        (
            replace(TABLES_OF_TENANT, x2=X2.head(0), x3=X3.head(0)),
            "X3",
            "X3: no line for insurance_package_id 1003 on 2026-09-15; X2: no line for department_id 1011 on 2026-09-15",
        ),
    ],
)
def test_a_missing_mapping_holds_both_legs_and_the_rest_goes_on(
    tables: Tables, crosswalk: str, reason: str
) -> None:
    p = _charge()
    p.unapplied("RECEIPT", "1.00")
    posted = _post(p, tables)
    assert posted.held.select("crosswalk", "reason", "amount_cents").rows() == [(crosswalk, reason, 1000)]
    assert _entries(posted) == [("P05", "10220", "21010", 100)]
    again = post(p.rows(), TABLES_OF_TENANT, BOOKS, POLICIES, batch_date=NEXT, frozen=posted.postings)
    assert _entries(again) == [("P01", "11030", "40010", 1000)]  # released by the mended table
    assert again.unchanged == 1


def test_cash_without_a_line_and_money_banked_elsewhere_are_held() -> None:
    p = Practice()
    p.payment(p.claim("1003"), "5.00", "BARTER")
    p.payment(p.claim("1003"), "6.00", PAYMENTBATCHID=p.batch("102"))
    assert sorted(_post(p).held["reason"]) == [
        "X8: another medical group banked this money; due-to and due-from lines are not set up",
        "X8: no line for deposit_location MAIN, method BARTER on 2026-09-15",
    ]


def test_unmapped_revenue_takes_the_default_and_says_so() -> None:
    posted = _post(_charge("0001F"))
    assert _entries(posted) == [("P01", "11030", "40010", 1000)]
    assert posted.notices.rows() == [
        (
            "X5",
            "default revenue used: no line for procedure 0001F, place_of_service 11 on 2026-09-15",
            1,
            1000,
        )
    ]
    assert (
        _post(_charge("99213", OTHERMODIFIER="25,95")).postings["credit_role"].item() == "revenue_telehealth"
    )


def test_contracts_count_on_the_service_date_and_departments_on_the_post_date() -> None:
    x3 = pl.concat(
        [
            _without(X3, "insurance_package_id", "1003"),
            table(
                "insurance_package_id,payer_class,effective_from,effective_to\n1003,other,,2026-08-31\n1003,commercial,2026-09-01,"
            ),
        ]
    )
    p = Practice()
    p.charge(p.claim("1003", service=date(2026, 8, 31)), "10.00")
    assert _post(p, replace(TABLES_OF_TENANT, x3=x3)).postings["debit_role"].item() == "ar_other"
    x2 = table(
        "department_id,cost_center,location,effective_from,effective_to\n1011,2110,015,2026-09-15,\n1011,2100,014,,2026-09-14"
    )
    combination = _post(p, replace(TABLES_OF_TENANT, x2=x2)).postings["credit_combination"].item()
    assert combination == "101-2110-40010-015-010-000"


def test_cash_counts_on_the_deposit_date() -> None:
    x8 = table(
        "deposit_location,method,account_role,effective_from,effective_to\n,EFT,cash_card,,2026-09-14\n,EFT,cash_insurance,2026-09-15,"
    )
    p = Practice()
    p.payment(p.claim("1003"), "5.00", PAYMENTBATCHID=p.batch(deposited=date(2026, 9, 14)))
    assert _post(p, replace(TABLES_OF_TENANT, x8=x8)).postings["debit_role"].item() == "cash_card"


MOVED = replace(
    TABLES_OF_TENANT,
    x2=table("department_id,cost_center,location,effective_from,effective_to\n1011,2110,015,2026-01-01,"),
    x5=table(
        "procedure,place_of_service,modifier,account_role,service_line,effective_from,effective_to\n,,,revenue_drugs,040,,"
    ),
)


def _voided() -> tuple[Practice, Practice]:
    before, after = _charge(), _charge()
    after.void(after.tables["TRANSACTION"][0]["TRANSACTIONID"], POSTDATE=str(NEXT))
    return before, after


def test_a_void_after_a_crosswalk_change_uses_the_accounts_of_the_charge() -> None:
    before, after = _voided()
    first = _post(before)
    second = _post(after, MOVED, frozen=first.postings)
    charge, void = first.postings.row(0, named=True), second.postings.row(0, named=True)
    assert (void["posting_id"], void["post_date"], void["amount_cents"]) == ("P02", NEXT, 1000)
    assert (void["debit_combination"], void["credit_combination"]) == (
        charge["credit_combination"],
        charge["debit_combination"],
    )
    assert (void["debit_role"], void["credit_role"]) == (charge["credit_role"], charge["debit_role"])
    assert second.postings.height == 1


def test_a_void_with_its_charge_in_the_same_night_uses_the_charges_dates() -> None:
    _, after = _voided()
    x2 = table(
        "department_id,cost_center,location,effective_from,effective_to\n1011,2100,014,,2026-09-15\n1011,2110,015,2026-09-16,"
    )
    posted = _post(after, replace(TABLES_OF_TENANT, x2=x2)).postings
    sums = (
        line_amounts(posted)
        .group_by("combination")
        .agg((pl.col("debit_cents") - pl.col("credit_cents")).sum())
    )
    assert set(sums["debit_cents"]) == {0}


def test_a_void_of_a_charge_from_before_the_first_day_says_so() -> None:
    p = Practice()
    claim = p.claim("1003")
    p.transaction(
        "CHARGE", claim, "-10.00", REVERSALFLAG="Y", CHARGEVOIDPARENTID="999", PROCEDURECODE="99213"
    )
    posted = _post(p)
    assert _entries(posted) == [("P02", "40010", "11030", 1000)]
    assert posted.notices["crosswalk"].to_list() == ["void"]


def test_a_void_of_a_held_charge_waits_with_it() -> None:
    p = Practice()
    x3 = _without(X3, "insurance_package_id", "1003")
    void = p.void(p.charge(p.claim("1003"), "10.00"))
    held = _post(p, replace(TABLES_OF_TENANT, x3=x3)).held
    assert held.height == 2
    x10 = pl.concat(
        [
            _without(X10, "source_value", "2100"),
            table(
                "segment,source_value,fusion_value,enabled,effective_from,effective_to\nCostCenter,2100,2100,Y,2026-09-16,"
            ),
        ]
    )
    p.tables["TRANSACTION"][-1]["POSTDATE"] = str(NEXT)
    held = _post(p, replace(TABLES_OF_TENANT, x10=x10)).held
    assert (
        held.filter(pl.col("row_id") == f"T-{void}")["reason"].item()
        == "void: the voided charge is held itself"
    )


def test_a_new_version_reverses_the_old_entry_and_makes_the_new_one() -> None:
    first = _post(_charge())
    changed = _charge(AMOUNT="12.00")
    second = _post(changed, frozen=first.postings)
    assert _entries(second) == [("P01", "11030", "40010", -1000), ("P01", "11030", "40010", 1200)]
    log = pl.concat([first.postings, second.postings])
    assert standing(log)["amount_cents"].to_list() == [1200]
    assert _post(changed, frozen=log).postings.is_empty()
    back = _post(_charge(), frozen=log)
    assert standing(pl.concat([log, back.postings]))["amount_cents"].to_list() == [1000]


def test_a_new_version_that_makes_the_same_entry_adds_nothing() -> None:
    first = _post(_charge())
    second = _post(_charge(RARC="N1"), frozen=first.postings)
    assert second.postings.is_empty()
    assert second.unchanged == 1


def test_a_new_version_that_cannot_be_mapped_leaves_the_old_entry_alone() -> None:
    first = _post(_charge())
    second = _post(_charge(AMOUNT="12.00"), replace(TABLES_OF_TENANT, x4=X4.head(0)), frozen=first.postings)
    assert second.postings.is_empty()
    assert second.held["amount_cents"].to_list() == [1200]


def test_a_new_version_that_posts_nothing_still_reverses() -> None:
    first = _post(_charge())
    assert _entries(_post(_charge(AMOUNT="0.00"), frozen=first.postings)) == [
        ("P01", "11030", "40010", -1000)
    ]


def test_a_reversal_that_fusion_would_refuse_holds_the_event() -> None:
    first = _post(_charge())
    changed = Practice()
    changed.charge(changed.claim("1003", "1012"), "12.00")
    second = _post(changed, replace(TABLES_OF_TENANT, x10=COST_CENTRE_OFF), frozen=first.postings)
    assert second.postings.is_empty()
    assert (
        second.held["reason"].item()
        == "X10: CostCenter 2100 is disabled on 2026-09-15 (needed to reverse the earlier version)"
    )


def test_a_changed_charge_takes_its_void_along() -> None:
    p = _charge()
    p.void(p.tables["TRANSACTION"][0]["TRANSACTIONID"])
    first = _post(p)
    p.tables["CLAIM"][0]["SERVICEDEPARTMENTID"] = "1012"
    log = pl.concat([first.postings, _post(p, frozen=first.postings).postings])
    sums = (
        line_amounts(log).group_by("combination").agg((pl.col("debit_cents") - pl.col("credit_cents")).sum())
    )
    assert set(sums["debit_cents"]) == {0}
    assert set(standing(log)["posting_id"]) == {"P01", "P02"}


def test_the_accounting_date_is_what_x10_is_asked_for() -> None:
    x10 = pl.concat(
        [
            _without(X10, "source_value", "2100"),
            table(
                "segment,source_value,fusion_value,enabled,effective_from,effective_to\nCostCenter,2100,2100,Y,,2026-09-30"
            ),
        ]
    )
    tables = replace(TABLES_OF_TENANT, x10=x10)
    carried = pl.DataFrame({"post_date": [DAY], "accounting_date": [date(2026, 10, 1)]})
    assert _post(_charge(), tables).held.is_empty()
    assert _post(_charge(), tables, accounting_dates=carried).held["crosswalk"].to_list() == ["X10"]


def _transfer(**more: str) -> Practice:
    p = Practice()
    p.transfer(p.claim("1003"), "30.00", **more)
    return p


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ("no in", ["pair: the TRANSFERIN of this TRANSFEROUT is not there"]),
        ("no out", ["pair: the TRANSFEROUT of this TRANSFERIN is not there"]),
        ("amount", ["pair: TRANSFERIN and TRANSFEROUT differ in amount, post date or entity"]),
        ("date", ["pair: TRANSFERIN and TRANSFEROUT differ in amount, post date or entity"]),
        ("twice", ["pair: several TRANSFERIN rows name the same TRANSFEROUT"] * 2),
    ],
)
def test_a_transfer_that_does_not_pair_is_held(change: str, reasons: list[str]) -> None:
    p = _transfer()
    out, into = p.tables["TRANSACTION"]
    if change in ("no in", "no out"):
        p.tables["TRANSACTION"].remove(into if change == "no in" else out)
    elif change == "twice":
        p.tables["TRANSACTION"].append(into | {"TRANSACTIONID": "888"})
    else:
        into.update({"amount": {"AMOUNT": "29.00"}, "date": {"POSTDATE": str(NEXT)}}[change])
    posted = _post(p)
    assert posted.held["reason"].to_list() == reasons
    assert posted.postings.is_empty()


def test_a_transfer_between_classes_with_one_account_posts_nothing() -> None:
    p = Practice()
    p.transfer(p.claim("1003"), "30.00", to="Secondary")
    posted = _post(p)
    assert posted.postings.is_empty()
    assert posted.silent["reason"].to_list() == ["both payer classes share an account"]


def test_a_voided_transfer_goes_back_and_a_changed_leg_is_seen() -> None:
    p = _transfer()
    first = _post(p)
    claim = p.tables["TRANSACTION"][0]["CLAIMID"]
    p.transfer(claim, "-30.00", REVERSALFLAG="Y")
    assert _entries(_post(p, frozen=first.postings)) == [("P17", "11030", "11060", 3000)]
    changed = _transfer()
    changed.tables["TRANSACTION"][0]["TRANSACTIONTRANSFERTYPE"] = "Patient"
    second = _post(changed, frozen=first.postings)
    assert _entries(second) == [("P17", "11060", "11030", -3000)]  # now both ends are the patient


def test_every_event_has_exactly_one_fate() -> None:
    p = golden_day()
    p.charge(p.claim("9999"), "5.00")
    p.charge(p.claim("1003"), "0.00")
    rows = p.rows()
    posted = _post(p)
    outs = rows.filter(pl.col("transaction_type") == "TRANSFEROUT").height
    assert posted.postings.height + posted.held.height + posted.silent.height + outs == rows.height


def test_a_contradiction_in_the_tables_stops_everything() -> None:
    x5 = pl.concat(
        [X5, X5.head(1).with_columns(account_role=pl.lit("revenue_drugs"), line=pl.lit(99, pl.Int64))]
    )
    with pytest.raises(CrosswalkTie, match="X5: lines 2 and 99"):
        _post(_charge(), replace(TABLES_OF_TENANT, x5=x5))


def test_a_row_id_twice_stops_everything() -> None:
    rows = _charge().rows()
    with pytest.raises(ValueError, match="a row id occurs twice"):
        post(pl.concat([rows, rows]), TABLES_OF_TENANT, BOOKS, POLICIES, batch_date=DAY)


def test_no_rows_no_postings() -> None:
    posted = post(_charge().rows().head(0), TABLES_OF_TENANT, BOOKS, POLICIES, batch_date=DAY)
    assert posted.postings.is_empty()
    assert dict(posted.postings.schema) == POSTINGS
