"""athenaNet v1 on localhost: token, ping, practice, departments and providers, over the sandbox world.

The gateway's checks come in this order: unknown path (404), armed fault, bearer (401), scope and practice (403).
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from athena_fusion.sandbox.athenaone import records
from athena_fusion.sandbox.athenaone.faults import Faults, refusal
from athena_fusion.sandbox.athenaone.tokens import V1_SCOPE, Tokens, TokenSettings
from athena_fusion.sandbox.control import BusinessDays, control_routes
from athena_fusion.sandbox.ledger import Ledger
from athena_fusion.sandbox.world import World

DEFAULT_LIMIT, HIGHEST_LIMIT = 1500, 5000
Handler = Callable[[Request], Any]


class _BadValue(Exception):
    """A query value of the wrong form."""


def create_athenaone_app(
    world: World,
    ledger: Ledger,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    token_settings: TokenSettings,
    days: BusinessDays | None = None,
) -> Starlette:
    """The ASGI application of the athenaOne side.

    `clock` gives aware instants and rules token expiry and quota. `days` adds the control route that closes
    business days of `ledger`; faults are armed under `/sandbox/faults` (see `faults`).
    """
    tokens = Tokens(token_settings, clock)
    faults = Faults()
    gateway = _Gateway(world, tokens, faults)
    routes = [
        Route("/oauth2/v1/token", gateway.guarded("token", tokens.endpoint), methods=["POST"]),
        *(
            Route(f"/v1/{{practice}}{path}", gateway.endpoint(operation, handler))
            for path, operation, handler in _Resources(world).routes()
        ),
        *control_routes(ledger, days, faults, tokens),
    ]

    def unknown_path(_request: Request, _error: Exception) -> Response:
        body = "Service not registered with API gateway."
        return Response(body, 404, media_type="application/json")

    return Starlette(
        routes=routes,
        exception_handlers={404: unknown_path, 405: unknown_path},
    )


class _Gateway:
    """What every v1 call goes through before its handler."""

    def __init__(self, world: World, tokens: Tokens, faults: Faults) -> None:
        self._world = world
        self._tokens = tokens
        self._faults = faults

    def guarded(
        self, operation: str, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """`answer`, unless a fault is armed for the operation; every answer names its request."""

        async def serve(request: Request) -> Response:
            fault = self._faults.take(operation)
            response = refusal(fault) if fault else await answer(request)
            response.headers["X-Request-Id"] = request.headers.get("x-request-id") or str(uuid4())
            return response

        return serve

    def endpoint(self, operation: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            scopes = self._tokens.scopes_of(request.headers.get("authorization"))
            if scopes is None:
                return PlainTextResponse("Developer Inactive", 401)
            if V1_SCOPE not in scopes:
                return _error(403, "The token has no scope for this service.")
            if request.path_params["practice"] != self._world.practice_id:
                return _error(403, "This application is not permitted to use this practice.")
            try:
                return JSONResponse(handler(request))
            except _BadValue as problem:
                return JSONResponse(
                    {"error": "The data provided is invalid.", "detailedmessage": str(problem)}, 400
                )
            except HTTPException as problem:
                return _error(problem.status_code, problem.detail)

        return self.guarded(operation, answer)


class _Resources:
    """The v1 reads."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("/ping", "ping", lambda _request: {"pong": True}),
            ("/practiceinfo", "practiceinfo", self._practices),
            ("/departments", "departments", self._departments),
            ("/departments/{id}", "departments", self._department),
            ("/providers", "providers", self._providers),
            ("/providers/{id}", "providers", self._provider),
        ]

    def _practices(self, request: Request) -> dict[str, Any]:
        return _page(request, "practiceinfo", [records.practice(self._world)])

    def _departments(self, request: Request) -> dict[str, Any]:
        everything = _flag(request, "showalldepartments")
        rows = [
            records.department(self._world, d)
            for d in self._world.departments
            if everything or not d.portal_hidden
        ]
        return _page(request, "departments", rows)

    def _department(self, request: Request) -> list[dict[str, Any]]:
        for department in self._world.departments:
            if department.id == request.path_params["id"]:
                return [records.department(self._world, department)]
        raise HTTPException(404, "The requested department does not exist.")

    def _providers(self, request: Request) -> dict[str, Any]:
        all_ids = _flag(request, "showallproviderids")
        rows = [
            records.provider(self._world, p, all_ids=all_ids)
            for p in self._world.providers
            if p.id == p.canonical_id and not p.deleted
        ]
        return _page(request, "providers", rows)

    def _provider(self, request: Request) -> list[dict[str, Any]]:
        deleted, all_ids = _flag(request, "showdeletedproviders"), _flag(request, "showallproviderids")
        by_id = {str(p.id): p for p in self._world.providers}
        asked = by_id.get(request.path_params["id"])
        if asked is None or (asked.deleted and not deleted):
            raise HTTPException(404, "The requested provider does not exist.")
        return [records.provider(self._world, by_id[str(asked.canonical_id)], all_ids=all_ids)]


def _page(request: Request, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A page with `totalcount`; `next` and `previous` are relative and absent at the ends."""
    limit = _number(request.query_params, "limit", DEFAULT_LIMIT)
    offset = _number(request.query_params, "offset", 0)
    if not 1 <= limit <= HIGHEST_LIMIT:
        raise _BadValue(f"limit must be between 1 and {HIGHEST_LIMIT}")
    page: dict[str, Any] = {name: rows[offset : offset + limit], "totalcount": len(rows)}
    if offset + limit < len(rows):
        page["next"] = _link(request, limit, offset + limit)
    if offset > 0:
        page["previous"] = _link(request, limit, max(0, offset - limit))
    return page


def _link(request: Request, limit: int, offset: int) -> str:
    return str(request.url.include_query_params(limit=limit, offset=offset)).removeprefix(
        str(request.base_url).rstrip("/")
    )


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise _BadValue(f"Expecting format integer, but value of {name} is {text}")
    return int(text)


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise _BadValue(f"Expecting format boolean, but value of {name} is {text}")
    return text == "true"


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
