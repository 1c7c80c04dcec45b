"""Which Data View deliveries are there: names and instants only, cheap enough to look every few minutes.

A delivery is a folder named by its as-of instant (`20260916T053000Z`); `control.csv` is written last, so a folder
without it still grows. What is inside is read and proven by `dataview`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

CONTROL = "control.csv"

_NAME = re.compile(r"\d{8}T\d{6}Z")


class DataViewError(Exception):
    """A delivery that cannot be used. Nothing was taken from it; ask for it again or correct the export."""


@dataclass(frozen=True)
class Arrival:
    """A complete delivery that nobody has opened yet."""

    as_of: datetime
    folder: Path


def arrivals(folder: Path) -> list[Arrival]:
    """Complete deliveries, oldest first; `DataViewError` for a missing folder or a name that is no instant."""
    if not folder.is_dir():
        raise DataViewError(f"the Data View folder {folder} does not exist; check athenaone.dataview")
    found = []
    for child in sorted(folder.iterdir()):
        if _NAME.fullmatch(child.name) and (child / CONTROL).is_file():
            try:
                as_of = datetime.strptime(child.name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            except ValueError:
                raise DataViewError(
                    f"delivery folder {child.name} does not name an instant; nothing was read"
                ) from None
            found.append(Arrival(as_of, child))
    return found


def day_end(day: date, zone: str) -> datetime:
    """The instant (UTC) at which a business day of `zone` is over. An earlier delivery does not cover the day."""
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)


def covering(found: Iterable[Arrival], day: date, zone: str) -> list[Arrival]:
    """The deliveries that close `day`: made when it was over, and no later than the day after, whose night takes
    what came since."""
    first, last = day_end(day, zone), day_end(day + timedelta(days=1), zone)
    return [arrival for arrival in found if first <= arrival.as_of <= last]
