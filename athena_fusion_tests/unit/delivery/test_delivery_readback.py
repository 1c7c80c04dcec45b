"""Read-back: what counts as proven, and what becomes of every line that is not."""

import pytest
from sim.delivery_world import BATCH_DATE
from sqlalchemy import insert, select

from athena_fusion.delivery.findings import DeliveryError
from athena_fusion.delivery.proof import Outcome
from athena_fusion.delivery.readback import prove
from athena_fusion.delivery.states import State
from athena_fusion.storage.schema import journal_revision, sent_amount


def loaded(world, gateway, **settings):
    package = world.package()
    delivery = world.delivery(gateway, **settings)
    delivery.load([package])
    return delivery, package


def rows(world, table):
    with world.database.begin() as connection:
        return connection.execute(select(table)).all()


def test_equal_rows_and_an_equal_document_are_a_proof(world, gateway):
    delivery, package = loaded(world, gateway)
    (proof,) = prove(delivery, [package])
    assert proof.ok
    assert proof.outcomes == {"LOADED": 4}
    assert proof.sent == proof.imported == proof.loaded
    assert proof.imported_rowset == package.rowset
    assert proof.document_sha256 == package.sha256
    assert delivery.find(package.intent.key).state is State.PROVEN


def test_sent_amounts_and_the_revision_move_with_the_proof_only(world, gateway):
    key = {"entity": "101", "post_date": str(BATCH_DATE), "category": "01", "revision": 1}
    with world.database.begin() as connection:
        connection.execute(insert(journal_revision).values(**key, batch_date=str(BATCH_DATE), state="OPEN"))
    delivery, package = loaded(world, gateway)
    assert rows(world, sent_amount) == []
    assert rows(world, journal_revision)[0].state == "OPEN"
    prove(delivery, [package])
    sent = rows(world, sent_amount)
    assert sum(row.debit_cents for row in sent) == sum(row.credit_cents for row in sent) == 43000
    (revision,) = rows(world, journal_revision)
    assert (revision.state, revision.intent_key) == ("LOADED", package.intent.key)


def test_proving_twice_changes_nothing(world, gateway):
    delivery, package = loaded(world, gateway)
    prove(delivery, [package])
    before = rows(world, sent_amount)
    assert prove(delivery, [package])[0].ok
    assert rows(world, sent_amount) == before


def test_one_bad_line_holds_its_siblings_and_each_gets_an_item(world, gateway):
    gateway.model.disabled.add("2110")
    delivery, package = loaded(world, gateway)
    (proof,) = prove(delivery, [package])
    assert not proof.ok
    assert proof.outcomes == {"HELD": 3, "REJECTED": 1}
    assert proof.loaded.rows == 4
    assert proof.imported.rows == 0
    items = {item.finding.kind: item for item in world.queue.list_items()}
    bad = items["REJECTED"].finding
    assert (bad.subject, bad.code, bad.amount_cents) == ("101-20260915-01-r1-00004", "EF04", 18000)
    assert "CostCenter 2110 does not exist" in bad.reason
    assert bad.combination == "101-2110-40010-014-010-000"
    held = items["HELD"].finding
    assert "because of row 4" in held.reason
    assert "CostCenter 2110" in held.reason
    assert "Nothing to correct here" in held.reason
    assert rows(world, sent_amount) == []
    assert delivery.find(package.intent.key).state is State.UNPROVEN


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"debit_cents": 25001}, Outcome.DIFFERENT),
        ({"combination": "101-0000-11030-000-000-001"}, Outcome.DIFFERENT),
        ({"accounting_date": "2026-10-01"}, Outcome.DIFFERENT),
        ({"ledger_id": "301"}, Outcome.DIFFERENT),
        ({"category": "Other"}, Outcome.DIFFERENT),
        ({"currency": "CAD"}, Outcome.DIFFERENT),
        ({"source": "Spreadsheet"}, Outcome.DIFFERENT),
        ({"line_key": "101-20260915-01-r1-09999"}, Outcome.MISSING),
    ],
)
def test_any_other_value_in_the_ledger_is_no_proof(world, gateway, change, outcome):
    delivery, package = loaded(world, gateway)
    gateway.model.ledger[0].update(change)
    (proof,) = prove(delivery, [package])
    assert not proof.ok
    assert proof.outcomes == {outcome.value: 1, "LOADED": 3}
    assert proof.unexpected == (1 if outcome is Outcome.MISSING else 0)
    assert proof.note.startswith("LOAD_UNPROVEN")
    assert rows(world, sent_amount) == []


