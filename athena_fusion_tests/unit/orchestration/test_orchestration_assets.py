"""Each asset is a binding: it calls one stage for its partition and shows what the stage says."""

from datetime import date

import dagster as dg
import pytest
from orchestration_world import STAGES, World, checks_of, key, unit_of

from athena_fusion.orchestration.assets.binding import run_stage
from athena_fusion.orchestration.metadata import markdown_table
from athena_fusion.orchestration.partitions import NightKey, closed_day, night_key
from athena_fusion.revenue.night import RevenueNight
from athena_fusion.revenue.night.context import StageRefused
from athena_fusion.runtime import PLATFORM_ERRORS

DAY = date(2026, 9, 15)
NIGHT = date(2026, 9, 16)
ENTITY = f"{DAY}|101"
PARTITIONS = dict.fromkeys(STAGES, ENTITY) | dict.fromkeys(["reconcile_ledger", "issue_evidence"], str(DAY))


@pytest.fixture(scope="module")
def world():
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance)


@pytest.fixture(autouse=True)
def at_night(world):
    world.night.failing.clear()
    world.night.raising.clear()
    world.night.calls.clear()
    world.night.run_ids.clear()
    with world.at(NIGHT, "05:30"):
        yield


def evaluations(world, run):
    """check name -> evaluation, of one run."""
    records = world.instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    found = [record.event_log_entry.asset_check_evaluation for record in records]
    return {evaluation.check_name: evaluation for evaluation in found}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_shown_with_its_figures(world, stage):
    assert callable(getattr(RevenueNight, stage))  # the stub answers for a stage that the flow has
    partition = PARTITIONS[stage]
    run = world.run([STAGES[stage]], partition)
    assert run.success
    assert world.night.calls == [(stage, unit_of(partition), DAY)]
    assert world.night.run_ids == [run.run_id]  # the manifest names the run

    (made,) = world.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key(STAGES[stage]), asset_partitions=[partition]), limit=1
    ).records
    shown = made.asset_materialization
    assert shown.partition == partition
    manifest = f"{1:064x}"
    # Dagster is the second witness of the signed manifest
    assert shown.tags["dagster/data_version"] == manifest
    figures = {name: value.value for name, value in shown.metadata.items()}
    assert figures["manifest_sha256"] == manifest
    assert figures["manifest"] == f"evidence/{DAY}/{unit_of(partition)}/{stage}.json"
    assert (figures["dagster/row_count"], figures["debits"]) == (7, "10.00")
    assert (figures["window"], figures["quarantined"]) == ("w", 3)  # a count is plotted, so it is a number
    assert figures["preview"] == "| a |\n|---|\n| b\\|c |"

    found = evaluations(world, run)
    assert {name: (check.partition, check.passed) for name, check in found.items()} == dict.fromkeys(
        checks_of(STAGES[stage]), (partition, True)
    )
    assert all(check.description == f"{name} said so" for name, check in found.items())
    assert all({"difference"} < set(check.metadata) for check in found.values())


@pytest.mark.parametrize(
    ("stage", "name", "blocking"),
    [
        (stage, name, blocking)
        for stage, asset in STAGES.items()
        for name, blocking in sorted(checks_of(asset).items())
    ],
)
def test_failed_check_stops_its_run_if_and_only_if_it_protects_money(world, stage, name, blocking):
    partition = PARTITIONS[stage]
    world.night.failing.add((stage, unit_of(partition), name))
    run = world.run([STAGES[stage]], partition)
    check = evaluations(world, run)[name]
    assert (check.passed, check.blocking, check.partition) == (False, blocking, partition)
    assert (check.severity == dg.AssetCheckSeverity.ERROR) is blocking
    assert run.success is not blocking
    assert world.materialised(STAGES[stage], partition)  # what was found stays to be looked at


def test_blocking_check_skips_what_follows_in_the_run(world):
    world.night.failing.add(("transform", "101", "t9_events_equal_lines"))
    run = world.run(["journal_lines", "journal_fbdi", "journal_load"], ENTITY)
    assert not run.success
    assert [stage for stage, *_ in world.night.calls] == ["transform"]


@pytest.mark.parametrize("stage", ["extract", "issue_evidence"])
def test_error_of_the_platform_is_a_failure_in_its_own_words_and_is_not_tried_again(world, stage):
    partition = PARTITIONS[stage]
    words = "entity 101, 2026-09-15: stage extract has not finished; nothing was done"
    world.night.raising[stage, unit_of(partition)] = StageRefused(words)
    run = world.run([STAGES[stage]], partition)
    assert not run.success
    assert len(world.night.calls) == 1
    (failed,) = [event for event in run.all_events if event.is_step_failure]
    data = failed.step_failure_data
    assert data.user_failure_data.description == words
    assert data.error.cls_name == "Failure"
    assert data.error.message == f"dagster._core.definitions.events.Failure: {words}\n"


def test_failure_forbids_retries():
    def work():
        raise StageRefused("nothing was done")

    with pytest.raises(dg.Failure) as caught:
        run_stage(work)
    assert caught.value.allow_retries is False


def test_fault_of_the_program_is_not_dressed_up(world):
    world.night.raising["extract", "101"] = KeyError("a fault")
    run = world.run(["rcm_transactions"], ENTITY)
    (failed,) = [event for event in run.all_events if event.is_step_failure]
    assert failed.step_failure_data.error.cause.cls_name == "KeyError"
    assert failed.step_failure_data.user_failure_data is None


def test_platform_errors_are_our_own():
    for error in PLATFORM_ERRORS:
        assert error.__module__.startswith("athena_fusion."), error
        assert error not in (Exception, ValueError, RuntimeError, KeyError, LookupError)


def test_partition_keys():
    assert night_key("2026-09-15|101") == NightKey(DAY, "101")
    assert night_key(dg.MultiPartitionKey({"batch_date": "2026-09-15", "billing_entity": "101"})) == NightKey(
        DAY, "101"
    )
    assert night_key("2026-09-15") == NightKey(DAY, "")
    assert str(NightKey(DAY, "101")) == "2026-09-15|101"
    assert closed_day(NIGHT) == DAY


def test_long_preview_is_cut_and_says_so():
    rows = [{"n": str(number)} for number in range(30)]
    lines = markdown_table(rows).splitlines()
    assert lines[-1] == "and 5 more"
    assert lines[-3] == "| 24 |"
    assert markdown_table(rows[:25]).splitlines()[-1] == "| 24 |"
