"""Entity 101 on 2026-09-15 is the worked example, to the cent; 2026-09-17 back-posts one charge to it."""

from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sandbox_athena_tools import Row, as_of, event_keys, posting_ids, read, total

from athena_fusion.sandbox.dataview import deliver
from athena_fusion.sandbox.ledger import Ledger
from athena_fusion.sandbox.tenant_files import write_tenant
from athena_fusion.sandbox.world import World

DAY = date(2026, 9, 15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.fixture(scope="module")
def ledger(folder: Path) -> Ledger:
    ledger = Ledger(folder / "ledger.db")
    for number in range(15, 19):
        ledger.add_day(World(1), date(2026, 9, number))
    return ledger


@pytest.fixture(scope="module")
def delivery(ledger: Ledger, folder: Path) -> Path:
    return deliver(ledger, World(1), folder / "out", as_of(DAY), None)


def of(rows: list[Row], **values: str) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def test_the_day_holds_the_rows_of_the_21_events_and_nothing_else(delivery: Path) -> None:
    transactions = read(delivery, "TRANSACTION")

    assert Counter(r["TRANSACTIONTYPE"] for r in transactions) == {
        "CHARGE": 5,
        "PAYMENT": 5,
        "ADJUSTMENT": 6,
        "TRANSFEROUT": 2,
        "TRANSFERIN": 2,
    }
    assert len(read(delivery, "UNAPPLIED")) == 3
    assert len(read(delivery, "UNPOSTABLE")) == 1


def test_roll_forward_of_the_example(delivery: Path) -> None:
    transactions = read(delivery, "TRANSACTION")
    by_type = {t: total(of(transactions, TRANSACTIONTYPE=t)) for t in ("CHARGE", "PAYMENT", "ADJUSTMENT")}

    assert by_type["CHARGE"] == Decimal("640.00")
    assert -by_type["PAYMENT"] == Decimal("210.86")
    assert -by_type["ADJUSTMENT"] == Decimal("220.39")
    assert total(transactions) == Decimal("208.75")
    assert total(read(delivery, "UNAPPLIED")) == Decimal("32.00")
    before, after = read(delivery, "ar_by_medical_group")
    assert (before["ASOFDATE"], after["ASOFDATE"]) == ("2026-09-14", "2026-09-15")
    assert Decimal(after["AR"]) - Decimal(before["AR"]) == Decimal("208.75")
    assert Decimal(after["UNAPPLIED"]) - Decimal(before["UNAPPLIED"]) == Decimal("32.00")


def test_cash_of_the_day_is_banked(delivery: Path) -> None:
    assert total(read(delivery, "DEPOSITBATCH")) == Decimal("704.93")
    batches = {r["PAYMENTMETHOD"]: r["AMOUNT"] for r in read(delivery, "PAYMENTBATCH")}
    assert batches == {"EFT": "162.86", "LOCKBOX": "412.07", "CARD": "130.00"}


def test_each_event_gets_its_posting_id(delivery: Path, tmp_path: Path) -> None:
    write_tenant(World(), tmp_path)
    lines = read(tmp_path / "crosswalks", "x4_transactions")
    found = [posting_ids(key, lines) for key in event_keys(delivery)]

    assert {len(ids) for ids in found} == {1}
    assert Counter(ids[0] for ids in found) == {
        "P01": 4,
        "P02": 1,
        "P03": 2,
        "P04": 1,
        "P05": 1,
        "P06": 1,
        "P08": 1,
        "P09": 2,
        "P10": 1,
        "P15": 1,
        "P17": 4,  # two transfers, both legs
        "P18": 1,
        "P18C": 1,
        "P20": 1,
        "P23": 1,
        "NONE": 1,
    }


def test_the_bonus_raises_ar_and_the_takeback_rows_are_reversals(delivery: Path) -> None:
    transactions = read(delivery, "TRANSACTION")

    (mips,) = of(transactions, CARC="144")
    assert (mips["AMOUNT"], mips["RARC"], mips["TRANSACTIONTYPE"]) == ("0.80", "N807", "ADJUSTMENT")
    taken = [r["AMOUNT"] for r in of(transactions, REVERSALFLAG="Y") if r["TRANSACTIONTYPE"] != "CHARGE"]
    assert taken == ["41.00", "22.00"]


def test_the_void_names_its_charge_and_unapplied_money_its_payment(delivery: Path) -> None:
    transactions = {r["TRANSACTIONID"]: r for r in read(delivery, "TRANSACTION")}
    (void,) = of(list(transactions.values()), AMOUNT="-95.00")
    original = transactions[void["CHARGEVOIDPARENTID"]]
    assert (original["AMOUNT"], original["VOIDEDDATE"]) == ("95.00", "2026-09-15")

    (used,) = of(read(delivery, "UNAPPLIED"), UNAPPLIEDTYPE="APPLIED")
    payment = transactions[used["TRANSACTIONID"]]
    assert (payment["TRANSACTIONMETHOD"], payment["AMOUNT"], used["AMOUNT"]) == (
        "UNAPPLIED",
        "-18.00",
        "-18.00",
    )


def test_later_days_change_the_golden_post_date_by_the_one_charge_only(ledger: Ledger, folder: Path) -> None:
    delivery = deliver(ledger, World(1), folder / "later", as_of(date(2026, 9, 18)), as_of(DAY))

    (late,) = of(read(delivery, "TRANSACTION"), POSTDATE="2026-09-15")
    assert (late["PROCEDURECODE"], late["AMOUNT"], late["TRANSACTIONTYPE"]) == ("99212", "88.00", "CHARGE")
    assert late["TRANSACTIONCREATEDDATETIME"].startswith("2026-09-17 ")
    (claim,) = of(read(delivery, "CLAIM"), CLAIMID=late["CLAIMID"])
    assert claim["SERVICEDEPARTMENTID"] == "1011"
    assert not of(read(delivery, "UNAPPLIED"), POSTDATE="2026-09-15")


def test_the_17th_holds_the_back_posted_charge_alone(ledger: Ledger, folder: Path) -> None:
    day = date(2026, 9, 17)
    delivery = deliver(ledger, World(1), folder / "alone", as_of(day), as_of(date(2026, 9, 16)))

    assert len(read(delivery, "TRANSACTION")) == 1
    assert not read(delivery, "UNAPPLIED")
    assert not read(delivery, "UNPOSTABLE")
