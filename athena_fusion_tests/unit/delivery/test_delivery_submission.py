"""Submission: the states, the looks and the waits, one fault at a time."""

import json
from datetime import timedelta

import pytest
from sim.delivery_world import BATCH_DATE, World, journal_lines, other_content
from sim.simulated_fusion import Crash, SimulatedGateway
from sqlalchemy import select

from athena_fusion.delivery.gateway import JobKind
from athena_fusion.delivery.readback import prove
from athena_fusion.delivery.states import IntentConflict, State
from athena_fusion.delivery.submission import DeliveryError
from athena_fusion.http import OutcomeUnknown, Refused, Unauthorized, Unavailable
from athena_fusion.storage.schema import audit_event, exception_item, intent

WRITES = ("upload", "load", "import", "purge", "autopost")


def writes(gateway: SimulatedGateway) -> list[str]:
    return [call for call in gateway.calls if call in WRITES]


def events(world: World) -> list[str]:
    with world.database.begin() as connection:
        bodies = connection.execute(select(audit_event.c.body).order_by(audit_event.c.seq)).scalars()
        return [f"{body['type']} {body.get('step', '')}".strip() for body in map(json.loads, bodies)]


def test_a_package_is_uploaded_loaded_and_imported_once(world, gateway):
    package = world.package()
    (result,) = world.delivery(gateway).load([package])
    assert result.ok
    assert (result.state, result.status) == (State.IMPORTED, "SUCCEEDED")
    assert writes(gateway) == ["upload", "load", "import"]
    assert len(gateway.model.ledger) == package.rows
    assert len(result.logs) == 2


def test_only_what_this_drive_did_not_just_do_itself_is_searched(world, gateway):
    world.delivery(gateway).load([world.package()])
    assert gateway.calls.count("search") == 0, "a clean load follows its own calls"

    other = world.package(category="02")

    def crash(name: str) -> None:
        if name == "before load" and gateway.calls.count("upload") == 2:
            raise Crash

    gateway.hook = crash
    with pytest.raises(Crash):
        world.delivery(gateway).load([other])
    gateway.hook = lambda _: None
    world.clock.sleep(world.delivery(gateway).settings.settle_seconds)
    (result,) = world.delivery(gateway).load([other])
    assert result.ok
    assert gateway.calls.count("search") == 1, "the load may have been made before the crash"
    assert len(gateway.model.ledger) == 2 * other.rows


def test_every_call_is_announced_in_the_audit_log_before_it_is_made(world, gateway):
    seen: list[list[str]] = []
    gateway.hook = lambda name: (
        seen.append(events(world)) if name in ("before load", "before import") else None
    )
    world.delivery(gateway).load([world.package()])
    assert seen[0][-1] == "fusion.intent load"
    assert seen[1][-1] == "fusion.intent import"
    assert events(world).count("fusion.sent load") == 1


def test_the_intent_is_committed_before_each_call(world, gateway):
    states = {}

    def look(name: str) -> None:
        with world.database.begin() as connection:
            states[name] = connection.execute(select(intent.c.state)).scalar_one()

    gateway.hook = look
    world.delivery(gateway).load([world.package()])
    assert states["before upload"] == "UPLOADING"
    assert states["before load"] == "SUBMITTING"
    assert states["before import"] == "IMPORTING"


def test_loading_again_sends_nothing(world, gateway):
    package = world.package()
    world.delivery(gateway).load([package])
    before = writes(gateway)
    (result,) = world.delivery(gateway).load([package])
    assert result.ok
    assert writes(gateway) == before


def test_the_same_intent_with_other_content_is_a_conflict(world, gateway):
    package = world.package()
    delivery = world.delivery(gateway)
    delivery.load([package])
    changed = other_content(package)
    world.store.write_bytes(changed.path, b"other")
    world.book.register(changed)
    with pytest.raises(IntentConflict, match="other content"):
        delivery.load([changed])


@pytest.mark.parametrize("step", ["upload", "load", "import"])
@pytest.mark.parametrize("arrives", [True, False])
def test_a_lost_answer_is_settled_then_looked_up_and_never_simply_repeated(world, gateway, step, arrives):
    def lose(name: str) -> None:
        if name == ("after " if arrives else "before ") + step and writes(gateway).count(step) == 1:
            raise OutcomeUnknown("lost")

    gateway.hook = lose
    start = world.clock.now()
    (result,) = world.delivery(gateway).load([world.package()])
    assert result.ok
    assert world.clock.now() - start >= timedelta(seconds=900)
    assert writes(gateway).count(step) == (1 if arrives else 2)
    assert (f"fusion.adopted {step}" in events(world)) is arrives
    assert len(gateway.model.ledger) == 4


