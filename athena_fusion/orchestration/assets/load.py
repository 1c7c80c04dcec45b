"""05:00: journals into Fusion through ESS, then read back line by line."""

import dagster as dg

from athena_fusion.orchestration.assets import revenue
from athena_fusion.orchestration.assets.binding import FINANCE, INTEGRATION, Check, check_specs, run_stage
from athena_fusion.orchestration.cadence import CADENCE
from athena_fusion.orchestration.gates import gate
from athena_fusion.orchestration.partitions import NIGHT, night_key
from athena_fusion.orchestration.resources import NightResource

LOAD = ["load", "journal_load"]
READBACK = ["load", "journal_readback"]


@dg.asset(
    key=LOAD,
    group_name="load",
    partitions_def=NIGHT,
    deps=[revenue.FBDI],
    owners=[INTEGRATION],
    kinds={"oracle", "file"},
    pool="fusion_ess",
    automation_condition=gate(CADENCE.load),
    check_specs=check_specs(
        LOAD,
        [Check("ess_jobs_succeeded", "Load and import jobs ended without warning or error.", blocking=False)],
    ),
)
def journal_load(context: dg.AssetExecutionContext, night: NightResource) -> dg.MaterializeResult:
    """Upload, load, import: an intent is written before each call, and no write is ever blindly repeated.

    Also carries out the reloads that an operator asked for in the queue.
    """
    key = night_key(context.partition_key)
    return run_stage(lambda: night.open().load(key.entity, key.batch_date, context.run.run_id))


@dg.asset(
    key=READBACK,
    group_name="load",
    partitions_def=NIGHT,
    deps=[LOAD],
    owners=[FINANCE],
    kinds={"oracle", "table"},
    automation_condition=gate(CADENCE.load),
    check_specs=check_specs(
        READBACK,
        [
            Check("t10_sent_equals_imported", "T10: the rows read back are the rows sent, to the cent."),
            Check("chain_verified", "The signed chain back to the extraction verifies."),
        ],
    ),
)
def journal_readback(context: dg.AssetExecutionContext, night: NightResource) -> dg.MaterializeResult:
    """What Fusion holds, per line: loaded, rejected (code, reason), held, missing or doubled.

    Rejected lines and their held siblings go to the operator queue with the reason in words.
    """
    key = night_key(context.partition_key)
    return run_stage(lambda: night.open().read_back(key.entity, key.batch_date, context.run.run_id))
