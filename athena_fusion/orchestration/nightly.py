"""The nightly RCM-to-GL flow as Dagster knows it: its assets, jobs, schedules and resource."""

import dagster as dg

from athena_fusion.orchestration.assets import evidence, extraction, ledger, load, reconciliation, revenue
from athena_fusion.orchestration.jobs import EVIDENCE, EXTRACTION, NIGHTLY, RELOAD
from athena_fusion.orchestration.resources import NightResource
from athena_fusion.orchestration.schedules import morning_evidence, nightly_extraction

FLOW = dg.Definitions(
    assets=dg.load_assets_from_modules([extraction, reconciliation, revenue, load, ledger, evidence]),
    jobs=[EXTRACTION, NIGHTLY, RELOAD, EVIDENCE],
    schedules=[nightly_extraction, morning_evidence],
    resources={"night": NightResource()},
)
