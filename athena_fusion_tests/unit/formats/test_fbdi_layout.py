"""Layouts: facts about positions, and the command that rebuilds them."""

import csv
from pathlib import Path

import pytest

from athena_fusion.formats.fbdi import layout as layout_module
from athena_fusion.formats.fbdi.layout import FbdiError, load_layout, rebuild

SHIPPED = Path(layout_module.__file__).parent / "layouts" / "gl_interface.csv"


def test_landmarks_of_the_journal_layout():
    names = load_layout("gl_interface/149").names
    landmarks = {
        1: "STATUS",
        2: "LEDGER_ID",
        7: "DATE_CREATED",
        9: "SEGMENT1",
        38: "SEGMENT30",
        39: "ENTERED_DR",
        40: "ENTERED_CR",
        43: "REFERENCE1",
        52: "REFERENCE10",
        53: "REFERENCE21",
        67: "GROUP_ID",
        92: "LEDGER_NAME",
        95: "PERIOD_NAME",
        149: "GLOBAL_ATTRIBUTE_NUMBER5",
    }
    assert len(names) == len(set(names)) == 149
    assert {position: names[position - 1] for position in landmarks} == landmarks


def test_older_release_is_the_beginning_of_the_newer():
    older, newer = load_layout("gl_interface/94"), load_layout("gl_interface/149")
    assert older.columns == newer.columns[:94]
    assert "PERIOD_NAME" not in older.names


def test_column_facts():
    columns = {column.name: column for column in load_layout("gl_interface/149").columns}
    assert (columns["REFERENCE10"].kind, columns["REFERENCE10"].max_length) == ("text", 240)
    assert (columns["DATE_CREATED"].kind, columns["DATE_CREATED"].required) == ("date", "Y")
    assert (columns["GROUP_ID"].kind, columns["GROUP_ID"].max_length) == ("number", 18)
    assert [column.position for column in columns.values()] == list(range(1, 150))


@pytest.mark.parametrize("name", ["gl_interface/150", "gl_interface", "journal/149", "gl_interface/-1"])
def test_unknown_layout_is_refused(name):
    with pytest.raises(FbdiError, match=r"known are gl_interface/94, gl_interface/149"):
        load_layout(name)


def test_rebuild_drops_the_marker_and_names_our_types():
    rows = [
        ("1", "STATUS", "VARCHAR2", "50", "Y"),
        ("2", "LEDGER_ID", "NUMBER", "18", "N"),
        ("3", "END", "literal", "3", ""),
    ]
    assert rebuild(rows) == (
        "position,name,type,max_length,required\n1,STATUS,text,50,Y\n2,LEDGER_ID,number,18,N\n"
    )


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (("3", "B", "DATE", "", "N"), "position 3 stands where 2 is due"),
        (("2", "A", "DATE", "", "N"), "no name of its own"),
        (("2", "B", "CLOB", "", "N"), "unknown type 'CLOB'"),
    ],
)
def test_rebuild_refuses_a_broken_template(second, message):
    with pytest.raises(FbdiError, match=message):
        rebuild([("1", "A", "DATE", "", "N"), second])


@pytest.mark.shared
def test_shipped_layout_is_what_rebuild_makes(shared_dir):
    with (shared_dir / "reference/fbdi/gl_interface.csv").open(encoding="utf-8", newline="") as source:
        rows = [
            (row["position"], row["interface_table_column"], row["type"], row["max_length"], row["required"])
            for row in csv.DictReader(source)
        ]
    assert rebuild(rows) == SHIPPED.read_text(encoding="utf-8")
