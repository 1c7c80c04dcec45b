"""The Data View adapter: whole deliveries, batches of earlier ones, and what it refuses."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from revenue_world import DAY, PRACTICE, X1, Practice, golden_day, reports

from athena_fusion.athenaone.dataview import DataViewError, table_columns
from athena_fusion.revenue.dataview_source import DataViewSource, NothingDelivered
from athena_fusion.revenue.source import RcmTransactionSource, Window

FIRST = datetime(2026, 9, 16, 5, 30, tzinfo=UTC)
DAY_LATER = FIRST + timedelta(days=1)
START = Window(None, FIRST)


def _deliver(folder: Path, as_of: datetime, practice: Practice, *, with_reports: bool = True) -> Path:
    """A delivery as the customer's export writes it, control.csv last."""
    target = folder / f"{as_of:%Y%m%dT%H%M%SZ}"
    target.mkdir(parents=True)
    frames = practice.frames()
    if with_reports:
        frames["activity_by_post_date"], frames["ar_by_medical_group"] = reports(practice)
    frames["PAYER"] = pl.DataFrame(schema={"INSURANCEPACKAGEID": pl.String})
    lines = ["file,rows,sha256"]
    for name, frame in frames.items():
        columns = table_columns()[name]
        absent = [pl.lit("").alias(column) for column in columns if column not in frame.columns]
        data = frame.with_columns(absent).select(columns).write_csv().encode()
        (target / f"{name}.csv").write_bytes(data)
        lines.append(f"{name}.csv,{frame.height},{hashlib.sha256(data).hexdigest()}")
    (target / "control.csv").write_text("\n".join(lines) + "\n")
    return target


def _source(folder: Path) -> RcmTransactionSource:
    return DataViewSource(folder, X1, PRACTICE)


def test_one_delivery_gives_the_rows_the_reports_and_the_files(tmp_path: Path) -> None:
    _deliver(tmp_path, FIRST, golden_day())
    found = _source(tmp_path).extract("101", START)
    assert found.rows.equals(golden_day().rows())
    assert found.quarantined.is_empty()
    assert found.high == FIRST
    assert found.activity is not None
    assert found.ar is not None
    assert found.activity.equals(reports(golden_day())[0])
    names = [file.name for file in found.files]
    assert "20260916T053000Z/TRANSACTION.csv" in names
    assert names[-1] == "20260916T053000Z/control.csv"
    assert all(hashlib.sha256(file.path.read_bytes()).hexdigest() == file.sha256 for file in found.files)
    assert sum(found.read.values()) == found.rows.height


def test_reports_that_are_not_there_are_none(tmp_path: Path) -> None:
    _deliver(tmp_path, FIRST, golden_day(), with_reports=False)
    found = _source(tmp_path).extract("101", START)
    assert (found.activity, found.ar) == (None, None)


def test_no_delivery_is_not_an_empty_day(tmp_path: Path) -> None:
    delivery = _deliver(tmp_path, FIRST, golden_day())
    with pytest.raises(NothingDelivered, match=r"after 2026-09-16T05:30:00\+00:00 up to 2026-09-17"):
        _source(tmp_path).extract("101", Window(FIRST, DAY_LATER))
    (delivery / "control.csv").unlink()
    with pytest.raises(NothingDelivered, match="after the start"):
        _source(tmp_path).extract("101", START)


def test_a_damaged_delivery_is_refused(tmp_path: Path) -> None:
    delivery = _deliver(tmp_path, FIRST, golden_day())
    with (delivery / "TRANSACTION.csv").open("a") as file:
        file.write("x\n")
    with pytest.raises(DataViewError, match="nothing was read"):
        _source(tmp_path).extract("101", START)


def _second(batch: str) -> Practice:
    p = Practice(last_id=1000)
    p.payment(p.claim("1003"), "9.00", PAYMENTBATCHID=batch)
    return p


def test_a_payment_finds_its_batch_in_an_earlier_delivery(tmp_path: Path) -> None:
    first = golden_day()
    batch = first.batch(location="OLD", deposited=DAY - timedelta(days=3))
    _deliver(tmp_path, FIRST, first)
    _deliver(tmp_path, DAY_LATER, _second(batch))
    for after in (FIRST, None):
        rows = _source(tmp_path).extract("101", Window(after, DAY_LATER)).rows
        payment = rows.filter(pl.col("raw_cents") == -900)
        assert payment.select("deposit_location", "deposit_date").row(0) == ("OLD", DAY - timedelta(days=3))


def test_the_batch_of_a_deposit_is_searched_too(tmp_path: Path) -> None:
    first = golden_day()
    batch = first.batch(location="OLD")
    _deliver(tmp_path, FIRST, first)
    later = _second(batch)
    later.add("PAYMENTBATCH", PAYMENTBATCHID=batch, DEPOSITBATCHID=batch, MEDICALGROUPID="101")
    _deliver(tmp_path, DAY_LATER, later)
    rows = _source(tmp_path).extract("101", Window(FIRST, DAY_LATER)).rows
    assert rows["deposit_location"].to_list() == ["OLD"]


def test_the_later_version_of_several_deliveries_wins(tmp_path: Path) -> None:
    first, second = Practice(), Practice()
    first.charge(first.claim("1003"), "1.00")
    second.charge(second.claim("1003"), "2.00")
    _deliver(tmp_path, FIRST, first)
    _deliver(tmp_path, DAY_LATER, second)
    found = _source(tmp_path).extract("101", Window(None, DAY_LATER))
    assert found.rows["amount_cents"].to_list() == [200]
    assert found.high == DAY_LATER
    assert len({name.name.split("/")[0] for name in found.files}) == 2


def test_a_line_that_reached_the_export_late_is_not_lost(tmp_path: Path) -> None:
    _deliver(tmp_path, FIRST, golden_day())
    late = Practice(last_id=1000)
    late.charge(late.claim("1003"), "3.00", LASTUPDATED="2026-09-15 08:00:00")
    _deliver(tmp_path, DAY_LATER, late)
    rows = _source(tmp_path).extract("101", Window(FIRST, DAY_LATER)).rows
    assert rows["amount_cents"].to_list() == [300]


def test_quarantine_names_the_delivery(tmp_path: Path) -> None:
    p = golden_day()
    p.charge(p.claim("1003"), "1.001")
    _deliver(tmp_path, FIRST, p)
    found = _source(tmp_path).extract("101", START).quarantined
    assert found.select("file", "row", "column").rows() == [
        ("20260916T053000Z/TRANSACTION.csv", len(p.tables["TRANSACTION"]), "AMOUNT")
    ]
