"""What every API route of the pod shares: bearer check, faults, media types, error bodies."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from athena_fusion.sandbox.fusion.ess import Engine
from athena_fusion.sandbox.fusion.faults import DroppedConnection, Fault, Faults, refusal
from athena_fusion.sandbox.fusion.oauth import IdentityDomain
from athena_fusion.sandbox.fusion.pod import Pod
from athena_fusion.sandbox.fusion.setup import User

ADF_ERROR = "application/vnd.oracle.adf.error+json"
RESOURCE_ITEM = "application/vnd.oracle.adf.resourceitem+json"
RESOURCE_COLLECTION = "application/vnd.oracle.adf.resourcecollection+json"
ROOT = "/fscmRestApi/resources/11.13.18.05"


class ApiError(Exception):
    """A refusal with its HTTP status; shown as ADF error body when the caller accepts that."""

    def __init__(self, status: int, title: str, detail: str = "", code: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail or title
        self.code = code

    def response(self, accept: str) -> Response:
        """The error answer for this Accept header."""
        if ADF_ERROR not in accept:
            return Response(self.detail, self.status, media_type="text/plain")
        detail = {"detail": self.detail, "o:errorCode": self.code or None, "o:errorPath": None}
        body = {"title": self.title, "status": str(self.status), "o:errorDetails": [detail]}
        return JSONResponse(body, self.status, media_type=ADF_ERROR)


@dataclass(frozen=True)
class Call:
    """One API call as a handler sees it."""

    pod: Pod
    engine: Engine
    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    user: User
    url: str
    fault: Fault | None = field(default=None)

    def fault_is(self, kind: str) -> bool:
        """This call was hit by a fault of that kind."""
        return self.fault is not None and self.fault.kind == kind

    def accepts(self, *media_types: str) -> bool:
        """The Accept header allows one of these (absent = everything)."""
        accept = self.headers.get("accept", "*/*")
        offered = {part.split(";")[0].strip() for part in accept.split(",")}
        return bool(offered & {"*/*", "application/*", *media_types})


Handler = Callable[[Call], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Api:
    """Makes endpoints out of handlers: fault, then bearer, then the handler in a worker thread."""

    pod: Pod
    engine: Engine
    faults: Faults
    identity: IdentityDomain

    def endpoint(self, operation: str | Callable[[Request, bytes], str], handler: Handler) -> Endpoint:
        """An endpoint whose operation name (for faults) is fixed or read from the request."""

        async def serve(request: Request) -> Response:
            body = await request.body()
            name = operation if isinstance(operation, str) else operation(request, body)
            fault = self.faults.take(name)
            return await run_in_threadpool(self._serve, request, body, handler, fault)

        return serve

    def guarded(self, operation: str, answer: Callable[[Request, bytes], Response]) -> Endpoint:
        """An endpoint without bearer check (the token endpoint), still subject to faults."""

        async def serve(request: Request) -> Response:
            body = await request.body()
            fault = self.faults.take(operation)
            return await run_in_threadpool(self._with_fault, fault, lambda: answer(request, body))

        return serve

    def _serve(self, request: Request, body: bytes, handler: Handler, fault: Fault | None) -> Response:
        return self._with_fault(fault, lambda: self._answer(request, body, handler, fault))

    def _with_fault(self, fault: Fault | None, effect: Callable[[], Response]) -> Response:
        if fault is None:
            return effect()
        refused = refusal(fault)
        if refused is not None:
            return refused
        if fault.kind == "late":
            self.faults.later(fault.seconds, effect)
            return DroppedConnection()
        response = effect()
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        return DroppedConnection() if fault.kind == "drop" else response

    def _answer(self, request: Request, body: bytes, handler: Handler, fault: Fault | None) -> Response:
        user = self.identity.user_of(request.headers.get("authorization"))
        if user is None:
            return Response(status_code=401, headers={"WWW-Authenticate": 'Bearer realm="fusion"'})
        call = Call(
            pod=self.pod,
            engine=self.engine,
            method=request.method,
            path=request.path_params,
            query=dict(request.query_params),
            headers=dict(request.headers),
            body=body,
            user=user,
            url=str(request.base_url).rstrip("/"),
            fault=fault,
        )
        try:
            return handler(call)
        except ApiError as error:
            return error.response(call.headers.get("accept", ""))


def collection(
    items: list[dict[str, object]],
    *,
    limit: int,
    offset: int,
    more: bool,
    href: str,
    following: str | None = None,
) -> JSONResponse:
    """A page of a collection; `following` is the address of the next page, where the resource gives one."""
    name = href.rsplit("/", 1)[-1]
    links = [{"rel": "self", "href": href, "name": name, "kind": "collection"}]
    if following is not None:
        links.append({"rel": "next", "href": following, "name": name, "kind": "collection"})
    body = {
        "items": items,
        "count": len(items),
        "hasMore": more,
        "limit": limit,
        "offset": offset,
        "links": links,
    }
    return JSONResponse(body)


def framework_version(call: Call) -> None:
    """Refuse a REST-Framework-Version that no pod knows."""
    version = call.headers.get("rest-framework-version", "1")
    if version not in {str(number) for number in range(1, 10)}:
        raise ApiError(400, f"The REST-Framework-Version {version} is not supported.")
