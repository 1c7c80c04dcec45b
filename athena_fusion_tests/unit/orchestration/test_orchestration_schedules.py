"""Clock jobs: which ticks a night has, and what each asks for."""

from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from orchestration_world import ZONE, World, schedule_times

from athena_fusion.athenaone.arrivals import DataViewError
from athena_fusion.definitions import defs
from athena_fusion.orchestration.cadence import every_quarter_hour
from athena_fusion.orchestration.entities import register_entities
from athena_fusion.orchestration.schedules import morning_evidence, nightly_extraction
from athena_fusion.tenant.loader import default_tenant_dir

# Dagster warns of the tag keys that it gives to runs of two-dimensional partitions itself.
pytestmark = pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")

DAY = date(2026, 9, 15)
NIGHT = date(2026, 9, 16)
COVERS = "20260916T053000Z"
"""01:30 in New York: the business day is over."""


@pytest.fixture
def world(tmp_path):
    with dg.DagsterInstance.local_temp(
        str(tmp_path)
    ) as instance:  # a schedule opens its instance by reference
        yield World(instance, entities=())


@pytest.fixture
def dataview(tmp_path, monkeypatch) -> Path:
    """The delivery folder of the shipped tenant, empty."""
    monkeypatch.setenv("ATHENA_FUSION_HOME", str(tmp_path))
    folder = tmp_path / "sandbox" / "dataview"
    folder.mkdir(parents=True)
    return folder


def deliver(dataview, name, complete=True):
    (dataview / name).mkdir()
    if complete:
        (dataview / name / "control.csv").write_text("file,rows,sha256\n")


def tick(schedule, world, at):
    """What the daemon gets from one tick: run requests with their partitions resolved, or the reason for none."""
    with (
        world.at(at.astimezone(ZONE).date(), f"{at.astimezone(ZONE):%H:%M:%S}"),
        dg.build_schedule_context(
            instance=world.instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
        ) as context,
    ):
        said = schedule.evaluate_tick(context)
    return [request.partition_key for request in said.run_requests or ()], said.skip_message


@pytest.mark.parametrize(
    ("night", "first"),
    [(NIGHT, "02:00-0400"), (date(2027, 3, 14), "03:00-0400"), (date(2026, 11, 1), "02:00-0500")],
)
def test_ticks_of_a_night(night, first):
    looks = [f"{at.astimezone(ZONE):%H:%M%z}" for at in schedule_times(nightly_extraction, night)]
    assert looks[0] == first
    assert looks[-1].startswith("05:45")
    assert len(looks) == len(set(looks)) == (6 - int(first[1])) * 4
    assert [f"{at.astimezone(ZONE):%H:%M}" for at in schedule_times(morning_evidence, night)] == ["06:00"]


def test_looks_begin_at_the_extraction_time_whatever_its_minute():
    assert every_quarter_hour("22:40", "23:30") == ["40,55 22 * * *", "10,25 23 * * *"]
    assert every_quarter_hour("02:00", "03:00") == ["0,15,30,45 2 * * *"]


@pytest.mark.parametrize("night", [NIGHT, date(2027, 3, 14), date(2026, 11, 1)])
def test_every_entity_once_on_its_business_day(world, dataview, night):
    deliver(dataview, f"{night:%Y%m%d}T053000Z")
    day = night - timedelta(days=1)
    first, *_ = schedule_times(nightly_extraction, night)
    assert world.instance.get_dynamic_partitions("billing_entity") == []
    keys, _ = tick(nightly_extraction, world, first)
    assert keys == [f"{day}|{entity}" for entity in ("101", "102", "103")]
    assert sorted(world.instance.get_dynamic_partitions("billing_entity")) == ["101", "102", "103"]


def test_run_keys_and_tags(world, dataview):
    deliver(dataview, COVERS)
    at = schedule_times(nightly_extraction, NIGHT)[0]
    with (
        world.at(NIGHT, "02:00"),
        dg.build_schedule_context(
            instance=world.instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
        ) as context,
    ):
        request = nightly_extraction.evaluate_tick(context).run_requests[0]
    assert request.run_key == "extraction-2026-09-15|101"
    # dagster.yaml limits runs by this tag: the days of one entity never run side by side
    assert request.tags["dagster/partition/billing_entity"] == "101"
    assert request.tags["dagster/partition/batch_date"] == "2026-09-15"


