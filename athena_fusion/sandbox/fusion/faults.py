"""Armed faults: how tests and operators make the pod misbehave on the next calls of an operation."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

KINDS = {
    "429": "too many requests; `retry_after` seconds are sent when given",
    "500": "internal error before any effect",
    "503": "service unavailable before any effect",
    "html": "HTTP 200 with a sign-in page instead of JSON, no effect",
    "slow": "the answer comes `seconds` late, the effect happens first",
    "drop": "the effect happens, then the connection breaks without an answer",
    "drop_before": "the connection breaks, nothing happens",
    "late": "the connection breaks at once, the effect happens `seconds` later",
    "reqstid": "submissions answer ReqstId -1 and schedule nothing",
    "blank": "status calls answer an empty RequestStatus",
    "paused": "status calls answer PAUSED",
}


@dataclass
class Fault:
    """An armed fault. It holds for `times` calls; with `for_seconds` for that long, however many calls come."""

    operation: str  # an operation name, or * for every operation
    kind: str
    times: int = 1
    seconds: float = 0.0
    retry_after: int | None = None
    until: float | None = None


class Faults:
    """The armed faults of a running pod. They do not survive a restart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []
        self._timers: list[threading.Timer] = []

    def arm(self, body: Mapping[str, object]) -> Fault:
        """Arm a fault from a control request. Raises `ValueError` for an unknown kind or a bad number."""
        kind = str(body.get("kind"))
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)} or expire_tokens, not {kind}")
        fault = Fault(
            operation=str(body.get("operation", "*")),
            kind=kind,
            times=int(str(body.get("times", 1))),
            seconds=float(str(body.get("seconds", 0))),
            retry_after=int(str(body["retry_after"])) if body.get("retry_after") is not None else None,
            until=time.monotonic() + float(str(body["for_seconds"])) if "for_seconds" in body else None,
        )
        with self._lock:
            self._armed.append(fault)
        return fault

    def later(self, seconds: float, effect: Callable[[], object]) -> None:
        """Let an effect happen `seconds` from now, unless the pod is stopped before."""
        timer = threading.Timer(seconds, effect)
        timer.daemon = True
        with self._lock:
            self._timers.append(timer)
        timer.start()

    def stop(self) -> None:
        """Drop the effects that have not happened yet and wait for those that are happening."""
        with self._lock:
            timers, self._timers = self._timers, []
        for timer in timers:
            timer.cancel()
            timer.join()

    def clear(self) -> None:
        """Disarm everything."""
        with self._lock:
            self._armed.clear()

    def take(self, operation: str) -> Fault | None:
        """The fault that hits this call, used up by it."""
        with self._lock:
            now = time.monotonic()
            self._armed = [f for f in self._armed if (f.until > now if f.until is not None else f.times > 0)]
            for fault in self._armed:
                if fault.operation in {"*", operation}:
                    fault.times -= 1
                    return fault
        return None


def refusal(fault: Fault) -> Response | None:
    """The answer of a fault that stops the call before any effect; None for the other kinds."""
    if fault.kind == "429":
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return JSONResponse({"title": "Too Many Requests", "status": "429"}, 429, headers)
    if fault.kind in {"500", "503"}:
        return Response("The service is unavailable.", int(fault.kind), media_type="text/plain")
    if fault.kind == "html":
        return HTMLResponse(
            "<html><head><title>Sign In</title></head><body>Sign in to continue</body></html>"
        )
    if fault.kind == "drop_before":
        return DroppedConnection()
    return None


class DroppedConnection(Response):
    """Promises a body and never sends it: the server closes the connection and the caller sees it break."""

    def __init__(self) -> None:
        super().__init__(status_code=200)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI form
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"1"), (b"connection", b"close")],
            }
        )
