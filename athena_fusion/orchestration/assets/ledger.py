"""06:00, and again when an entity arrives late: the ledger of the whole day."""

import dagster as dg

from athena_fusion.orchestration.assets import load
from athena_fusion.orchestration.assets.binding import FINANCE, Check, day_check_specs, run_stage
from athena_fusion.orchestration.gates import issued_again
from athena_fusion.orchestration.partitions import BATCH_DATE, night_key
from athena_fusion.orchestration.resources import NightResource

KEY = ["reconciliation", "ledger_reconciliation"]


@dg.asset(
    key=KEY,
    group_name="reconciliation",
    partitions_def=BATCH_DATE,
    deps=[load.READBACK],
    owners=[FINANCE],
    kinds={"oracle", "report"},
    automation_condition=issued_again(),
    check_specs=day_check_specs(
        KEY,
        [
            Check(
                "t10_sent_equals_imported",
                "T10: rows and sums sent equal rows and sums in Fusion, all entities.",
                blocking=False,
            ),
            Check(
                "fusion_ties_to_athenaone",
                "A/R and unapplied money since go-live: athenaOne's own report against Fusion, per entity.",
                blocking=False,
            ),
            Check("t13_suspense_is_zero", "T13: nothing stands on the suspense account.", blocking=False),
            Check("every_entity_present", "Every billing entity finished its night.", blocking=False),
        ],
    ),
)
def ledger_reconciliation(context: dg.AssetExecutionContext, night: NightResource) -> dg.MaterializeResult:
    """The day's ledger: per entity and category what athenaOne says, what was sent and what Fusion holds.

    Runs with entities missing, and names them. Its checks do not block: the evidence pack follows whatever
    happened, and says what failed.
    """
    day = night_key(context.partition_key).batch_date
    return run_stage(lambda: night.open().reconcile_ledger(day, context.run.run_id))
