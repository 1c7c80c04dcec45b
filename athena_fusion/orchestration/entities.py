"""Billing entities as dynamic partitions: the tenant's list is the truth, Dagster's follows it."""

from datetime import date

import dagster as dg

from athena_fusion.orchestration.partitions import BILLING_ENTITY
from athena_fusion.tenant.loader import default_tenant_dir, load_entities


def register_entities(instance: dg.DagsterInstance, day: date | None = None) -> list[str]:
    """Register the tenant's entities that Dagster does not know yet; returns those in effect on `day` (default:
    all), sorted. An entity whose last day has passed keeps its partitions and gets no more nights."""
    folder = default_tenant_dir()
    name = str(BILLING_ENTITY.name)
    missing = set(load_entities(folder)) - set(instance.get_dynamic_partitions(name))
    if missing:
        instance.add_dynamic_partitions(name, sorted(missing))
    return list(load_entities(folder, day))
