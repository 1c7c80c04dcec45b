"""Clock jobs: 02:00 extraction of every entity, 06:00 evidence whatever happened."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import dagster as dg

from athena_fusion.orchestration.cadence import CADENCE, cron
from athena_fusion.orchestration.entities import register_entities
from athena_fusion.orchestration.jobs import EVIDENCE, EXTRACTION
from athena_fusion.orchestration.partitions import NightKey, closed_day


def _night(context: dg.ScheduleEvaluationContext) -> NightKey:
    local = context.scheduled_execution_time.astimezone(ZoneInfo(CADENCE.zone)).date()
    return NightKey(closed_day(local), "")


@dg.schedule(
    job=EXTRACTION,
    cron_schedule=cron(CADENCE.extraction),
    execution_timezone=CADENCE.zone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Extraction of the closed business day, one run per billing entity.",
)
def nightly_extraction(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """One run per entity; entities added to the tenant since yesterday are registered first."""
    day = _night(context).batch_date
    for entity in register_entities(context.instance):
        key = str(NightKey(day, entity))
        yield dg.RunRequest(run_key=f"extraction-{key}", partition_key=key)


@dg.schedule(
    job=EVIDENCE,
    cron_schedule=cron(CADENCE.evidence),
    execution_timezone=CADENCE.zone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The evidence pack of the closed business day, complete or marked incomplete.",
)
def morning_evidence(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """06:00 whatever happened."""
    day = _night(context).batch_date.isoformat()
    return dg.RunRequest(run_key=f"evidence-{day}", partition_key=day)
