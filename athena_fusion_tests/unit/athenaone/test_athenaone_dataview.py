"""Deliveries: which are complete, and that nothing damaged is ever read."""

import csv
import gzip
import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from athena_fusion.athenaone.dataview import (
    DataViewError,
    DeliveredFile,
    Delivery,
    deliveries,
    read_control,
    read_table,
    table_columns,
)

AS_OF = datetime(2026, 9, 16, 5, 30, tzinfo=UTC)
DEPARTMENTS = b"DEPARTMENTID,DEPARTMENTNAME,PROVIDERGROUPID\n1011,Main,7\n1012,,7\n"


def deliver(
    folder: Path, contents: dict[str, bytes], rows: dict[str, int], name: str = "20260916T053000Z"
) -> Path:
    target = folder / name
    target.mkdir()
    lines = []
    for file, content in contents.items():
        (target / file).write_bytes(content)
        lines.append([file, rows.get(file, 0), hashlib.sha256(content).hexdigest()])
    with (target / "control.csv").open("w", newline="") as control:
        csv.writer(control).writerows([["file", "rows", "sha256"], *lines])
    return target


@pytest.fixture
def one(tmp_path: Path) -> Callable[..., Delivery]:
    def build(content: bytes, rows: int, name: str = "DEPARTMENT.csv") -> Delivery:
        deliver(tmp_path, {name: content}, {name: rows})
        return deliveries(tmp_path, None, AS_OF)[0]

    return build


def test_complete_deliveries_in_the_window_oldest_first(tmp_path: Path) -> None:
    for day in (18, 15, 16, 17):
        deliver(tmp_path, {}, {}, f"202609{day}T053000Z")
    (tmp_path / "20260916T120000Z").mkdir()  # still growing
    (tmp_path / ".20260916T130000Z.part").mkdir()
    (tmp_path / "notes").mkdir()
    found = deliveries(
        tmp_path, datetime(2026, 9, 15, 5, 30, tzinfo=UTC), datetime(2026, 9, 17, 5, 30, tzinfo=UTC)
    )
    assert [delivery.name for delivery in found] == ["20260916T053000Z", "20260917T053000Z"]
    assert found[0].as_of == AS_OF
    assert len(deliveries(tmp_path, None, AS_OF)) == 2


def test_folder_missing_and_name_that_is_no_instant(tmp_path: Path) -> None:
    with pytest.raises(DataViewError, match="does not exist"):
        deliveries(tmp_path / "nowhere", None, AS_OF)
    deliver(tmp_path, {}, {}, "20261399T053000Z")
    with pytest.raises(DataViewError, match="does not name an instant"):
        deliveries(tmp_path, None, AS_OF)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "bom", "crlf", "quoted", "reordered"])
def test_every_form_reads_the_same(one: Callable[..., Delivery], form: str) -> None:
    frame = pl.DataFrame(
        {"DEPARTMENTID": ["1011", "1012"], "DEPARTMENTNAME": ["Main", ""], "PROVIDERGROUPID": [7, 7]}
    )
    parquet = io.BytesIO()
    frame.write_parquet(parquet)
    contents = {
        "csv": DEPARTMENTS,
        "csv.gz": gzip.compress(DEPARTMENTS),
        "parquet": parquet.getvalue(),
        "bom": b"\xef\xbb\xbf" + DEPARTMENTS,
        "crlf": DEPARTMENTS.replace(b"\n", b"\r\n"),
        "quoted": b'"DEPARTMENTID","DEPARTMENTNAME","PROVIDERGROUPID"\n"1011","Main","7"\n"1012","","7"\n',
        "reordered": b"X,PROVIDERGROUPID,DEPARTMENTNAME,DEPARTMENTID\n1,7,Main,1011\n2,7,,1012\n",
    }
    suffix = form if form in ("csv.gz", "parquet") else "csv"
    read = one(contents[form], 2, f"DEPARTMENT.{suffix}").read("DEPARTMENT")
    assert read.schema == dict.fromkeys(table_columns()["DEPARTMENT"], pl.String)
    assert read.rows() == [("1011", "Main", "7"), ("1012", None, "7")]


def test_text_stays_text_and_keeps_quoted_breaks(one: Callable[..., Delivery]) -> None:
    content = b'DEPARTMENTID,DEPARTMENTNAME,PROVIDERGROUPID\n007,"a, ""b""\nc",1e5\n'
    assert one(content, 1).read("DEPARTMENT").rows() == [("007", 'a, "b"\nc', "1e5")]


def test_empty_table(one: Callable[..., Delivery]) -> None:
    read = one(DEPARTMENTS.split(b"\n")[0] + b"\n", 0).read("DEPARTMENT")
    assert (read.height, read.schema["DEPARTMENTID"]) == (0, pl.String)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_truncated_file_names_delivery_file_and_both_counts(
    one: Callable[..., Delivery], tmp_path: Path, suffix: str
) -> None:
    whole = b"DEPARTMENTID,DEPARTMENTNAME,PROVIDERGROUPID\n" + b"".join(
        b"%d,Name %d,7\n" % (n, n * 7919) for n in range(2000)
    )
    whole = gzip.compress(whole) if suffix == "csv.gz" else whole
    delivery = one(whole, 2000, f"DEPARTMENT.{suffix}")
    path = delivery.folder / f"DEPARTMENT.{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataViewError) as caught:
        delivery.read("DEPARTMENT")
    text = str(caught.value)
    for words in (
        "20260916T053000Z",
        f"DEPARTMENT.{suffix}",
        "promises (2000 rows",
        "whole rows and a piece",
    ):
        assert words in text


