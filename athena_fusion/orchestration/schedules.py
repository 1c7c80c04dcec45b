"""Clock jobs: extraction from 02:00 on, as soon as the night's delivery is there; 06:00 evidence whatever happened."""

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg

from athena_fusion.athenaone.arrivals import arrivals, covering, day_end
from athena_fusion.clock import iso_z
from athena_fusion.orchestration.assets import extraction
from athena_fusion.orchestration.cadence import CADENCE, cron, every_quarter_hour
from athena_fusion.orchestration.entities import register_entities
from athena_fusion.orchestration.jobs import EVIDENCE, EXTRACTION
from athena_fusion.orchestration.partitions import NIGHT, NightKey, closed_day
from athena_fusion.tenant.loader import default_tenant_dir, load_settings


@dg.schedule(
    job=EXTRACTION,
    cron_schedule=every_quarter_hour(CADENCE.extraction, CADENCE.evidence),
    execution_timezone=CADENCE.zone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Extraction of the closed business day, one run per billing entity, once its delivery is complete.",
)
def nightly_extraction(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """One run per entity and day; entities added to the tenant since the last look are registered first.

    A delivery that comes late costs minutes, not the night. What has run, failed or is running is a person's or
    the run's own matter and is not started again: a schedule's run keys hold within one tick only, so the
    partitions themselves are asked.
    """
    day = _business_day(context)
    if day < CADENCE.first_batch_date:
        return _before_first_night(day)
    waits_for = _delivery_missing(day)
    if waits_for:
        return dg.SkipReason(waits_for)
    keys = [str(NightKey(day, entity)) for entity in register_entities(context.instance, day)]
    status = context.instance.get_status_by_partition(dg.AssetKey(extraction.KEY), keys, NIGHT) or {}
    fresh = [key for key in keys if status.get(key) is None]
    if not fresh:
        return dg.SkipReason(f"the extraction of every billing entity for {day} has been started")
    return [dg.RunRequest(run_key=f"extraction-{key}", partition_key=key) for key in fresh]


@dg.schedule(
    job=EVIDENCE,
    cron_schedule=cron(CADENCE.evidence),
    execution_timezone=CADENCE.zone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The evidence pack of the closed business day, complete or marked incomplete.",
)
def morning_evidence(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """06:00 whatever happened."""
    day = _business_day(context)
    if day < CADENCE.first_batch_date:
        return _before_first_night(day)
    return dg.RunRequest(run_key=f"evidence-{day}", partition_key=day.isoformat())


def _business_day(context: dg.ScheduleEvaluationContext) -> date:
    """The day that the night of this tick closes, in the tenant's zone."""
    return closed_day(context.scheduled_execution_time.astimezone(ZoneInfo(CADENCE.zone)).date())


def _before_first_night(day: date) -> dg.SkipReason:
    return dg.SkipReason(
        f"{day} lies before {CADENCE.first_batch_date}, the first business day of the tenant"
    )


def _delivery_missing(day: date) -> str:
    """Why the extraction cannot start yet, in words; blank when a complete delivery covers `day`."""
    found = arrivals(Path(load_settings(default_tenant_dir()).athenaone.dataview))
    if covering(found, day, CADENCE.zone):
        return ""
    newest = f"the newest is as of {iso_z(found[-1].as_of)}" if found else "none has come yet"
    return f"no complete Data View delivery covers {day} (as of {iso_z(day_end(day, CADENCE.zone))} or later): {newest}"
