"""03:00: what was extracted against athenaOne's own totals."""

import dagster as dg

from athena_fusion.orchestration.assets import extraction
from athena_fusion.orchestration.assets.binding import FINANCE, Check, check_specs, run_stage
from athena_fusion.orchestration.cadence import CADENCE
from athena_fusion.orchestration.gates import gate
from athena_fusion.orchestration.partitions import NIGHT, night_key
from athena_fusion.orchestration.resources import NightResource

SOURCE_TOTALS = ["extraction", "source_totals"]


@dg.asset(
    key=SOURCE_TOTALS,
    group_name="extraction",
    partitions_def=NIGHT,
    deps=[extraction.KEY],
    owners=[FINANCE],
    kinds={"athenahealth", "report"},
    automation_condition=gate(CADENCE.reconciliation),
    check_specs=check_specs(
        SOURCE_TOTALS,
        [
            Check(
                "t1_activity_totals",
                "T1: rows and sums by type and post date equal athenaOne's activity report.",
            ),
            Check("t7_receivables_rollforward", "T7: A/R less unapplied money rolls forward over the day."),
        ],
    ),
)
def source_totals(context: dg.AssetExecutionContext, night: NightResource) -> dg.MaterializeResult:
    """Pre-load sums: extracted rows against two reports that athenaOne computes by itself (T1, T7).

    Without the reports the result is "unproven" and holds the entity: an absent proof is not a pass.
    """
    key = night_key(context.partition_key)
    return run_stage(lambda: night.open().reconcile_source(key.entity, key.batch_date, context.run.run_id))
