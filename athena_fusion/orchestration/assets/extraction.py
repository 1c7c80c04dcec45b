"""02:00: the day's charges, payments and adjustments of one billing entity, exactly as athenaOne holds them."""

import dagster as dg

from athena_fusion.orchestration.assets.binding import INTEGRATION, Check, check_specs, run_stage
from athena_fusion.orchestration.partitions import NIGHT, night_key
from athena_fusion.orchestration.resources import NightResource

KEY = ["extraction", "rcm_transactions"]


@dg.asset(
    key=KEY,
    group_name="extraction",
    partitions_def=NIGHT,
    owners=[INTEGRATION],
    kinds={"athenahealth", "csv", "parquet"},
    check_specs=check_specs(
        KEY,
        [
            Check("rows_accounted", "Every row delivered for the entity is either canonical or quarantined."),
            Check("nothing_quarantined", "No row needs a person.", blocking=False),
        ],
    ),
)
def rcm_transactions(context: dg.AssetExecutionContext, night: NightResource) -> dg.MaterializeResult:
    """Canonical RCM transactions of the entity's change window, with the raw bytes kept.

    The first run freezes the window (watermark to cut-off) in its signed manifest; a later run reads the
    stored bytes again. Post date is a column: one window holds many post dates.
    """
    key = night_key(context.partition_key)
    return run_stage(lambda: night.open().extract(key.entity, key.batch_date, context.run.run_id))
