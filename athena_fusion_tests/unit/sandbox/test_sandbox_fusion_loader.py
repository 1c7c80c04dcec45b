"""The load job: what the ZIP must be, and SQL*Loader's verdict on records."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fusion_pod import LOADER, RunningPod, northwind, packed, pair, record, running

from athena_fusion.sandbox.fusion.layout import gl_interface_columns
from athena_fusion.sandbox.fusion.loader import FileRefused, RecordRejected, convert, records, unpack


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[RunningPod]:
    with running(northwind(), tmp_path / "pod.db") as running_pod:
        running_pod.act_as("app")
        yield running_pod


def test_any_rejected_record_loads_nothing(pod: RunningPod) -> None:
    request, state = pod.load(packed([*pair("1.00"), record(DATE_CREATED="")]))
    assert state == "ERROR"
    assert [child["STATUS"] for child in pod.tree(request)[0]["CHILD"]] == ["SUCCEEDED", "ERROR"]
    log = pod.log(request)
    assert "Record 3: Rejected - Error on table GL_INTERFACE, column DATE_CREATED." in log
    assert "0 Rows successfully loaded." in log
    assert "Total logical records rejected: 1" in log
    assert pod.summary()["totals"]["interface_rows"] == 0


def test_switch_keeps_the_good_rows(tmp_path: Path) -> None:
    with running(northwind(loader_keeps_good_rows=True), tmp_path / "pod.db") as pod:
        pod.act_as("app")
        assert pod.load(packed([*pair("1.00"), record(DATE_CREATED="")]))[1] == "WARNING"
        assert pod.summary()["groups"]["1"]["interface_rows"] == 2


@pytest.mark.parametrize("entry", ["glinterface.csv", "GLInterface.csv", "in/GlInterface.csv", "Other.csv"])
def test_entry_name_is_exact(pod: RunningPod, entry: str) -> None:
    request, state = pod.load(packed(pair("1.00"), entry))
    assert state == "ERROR"
    assert [child["JOBNAME"] for child in pod.tree(request)[0]["CHILD"]] == ["Transfer File"]


def test_not_a_zip_and_missing_document_end_in_error(pod: RunningPod) -> None:
    assert pod.load(b"NEW,,2026/01/30")[1] == "ERROR"
    for arguments in ("15,123,N,N", "2,7890001,N,N", "15"):
        assert pod.wait(pod.submit(LOADER, "InterfaceLoaderController", arguments)) == "ERROR"


def test_zip_with_a_second_csv_or_password_or_too_large_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("GlInterface.csv", "")
        archive.writestr("Extra.csv", "")
    with pytest.raises(FileRefused, match=r"Extra\.csv"):
        unpack(content.getvalue(), 10_000)
    with pytest.raises(FileRefused, match="more than 10"):
        unpack(packed(pair("1.00")), 10)
    with pytest.raises(FileRefused, match="stored or deflated"):
        unpack(lzma(), 10_000)


def lzma() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("GlInterface.csv", "x")
    return content.getvalue()


def test_properties_entry_is_allowed_beside_the_csv() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("GlInterface.csv", "a")
        archive.writestr("job.properties", "b")
    assert unpack(content.getvalue(), 10_000) == b"a"


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("DATE_CREATED", "", "ORA-01400"),
        ("STATUS", " ", "ORA-01400"),
        ("ACCOUNTING_DATE", "30-JAN-2026", "ORA-01861"),
        ("ACCOUNTING_DATE", "2026-01-30", "ORA-01861"),
        ("ACCOUNTING_DATE", "2026/13/01", "ORA-01843"),
        ("ACCOUNTING_DATE", "2026/02/30", "ORA-01839"),
        ("ENTERED_DR", "1,000.00", "ORA-01722"),
        ("ENTERED_DR", "$5", "ORA-01722"),
        ("ENTERED_DR", "٣", "ORA-01722"),
        ("GROUP_ID", "1234567890123456789", "ORA-01438"),
        ("REFERENCE10", "x" * 241, "ORA-12899"),
        ("USER_JE_SOURCE_NAME", "x" * 26, "ORA-12899"),
    ],
)
def test_rejected_values(column: str, value: str, error: str) -> None:
    with pytest.raises(RecordRejected, match=error) as verdict:
        convert(record(**{column: value}))
    assert verdict.value.column == column


def test_values_are_taken_by_position() -> None:
    values = convert(record(ENTERED_DR="1500.50", REFERENCE10=' a "b", c ', GROUP_ID="20260915001010100"))
    assert values["ENTERED_DR"] == "1500.5"
    assert values["REFERENCE10"] == 'a "b", c'
    assert values["GROUP_ID"] == "20260915001010100"
    assert values["ACCOUNTING_DATE"] == "2026-01-30"
    assert "ACCOUNTED_DR" not in values


def test_layout_has_the_columns_of_the_release() -> None:
    columns = gl_interface_columns()
    assert len(columns) == 149
    places = {
        1: "STATUS",
        39: "ENTERED_DR",
        53: "REFERENCE21",
        67: "GROUP_ID",
        92: "LEDGER_NAME",
        95: "PERIOD_NAME",
    }
    assert {position: columns[position - 1].name for position in places} == places


def test_end_marker_of_an_old_template_lands_in_period_name() -> None:
    assert convert([*record()[:94], "END"])["PERIOD_NAME"] == "END"
    assert "PERIOD_NAME" not in convert(record()[:94])
    assert "END" not in convert([*record()[:149], "END", "more"]).values()


def test_old_template_with_end_is_not_imported(pod: RunningPod) -> None:
    assert pod.load(packed([[*line[:94], "END"] for line in pair("1.00")]))[1] == "SUCCEEDED"
    assert pod.import_group("1") == "WARNING"
    assert set(pod.statuses("1").values()) == {"EP01"}


def test_record_forms() -> None:
    found = list(records(b'a,b\r\n"c ""d""","e,f"\n\r\n,,\n"g'))
    assert found[:2] == [["a", "b"], ['c "d"', "e,f"]]
    assert isinstance(found[2], RecordRejected)
    assert len(found) == 3
    assert isinstance(next(records(b"\xff\xfe")), RecordRejected)


def test_byte_order_mark_makes_the_first_line_unfindable(pod: RunningPod) -> None:
    content = "\ufeff" + "\n".join(",".join(line) for line in pair("1.00"))
    assert pod.load(packed(content.encode()))[1] == "SUCCEEDED"
    assert pod.import_group("1") == "WARNING"
    assert pod.statuses("1") == {"K-1": "\ufeffNEW", "K-2": "EU02"}


def test_purge_takes_a_range_of_loads(pod: RunningPod) -> None:
    first, _ = pod.load(packed(pair("1.00")))
    second, _ = pod.load(packed(pair("2.00", GROUP_ID="2")))
    purge = pod.submit(LOADER, "InterfaceLoaderPurge", f"15,,{first},{first},,ORA_FBDI,USER")
    assert pod.wait(purge) == "SUCCEEDED"
    assert pod.statuses("1") == {}
    assert set(pod.statuses("2").values()) == {"NEW"}
    assert int(second) > int(first)
    assert pod.wait(pod.submit(LOADER, "InterfaceLoaderPurge", "15,,x,y,,ORA_FBDI,USER")) == "ERROR"
