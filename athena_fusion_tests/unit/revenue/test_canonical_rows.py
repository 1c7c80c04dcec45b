"""Data View text to canonical rows: signs, joins, time zone, and every kind of bad line with its message."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import polars as pl
import pytest
from revenue_world import DAY, PRACTICE, X1, Practice, golden_day

from athena_fusion.revenue.dataview_rows import TableShape
from athena_fusion.revenue.transactions import QUARANTINE, TRANSACTIONS, canonicalise, latest, latest_versions


def test_rows_have_the_declared_schema_and_no_patient() -> None:
    rows = golden_day().rows()
    assert dict(rows.schema) == TRANSACTIONS
    assert not [name for name in rows.columns if "patient" in name]
    assert rows["row_id"].is_unique().all()


def test_signs_are_turned_once() -> None:
    p = Practice()
    claim = p.claim("1003")
    p.charge(claim, "10.00")
    p.payment(claim, "4.00")
    p.adjustment(claim, "3.00", "DISCOUNT")
    p.transfer(claim, "1.00")
    p.unapplied("REFUND", "-2.00")
    p.unpostable("RECEIPT", "5.00")
    found = p.rows().select("transaction_type", "raw_cents", "amount_cents").rows()
    assert sorted(found) == [
        ("ADJUSTMENT", -300, 300),
        ("CHARGE", 1000, 1000),
        ("PAYMENT", -400, 400),
        ("TRANSFERIN", 100, 100),
        ("TRANSFEROUT", -100, -100),
        ("UNAPPLIED", -200, -200),
        ("UNPOSTABLE", 500, 500),
    ]


def test_joins_bring_department_package_and_deposit() -> None:
    p = Practice()
    claim = p.claim("1001", "1012", service=date(2026, 9, 1))
    p.payment(claim, "4.00", PAYMENTBATCHID=p.batch(location="LOCKBOX1", deposited=date(2026, 9, 12)))
    p.transaction("ADJUSTMENT", claim, "-1.00", "Patient")
    payment, adjustment = p.rows().sort("row_id", descending=True).rows(named=True)
    if payment["transaction_type"] != "PAYMENT":
        payment, adjustment = adjustment, payment
    wanted = {
        "entity": "101",
        "department_id": "1012",
        "insurance_package_id": "1001",
        "deposit_location": "LOCKBOX1",
        "deposit_date": date(2026, 9, 12),
        "service_date": date(2026, 9, 1),
        "post_date": DAY,
        "medical_group_id": "101",
    }
    assert {name: payment[name] for name in wanted} == wanted
    assert adjustment["insurance_package_id"] is None  # the patient's balance is nobody's package


@pytest.mark.parametrize(
    ("eastern", "utc"),
    [
        ("2026-09-15 10:00:00", datetime(2026, 9, 15, 14, tzinfo=UTC)),
        ("2026-01-15 10:00:00.250", datetime(2026, 1, 15, 15, 0, 0, 250000, tzinfo=UTC)),
        ("2026-11-01 01:30:00", datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),  # happens twice; the later one
    ],
)
def test_eastern_text_becomes_utc(eastern: str, utc: datetime) -> None:
    p = Practice()
    p.charge(p.claim("1003"), "1.00", LASTUPDATED=eastern)
    assert p.rows()["updated_at"].item() == utc


def _charge(**more: str) -> Callable[[Practice], None]:
    return lambda p: (p.charge(p.claim("1003"), "10.00", **more), None)[1]


def _claim(**more: str) -> Callable[[Practice], None]:
    def write(p: Practice) -> None:
        p.charge(p.claim("1003"), "10.00")
        p.tables["CLAIM"][-1].update(more)

    return write


def _group(**more: str) -> Callable[[Practice], None]:
    def write(p: Practice) -> None:
        p.charge(p.claim("1003"), "10.00")
        p.tables["PROVIDERGROUP"][0].update(more)

    return write


def _deposit(p: Practice) -> None:
    batch = p.batch()
    p.tables["DEPOSITBATCH"][-1]["DEPOSITDATE"] = "soon"
    p.payment(p.claim("1003"), "10.00", PAYMENTBATCHID=batch)


UPDATE = "last update is missing or not a US Eastern time (YYYY-MM-DD HH:MM:SS)"
BAD: list[tuple[Callable[[Practice], None], str, str, str | None]] = [
    (
        _charge(TRANSACTIONTYPE="REFUND"),
        "TRANSACTIONTYPE",
        "transaction type is none of CHARGE, PAYMENT, ADJUSTMENT, TRANSFERIN, TRANSFEROUT",
        "101",
    ),
    (
        _charge(TRANSACTIONTYPE=""),
        "TRANSACTIONTYPE",
        "transaction type is none of CHARGE, PAYMENT, ADJUSTMENT, TRANSFERIN, TRANSFEROUT",
        "101",
    ),
    (_charge(AMOUNT=""), "AMOUNT", "amount is missing", "101"),
    (
        _charge(AMOUNT="12.345"),
        "AMOUNT",
        "amount has more than two decimals or too many digits; amounts are never rounded",
        "101",
    ),
    (_charge(AMOUNT="1,200.00"), "AMOUNT", "amount is not a plain decimal number", "101"),
    (_charge(AMOUNT="1e3"), "AMOUNT", "amount is not a plain decimal number", "101"),
    (_charge(POSTDATE=""), "POSTDATE", "post date is missing", "101"),
    (_charge(POSTDATE="09/15/2026"), "POSTDATE", "post date is not a date (YYYY-MM-DD)", "101"),
    (_charge(POSTDATE="2026-02-30"), "POSTDATE", "post date is not a date (YYYY-MM-DD)", "101"),
    (_charge(CHARGEFROMDATE="2026-9-1"), "CHARGEFROMDATE", "service date is not a date (YYYY-MM-DD)", "101"),
    (_charge(VOIDEDDATE="later"), "VOIDEDDATE", "voided date is not a date (YYYY-MM-DD)", "101"),
    (
        _charge(TRANSACTIONCREATEDDATETIME="2026-09-15"),
        "TRANSACTIONCREATEDDATETIME",
        "creation time is missing or not a US Eastern time (YYYY-MM-DD HH:MM:SS)",
        "101",
    ),
    (_charge(LASTUPDATED=""), "LASTUPDATED", UPDATE, "101"),
    (_charge(LASTUPDATED="2026-03-08 02:30:00"), "LASTUPDATED", UPDATE, "101"),  # the hour that spring skips
    (_charge(REVERSALFLAG="?"), "REVERSALFLAG", "reversal flag is neither Y, N nor blank", "101"),
    (_charge(TRANSACTIONID=""), "TRANSACTIONID", "the row has no id", "101"),
    (_charge(CONTEXTID="1"), "CONTEXTID", "the row belongs to another practice, or names none", None),
    (_charge(CLAIMID=""), "CLAIMID", "the row names no claim", None),
    (
        _charge(CLAIMID="777"),
        "CLAIMID",
        "the claim of the row is not in the delivery, or is there twice",
        None,
    ),
    (_claim(SERVICEDEPARTMENTID=""), "CLAIMID", "the row or its claim names no department", None),
    (
        _claim(SERVICEDEPARTMENTID="4711"),
        "CLAIMID",
        "the department is not in table DEPARTMENT, or is there twice",
        None,
    ),
    (
        _group(PROVIDERGROUPID="0"),
        "CLAIMID",
        "the department's provider group, or its medical group, is not in table PROVIDERGROUP, or is there twice",
        None,
    ),
    (
        _group(MEDICALGROUPID="199"),
        "CLAIMID",
        "the medical group is no billing entity on the post date (crosswalk X1)",
        None,
    ),
    (
        _deposit,
        "PAYMENTBATCHID",
        "the deposit date of the row's deposit batch is not a date (YYYY-MM-DD)",
        "101",
    ),
    (
        lambda p: (p.unapplied("RECEIPT", "1.00", DEPARTMENTID="4711"), None)[1],
        "DEPARTMENTID",
        "the department is not in table DEPARTMENT, or is there twice",
        None,
    ),
    (
        lambda p: (p.unpostable("RECEIPT", "x"), None)[1],
        "AMOUNT",
        "amount is not a plain decimal number",
        "101",
    ),
]


@pytest.mark.parametrize(("write", "column", "reason", "entity"), BAD)
def test_a_bad_line_is_set_aside_with_its_reason(
    write: Callable[[Practice], None], column: str, reason: str, entity: str | None
) -> None:
    p = Practice()
    p.charge(p.claim("1003"), "1.00")
    write(p)
    p.charge(p.claim("1003", "1012"), "2.00")
    if any(
        row["MEDICALGROUPID"] == "199" or row["PROVIDERGROUPID"] == "0" for row in p.tables["PROVIDERGROUP"]
    ):
        found = p.canonical()
        assert found.rows.is_empty()  # all departments of the group are concerned
        found_line = found.quarantined.row(1, named=True)
    else:
        found = p.canonical()
        assert sorted(found.rows["amount_cents"]) == [100, 200]
        assert found.quarantined.height == 1
        found_line = found.quarantined.row(0, named=True)
    assert dict(found.quarantined.schema) == QUARANTINE
    assert (found_line["column"], found_line["reason"], found_line["entity"]) == (column, reason, entity)
    table = found_line["file"].removesuffix(".csv")
    assert found_line["row"] == (2 if table == "TRANSACTION" else 1)


def test_reasons_never_quote_a_cell() -> None:
    p = Practice()
    p.charge(
        p.claim("1003"),
        "1.00",
        AMOUNT="SMITH",
        POSTDATE="JOHN",
        TRANSACTIONTYPE="1955-01-01",
        LASTUPDATED="SSN",
    )
    said = " ".join(p.canonical().quarantined["reason"])
    assert not [word for word in ("SMITH", "JOHN", "1955", "SSN") if word in said]
    assert p.canonical().quarantined.height == 4  # one line per thing wrong


@pytest.mark.parametrize(
    ("other", "words"),
    [({}, "each time with the same content"), ({"AMOUNT": "9.00"}, "with different content")],
)
def test_a_row_id_twice_in_a_delivery_uses_none(other: dict[str, str], words: str) -> None:
    p = Practice()
    p.charge(p.claim("1003"), "1.00")
    p.charge(p.claim("1003"), "5.00")
    p.tables["TRANSACTION"].append(p.tables["TRANSACTION"][1] | other)
    found = p.canonical()
    assert found.rows["amount_cents"].to_list() == [100]
    assert found.quarantined["row"].to_list() == [2, 3]
    assert found.quarantined["reason"].unique().to_list() == [
        f"the row id occurs 2 times in this delivery, {words}; none of them was used"
    ]


def test_other_entities_are_counted_and_not_selected() -> None:
    p = golden_day()
    p.charge(p.claim("1003", "1021"), "77.00")
    p.charge(p.claim("1003"), "1.00", CLAIMID="777")
    here, there, both = p.canonical("101"), p.canonical("102"), p.canonical(None)
    assert there.rows["amount_cents"].to_list() == [7700]
    assert (here.elsewhere, there.elsewhere, both.elsewhere) == (1, golden_day().rows().height, 0)
    assert here.quarantined.equals(there.quarantined)  # nobody's line is shown to everybody
    assert here.quarantined["entity"].to_list() == [None]
    assert both.rows.height + 1 == sum(both.read.values())


@pytest.mark.parametrize("change", ["table", "column"])
def test_a_missing_table_or_column_stops_the_delivery(change: str) -> None:
    frames = golden_day().frames()
    if change == "table":
        del frames["UNAPPLIED"]
    else:
        frames["UNAPPLIED"] = frames["UNAPPLIED"].drop("AMOUNT")
    with pytest.raises(TableShape, match=r"UNAPPLIED.*nothing was read"):
        canonicalise(frames, X1, practice_id=PRACTICE)


def test_the_hash_sees_money_and_not_the_clock() -> None:
    def digest(**more: str) -> str:
        p = Practice()
        p.charge(p.claim("1003"), "10.00", **more)
        return str(p.rows()["row_hash"].item())

    same = digest()
    assert digest(AMOUNT="10.0", LASTUPDATED="2026-09-20 10:00:00", VOIDEDDATE="2026-09-20") == same
    assert (
        len({same, digest(AMOUNT="10.01"), digest(POSTDATE="2026-09-14"), digest(PLACEOFSERVICE="10")}) == 4
    )


def test_the_latest_delivery_wins_even_when_it_is_bad() -> None:
    def delivery(first: str, second: str) -> Practice:
        p = Practice()
        p.charge(p.claim("1003"), first)
        p.charge(p.claim("1003"), second)
        return p

    old, new = delivery("1.00", "2.00").canonical(), delivery("1.50", "2.005").canonical()
    merged = latest([old, new])
    assert merged.rows["amount_cents"].to_list() == [150]
    assert merged.quarantined.height == 1
    assert latest([new, old]).rows["amount_cents"].to_list() == [100, 200]
    assert latest([new, old]).quarantined.is_empty()
    assert sum(merged.read.values()) == 4


def test_versions_over_nights() -> None:
    first, second = (
        golden_day().rows(),
        golden_day().rows().head(1).with_columns(amount_cents=pl.lit(1, pl.Int64)),
    )
    current = latest_versions([first, second])
    assert current.height == first.height
    assert current.row(0, named=True)["amount_cents"] == 1
    assert latest_versions([]).is_empty()


def test_a_claim_with_two_departments_is_nobodys_guess() -> None:
    p = Practice()
    p.charge(p.claim("1003"), "1.00")
    frames = p.frames()
    other = frames["CLAIM"].with_columns(pl.lit("9999").alias("SERVICEDEPARTMENTID"))
    twice = {**frames, "CLAIM": pl.concat([frames["CLAIM"], other])}
    found = canonicalise(twice, X1, practice_id=PRACTICE, entity="101")
    assert found.rows.is_empty()
    assert found.quarantined["reason"].to_list() == [
        "the claim of the row is not in the delivery, or is there twice"
    ]
