"""The code location: the flows, how their steps run, and the sensor that works the gates.

`defs` stays the only `Definitions` among the names of this module: Dagster refuses a module with two.
"""

import dagster as dg

from athena_fusion.orchestration import nightly

defs = dg.Definitions.merge(
    nightly.FLOW,
    dg.Definitions(
        sensors=[
            dg.AutomationConditionSensorDefinition(
                "gates",
                target=dg.AssetSelection.all(),
                minimum_interval_seconds=30,
                default_status=dg.DefaultSensorStatus.RUNNING,
                description="Starts the stages that wait for their inputs.",
            )
        ],
        executor=dg.in_process_executor,
    ),
)
