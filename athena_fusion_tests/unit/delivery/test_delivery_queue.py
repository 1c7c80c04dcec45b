"""The operator queue: idempotent findings, corrections with reasons, amounts that nobody can change."""

import pytest
from sqlalchemy import select

from athena_fusion.delivery.queue import Correction, Finding, QueueError, StaleItem, Status
from athena_fusion.storage.schema import audit_event, decision


def finding(**changes):
    values = {
        "kind": "REJECTED",
        "stage": "load",
        "flow": "rcm-gl",
        "entity": "101",
        "batch_date": "2026-09-15",
        "subject": "101-20260915-01-r1-00001",
        "reason": "the combination is disabled",
        "amount_cents": 25000,
        "category": "01",
        "intent_key": "k/1",
        "code": "EF03",
    }
    return Finding(**(values | changes))


def test_the_same_finding_twice_is_one_item(world):
    world.queue.put([finding(), finding()])
    world.queue.put([finding()])
    (item,) = world.queue.list_items()
    assert item.version == 1
    assert item.finding == finding()


def test_findings_without_an_intent_are_told_apart_by_their_subject(world):
    held = [finding(kind="CROSSWALK", intent_key=None, subject=subject) for subject in ("d1", "d2")]
    world.queue.put(held)
    world.queue.put(held)
    assert len(world.queue.list_items()) == 2


def test_an_open_item_follows_its_finding_and_a_resolved_one_reopens(world):
    world.queue.put([finding()])
    world.queue.put([finding(reason="still disabled")])
    (item,) = world.queue.list_items()
    assert (item.finding.reason, item.version) == ("still disabled", 2)
    world.queue.resolve([item.id], "gone")
    assert world.queue.list_items() == []
    world.queue.put([finding()])
    assert world.queue.list_items()[0].status is Status.OPEN


def test_a_correction_is_recorded_with_actor_and_reason_and_audited(world):
    world.queue.put([finding()])
    (item,) = world.queue.list_items()
    change = Correction({"CostCenter": "2120"})
    done = world.queue.correct(item.id, actor="ana", reason="moved", change=change, version=1)
    assert (done.status, done.correction, done.version) == (Status.CORRECTED, change, 2)
    with world.database.begin() as connection:
        (row,) = connection.execute(select(decision)).all()
        events = [bytes(body) for body in connection.execute(select(audit_event.c.body)).scalars()]
    assert (row.actor, row.action) == ("ana", "correct")
    assert any(b"queue.correct" in event and b"ana" in event for event in events)


def test_a_corrected_item_survives_the_next_read_back_and_can_be_corrected_again(world):
    world.queue.put([finding()])
    (item,) = world.queue.list_items()
    world.queue.correct(item.id, actor="ana", reason="enabled", change=Correction(), version=1)
    world.queue.put([finding(reason="other words")])
    again = world.queue.show(item.id)
    assert again.status is Status.CORRECTED
    world.queue.correct(
        item.id, actor="bo", reason="better", change=Correction({"Location": "015"}), version=2
    )
    assert world.queue.show(item.id).correction == Correction({"Location": "015"})


def test_a_stale_version_is_refused_and_nothing_is_audited(world):
    world.queue.put([finding()])
    (item,) = world.queue.list_items()
    world.queue.correct(item.id, actor="ana", reason="enabled", change=Correction(), version=1)
    with pytest.raises(StaleItem, match="changed meanwhile"):
        world.queue.correct(item.id, actor="bo", reason="late", change=Correction(), version=1)
    with world.database.begin() as connection:
        assert len(connection.execute(select(decision)).all()) == 1


def test_a_held_line_cannot_be_corrected(world):
    world.queue.put([finding(kind="HELD")])
    (item,) = world.queue.list_items()
    with pytest.raises(QueueError, match="nothing to correct"):
        world.queue.correct(item.id, actor="ana", reason="why", change=Correction(), version=1)


@pytest.mark.parametrize("segments", [{"amount_cents": "1"}, {"ENTERED_DR": "5"}, {"CostCenter": "21;00"}])
def test_only_segment_values_can_change_never_amounts(world, segments):
    world.queue.put([finding()])
    (item,) = world.queue.list_items()
    with pytest.raises(QueueError, match="othing was changed"):
        world.queue.correct(item.id, actor="ana", reason="x", change=Correction(segments), version=1)
    assert world.queue.show(item.id).status is Status.OPEN


def test_a_correction_needs_a_reason_and_an_item_that_exists(world):
    with pytest.raises(QueueError, match="reason"):
        world.queue.correct("Q1", actor="ana", reason=" ", change=Correction(), version=1)
    with pytest.raises(QueueError, match="no queue item Q1"):
        world.queue.correct("Q1", actor="ana", reason="x", change=Correction(), version=1)


def test_filters_and_order(world):
    world.queue.put(
        [finding(subject="a", amount_cents=1), finding(subject="b", amount_cents=9, entity="102")]
    )
    assert [item.finding.subject for item in world.queue.list_items()] == ["b", "a"]
    assert [item.finding.subject for item in world.queue.list_items(entity="101")] == ["a"]
    assert world.queue.list_items(batch_date="2026-09-16") == []
    assert world.queue.list_items(kind="HELD") == []
    assert len(world.queue.list_items(intent_key="k/1", status=[Status.OPEN])) == 2