def test_waits_for_a_complete_delivery_that_covers_the_day(world, dataview):
    looks = iter(schedule_times(nightly_extraction, NIGHT))
    assert tick(nightly_extraction, world, next(looks)) == (
        [],
        "no complete Data View delivery covers 2026-09-15 (as of 2026-09-16T04:00:00Z or later): none has come yet",
    )
    deliver(dataview, "20260916T035959Z")  # a second before the day ended
    _, reason = tick(nightly_extraction, world, next(looks))
    assert reason.endswith("the newest is as of 2026-09-16T03:59:59Z")
    deliver(dataview, COVERS, complete=False)
    assert tick(nightly_extraction, world, next(looks))[0] == []
    (dataview / COVERS / "control.csv").write_text("file,rows,sha256\n")
    assert len(tick(nightly_extraction, world, next(looks))[0]) == 3


def test_folder_that_is_not_there_is_a_failed_tick(world, dataview):
    dataview.rmdir()
    with pytest.raises(dg.DagsterUserCodeExecutionError) as caught:
        tick(nightly_extraction, world, schedule_times(nightly_extraction, NIGHT)[0])
    assert isinstance(caught.value.__cause__, DataViewError)


def test_what_failed_or_ran_by_hand_is_not_started_again(world, dataview):
    deliver(dataview, COVERS)
    register_entities(world.instance)
    world.night.raising["extract", "101"] = KeyError("a fault of the program")
    with world.at(NIGHT, "02:01"):
        assert not world.run(["rcm_transactions"], f"{DAY}|101").success
        assert world.run(["rcm_transactions", "source_totals"], f"{DAY}|102").success
    _, second, third, *_ = schedule_times(nightly_extraction, NIGHT)
    assert tick(nightly_extraction, world, second)[0] == [f"{DAY}|103"]
    with world.at(NIGHT, "02:16"):
        assert world.run(["rcm_transactions"], f"{DAY}|103").success
    assert tick(nightly_extraction, world, third) == (
        [],
        f"the extraction of every billing entity for {DAY} has been started",
    )


def test_what_is_running_is_not_started_again(world, dataview):
    deliver(dataview, COVERS)
    register_entities(world.instance)
    seen = []
    looks = schedule_times(nightly_extraction, NIGHT)
    world.night.meanwhile["extract"] = lambda: seen.extend(tick(nightly_extraction, world, looks[1])[0])
    with world.at(NIGHT, "02:14"):
        assert world.run(["rcm_transactions"], f"{DAY}|101").success
    assert seen == [f"{DAY}|102", f"{DAY}|103"]


def test_entity_added_during_the_night_and_one_whose_days_are_over(world, dataview, tmp_path, monkeypatch):
    tenant = tmp_path / "tenant"
    tenant.mkdir()
    for name in ("tenant.yaml", "billing_entities.csv"):
        (tenant / name).write_bytes((default_tenant_dir() / name).read_bytes())
    monkeypatch.setenv("ATHENA_FUSION_TENANT", str(tenant))
    table = tenant / "billing_entities.csv"
    rows = table.read_text().splitlines()
    rows[3] = rows[3] + "2026-09-14"  # 103 has had its last day
    table.write_text("\n".join(rows) + "\n")
    deliver(dataview, COVERS)
    looks = schedule_times(nightly_extraction, NIGHT)
    keys, _ = tick(nightly_extraction, world, looks[0])
    assert keys == [f"{DAY}|101", f"{DAY}|102"]
    assert "103" in world.instance.get_dynamic_partitions("billing_entity")  # its past stays visible
    with world.at(NIGHT, "02:01"):
        for key in keys:
            world.run(["rcm_transactions"], key)
    table.write_text(table.read_text() + rows[1].replace("101", "104").replace("104,1,", "104,4,") + "\n")
    assert tick(nightly_extraction, world, looks[1])[0] == [f"{DAY}|104"]


def test_evidence_is_asked_for_whatever_happened(world):
    for night in (NIGHT, date(2027, 3, 14), date(2026, 11, 1)):
        (at,) = schedule_times(morning_evidence, night)
        assert tick(morning_evidence, world, at) == ([str(night - timedelta(days=1))], None)


def test_evidence_with_nothing_extracted(world):
    with world.at(NIGHT, "06:00"):
        assert world.evidence(DAY)
    assert [stage for stage, *_ in world.night.calls] == ["reconcile_ledger", "issue_evidence"]


@pytest.mark.parametrize("schedule", [nightly_extraction, morning_evidence])
def test_nothing_before_the_first_night(world, dataview, schedule):
    deliver(dataview, "20260915T053000Z")
    keys, reason = tick(schedule, world, schedule_times(schedule, DAY)[0])
    assert keys == []
    assert reason == "2026-09-14 lies before 2026-09-15, the first business day of the tenant"