def test_an_effect_just_before_the_settle_time_is_found(world, gateway):
    def late(name: str) -> None:
        if name == "before load" and not gateway.model.late and writes(gateway).count("load") == 1:
            document = gateway.model.documents[0][0]
            when = world.clock.now() + timedelta(seconds=899)
            gateway.model.late.append((when, "load", ("15", document, "N", "N")))
            raise OutcomeUnknown("time-out")

    gateway.hook = late
    (result,) = world.delivery(gateway).load([world.package()])
    assert result.ok
    assert writes(gateway).count("load") == 1
    assert len(gateway.model.ledger) == 4


def test_a_shorter_settle_time_still_never_imports_doubled_rows(world, gateway):
    """The second line of defence: the interface must hold exactly the rows sent before it is imported."""

    def late(name: str) -> None:
        if name == "before load" and writes(gateway).count("load") == 1:
            document = gateway.model.documents[0][0]
            gateway.model.late.append(
                (world.clock.now() + timedelta(seconds=62), "load", ("15", document, "N", "N"))
            )
            raise OutcomeUnknown("time-out")

    gateway.hook = late
    gateway.model.job_seconds = 30
    (result,) = world.delivery(gateway, settle_seconds=60, poll_seconds=40).load([world.package()])
    assert result.state is State.FAILED
    assert "8 of 4 rows" in result.note
    assert gateway.model.ledger == []


def test_rows_already_in_the_ledger_are_not_sent_again(world, gateway):
    package = world.package()
    world.delivery(gateway).load([package])
    fresh = World(world.folder / "restored", world.clock)  # the state database was lost
    fresh.store, fresh.book = world.store, world.book
    gateway.calls.clear()
    (result,) = fresh.delivery(gateway).load([package])
    assert result.state is State.IMPORTED
    assert result.document_id
    assert writes(gateway) == []


def test_rows_waiting_in_the_interface_are_imported_not_uploaded_again(world, gateway):
    package = world.package()

    def stop(name: str) -> None:
        if name == "before import":
            raise KeyboardInterrupt

    gateway.hook = stop
    with pytest.raises(KeyboardInterrupt):
        world.delivery(gateway).load([package])
    fresh = World(world.folder / "restored", world.clock)
    fresh.store, fresh.book = world.store, world.book
    gateway.calls.clear()
    gateway.hook = lambda _: None
    (result,) = fresh.delivery(gateway).load([package])
    assert result.ok
    assert writes(gateway) == ["import"]
    assert len(gateway.model.ledger) == 4


def test_a_request_that_was_not_scheduled_fails_with_the_reason_and_a_finding(world, gateway):
    gateway.model.unscheduled.add(JobKind.LOAD)
    (result,) = world.delivery(gateway).load([world.package()])
    assert result.state is State.FAILED
    assert "ReqstId -1" in result.note
    assert gateway.model.requests == []
    (item,) = world.queue.list_items()
    assert (item.finding.kind, item.finding.amount_cents) == ("LOAD_FAILED", 43000)


def test_a_refused_upload_fails_and_does_not_hold_the_other_packages(world, gateway):
    def refuse(name: str) -> None:
        if name == "before upload" and writes(gateway).count("upload") == 1:
            raise Refused("no access to the account", "rid", status=403, title="", detail="")

    gateway.hook = refuse
    results = world.delivery(gateway).load([world.package(), world.package(category="02")])
    assert [result.state for result in results] == [State.FAILED, State.IMPORTED]


@pytest.mark.parametrize("error", [Unauthorized("401"), Unavailable("no connection", passing=True)])
def test_a_call_that_certainly_did_nothing_is_made_again_without_settling(world, gateway, error):
    def once(name: str) -> None:
        if name == "before load" and writes(gateway).count("load") == 1:
            raise error

    gateway.hook = once
    start = world.clock.now()
    (result,) = world.delivery(gateway).load([world.package()])
    assert result.ok
    assert world.clock.now() - start < timedelta(seconds=900)


def test_lasting_refusal_of_the_token_gives_up_after_the_time_out_and_resumes_later(world, gateway):
    package = world.package()

    def always(name: str) -> None:
        if name == "before load":
            raise Unauthorized("401 with a fresh token")

    gateway.hook = always
    (result,) = world.delivery(gateway).load([package])
    assert not result.ok
    assert result.state is State.UPLOADED
    assert "gave up" in result.note
    gateway.hook = lambda _: None
    (result,) = world.delivery(gateway).load([package])
    assert result.ok
    assert writes(gateway).count("upload") == 1


def test_faults_while_polling_are_not_a_failed_job(world, gateway):
    count = 0

    def shaky(name: str) -> None:
        nonlocal count
        if name == "before status":
            count += 1
            if count % 2:
                raise Unavailable("503", passing=True)

    gateway.hook = shaky
    assert world.delivery(gateway).load([world.package()])[0].ok


