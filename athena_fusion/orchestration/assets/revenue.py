"""04:00: crosswalks and posting matrix turn transactions into journals, one FBDI file per category."""

import dagster as dg

from athena_fusion.orchestration.assets import reconciliation
from athena_fusion.orchestration.assets.binding import FINANCE, INTEGRATION, Check, check_specs, run_stage
from athena_fusion.orchestration.cadence import CADENCE
from athena_fusion.orchestration.gates import gate
from athena_fusion.orchestration.partitions import NIGHT, night_key
from athena_fusion.orchestration.resources import NightResource

LINES = ["revenue", "journal_lines"]
FBDI = ["revenue", "journal_fbdi"]


@dg.asset(
    key=LINES,
    group_name="revenue",
    partitions_def=NIGHT,
    deps=[reconciliation.SOURCE_TOTALS],
    owners=[FINANCE],
    kinds={"polars", "parquet"},
    automation_condition=gate(CADENCE.transformation),
    check_specs=check_specs(
        LINES,
        [
            Check("t9_events_equal_lines", "T9: events by account equal journal lines by combination."),
            Check("everything_mapped", "No event waits for a crosswalk entry.", blocking=False),
        ],
    ),
)
def journal_lines(context: dg.AssetExecutionContext, night: NightResource) -> dg.MaterializeResult:
    """Journal lines by post date, category and combination: only the difference to what Fusion already holds.

    A missing mapping holds that event, both legs, with the amount at stake; the rest goes on.
    """
    key = night_key(context.partition_key)
    return run_stage(lambda: night.open().transform(key.entity, key.batch_date, context.run.run_id))


@dg.asset(
    key=FBDI,
    group_name="revenue",
    partitions_def=NIGHT,
    deps=[LINES],
    owners=[INTEGRATION],
    kinds={"csv", "file", "oracle"},
    automation_condition=gate(CADENCE.transformation),
    check_specs=check_specs(
        FBDI,
        [
            Check("t8_debits_equal_credits", "T8: every journal balances, and every company within it."),
            Check("chain_verified", "The signed chain back to the extraction verifies."),
        ],
    ),
)
def journal_fbdi(context: dg.AssetExecutionContext, night: NightResource) -> dg.MaterializeResult:
    """`GlInterface.csv` in one ZIP and one group per category: same input, same bytes."""
    key = night_key(context.partition_key)
    return run_stage(lambda: night.open().package(key.entity, key.batch_date, context.run.run_id))
