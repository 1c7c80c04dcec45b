"""Runs started by a person from a terminal: same jobs, same instance, same events as the daemon's runs.

Each entity is one run; `workers` processes share them, as the daemon's run limit would.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from athena_fusion.orchestration.cadence import CADENCE
from athena_fusion.orchestration.entities import register_entities
from athena_fusion.orchestration.nightly import FLOW
from athena_fusion.orchestration.partitions import NightKey, closed_day
from athena_fusion.runtime import NoSuchNight

# The events are in the instance; the terminal gets our own summary.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunReport:
    """How a run ended: the unit (an entity, or the day), its run id, and what stopped it in words."""

    unit: str
    run_id: str
    success: bool
    stopped_by: str


def run_nights(day: date, entities: Sequence[str] | None = None, workers: int = 2) -> list[RunReport]:
    """The `nightly` job of every entity; one that fails never holds the others.

    Raises `NoSuchNight` for a day or an entity that there is no night for.
    """
    _require_closed(day)
    with dg.DagsterInstance.get() as instance:
        known = register_entities(instance, day)
    chosen = list(entities) if entities else known
    unknown = sorted(set(chosen) - set(known))
    if unknown or not chosen:
        raise NoSuchNight(
            f"the tenant has no billing entity {', '.join(unknown) or 'at all'} on {day}; nothing was run. "
            f"It has: {', '.join(known) or 'none'}."
        )
    tasks = [("nightly", str(NightKey(day, entity)), entity) for entity in chosen]
    if workers == 1 or len(tasks) == 1:
        return [_run(*task) for task in tasks]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=min(workers, len(tasks)), mp_context=context) as pool:
        return list(pool.map(_run, *zip(*tasks, strict=True)))


def run_reload(day: date, entity: str) -> RunReport:
    """Load and read back again: what was reloaded is verified and shown on the assets."""
    return _run("reload", str(NightKey(day, entity)), entity)


def run_evidence(day: date) -> RunReport:
    """The day's ledger reconciliation and evidence pack. Raises `NoSuchNight`."""
    _require_closed(day)
    return _run("evidence", day.isoformat(), "day")


def _require_closed(day: date) -> None:
    last = closed_day(datetime.now(ZoneInfo(CADENCE.zone)).date())
    if not CADENCE.first_batch_date <= day <= last:
        raise NoSuchNight(
            f"there is no night for {day}; nothing was run. Nights are from {CADENCE.first_batch_date} to {last}, the "
            "last business day that is over."
        )


def _run(job: str, partition_key: str, unit: str) -> RunReport:
    with dg.DagsterInstance.get() as instance:
        result = FLOW.resolve_job_def(job).execute_in_process(
            partition_key=partition_key, instance=instance, raise_on_error=False, run_config=_QUIET
        )
        return RunReport(unit, result.run_id, result.success, _stopped_by(result))


def _stopped_by(result: dg.ExecuteInProcessResult) -> str:
    """The first failed blocking check, or the failure's own words."""
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if evaluation.blocking and not evaluation.passed:
                return f"{evaluation.check_name}: {evaluation.description}"
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data is not None and failure.user_failure_data.description:
                return failure.user_failure_data.description
            if failure.error is not None:  # a fault of the program, under Dagster's own wrapping
                return (failure.error.cause or failure.error).message.strip()
    return "" if result.success else "the run failed; see its log in Dagster"
