"""What the assets of the nightly flow have in common: partitions, owner, checks, and errors shown as findings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from athena_fusion.orchestration.metadata import materialized
from athena_fusion.orchestration.partitions import BATCH_DATE, NIGHT

if TYPE_CHECKING:
    from athena_fusion.revenue.stage import StageResult

FINANCE = "team:revenue_accounting"
INTEGRATION = "team:integration"


@dataclass(frozen=True)
class Check:
    """A named control of an asset. A blocking one stops this partition's run when it fails."""

    name: str
    description: str
    blocking: bool = True


def check_specs(
    key: Sequence[str], checks: Sequence[Check], partitions: dg.PartitionsDefinition = NIGHT
) -> list[dg.AssetCheckSpec]:
    """Specs with the asset's own partitions: without them one bad entity would hold all the others."""
    with warnings.catch_warnings():
        # Preview in the pinned release; the gate tests cover the behaviour that we rely on.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                check.name,
                asset=dg.AssetKey(list(key)),
                description=check.description,
                blocking=check.blocking,
                partitions_def=partitions,
            )
            for check in checks
        ]


def day_check_specs(key: Sequence[str], checks: Sequence[Check]) -> list[dg.AssetCheckSpec]:
    """The same for an asset of the whole day."""
    return check_specs(key, checks, BATCH_DATE)


def run_stage(work: Callable[[], StageResult]) -> dg.MaterializeResult:
    """Do the work; an error of the platform becomes a failure with its own words and no retry."""
    from athena_fusion.runtime import PLATFORM_ERRORS

    try:
        return materialized(work())
    except PLATFORM_ERRORS as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
