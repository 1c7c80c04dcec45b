"""Jobs for people: a night by hand, and the day's evidence."""

import dagster as dg

from athena_fusion.orchestration.assets import evidence, extraction, ledger, load, reconciliation, revenue

EXTRACTION = dg.define_asset_job(
    "extraction",
    selection=dg.AssetSelection.assets(extraction.KEY),
    description="02:00: extract one billing entity.",
)

NIGHTLY = dg.define_asset_job(
    "nightly",
    selection=dg.AssetSelection.assets(
        extraction.KEY, reconciliation.SOURCE_TOTALS, revenue.LINES, revenue.FBDI, load.LOAD, load.READBACK
    ),
    description="One billing entity's night from extraction to read-back, by hand.",
)

RELOAD = dg.define_asset_job(
    "reload",
    selection=dg.AssetSelection.assets(load.LOAD, load.READBACK),
    description="Carry out the reloads an operator asked for, and read back again.",
)

EVIDENCE = dg.define_asset_job(
    "evidence",
    selection=dg.AssetSelection.assets(ledger.KEY, evidence.KEY),
    description="06:00: reconcile the day's ledger and issue the evidence pack.",
)
