"""The injectable clock: the only place that asks the operating system for the time.

UTC inside; a zone is applied at the edge (see `tenant`). Tests and the simulator pass their own `Clock`.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Current instant and waiting, both replaceable in tests."""

    def now(self) -> datetime:
        """Aware UTC instant."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait `seconds` of this clock's time."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ManualClock:
    """A clock that moves only when told to; `sleep` advances it at once."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock starts at an aware instant")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now = datetime.fromtimestamp(self._now.timestamp() + seconds, UTC)


def iso_z(instant: datetime) -> str:
    """UTC text with a `Z`, microseconds only where there are some: `2026-09-16T06:00:00Z`."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone")
    text = instant.astimezone(UTC).isoformat()
    return text.removesuffix("+00:00") + "Z"
