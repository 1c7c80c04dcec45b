"""Codes in words a person can act on."""

import csv
from pathlib import Path

import pytest

from athena_fusion.fusion.import_codes import explain, import_codes


def test_a_locked_period() -> None:
    verdict = explain("EP01")
    assert (verdict.code, verdict.kind) == ("EP01", "locked_period")
    assert "open period" in verdict.words
    assert "open the period" in verdict.fix


@pytest.mark.parametrize(
    ("description", "kind", "words"),
    [
        (
            "FLEX-VALUE DOES NOT EXIST (SEGMENT=CostCenter) (VALUESET=Cost Center) (VALUE=2130)",
            "reference_data",
            "CostCenter 2130 does not exist in the chart of accounts or is not enabled",
        ),
        ("FLEX-DATA NOT ENTERED", "reference_data", "blank"),
        ("Detail posting isn't allowed to this account", "coa_disabled", "does not take journal lines"),
        ("This new code combination includes summary segment value 1", "coa_disabled", "does not take"),
        ("Cost center 999 is barred with account 41000", "cross_validation", "cross-validation rule"),
        ("FLEX-SOMETHING NEW", "reference_data", "not valid"),
        ("", "reference_data", "not valid"),
    ],
)
def test_ef04_is_decided_by_its_description(description: str, kind: str, words: str) -> None:
    verdict = explain("EF04", description)
    assert verdict.kind == kind
    assert words in verdict.words


def test_the_value_to_enable_is_named_in_the_fix() -> None:
    text = "FLEX-VALUE DOES NOT EXIST (SEGMENT=Account) (VALUESET=Corporate Account) (VALUE=99999)"
    assert "enable Account 99999 in Fusion" in explain("EF04", text).fix


def test_joined_codes_keep_both_and_the_first_leads() -> None:
    verdict = explain("EF04,EC03")
    assert (verdict.code, verdict.kind) == ("EF04,EC03", "reference_data")
    assert "account combination" in verdict.words
    assert "rate type" in verdict.words


def test_held_pending_unknown_and_blank() -> None:
    assert explain("P").kind == "held"
    assert explain("NEW").kind == "pending"
    assert explain("ZZ99").kind == "unknown"
    assert explain("", "").kind == "unknown"
    assert explain("ZZ99").code in explain("ZZ99").words


def test_every_code_has_words_and_a_fix() -> None:
    for code, entry in import_codes().items():
        assert entry.code == code
        assert entry.kind
        assert len(entry.words) > 10
        assert len(entry.fix) > 10


@pytest.mark.shared
def test_table_covers_every_code_that_actuals_can_meet(shared_dir: Path) -> None:
    path = shared_dir / "reference" / "fbdi" / "gl_import_status_codes.csv"
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        relevant = row["relevant_to_actuals_import"].startswith(("Y", "?"))
        assert (row["code"] in import_codes()) == relevant, row["code"]
        if relevant and row["code"] != "P":
            assert import_codes()[row["code"]].kind == row["class"].split("|", 1)[0].split(" ", 1)[0]
