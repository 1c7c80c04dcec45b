"""Both sides of the sandbox in one process: `python -m athena_fusion.sandbox.server --home <folder>`."""

import argparse
import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool

from athena_fusion.sandbox.athenaone.app import create_athenaone_app
from athena_fusion.sandbox.athenaone.tokens import ApiClient, TokenSettings
from athena_fusion.sandbox.control import BusinessDays
from athena_fusion.sandbox.fusion.app import create_fusion_app
from athena_fusion.sandbox.ledger import Ledger
from athena_fusion.sandbox.world import ATHENAONE_CLIENT, World

_LOOK_AT_CLOCK_SECONDS = 20
_LOG = logging.getLogger(__name__)


def run(
    home: Path,
    *,
    athenaone_port: int = 8900,
    fusion_port: int = 8901,
    entities: int = 3,
    lines_per_entity: int = 100,
    seed: int | str = 7,
    follow_clock: bool = False,
) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT. All state (ledger, pod, deliveries, secrets) is in `home`.

    `follow_clock` closes each business day of the practice's zone when it is over, days that were missed included.
    """
    today = datetime.now(UTC).date()
    world = World(
        entities, open_through=max(World().open_through, today) if follow_clock else date(2026, 12, 31)
    )
    ledger = Ledger(home / "ledger.db")
    days = BusinessDays(world, ledger, home / "dataview", lines_per_entity=lines_per_entity, seed=seed)
    client = ApiClient(ATHENAONE_CLIENT, _secret(home / "secrets" / "athenaone"))
    athenaone = create_athenaone_app(world, ledger, token_settings=TokenSettings((client,)), days=days)
    setup = world.fusion_setup(_secret(home / "secrets" / "fusion"))
    fusion = create_fusion_app(setup, home / "fusion.db", clock=lambda: datetime.now(UTC))
    sides = ((athenaone, athenaone_port), (fusion, fusion_port))
    # Bound here, so that a port in use is one plain error before anything runs.
    servers = [(_server(app), _listener(port)) for app, port in sides]
    asyncio.run(_serve(servers, days if follow_clock else None))


class _Server(uvicorn.Server):
    """Two servers share one loop, so the signals are ours, not theirs."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: Starlette) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
        )
    )


def _listener(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port))
    # Connections inherit it. asyncio sets it by itself only on sockets that name their protocol, and without it
    # every answer waits 40 ms for the acknowledgement of its own header.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def _serve(servers: list[tuple[_Server, socket.socket]], followed: BusinessDays | None) -> None:
    def stop() -> None:
        for server, _ in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    follower = asyncio.create_task(_follow(followed)) if followed else None
    try:
        await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))
    finally:
        if follower is not None:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower


async def _follow(days: BusinessDays) -> None:
    while True:
        try:
            for day in await run_in_threadpool(days.due, datetime.now(UTC)):
                await run_in_threadpool(days.close, day)
        except Exception:
            _LOG.exception("a business day could not be closed; the next try is in a moment")
        await asyncio.sleep(_LOOK_AT_CLOCK_SECONDS)


def _secret(path: Path) -> str:
    """The client secret in `path`, made at random (mode 0600) where there is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the module."""
    parser = argparse.ArgumentParser(prog="athena_fusion.sandbox.server", description=run.__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--athenaone-port", type=int, default=8900)
    parser.add_argument("--fusion-port", type=int, default=8901)
    parser.add_argument("--entities", type=int, default=3)
    parser.add_argument("--lines-per-entity", type=int, default=100)
    parser.add_argument("--seed", default="7")
    parser.add_argument("--follow-clock", action="store_true")
    run(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
