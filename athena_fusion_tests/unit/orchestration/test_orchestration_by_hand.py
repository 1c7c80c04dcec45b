"""Runs from a terminal: the daemon's jobs on the daemon's instance, and what stopped them in one line."""

from contextlib import nullcontext
from datetime import date, datetime

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from orchestration_world import ZONE, StubNight

from athena_fusion.orchestration import by_hand
from athena_fusion.orchestration.entities import register_entities
from athena_fusion.orchestration.resources import NightResource
from athena_fusion.revenue.night.context import StageRefused

DAY = date(2026, 9, 15)
STAGES = ["extract", "reconcile_source", "transform", "package", "load", "read_back"]


@pytest.fixture
def instance(monkeypatch):
    """What `DAGSTER_HOME` would name, in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(dg.DagsterInstance, "get", lambda: nullcontext(instance))
        yield instance


@pytest.fixture
def night(instance, monkeypatch):
    stub = StubNight()
    monkeypatch.setattr(NightResource, "open", lambda _: stub)
    with freeze_time(datetime(2026, 9, 16, 8, tzinfo=ZONE)):
        yield stub


def test_whole_night_of_each_entity(night, instance):
    reports = by_hand.run_nights(DAY, ["101", "102"], workers=1)
    assert [(report.unit, report.success, report.stopped_by) for report in reports] == [
        ("101", True, ""),
        ("102", True, ""),
    ]
    assert [stage for stage, unit, day in night.calls if (unit, day) == ("102", DAY)] == STAGES
    runs = {run.run_id: (run.job_name, run.tags["dagster/partition"]) for run in instance.get_runs()}
    assert runs == {report.run_id: ("nightly", f"{DAY}|{report.unit}") for report in reports}


def test_what_stopped_a_night_is_said_and_holds_no_other(night):
    night.failing.add(("reconcile_source", "101", "t1_activity_totals"))
    night.raising["reconcile_source", "102"] = StageRefused(
        "entity 102: no report has come; nothing was done"
    )
    night.raising["extract", "103"] = KeyError("a fault of the program")
    reports = by_hand.run_nights(DAY, workers=1)
    assert [(report.success, report.stopped_by) for report in reports] == [
        (False, "t1_activity_totals: t1_activity_totals said so"),
        (False, "entity 102: no report has come; nothing was done"),
        (False, "KeyError: 'a fault of the program'"),
    ]


def test_reload_and_evidence(night, instance):
    register_entities(instance)
    assert by_hand.run_reload(DAY, "101").success
    assert by_hand.run_evidence(DAY).success
    assert [(stage, unit) for stage, unit, _ in night.calls] == [
        ("load", "101"),
        ("read_back", "101"),
        ("reconcile_ledger", "day"),
        ("issue_evidence", "day"),
    ]
