"""Billing entities as dynamic partitions: the tenant's list is the truth, Dagster's follows it."""

import dagster as dg

from athena_fusion.orchestration.partitions import BILLING_ENTITY
from athena_fusion.tenant.loader import default_tenant_dir, load_entities


def register_entities(instance: dg.DagsterInstance) -> list[str]:
    """Register the tenant's entities that Dagster does not know yet; returns all of them, sorted."""
    entities = sorted(load_entities(default_tenant_dir()))
    name = str(BILLING_ENTITY.name)
    missing = set(entities) - set(instance.get_dynamic_partitions(name))
    if missing:
        instance.add_dynamic_partitions(name, sorted(missing))
    return entities
