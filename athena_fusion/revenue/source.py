"""Where transactions come from: one interface, so that a second source yields the same canonical rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl


@dataclass(frozen=True)
class Window:
    """What one extraction covers: changes after `after` (`None` = from the start) up to and with `up_to`, in UTC."""

    after: datetime | None
    up_to: datetime


@dataclass(frozen=True)
class RawFile:
    """One file as received; `name` includes its delivery (`20260916T053000Z/TRANSACTION.csv`)."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class SourceExtract:
    """What a source found for one billing entity.

    `rows` (TRANSACTIONS): current versions. `quarantined` (QUARANTINE): lines that could not be used; those with a
    null entity belong to nobody known and must be shown to everybody. `activity` and `ar` are athenaOne's own reports
    as text, `None` where the newest delivery has none. `read` counts data lines per table, `elsewhere` those of other
    entities, `superseded` those that a later delivery of the window replaced. `high` is the instant up
    to which the source is now read: the next window starts there.
    """

    entity: str
    window: Window
    rows: pl.DataFrame
    quarantined: pl.DataFrame
    files: tuple[RawFile, ...]
    activity: pl.DataFrame | None
    ar: pl.DataFrame | None
    read: Mapping[str, int]
    elsewhere: int
    superseded: int
    high: datetime


class RcmTransactionSource(Protocol):
    """A source of revenue-cycle transactions."""

    def extract(self, entity: str, window: Window) -> SourceExtract:
        """Everything that changed within `window` for one billing entity; booked later by post date."""
        ...
