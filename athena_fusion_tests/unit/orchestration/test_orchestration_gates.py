"""The gates walked through nights: what starts when, for which entity, and what never starts twice."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from orchestration_world import CHAIN, ZONE, World

DAY = date(2026, 9, 15)
"""The business day; its night is the morning after."""
NIGHT = date(2026, 9, 16)

QUIET = ("01:55", "02:01")
MORNING = ("03:01", "04:01", "05:01", "05:31")

RECONCILE, TRANSFORM, LOAD = CHAIN[:1], CHAIN[1:3], CHAIN[3:]
REISSUE = ["ledger_reconciliation", "evidence_pack"]


@pytest.fixture
def world():
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance)


def extract(world, at, *entities):
    with world.at(NIGHT, at):
        assert [world.extract(DAY, entity) for entity in entities] == [True] * len(entities)


def made(world, entity):
    """How often each stage behind a gate was made."""
    return [world.materialised(asset, f"{DAY}|{entity}") for asset in CHAIN]


def evidence_at_six(world):
    with world.at(NIGHT, "06:00:05"):
        assert world.evidence(DAY)


def test_normal_night(world):
    assert world.ticks(NIGHT, *QUIET) == {}
    extract(world, "02:05", "101", "102")
    assert world.ticks(NIGHT, "02:10", "02:59", "03:01", "03:31", "04:01", "04:31", "05:01", "05:31") == {
        "03:01": {"101": RECONCILE, "102": RECONCILE},
        "04:01": {"101": TRANSFORM, "102": TRANSFORM},
        "05:01": {"101": LOAD, "102": LOAD},
    }
    evidence_at_six(world)
    assert world.ticks(NIGHT, "06:01", "12:00", "23:50") == {}
    tomorrow = NIGHT + timedelta(days=1)  # waits for an extract of its own
    assert world.ticks(tomorrow, *QUIET, *MORNING, "06:01") == {}


def test_late_extract_goes_through_its_stages_at_once(world):
    world.ticks(NIGHT, *QUIET)
    extract(world, "02:05", "101")
    said = world.ticks(NIGHT, "03:01", "04:01", "05:01")
    assert {unit for asked in said.values() for unit in asked} == {"101"}
    extract(world, "05:20", "102")
    assert world.ticks(NIGHT, "05:31", "05:45") == {"05:31": {"102": CHAIN}}
    assert world.night.calls.count(("load", "102", DAY)) == 1


def test_nothing_starts_without_an_extract(world):
    assert world.ticks(NIGHT, *QUIET, *MORNING, "06:01", "09:00") == {}


@pytest.mark.parametrize(
    ("stage", "check", "held_from"),
    [("extract", "rows_accounted", 0), ("reconcile_source", "t1_activity_totals", 1)],
)
def test_failed_blocking_check_holds_its_entity_and_no_other(world, stage, check, held_from):
    world.ticks(NIGHT, *QUIET)
    world.night.failing.add((stage, "101", check))
    with world.at(NIGHT, "02:05"):
        assert world.extract(DAY, "101") is (stage != "extract")
        assert world.extract(DAY, "102")
    world.ticks(NIGHT, *MORNING)
    assert made(world, "101") == [1] * held_from + [0] * (len(CHAIN) - held_from)
    assert made(world, "102") == [1] * len(CHAIN)
    evidence_at_six(world)
    assert world.ticks(NIGHT, "06:01") == {}
    assert world.materialised("evidence_pack", str(DAY)) == 1

    world.night.failing.clear()  # the cause is mended; a person runs the failed stage again
    with world.at(NIGHT, "07:00"):
        assert world.run([["rcm_transactions", *CHAIN][held_from]], f"{DAY}|101").success
    assert world.ticks(NIGHT, "07:05", "07:06", "07:07") == {
        "07:05": {"101": CHAIN[held_from:]},
        "07:06": {"day": REISSUE},
    }
    assert made(world, "102") == [1] * len(CHAIN)
    assert world.materialised("evidence_pack", str(DAY)) == 2  # with the late entity


def test_check_that_fails_inside_a_run_of_two_stages_stops_the_second(world):
    world.ticks(NIGHT, *QUIET)
    world.night.failing.add(("transform", "101", "t9_events_equal_lines"))
    extract(world, "02:05", "101", "102")
    world.ticks(NIGHT, *MORNING)
    assert (made(world, "101"), made(world, "102")) == ([1, 1, 0, 0, 0], [1] * len(CHAIN))

    world.night.failing.clear()  # both stages of that run are the person's to run again; the gates do the rest
    with world.at(NIGHT, "05:30"):
        assert world.run(TRANSFORM, f"{DAY}|101").success
    assert world.ticks(NIGHT, "05:31", "05:32") == {"05:31": {"101": LOAD}}


def test_failed_check_that_does_not_block_holds_nobody(world):
    world.ticks(NIGHT, *QUIET)
    world.night.failing |= {
        ("extract", "101", "nothing_quarantined"),
        ("transform", "101", "everything_mapped"),
    }
    extract(world, "02:05", "101", "102")
    world.ticks(NIGHT, *MORNING)
    assert made(world, "101") == [1] * len(CHAIN)


def test_check_that_passed_and_then_failed_holds(world):
    """The newest evaluation decides, also when the gates have seen the older one."""
    world.ticks(NIGHT, *QUIET)
    extract(world, "02:05", "101", "102")
    world.ticks(NIGHT, "02:10")
    world.night.failing.add(("extract", "101", "rows_accounted"))
    with world.at(NIGHT, "02:20"):
        assert not world.extract(DAY, "101")
    assert world.ticks(NIGHT, "02:25", "03:01") == {"03:01": {"102": RECONCILE}}


def test_daemon_down_from_0230_to_0540(world):
    world.ticks(NIGHT, *QUIET)
    extract(world, "02:05", "101", "102")
    world.ticks(NIGHT, "02:10", "02:29")
    assert world.ticks(NIGHT, "05:40", "05:41", "05:50") == {"05:40": {"101": CHAIN, "102": CHAIN}}
    evidence_at_six(world)
    assert world.ticks(NIGHT, "06:01", "06:30") == {}


def test_daemon_down_until_after_the_evidence(world):
    """The pack of 06:00, which the schedule makes up for, lacks the entities; they land, and it is issued again."""
    world.ticks(NIGHT, *QUIET)
    extract(world, "02:05", "101")
    with world.at(NIGHT, "07:40"):
        assert world.evidence(DAY)
    assert world.ticks(NIGHT, "07:41", "07:42", "07:43") == {
        "07:41": {"101": CHAIN},
        "07:42": {"day": REISSUE},
    }


@pytest.mark.parametrize(
    ("night", "first"),
    [
        (date(2027, 3, 14), datetime(2027, 3, 14, 7, 0, 20, tzinfo=UTC)),  # 02:00 does not exist: 03:00:20
        (date(2026, 11, 1), datetime(2026, 11, 1, 7, 0, 20, tzinfo=UTC)),  # 01:00 comes twice: 02:00:20
    ],
)
def test_clock_changes(world, night, first):
    """Every half hour of real time from before midnight of the longer night on, each stage once, in order."""
    for half_hours in range(-6, 9):
        world.now = (first + timedelta(seconds=10, minutes=30 * half_hours)).astimezone(ZONE)
        if half_hours == 0:
            with freeze_time(first):
                assert world.extract(night - timedelta(days=1), "101")
        with freeze_time(world.now):
            world.tick()
    assert world.asked == [
        ("03:00", "101", "source_totals"),
        ("04:00", "101", "journal_lines journal_fbdi"),
        ("05:00", "101", "journal_load journal_readback"),
    ]


def test_upstream_made_again_after_downstream_finished_starts_nothing(world):
    world.ticks(NIGHT, *QUIET)
    extract(world, "02:05", "101", "102")
    world.ticks(NIGHT, *MORNING)
    for at, asset in (("05:40", "rcm_transactions"), ("05:42", "source_totals"), ("05:44", "journal_lines")):
        with world.at(NIGHT, at):
            assert world.run([asset], f"{DAY}|101").success
        assert world.ticks(NIGHT, f"{at[:-1]}{int(at[-1]) + 1}") == {}


def test_day_that_is_no_longer_the_latest_is_a_matter_for_people(world):
    world.ticks(NIGHT, *QUIET)
    world.night.failing.add(("extract", "101", "rows_accounted"))
    with world.at(NIGHT, "02:05"):
        assert not world.extract(DAY, "101")
    world.ticks(NIGHT, *MORNING)
    world.night.failing.clear()
    tomorrow = NIGHT + timedelta(days=1)
    world.ticks(tomorrow, *QUIET)
    with world.at(tomorrow, "03:30"):
        assert world.extract(DAY, "101")
    assert world.ticks(tomorrow, "03:31", "04:01", "05:01", "06:01") == {}


def test_failed_run_is_not_started_again(world):
    world.ticks(NIGHT, *QUIET)
    extract(world, "02:05", "101")
    world.night.raising["reconcile_source", "101"] = KeyError("a fault of the program")
    assert world.ticks(NIGHT, "03:01", "03:11", "03:21", "04:01", "05:01") == {"03:01": {"101": RECONCILE}}


def test_late_entity_reissues_ledger_and_pack_in_one_run_and_once(world):
    world.ticks(NIGHT, *QUIET)
    extract(world, "02:05", "101")
    world.ticks(NIGHT, *MORNING)
    evidence_at_six(world)
    world.ticks(NIGHT, "06:01")
    extract(world, "07:00", "102")
    said = world.ticks(NIGHT, "07:01", "07:02", "07:03", "07:04")
    assert said == {"07:01": {"102": CHAIN}, "07:02": {"day": REISSUE}}


def readback(world, entity):
    """The read-back of a late entity lands."""
    world.instance.report_runless_asset_event(
        dg.AssetMaterialization(["load", "journal_readback"], partition=f"{DAY}|{entity}")
    )


def test_entity_that_lands_before_six_is_left_to_the_schedule(world):
    world.ticks(NIGHT, *QUIET)
    with world.at(NIGHT, "05:50"):
        readback(world, "101")
    assert world.ticks(NIGHT, "05:51", "05:59", "06:01", "06:02") == {}


def test_entities_that_land_in_consecutive_looks_are_both_in_a_pack(world):
    world.ticks(NIGHT, *QUIET, "06:01")
    with world.at(NIGHT, "07:00:10"):
        readback(world, "101")
    first = world.ticks(NIGHT, "07:00:30")
    with world.at(NIGHT, "07:00:50"):
        readback(world, "102")
    assert (first, world.ticks(NIGHT, "07:01", "07:01:30")) == (
        {"07:00:30": {"day": REISSUE}},
        {"07:01": {"day": REISSUE}},
    )


@pytest.mark.parametrize(
    ("at_work", "asked_meanwhile", "asked_after"),
    [("reconcile_ledger", {}, REISSUE), ("issue_evidence", {"day": REISSUE[:1]}, REISSUE[1:])],
)
def test_entity_that_lands_while_a_pack_is_made_is_in_the_next(world, at_work, asked_meanwhile, asked_after):
    """The stage that is at work is asked for again when it has ended; the one that has ended, at once."""
    world.ticks(NIGHT, *QUIET, "06:01")
    with world.at(NIGHT, "07:00:10"):
        readback(world, "101")
    seen = []

    def lands():
        with world.at(NIGHT, "07:00:40"):
            readback(world, "102")
        with world.at(NIGHT, "07:01"):
            seen.append(world.tick())

    world.night.meanwhile[at_work] = lands
    said = world.ticks(NIGHT, "07:00:30", "07:01:30", "07:02", "07:02:30")
    assert seen == [asked_meanwhile]
    assert said == {"07:00:30": {"day": REISSUE}, "07:01:30": {"day": asked_after}}


def test_pack_under_way_from_the_schedule_counts_too(world):
    """An entity lands while the 06:00 run is at work: nothing asked for a pack yet, and still it is issued again."""
    world.ticks(NIGHT, *QUIET, "05:59:50")

    def lands():
        with world.at(NIGHT, "06:00:20"):
            readback(world, "101")
        with world.at(NIGHT, "06:00:30"):
            assert world.tick() == {}

    world.night.meanwhile["reconcile_ledger"] = lands
    evidence_at_six(world)
    assert world.ticks(NIGHT, "06:01", "06:01:30", "06:02") == {"06:01": {"day": REISSUE}}