def test_a_job_that_never_ends_is_given_back_and_resumed_by_its_request_id(world, gateway):
    package = world.package()
    gateway.model.job_seconds = 3000
    (result,) = world.delivery(gateway).load([package])
    assert result.state is State.SUBMITTED
    assert "still" in result.note
    (result,) = world.delivery(gateway, job_timeout_seconds=7200).load([package])
    assert result.ok
    assert writes(gateway) == ["upload", "load", "import"]


def test_the_loaders_refusals_become_findings_and_nothing_is_imported(world, gateway):
    (result,) = world.delivery(gateway).load([world.package(malformed=(3,))])
    assert result.state is State.FAILED
    assert "import" not in writes(gateway)
    items = {item.finding.subject: item.finding for item in world.queue.list_items()}
    assert len(items) == 4
    bad = items["101-20260915-01-r1-00003"]
    assert bad.kind == "LOADER_REJECT"
    assert "ORA-01722" in bad.reason
    assert {item.kind for key, item in items.items() if key != bad.subject} == {"HELD"}
    assert "row 3" in items["101-20260915-01-r1-00001"].reason


def test_nine_packages_take_the_time_of_the_slowest_not_of_all(world, gateway):
    gateway.model.job_seconds = 100
    packages = [world.package(category=c) for c in ("01", "02", "03")]
    start = world.clock.now()
    assert all(result.ok for result in world.delivery(gateway).load(packages))
    assert world.clock.now() - start < timedelta(seconds=2 * 100 + 60)


def test_an_intent_armed_by_another_process_is_left_to_it(world, gateway):
    package = world.package()
    other = world.delivery(SimulatedGateway(gateway.model, world.clock))

    def race(name: str) -> None:
        gateway.hook = lambda _: None
        assert other.load([package])[0].ok

    # The other process does everything between our look and our arming.
    gateway.hook = lambda name: race(name) if name == "before readback" else None
    (result,) = world.delivery(gateway).load([package])
    assert result.ok
    assert len(gateway.model.ledger) == 4
    assert writes(gateway) == []


def test_a_next_attempt_waits_for_the_purge_of_the_one_before(world, gateway):
    gateway.model.disabled.add("2110")
    first = world.package()
    delivery = world.delivery(gateway)
    delivery.load([first])
    second = world.package(attempt=2)
    with pytest.raises(DeliveryError, match="Use reload"):
        delivery.load([second])


def test_an_attempt_beside_a_proven_one_brings_other_lines(world, gateway):
    first = world.package()
    delivery = world.delivery(gateway)
    delivery.load([first])
    with pytest.raises(DeliveryError, match="attempt 1 is IMPORTED and nobody decided to replace it"):
        delivery.load([world.package(attempt=2)])  # what became of the first is not known yet
    prove(delivery, [first])
    with pytest.raises(DeliveryError, match=r"line 101-20260915-01-r1-00001 is in the ledger already"):
        delivery.load([world.package(attempt=2)])
    lines = journal_lines("101", "01", (4000,), ("2100",), post_date=BATCH_DATE - timedelta(days=1))
    second = world.build(lines, "101", "01", 2, 101)
    before = len(writes(gateway))
    (result,) = delivery.load([second])
    assert result.ok
    assert writes(gateway)[before:] == ["upload", "load", "import"]  # no purge: the first stays
    assert len(gateway.model.ledger) == first.rows + second.rows


def test_two_intents_cannot_share_a_group_id(world, gateway):
    world.delivery(gateway).load([world.package()])
    with pytest.raises(IntentConflict, match="another intent"):
        world.delivery(gateway).load([world.package(entity="102", ordinal=101)])
    with world.database.begin() as connection:
        assert connection.execute(select(exception_item)).all() == []


def test_the_newest_attempt_is_found(world, gateway):
    package = world.package()
    delivery = world.delivery(gateway)
    assert delivery.latest(package) == package
    delivery.load([package])
    assert delivery.latest(world.package()) == package


def test_a_call_whose_outcome_stays_unknown_is_given_back_after_five_settled_tries(world, gateway):
    def always(name: str) -> None:
        if name == "before upload":
            raise OutcomeUnknown("503: maintenance")

    gateway.hook = always
    package = world.package()
    (result,) = world.delivery(gateway).load([package])
    assert result.state is State.UPLOADING
    assert "maintenance" in result.note
    assert writes(gateway) == ["upload"] * 5
    gateway.hook = lambda _: None
    assert world.delivery(gateway).load([package])[0].ok


def test_a_log_that_belongs_to_another_user_does_not_fail_the_load(world, gateway):
    def refuse(name: str) -> None:
        if name == "before log":
            raise Refused("FND-2", "rid", status=400, title="", detail="")

    gateway.hook = refuse
    (result,) = world.delivery(gateway).load([world.package()])
    assert result.ok
    assert b"FND-2" in world.store.read_bytes(result.logs[0])
