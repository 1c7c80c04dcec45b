"""The code location: the one object that workspace.yaml knows."""

import dagster as dg

from athena_fusion.orchestration.assets import evidence, extraction, ledger, load, reconciliation, revenue
from athena_fusion.orchestration.jobs import EVIDENCE, EXTRACTION, NIGHTLY, RELOAD
from athena_fusion.orchestration.resources import NightResource
from athena_fusion.orchestration.schedules import morning_evidence, nightly_extraction

ASSETS = dg.load_assets_from_modules([extraction, reconciliation, revenue, load, ledger, evidence])

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[EXTRACTION, NIGHTLY, RELOAD, EVIDENCE],
    schedules=[nightly_extraction, morning_evidence],
    sensors=[
        dg.AutomationConditionSensorDefinition(
            "gates",
            target=dg.AssetSelection.all(),
            minimum_interval_seconds=30,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description="Starts the stages that wait for their inputs.",
        )
    ],
    resources={"night": NightResource()},
    executor=dg.in_process_executor,
)
