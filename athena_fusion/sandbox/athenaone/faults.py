"""Armed faults of the athenaOne side: what goes wrong on the next calls of an operation."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from athena_fusion.sandbox.dataview_faults import FAULTS as DATAVIEW_FAULTS

KINDS = {
    "429": "quota used up; `retry_after` seconds are sent when given",
    "403_qps": "403 with the gateway's HTML text about calls per second",
    "503": "maintenance page in HTML",
    "html": "HTTP 200 with HTML where JSON was due",
    "early_401": "401 although the token is valid",
}
OPERATIONS = ("token", "ping", "practiceinfo", "departments", "providers")
DATAVIEW = "dataview"


@dataclass
class Fault:
    """An armed fault: it holds for the next `times` calls (deliveries, for operation `dataview`)."""

    operation: str  # one of OPERATIONS, `dataview`, or * for every call of the API
    kind: str
    times: int = 1
    retry_after: int | None = None


class Faults:
    """The armed faults of a running sandbox. They do not survive a restart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []

    def arm(self, body: Mapping[str, object]) -> Fault:
        """Arm a fault from a control request. Raises `ValueError` for unknown words and bad numbers."""
        kind = str(body.get("kind"))
        operation = str(body.get("operation", DATAVIEW if kind in DATAVIEW_FAULTS else "*"))
        known = DATAVIEW_FAULTS if operation == DATAVIEW else set(KINDS)
        if operation not in {*OPERATIONS, DATAVIEW, "*"}:
            raise ValueError(
                f"operation must be one of {', '.join(OPERATIONS)}, {DATAVIEW} or *, not {operation}"
            )
        if kind not in known:
            raise ValueError(f"kind must be one of {', '.join(sorted(known))} or expire_tokens, not {kind}")
        retry_after = body.get("retry_after")
        fault = Fault(
            operation,
            kind,
            times=int(str(body.get("times", 1))),
            retry_after=None if retry_after is None else int(str(retry_after)),
        )
        with self._lock:
            self._armed.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm everything."""
        with self._lock:
            self._armed.clear()

    def armed(self) -> list[dict[str, object]]:
        """What is armed, for people."""
        with self._lock:
            return [vars(fault) for fault in self._armed]

    def take(self, operation: str) -> Fault | None:
        """The fault that hits this API call, used up by it."""
        with self._lock:
            for fault in self._armed:
                if fault.operation in {"*", operation}:
                    return self._use(fault)
        return None

    def take_delivery(self) -> tuple[str, ...]:
        """The faults that hit this Data View delivery, all at once, each used up by it."""
        with self._lock:
            return tuple(self._use(fault).kind for fault in list(self._armed) if fault.operation == DATAVIEW)

    def _use(self, fault: Fault) -> Fault:
        fault.times -= 1
        if fault.times <= 0:
            self._armed.remove(fault)
        return fault


def refusal(fault: Fault) -> Response:
    """The answer that a fault puts in the place of the real one."""
    if fault.kind == "429":
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return JSONResponse({"error": "Quota Exceeded"}, 429, headers)
    if fault.kind == "403_qps":
        return HTMLResponse("<h1>Developer Over Qps</h1>", 403)
    if fault.kind == "503":
        return HTMLResponse("<html><body><h1>Service Unavailable</h1>Maintenance</body></html>", 503)
    if fault.kind == "html":
        return HTMLResponse("<html><body>athenahealth</body></html>")
    return PlainTextResponse("Developer Inactive", 401)
