"""Reload after correction: refusals before anything is touched, one attempt however often it is pressed."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from athena_fusion.delivery.gate import GateRefused
from athena_fusion.delivery.queue import Correction, Kind, Status
from athena_fusion.delivery.readback import prove
from athena_fusion.delivery.reload import ReloadRefused, reload
from athena_fusion.delivery.states import State
from athena_fusion.storage.schema import decision, intent, sent_amount


@pytest.fixture
def rejected(world, gateway):
    """A group with one rejected line: (delivery, package)."""
    gateway.model.disabled.add("2110")
    package = world.package()
    delivery = world.delivery(gateway)
    delivery.load([package])
    prove(delivery, [package])
    return delivery, package


def correct(world, segments=None):
    for item in world.queue.list_items(status=[Status.OPEN]):
        if item.finding.kind != Kind.HELD:
            change = Correction(segments or {})
            world.queue.correct(item.id, actor="ana", reason="enabled", change=change, version=item.version)


def attempts(world):
    with world.database.begin() as connection:
        return [row.state for row in connection.execute(select(intent).order_by(intent.c.attempt))]


def test_mended_in_fusion_the_same_lines_are_loaded_under_a_new_group(world, gateway, rejected):
    delivery, package = rejected
    correct(world)
    gateway.model.disabled.clear()
    done = reload(delivery, package.intent.key, "ana", world.rebuild)
    assert done.ok
    assert done.package.intent.attempt == 2
    assert done.package.group_id == "20260915001010102"
    assert {row["line_key"] for row in gateway.model.ledger} == set(
        world.store.read_frame(package.lines)["line_key"]
    )
    assert gateway.model.interface == []
    assert attempts(world) == ["PURGED", "PROVEN"]
    assert world.queue.list_items() == []
    with world.database.begin() as connection:
        assert {row.intent_key for row in connection.execute(select(sent_amount))} == {
            done.package.intent.key
        }


def test_a_remapped_segment_is_what_the_ledger_then_holds(world, gateway, rejected):
    delivery, package = rejected
    correct(world, {"CostCenter": "2120"})
    assert reload(delivery, package.intent.key, "ana", world.rebuild).ok
    held = {row["line_key"]: row["combination"] for row in gateway.model.ledger}
    assert held["101-20260915-01-r1-00004"] == "101-2120-40010-014-010-000"
    with world.database.begin() as connection:
        sent = {row.line_key: row.combination for row in connection.execute(select(sent_amount))}
    assert sent == held


def test_an_uncorrected_rejection_refuses_the_reload(world, gateway, rejected):
    delivery, package = rejected
    gateway.calls.clear()
    with pytest.raises(ReloadRefused, match="not corrected yet"):
        reload(delivery, package.intent.key, "ana", world.rebuild)
    assert not {"purge", "upload"} & set(gateway.calls)
    assert attempts(world) == ["UNPROVEN"]


def test_pressing_twice_is_one_attempt(world, gateway, rejected):
    delivery, package = rejected
    correct(world)
    gateway.model.disabled.clear()
    first = reload(delivery, package.intent.key, "ana", world.rebuild)
    gateway.calls.clear()
    second = reload(delivery, package.intent.key, "ana", world.rebuild)
    assert second.ok
    assert second.package == first.package
    assert not {"purge", "upload", "load", "import"} & set(gateway.calls)
    assert len(attempts(world)) == 2
    with world.database.begin() as connection:
        presses = connection.execute(select(decision).where(decision.c.action == "reload")).all()
    assert len(presses) == 4
    assert {press.attempt for press in presses} == {2}


def test_a_crash_anywhere_in_a_reload_goes_on_with_the_same_attempt(world, gateway, rejected):
    _, package = rejected
    correct(world)
    gateway.model.disabled.clear()
    hooks: list[str] = []
    gateway.hook = hooks.append
    for point in range(1, 60):
        hooks.clear()

        def die(name: str, point: int = point) -> None:
            hooks.append(name)
            if len(hooks) == point:
                raise KeyboardInterrupt

        gateway.hook = die
        try:
            done = reload(world.delivery(gateway), package.intent.key, "ana", world.rebuild)
        except KeyboardInterrupt:
            continue
        break
    assert done.ok
    assert point > 3
    assert attempts(world) == ["PURGED", "PROVEN"]
    assert len(gateway.model.ledger) == 4


def test_still_rejected_the_new_attempt_keeps_its_own_findings_and_a_third_needs_its_own_press(
    world, gateway, rejected
):
    delivery, package = rejected
    correct(world)  # somebody said so, but Fusion was not mended
    done = reload(delivery, package.intent.key, "ana", world.rebuild)
    assert not done.ok
    assert attempts(world) == ["PURGED", "UNPROVEN"]
    kinds = {(item.finding.intent_key[-1], item.status) for item in world.queue.list_items()}
    assert kinds == {("1", Status.RELOADED), ("2", Status.OPEN)}
    assert not reload(delivery, package.intent.key, "ana", world.rebuild).ok  # the old button: nothing new
    assert len(attempts(world)) == 2
    gateway.model.disabled.clear()
    correct(world)
    assert reload(delivery, done.package.intent.key, "ana", world.rebuild).ok
    assert attempts(world) == ["PURGED", "PURGED", "PROVEN"]
    assert world.queue.list_items() == []


def test_other_totals_keys_groups_or_attempts_are_refused_before_anything_is_touched(
    world, gateway, rejected
):
    delivery, package = rejected
    correct(world)
    gateway.calls.clear()
    bad = {
        "differ": lambda old, n, c: world.package(attempt=n, cents=(25001, 18000)),
        "group id": lambda old, n, c: replace(world.package(attempt=n), group_id=old.group_id),
        "next attempt": lambda old, n, c: world.package(attempt=n + 1),
        "line keys": lambda old, n, c: world.build(_renamed(world, old), "101", "01", n, 101),
    }
    for words, rebuild in bad.items():
        with pytest.raises(ReloadRefused, match=words):
            reload(delivery, package.intent.key, "ana", rebuild)
    assert set(gateway.calls) <= {"readback"}
    assert attempts(world) == ["UNPROVEN"]


def test_a_rebuilt_package_passes_the_money_gate_before_the_purge(world, gateway, rejected):
    delivery, package = rejected
    correct(world)

    def tampered(old, attempt, corrections):
        new = world.rebuild(old, attempt, corrections)
        world.store.write_bytes(new.path, b"something else")
        return new

    gateway.calls.clear()
    with pytest.raises(GateRefused):
        reload(delivery, package.intent.key, "ana", tampered)
    assert "purge" not in gateway.calls


def test_a_group_with_lines_in_the_ledger_is_never_reloaded(world, gateway):
    package = world.package()
    delivery = world.delivery(gateway)
    delivery.load([package])
    gateway.model.ledger.append(dict(gateway.model.ledger[0]))
    prove(delivery, [package])
    correct(world)
    with pytest.raises(ReloadRefused, match="post them twice"):
        reload(delivery, package.intent.key, "ana", world.rebuild)


def test_a_load_that_succeeded_or_never_was_is_not_reloaded(world, gateway):
    package = world.package()
    delivery = world.delivery(gateway)
    with pytest.raises(ReloadRefused, match="no load"):
        reload(delivery, package.intent.key, "ana", world.rebuild)
    delivery.load([package])
    prove(delivery, [package])
    with pytest.raises(ReloadRefused, match="PROVEN"):
        reload(delivery, package.intent.key, "ana", world.rebuild)


def test_every_load_request_that_left_rows_is_purged(world, gateway, rejected):
    delivery, package = rejected
    gateway.model.interface += [row | {"load_request_id": "77"} for row in gateway.model.interface]
    correct(world)
    gateway.model.disabled.clear()
    assert reload(delivery, package.intent.key, "ana", world.rebuild).ok
    assert gateway.calls.count("purge") == 2
    assert gateway.model.interface == []


def test_a_purge_that_leaves_its_rows_stops_the_reload_and_nothing_is_sent(
    world, gateway, rejected, monkeypatch
):
    delivery, package = rejected
    correct(world)
    monkeypatch.setattr(type(gateway.model), "_end_purge", lambda model, request: None)
    done = reload(delivery, package.intent.key, "ana", world.rebuild)
    assert not done.ok
    assert "left rows" in done.load.note
    assert gateway.calls.count("upload") == 1
    monkeypatch.undo()
    gateway.model.disabled.clear()
    assert reload(delivery, package.intent.key, "ana", world.rebuild).ok


def test_the_loaders_refusal_is_reloaded_with_mended_rows(world, gateway):
    package = world.package(malformed=(3,))
    delivery = world.delivery(gateway)
    delivery.load([package])
    correct(world)
    done = reload(delivery, package.intent.key, "ana", world.rebuild)
    assert done.ok
    assert delivery.find(package.intent.key).state is State.PURGED
    assert world.queue.list_items() == []


def _renamed(world, old):
    lines = world.store.read_frame(old.lines)
    return lines.with_columns(line_key=lines["line_key"] + "x")
