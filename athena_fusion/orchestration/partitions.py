"""Partitions of the nightly flow: `batch_date` x `billing_entity`.

`batch_date` is the business day a night closes; an accounting date is a column, never a partition.
Entities are dynamic partitions, so a new medical group needs no restart.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from athena_fusion.orchestration.cadence import CADENCE

BILLING_ENTITY = dg.DynamicPartitionsDefinition(name="billing_entity")
BATCH_DATE = dg.DailyPartitionsDefinition(
    start_date=CADENCE.first_batch_date.isoformat(), timezone=CADENCE.zone
)
NIGHT = dg.MultiPartitionsDefinition({"batch_date": BATCH_DATE, "billing_entity": BILLING_ENTITY})


@dataclass(frozen=True)
class NightKey:
    """One entity's night."""

    batch_date: date
    entity: str

    def __str__(self) -> str:
        return f"{self.batch_date.isoformat()}|{self.entity}"


def night_key(partition_key: str) -> NightKey:
    """Split `2026-09-15|101`. A run launched over GraphQL carries plain text, never a multi-dimensional key."""
    day, _, entity = str(partition_key).partition("|")
    return NightKey(date.fromisoformat(day), entity)


def closed_day(today: date) -> date:
    """The business day that the night starting on `today` closes."""
    return today - timedelta(days=1)
