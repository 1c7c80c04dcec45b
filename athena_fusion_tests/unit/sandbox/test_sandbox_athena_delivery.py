"""Data View deliveries: windows, completeness, reports that tie, and faults on purpose."""

import hashlib
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sandbox_athena_tools import Row, as_of, read

from athena_fusion.sandbox.control import BusinessDays, OutOfOrder
from athena_fusion.sandbox.dataview import deliver
from athena_fusion.sandbox.dataview_faults import FAULTS
from athena_fusion.sandbox.ledger import Ledger
from athena_fusion.sandbox.world import World

DAYS = [date(2026, 9, number) for number in range(15, 20)]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five closed days of three entities."""
    home = tmp_path_factory.mktemp("closed")
    days = BusinessDays(World(), Ledger(home / "ledger.db"), home / "dataview", lines_per_entity=200, seed=23)
    for day in DAYS:
        days.close(day)
    return home


def delivery_of(home: Path, day: date) -> Path:
    return home / "dataview" / f"{as_of(day):%Y%m%dT%H%M%SZ}"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_control_file_names_every_file_with_rows_and_digest(closed: Path) -> None:
    folder = delivery_of(closed, DAYS[0])
    control = {r["file"]: r for r in read(folder, "control")}

    assert set(control) == {path.name for path in folder.iterdir()} - {"control.csv"}
    for name, line in control.items():
        assert int(line["rows"]) == len(read(folder, name.removesuffix(".csv")))
        assert line["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    tables = (
        "TRANSACTION CLAIM DEPARTMENT PROVIDERGROUP PAYER PATIENTINSURANCE PAYMENTBATCH DEPOSITBATCH "
        "UNAPPLIED UNPOSTABLE activity_by_post_date ar_by_medical_group"
    )
    assert set(control) == {f"{table}.csv" for table in tables.split()}


def test_a_window_holds_what_was_created_or_voided_in_it(closed: Path) -> None:
    for day in DAYS[1:]:
        for row in read(delivery_of(closed, day), "TRANSACTION"):
            assert row["LASTUPDATED"][:10] == day.isoformat()
            assert row["TRANSACTIONCREATEDDATETIME"] <= row["LASTUPDATED"]


def test_a_charge_voided_on_the_next_day_comes_again_with_its_voided_date(closed: Path) -> None:
    first, second = (
        {r["TRANSACTIONID"]: r for r in read(delivery_of(closed, day), "TRANSACTION")} for day in DAYS[:2]
    )
    again = set(first) & set(second)

    assert len(again) == 2  # entities 102 and 103; the golden day of 101 sets none aside
    for key in again:
        (void,) = [r for r in second.values() if r["CHARGEVOIDPARENTID"] == key]
        assert first[key]["VOIDEDDATE"] == ""
        assert second[key]["VOIDEDDATE"] == DAYS[1].isoformat() == void["POSTDATE"]
        assert Decimal(void["AMOUNT"]) == -Decimal(first[key]["AMOUNT"])
        assert first[key] | {"VOIDEDDATE": "", "LASTUPDATED": ""} == second[key] | {
            "VOIDEDDATE": "",
            "LASTUPDATED": "",
        }


def test_each_transaction_comes_with_its_claim_and_department(closed: Path) -> None:
    for day in DAYS:
        folder = delivery_of(closed, day)
        claims = {r["CLAIMID"]: r for r in read(folder, "CLAIM")}
        departments = {r["DEPARTMENTID"] for r in read(folder, "DEPARTMENT")}
        insurances = {r["PATIENTINSURANCEID"] for r in read(folder, "PATIENTINSURANCE")}
        for row in read(folder, "TRANSACTION"):
            assert claims[row["CLAIMID"]]["SERVICEDEPARTMENTID"] in departments
            assert row["TRANSACTIONPATIENTINSID"] in insurances | {""}
            assert (row["TRANSACTIONPATIENTINSID"] == "") == (row["TRANSACTIONTRANSFERTYPE"] == "Patient")


def test_amounts_have_exactly_two_decimals(closed: Path) -> None:
    amounts = [
        r["AMOUNT"] for t in ("TRANSACTION", "UNAPPLIED") for r in read(delivery_of(closed, DAYS[1]), t)
    ]

    assert all(len(a.split(".")[1]) == 2 and str(Decimal(a)) == a for a in amounts)


def test_the_activity_report_is_the_sum_of_all_deliveries(closed: Path) -> None:
    """Summed here over claim, department and provider group, which the report does not use."""
    latest: dict[str, tuple[str, str, str, Decimal]] = {}
    for day in DAYS:
        folder = delivery_of(closed, day)
        group = {r["PROVIDERGROUPID"]: r["MEDICALGROUPID"] for r in read(folder, "PROVIDERGROUP")}
        department = {r["DEPARTMENTID"]: group[r["PROVIDERGROUPID"]] for r in read(folder, "DEPARTMENT")}
        claim = {r["CLAIMID"]: department[r["SERVICEDEPARTMENTID"]] for r in read(folder, "CLAIM")}
        for r in read(folder, "TRANSACTION"):
            key = (claim[r["CLAIMID"]], r["POSTDATE"], r["TRANSACTIONTYPE"], Decimal(r["AMOUNT"]))
            latest["T" + r["TRANSACTIONID"]] = key
        for table in ("UNAPPLIED", "UNPOSTABLE"):
            for r in read(folder, table):
                place = department[r["DEPARTMENTID"]]
                latest[table + r[f"{table}ID"]] = (place, r["POSTDATE"], table, Decimal(r["AMOUNT"]))
    expected: dict[tuple[str, ...], list[Decimal]] = defaultdict(list)
    for *key, amount in latest.values():
        expected[tuple(map(str, key))].append(amount)

    report = read(delivery_of(closed, DAYS[-1]), "activity_by_post_date")
    found = {
        (r["MEDICALGROUPID"], r["POSTDATE"], r["TRANSACTIONTYPE"]): (int(r["COUNT"]), Decimal(r["AMOUNT"]))
        for r in report
    }
    assert found == {key: (len(amounts), sum(amounts)) for key, amounts in expected.items()}
    assert {r["PRACTICE"] for r in report} == {"195900"}


def test_ar_rolls_forward_by_the_activity_report(closed: Path) -> None:
    """T7 on every post date and entity: agency money is PAYMENT activity, but never was A/R."""
    folder = delivery_of(closed, DAYS[-1])
    agency: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for day in DAYS:
        claims = {r["CLAIMID"]: r for r in read(delivery_of(closed, day), "CLAIM")}
        for r in read(delivery_of(closed, day), "TRANSACTION"):
            if r["TRANSACTIONMETHOD"] == "AGENCY":
                entity = claims[r["CLAIMID"]]["SERVICEDEPARTMENTID"][:3]
                agency[entity, r["POSTDATE"]] += Decimal(r["AMOUNT"])
    moved: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(dict)
    for r in read(folder, "activity_by_post_date"):
        moved[r["MEDICALGROUPID"], r["POSTDATE"]][r["TRANSACTIONTYPE"]] = Decimal(r["AMOUNT"])

    before: Row | None = None
    checked = 0
    for row in read(folder, "ar_by_medical_group"):
        if before is None or before["MEDICALGROUPID"] != row["MEDICALGROUPID"]:
            before = row
            continue
        key = row["MEDICALGROUPID"], row["ASOFDATE"]
        day = moved[key]
        change = sum((day.get(t, Decimal(0)) for t in ("CHARGE", "PAYMENT", "ADJUSTMENT")), Decimal(0))
        assert Decimal(row["AR"]) - Decimal(before["AR"]) == change - agency[key]
        assert Decimal(row["UNAPPLIED"]) - Decimal(before["UNAPPLIED"]) == day.get("UNAPPLIED", Decimal(0))
        assert day.get("TRANSFERIN", Decimal(0)) + day.get("TRANSFEROUT", Decimal(0)) == 0
        checked += 1
        before = row
    assert checked >= 13  # entity 101 has no activity dated the 17th unless entered late
    assert any(agency.values())


def test_closing_again_changes_nothing(closed: Path) -> None:
    before = content(delivery_of(closed, DAYS[1]))
    days = BusinessDays(
        World(), Ledger(closed / "ledger.db"), closed / "dataview", lines_per_entity=9, seed=1
    )

    again = days.close(DAYS[1])

    assert again.rows == 0
    assert content(again.folder) == before


def test_a_delivery_written_again_later_has_the_same_bytes(closed: Path, tmp_path: Path) -> None:
    ledger = Ledger(closed / "ledger.db")

    again = deliver(ledger, World(), tmp_path, as_of(DAYS[1]), as_of(DAYS[0]))

    assert content(again) == content(delivery_of(closed, DAYS[1]))


def test_days_close_in_order(tmp_path: Path) -> None:
    days = BusinessDays(World(1), Ledger(tmp_path / "l.db"), tmp_path / "dataview", lines_per_entity=20)
    days.close(date(2026, 9, 16))

    with pytest.raises(OutOfOrder, match="2026-09-15 comes before 2026-09-16"):
        days.close(date(2026, 9, 15))
    assert [p.name for p in (tmp_path / "dataview").iterdir()] == ["20260917T053000Z"]


def test_the_clock_makes_a_day_due_after_midnight_and_catches_up(tmp_path: Path) -> None:
    days = BusinessDays(World(1), Ledger(tmp_path / "l.db"), tmp_path / "dataview", lines_per_entity=20)
    end = as_of(date(2026, 9, 16))

    assert days.due(end - timedelta(seconds=1)) == [date(2026, 9, 15)]
    assert days.due(end) == [date(2026, 9, 15), date(2026, 9, 16)]
    days.close(date(2026, 9, 15))
    assert days.due(end) == [date(2026, 9, 16)]
    assert days.due(as_of(date(2026, 3, 2))) == []


def test_an_interrupted_delivery_is_not_seen(closed: Path, tmp_path: Path) -> None:
    ledger = Ledger(closed / "ledger.db")
    (tmp_path / ".20260916T053000Z.part").mkdir()
    (tmp_path / ".20260916T053000Z.part" / "left.csv").write_text("rest of an earlier try")

    folder = deliver(ledger, World(), tmp_path, as_of(DAYS[0]), None)

    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
    assert "left.csv" not in content(folder)


def spoiled(closed: Path, folder: Path, fault: str) -> Path:
    return deliver(
        Ledger(closed / "ledger.db"), World(), folder, as_of(DAYS[1]), as_of(DAYS[0]), faults=[fault]
    )


@pytest.mark.parametrize("fault", sorted(FAULTS - {"truncated_file"}))
def test_the_control_file_agrees_with_a_spoiled_delivery(closed: Path, tmp_path: Path, fault: str) -> None:
    folder = spoiled(closed, tmp_path, fault)

    for line in read(folder, "control"):
        assert line["sha256"] == hashlib.sha256((folder / line["file"]).read_bytes()).hexdigest()
        assert int(line["rows"]) == len((folder / line["file"]).read_text().splitlines()) - 1
    assert content(folder) != content(delivery_of(closed, DAYS[1]))


def test_a_truncated_file_contradicts_the_control_file(closed: Path, tmp_path: Path) -> None:
    folder = spoiled(closed, tmp_path, "truncated_file")

    wrong = [
        line["file"]
        for line in read(folder, "control")
        if line["sha256"] != hashlib.sha256((folder / line["file"]).read_bytes()).hexdigest()
    ]
    assert wrong == ["TRANSACTION.csv"]


def test_each_fault_is_what_its_name_says(closed: Path, tmp_path: Path) -> None:
    def transactions(fault: str) -> list[Row]:
        return read(spoiled(closed, tmp_path / fault, fault), "TRANSACTION")

    assert "AMT" in transactions("wrong_column")[0]
    assert "POSTDATE" not in transactions("missing_column")[0]
    assert len(transactions("three_decimals")[0]["AMOUNT"].split(".")[1]) == 3
    assert transactions("unknown_type")[0]["TRANSACTIONTYPE"] == "MYSTERY"
    doubled = transactions("duplicate_row")
    assert doubled[0] == doubled[-1]
    folder = spoiled(closed, tmp_path / "department", "unmapped_department")
    assert read(folder, "CLAIM")[0]["SERVICEDEPARTMENTID"] == "9999"
    assert read(folder, "DEPARTMENT")[-1]["DEPARTMENTID"] == "9999"
    folder = spoiled(closed, tmp_path / "report", "missing_report")
    assert not (folder / "activity_by_post_date.csv").exists()


def test_an_unknown_fault_is_refused_before_anything_is_written(closed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown Data View faults: rain"):
        spoiled(closed, tmp_path, "rain")
    assert not list(tmp_path.iterdir())
