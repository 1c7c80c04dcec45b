"""06:00: one signed pack per business day, whatever happened, and again when a late entity arrives."""

import dagster as dg

from athena_fusion.orchestration.assets import ledger
from athena_fusion.orchestration.assets.binding import FINANCE, Check, day_check_specs, run_stage
from athena_fusion.orchestration.gates import issued_again
from athena_fusion.orchestration.partitions import BATCH_DATE, night_key
from athena_fusion.orchestration.resources import NightResource

KEY = ["evidence", "evidence_pack"]


@dg.asset(
    key=KEY,
    group_name="evidence",
    partitions_def=BATCH_DATE,
    deps=[ledger.KEY],
    owners=[FINANCE],
    kinds={"report", "file"},
    automation_condition=issued_again(),
    check_specs=day_check_specs(
        KEY, [Check("pack_verifies", "The finished pack passes the same verification an auditor runs.")]
    ),
)
def evidence_pack(context: dg.AssetExecutionContext, night: NightResource) -> dg.MaterializeResult:
    """The day's manifests, journals, read-back and decisions, signed, verifiable offline, delivered."""
    day = night_key(context.partition_key).batch_date
    return run_stage(lambda: night.open().issue_evidence(day, context.run.run_id))
