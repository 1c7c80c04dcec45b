"""Closing business days, and the control routes under /sandbox."""

import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from athena_fusion.sandbox.dataview import deliver
from athena_fusion.sandbox.ledger import Ledger
from athena_fusion.sandbox.world import FIRST_DAY, ZONE, World

if TYPE_CHECKING:
    from athena_fusion.sandbox.athenaone.faults import Faults
    from athena_fusion.sandbox.athenaone.tokens import Tokens

_AS_OF = time(5, 30, tzinfo=UTC)


def as_of(day: date) -> datetime:
    """The instant a closed day is delivered as of: 05:30 UTC of the next day (01:30 EDT, 00:30 EST)."""
    return datetime.combine(day + timedelta(days=1), _AS_OF)


class OutOfOrder(ValueError):
    """A day before the last closed one: its rows would be missing from deliveries already made."""


@dataclass(frozen=True)
class ClosedDay:
    """A closed business day. `rows` counts the ledger rows added now, 0 where they were there already."""

    day: date
    as_of: datetime
    folder: Path
    rows: int


class BusinessDays:
    """Closes business days in order: enters a day's activity and writes its Data View delivery."""

    def __init__(
        self, world: World, ledger: Ledger, folder: Path, *, lines_per_entity: int = 100, seed: int | str = 7
    ) -> None:
        self._world = world
        self._ledger = ledger
        self._folder = folder
        self._lines = lines_per_entity
        self._seed = seed
        self._lock = threading.Lock()

    def close(self, day: date, *, faults: tuple[str, ...] = (), again: bool = False) -> ClosedDay:
        """Close `day`. A closed day keeps its delivery, unless `again` (or a fault) asks for a new one.

        Raises `OutOfOrder`.
        """
        with self._lock:
            closed = self._ledger.days()
            if closed and day < closed[-1] and day not in closed:
                raise OutOfOrder(
                    f"{day} comes before {closed[-1]}, which is closed; days are closed in order. Nothing was done."
                )
            rows = self._ledger.add_day(self._world, day, lines_per_entity=self._lines, seed=self._seed) or 0
            target = self._folder / f"{as_of(day):%Y%m%dT%H%M%SZ}"
            if again or faults or not (target / "control.csv").exists():
                earlier = [as_of(other) for other in closed if other < day]
                previous = max(earlier, default=None)
                deliver(self._ledger, self._world, self._folder, as_of(day), previous, faults=faults)
        return ClosedDay(day, as_of(day), target, rows)

    def due(self, now: datetime) -> list[date]:
        """Days to close by the clock: from the last closed one (or the first day) to the last that is over.

        A day is over at its as-of instant, shortly after midnight in the practice's zone.
        """
        last = now.astimezone(ZoneInfo(ZONE)).date() - timedelta(days=1)
        if as_of(last) > now:
            last -= timedelta(days=1)
        closed = self._ledger.days()
        first = closed[-1] + timedelta(days=1) if closed else min(FIRST_DAY, last)
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def control_routes(
    ledger: Ledger, days: BusinessDays | None, faults: "Faults", tokens: "Tokens"
) -> list[Route]:
    """`/sandbox/close-day` (with `days`), `/sandbox/days` and `/sandbox/faults`."""

    async def close_day(request: Request) -> Response:
        assert days is not None
        try:
            body = await request.json()
            day = date.fromisoformat(body["date"])
        except (ValueError, KeyError, TypeError):
            return _problem(400, 'the body must be {"date": "YYYY-MM-DD"}')
        try:
            done = await run_in_threadpool(
                days.close, day, faults=faults.take_delivery(), again=body.get("again") is True
            )
        except OutOfOrder as problem:
            return _problem(409, str(problem))
        return JSONResponse(
            {
                "date": done.day.isoformat(),
                "as_of": f"{done.as_of:%Y-%m-%dT%H:%M:%SZ}",
                "delivery": done.folder.name,
                "rows": done.rows,
            }
        )

    async def closed_days(_request: Request) -> Response:
        return JSONResponse({"days": [day.isoformat() for day in await run_in_threadpool(ledger.days)]})

    async def faults_route(request: Request) -> Response:
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            try:
                body = await request.json()
                if body.get("kind") == "expire_tokens":
                    return JSONResponse({"expired": tokens.expire_all()})
                faults.arm(body)
            except (ValueError, AttributeError) as problem:
                return _problem(400, str(problem))
        return JSONResponse({"armed": faults.armed()})

    routes = [
        Route("/sandbox/days", closed_days),
        Route("/sandbox/faults", faults_route, methods=["GET", "POST", "DELETE"]),
    ]
    if days is not None:
        routes.append(Route("/sandbox/close-day", close_day, methods=["POST"]))
    return routes


def _problem(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
