"""The clock of the tenant: its zone, its first night and the times before which no stage starts."""

from athena_fusion.tenant.loader import default_tenant_dir, load_cadence

CADENCE = load_cadence(default_tenant_dir())


def cron(at: str) -> str:
    """Daily cron text of a wall-clock time such as `02:00`."""
    hour, minute = at.split(":")
    return f"{int(minute)} {int(hour)} * * *"