def test_changed_byte_is_found(one: Callable[..., Delivery]) -> None:
    delivery = one(DEPARTMENTS, 2)
    (delivery.folder / "DEPARTMENT.csv").write_bytes(DEPARTMENTS.replace(b"1011", b"1O11"))
    with pytest.raises(DataViewError, match=r"not the one control\.csv promises"):
        delivery.read("DEPARTMENT")


def test_row_count_that_differs_from_control(one: Callable[..., Delivery]) -> None:
    with pytest.raises(DataViewError, match="promises 3 rows, the file holds 2"):
        one(DEPARTMENTS, 3).read("DEPARTMENT")


def test_missing_and_wrong_column(one: Callable[..., Delivery]) -> None:
    with pytest.raises(DataViewError) as caught:
        one(b"DEPARTMENTID,NAME,PROVIDERGROUPID\n1,a,7\n", 1).read("DEPARTMENT")
    assert "DEPARTMENT.csv: column DEPARTMENTNAME was expected" in str(caught.value)
    assert "not in the contract: NAME" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (
            b"DEPARTMENTID,DEPARTMENTNAME,PROVIDERGROUPID\n1,a,7\n2,SMITH\n",
            "DEPARTMENT.csv:3 has 2 values where 3",
        ),
        (
            b"DEPARTMENTID,DEPARTMENTNAME,PROVIDERGROUPID\n1,a,7\n\n2,SMITH,7,8\n",
            "DEPARTMENT.csv:4 has 4 values",
        ),
        (b'DEPARTMENTID,DEPARTMENTNAME,PROVIDERGROUPID\n1,"a\nb",7\n2,SMITH\n', "DEPARTMENT.csv:4 has 2"),
        (b"DEPARTMENTID,DEPARTMENTNAME,PROVIDERGROUPID\n1,SMITH \xff,7\n", "DEPARTMENT.csv:2 is not UTF-8"),
        (b"DEPARTMENTID,\xff\n", "DEPARTMENT.csv:1 is not UTF-8"),
        (b"DEPARTMENTID,DEPARTMENTID,PROVIDERGROUPID\n", "DEPARTMENT.csv:1 repeats a name in column 2"),
        (b"", "DEPARTMENT.csv is empty"),
    ],
)
def test_broken_line_is_named_without_its_content(
    one: Callable[..., Delivery], content: bytes, where: str
) -> None:
    with pytest.raises(DataViewError) as caught:
        one(content, 1).read("DEPARTMENT")
    assert where in str(caught.value)
    assert "SMITH" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_unreadable_compressed_and_parquet_content(one: Callable[..., Delivery], tmp_path: Path) -> None:
    for name in ("DEPARTMENT.csv.gz", "DEPARTMENT.parquet"):
        promised = DeliveredFile(name, 1, hashlib.sha256(b"nonsense").hexdigest())
        with pytest.raises(DataViewError, match="cannot be read"):
            read_table("DEPARTMENT", promised, b"nonsense", "d")


def test_file_promised_but_absent_and_table_not_promised(one: Callable[..., Delivery]) -> None:
    delivery = one(DEPARTMENTS, 2)
    with pytest.raises(DataViewError, match="no file for CLAIM"):
        delivery.read("CLAIM")
    assert (delivery.has("DEPARTMENT"), delivery.has("activity_by_post_date")) == (True, False)
    (delivery.folder / "DEPARTMENT.csv").unlink()
    with pytest.raises(DataViewError, match=r"in control\.csv but cannot be read"):
        delivery.read("DEPARTMENT")


def test_same_table_twice_is_refused(tmp_path: Path) -> None:
    rows = {"DEPARTMENT.csv": 2, "DEPARTMENT.csv.gz": 2}
    deliver(tmp_path, {"DEPARTMENT.csv": DEPARTMENTS, "DEPARTMENT.csv.gz": gzip.compress(DEPARTMENTS)}, rows)
    with pytest.raises(DataViewError, match="more than one file"):
        deliveries(tmp_path, None, AS_OF)[0].read("DEPARTMENT")


def test_files_for_raw_storage(one: Callable[..., Delivery]) -> None:
    delivery = one(DEPARTMENTS, 2)
    listed = delivery.files()
    assert [name for name, _, _ in listed] == ["DEPARTMENT.csv", "control.csv"]
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == digest for _, path, digest in listed)


@pytest.mark.parametrize(
    "control",
    [
        b"name,rows,sha256\n",
        b"file,rows,sha256\n../DEPARTMENT.csv,1," + b"0" * 64,
        b"file,rows,sha256\nDEPARTMENT.csv,many," + b"0" * 64,
        b"file,rows,sha256\nDEPARTMENT.csv,1,abc",
        b"file,rows,sha256\nDEPARTMENT.csv,1," + b"0" * 64 + b",more",
        b"file,rows,sha256\nDEPARTMENT.csv",
        b"file,rows,sha256\n\xff",
    ],
)
def test_control_that_cannot_be_trusted(control: bytes) -> None:
    with pytest.raises(DataViewError, match="nothing was read"):
        read_control(control, "20260916T053000Z")


def test_contract_names_every_table_of_the_nightly_flow() -> None:
    tables = table_columns()
    assert {"TRANSACTION", "CLAIM", "UNAPPLIED", "UNPOSTABLE", "PAYMENTBATCH", "DEPOSITBATCH"} <= set(tables)
    assert {"activity_by_post_date", "ar_by_medical_group"} <= set(tables)
    assert len(tables["TRANSACTION"]) == 34


def test_file_without_a_header_shows_nothing_of_its_first_line(one: Callable[..., Delivery]) -> None:
    with pytest.raises(DataViewError) as caught:
        one(b"4711,DOE,JANE\n4712,ROE,RICHARD\n", 1).read("DEPARTMENT")
    assert "first line is no header" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("4711", "DOE", "JANE"))
