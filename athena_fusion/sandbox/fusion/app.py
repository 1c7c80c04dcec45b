"""The pod as an ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Route

from athena_fusion.sandbox.fusion import erpintegrations, ledger_resources, reports, scheduler
from athena_fusion.sandbox.fusion.control import Control
from athena_fusion.sandbox.fusion.ess import Engine
from athena_fusion.sandbox.fusion.faults import Faults
from athena_fusion.sandbox.fusion.jobs import CATALOGUE
from athena_fusion.sandbox.fusion.oauth import IdentityDomain
from athena_fusion.sandbox.fusion.pod import Pod, PodDatabase
from athena_fusion.sandbox.fusion.setup import FusionSetup
from athena_fusion.sandbox.fusion.web import ROOT, Api


def create_fusion_app(setup: FusionSetup, database: Path, *, clock: Callable[[], datetime]) -> Starlette:
    """The pod over its database file; the same file again continues where the last one stood.

    `clock` gives business time as aware datetimes (what the pod stamps); real time governs tokens and jobs.
    """
    pod = Pod(setup, PodDatabase(database), clock)
    engine = Engine(pod, CATALOGUE)
    faults = Faults()
    identity = IdentityDomain(pod)
    api = Api(pod, engine, faults, identity)
    batches = f"{ROOT}/journalBatches"

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001 - Starlette's form
        engine.start()
        yield
        faults.stop()
        engine.stop()
        pod.database.close()

    routes = [
        Route("/oauth2/v1/token", api.guarded("token", identity.token), methods=["POST"]),
        Route(
            f"{ROOT}/erpintegrations",
            api.endpoint(erpintegrations.operation, erpintegrations.handle),
            methods=["GET", "POST"],
        ),
        Route(batches, api.endpoint("journalBatches", ledger_resources.batches)),
        Route(f"{batches}/describe", api.endpoint("journalBatches", ledger_resources.describe)),
        Route(f"{batches}/{{batch}}", api.endpoint("journalBatches", ledger_resources.batch)),
        Route(
            f"{batches}/{{batch}}/child/journalHeaders",
            api.endpoint("journalBatches", ledger_resources.headers),
        ),
        Route(f"{ROOT}/ledgerBalances", api.endpoint("ledgerBalances", ledger_resources.balances)),
        Route(scheduler.PATH, api.endpoint("scheduler", scheduler.requests), methods=["GET", "POST"]),
        Route(f"{scheduler.PATH}/{{request}}", api.endpoint("scheduler", scheduler.one)),
        Route(reports.PATH, api.endpoint("runReport", reports.handle), methods=["POST"]),
        *Control(pod, faults, identity).routes(),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
