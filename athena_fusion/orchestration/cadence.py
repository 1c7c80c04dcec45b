"""The clock of the tenant: its zone, its first night and the times before which no stage starts."""

from athena_fusion.tenant.loader import default_tenant_dir, load_cadence

CADENCE = load_cadence(default_tenant_dir())


def cron(at: str) -> str:
    """Daily cron text of a wall-clock time such as `02:00`."""
    hour, minute = divmod(_minute_of_day(at), 60)
    return f"{minute} {hour} * * *"


def every_quarter_hour(first: str, until: str) -> list[str]:
    """Cron texts, one per hour, of `first` and every 15 minutes after it, before `until` of the same day."""
    hours: dict[int, list[int]] = {}
    for minute in range(_minute_of_day(first), _minute_of_day(until), 15):
        hours.setdefault(minute // 60, []).append(minute % 60)
    return [f"{','.join(map(str, minutes))} {hour} * * *" for hour, minutes in hours.items()]


def _minute_of_day(at: str) -> int:
    hour, minute = at.split(":")
    return int(hour) * 60 + int(minute)
