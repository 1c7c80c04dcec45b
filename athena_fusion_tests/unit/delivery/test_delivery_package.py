"""Intent, names, group ids and the package's own consistency."""

from dataclasses import replace
from datetime import date

import pytest
from sim.delivery_world import journal_lines

from athena_fusion.delivery.package import (
    Intent,
    Package,
    PackageError,
    group_id,
    ledger_rows,
    package_rowset,
    sent_rows,
)
from athena_fusion.delivery.reasons import loader_rejects, rejection

INTENT = Intent("sandbox", "rcm-gl", "101", date(2026, 9, 15), "01", 1)


def test_names_derive_from_the_intent_alone():
    assert INTENT.key == "sandbox/rcm-gl/101/2026-09-15/01/1"
    assert INTENT.short == "AF1ab013cb5fb17b5e"
    assert INTENT.file_name() == f"{INTENT.short}_101_20260915_01_01.zip"
    assert INTENT.again().attempt == 2
    assert INTENT.again().short != INTENT.short


def test_group_ids_have_seventeen_digits_and_no_room_for_overflow():
    assert group_id(date(2026, 9, 15), 101, "01", 1) == "20260915001010101"
    for ordinal, category, attempt in (
        (0, "01", 1),
        (100_000, "01", 1),
        (1, "1", 1),
        (1, "01", 0),
        (1, "01", 100),
    ):
        with pytest.raises(PackageError):
            group_id(date(2026, 9, 15), ordinal, category, attempt)


def test_a_package_survives_json(world):
    package = world.package()
    assert Package.from_json(package.to_json()) == package


@pytest.mark.parametrize(
    "change", [{"file_name": "GL.zip"}, {"rows": 3}, {"debit_cents": 1}, {"credit_cents": 1}]
)
def test_a_package_that_contradicts_itself_cannot_be_made(world, change):
    with pytest.raises(PackageError):
        replace(world.package(), **change)


def test_sent_and_read_back_rows_hash_alike_whatever_stands_on_the_empty_side(world, gateway):
    lines = journal_lines("101", "01", (25000,), ("2100",))
    named = {"ledger_id": "300", "source": "s", "category_name": "c", "currency": "USD"}
    sent = package_rowset(sent_rows(lines, **named))
    package = world.package()
    world.delivery(gateway).load([package])
    assert package_rowset(ledger_rows(gateway.readback(package.group_id, "300"))) == package.rowset
    assert sent != package.rowset


def test_a_rejection_says_what_and_how_to_mend_it_and_quotes_fusion():
    text = "FLEX-VALUE DOES NOT EXIST (SEGMENT=CostCenter) (VALUESET=X) (VALUE=2130)"
    words = rejection("EF04,EC03", text)
    assert words.startswith("CostCenter 2130 does not exist")
    assert words.endswith(f"(Fusion: EF04,EC03 {text})")


def test_loader_rejects_by_record_number():
    log = (
        "Record 2: Rejected - Error on table GL_INTERFACE, column ENTERED_DR.\nORA-01722: invalid number\n\n"
        "Record 7: Rejected - Error on table GL_INTERFACE, column DATE_CREATED.\n"
        "ORA-01861: literal does not match format string\n3 Rows successfully loaded.\n"
    )
    rejects = loader_rejects(log)
    assert sorted(rejects) == [2, 7]
    assert rejects[2].endswith("column ENTERED_DR. ORA-01722: invalid number")
    assert loader_rejects("3 Rows successfully loaded.") == {}