def test_a_doubled_line_is_an_alarm(world, gateway):
    delivery, package = loaded(world, gateway)
    gateway.model.ledger.append(dict(gateway.model.ledger[0]))
    (proof,) = prove(delivery, [package])
    assert not proof.ok
    assert proof.outcomes == {"DUPLICATE": 1, "LOADED": 3}


def test_a_second_copy_still_waiting_in_the_interface_is_an_alarm_too(world, gateway):
    delivery, package = loaded(world, gateway)
    copy = gateway.model.ledger[0] | {"status": "NEW", "text": "", "load_request_id": "9"}
    gateway.model.interface.append(copy)
    assert prove(delivery, [package])[0].outcomes == {"DUPLICATE": 1, "LOADED": 3}


def test_a_foreign_row_of_the_group_is_no_proof(world, gateway):
    delivery, package = loaded(world, gateway)
    gateway.model.ledger.append(gateway.model.ledger[0] | {"line_key": "foreign"})
    (proof,) = prove(delivery, [package])
    assert not proof.ok
    assert proof.unexpected == 1
    assert [item.finding.kind for item in world.queue.list_items()] == ["LOAD_FAILED"]


def test_lines_in_neither_place_are_missing_and_lines_not_taken_up_not_imported(world, gateway):
    delivery, package = loaded(world, gateway)
    gone = gateway.model.ledger
    gateway.model.ledger = []
    gateway.model.interface = [
        row | {"status": "NEW", "text": "", "load_request_id": "9"} for row in gone[:2]
    ]
    assert prove(delivery, [package])[0].outcomes == {"MISSING": 2, "NOT_IMPORTED": 2}


def test_another_document_in_fusion_is_no_proof(world, gateway):
    delivery, package = loaded(world, gateway)
    made, name, content = gateway.model.documents[0]
    gateway.model.documents[0] = (made, name, content + b" ")
    (proof,) = prove(delivery, [package])
    assert not proof.ok
    assert "not the ZIP that was signed" in proof.note
    gateway.model.documents.clear()
    assert not prove(delivery, [package])[0].ok


def test_a_late_but_complete_read_back_turns_unproven_into_proven_and_closes_its_items(world, gateway):
    delivery, package = loaded(world, gateway)
    ledger, gateway.model.ledger = gateway.model.ledger, []  # a reporting copy that lags
    assert not prove(delivery, [package])[0].ok
    gateway.model.ledger = ledger
    assert prove(delivery, [package])[0].ok
    assert world.queue.list_items() == []
    assert delivery.find(package.intent.key).state is State.PROVEN


def test_autopost_runs_once_for_all_proven_packages_and_never_before_the_proof(world, gateway):
    packages = [world.package(category=c) for c in ("01", "02", "03")]
    delivery = world.delivery(gateway, autopost_criteria_set="C1")
    delivery.load(packages)
    assert "autopost" not in gateway.calls
    assert all(proof.ok for proof in prove(delivery, packages))
    assert gateway.calls.count("autopost") == 1
    assert {delivery.find(package.intent.key).state for package in packages} == {State.POSTED}
    assert all(row["posted"] for row in gateway.model.ledger)


def test_nothing_is_posted_without_a_criteria_set_or_a_proof(world, gateway):
    delivery, package = loaded(world, gateway)
    prove(delivery, [package])
    assert "autopost" not in gateway.calls
    gateway.model.disabled.add("2110")
    other = world.package(category="02")
    delivery = world.delivery(gateway, autopost_criteria_set="C1")
    delivery.load([other])
    prove(delivery, [other])
    assert "autopost" not in gateway.calls


def test_lines_already_proven_under_another_intent_are_refused(world, gateway):
    delivery, package = loaded(world, gateway)
    with world.database.begin() as connection:
        connection.execute(
            insert(sent_amount).values(
                line_key="101-20260915-01-r1-00001",
                intent_key="elsewhere",
                entity="101",
                post_date="2026-09-15",
                category="01",
                revision=1,
                posting_id="P01",
                combination="c",
                debit_cents=1,
                credit_cents=0,
            )
        )
    with pytest.raises(DeliveryError, match="already recorded as loaded by elsewhere"):
        prove(delivery, [package])
    assert delivery.find(package.intent.key).state is State.IMPORTED


def test_what_was_never_submitted_cannot_be_proven(world, gateway):
    with pytest.raises(DeliveryError, match="never submitted"):
        prove(world.delivery(gateway), [world.package()])
