"""Operator control under /sandbox: change the set-up, arm faults, look inside. No sign-in, loopback only.

Nothing here exists on a real pod.
"""

import json
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from athena_fusion.sandbox.fusion.amounts import plain, total
from athena_fusion.sandbox.fusion.faults import Faults
from athena_fusion.sandbox.fusion.oauth import IdentityDomain
from athena_fusion.sandbox.fusion.pod import Pod

PERIOD_STATUSES = ("Open", "Closed", "Permanently Closed", "Never Opened", "Future Enterable")
_LOOPBACK = {"127.0.0.1", "::1"}


class Control:
    """The control routes of one pod."""

    def __init__(self, pod: Pod, faults: Faults, identity: IdentityDomain) -> None:
        self._pod = pod
        self._faults = faults
        self._identity = identity

    def routes(self) -> list[Route]:
        """Routes to mount beside the pod's own."""
        return [
            Route("/sandbox/segments/{segment}/{value}", self._guard(self._segment), methods=["POST"]),
            Route("/sandbox/combinations/{segments}", self._guard(self._combination), methods=["POST"]),
            Route("/sandbox/periods/{name}", self._guard(self._period), methods=["POST"]),
            Route("/sandbox/suspense", self._guard(self._suspense), methods=["POST"]),
            Route("/sandbox/faults", self._guard(self._fault), methods=["POST", "DELETE"]),
            Route("/sandbox/gl/summary", self._guard(self._summary), methods=["GET"]),
        ]

    def _guard(self, handler: Callable[[Request, Any], Response]) -> Callable[[Request], Any]:
        async def serve(request: Request) -> Response:
            if request.client is None or request.client.host not in _LOOPBACK:
                return Response(status_code=403)
            raw = await request.body()
            try:
                body = json.loads(raw) if raw else {}
                return await run_in_threadpool(handler, request, body)
            except (ValueError, KeyError, TypeError) as error:
                return JSONResponse({"error": str(error)}, 400)

        return serve

    def _change(self, sql: str, *parameters: object) -> Response:
        with self._pod.database.transaction() as connection:
            changed = connection.execute(sql, parameters).rowcount
        return JSONResponse({"changed": changed}, 200 if changed else 404)

    def _segment(self, request: Request, body: Any) -> Response:
        """Enable or disable a segment value: {"enabled": true}."""
        path = request.path_params
        return self._change(
            "UPDATE segment_values SET enabled = ? WHERE segment = ? AND value = ?",
            _flag(body),
            path["segment"],
            path["value"],
        )

    def _combination(self, request: Request, body: Any) -> Response:
        """Enable or disable an existing account combination: {"enabled": false}."""
        return self._change(
            "UPDATE gl_code_combinations SET enabled = ? WHERE segments = ?",
            _flag(body),
            request.path_params["segments"],
        )

    def _period(self, request: Request, body: Any) -> Response:
        """Set a period's status: {"status": "Open"}, in every ledger or in {"ledger_id": ...}."""
        if body["status"] not in PERIOD_STATUSES:
            raise ValueError(f"status must be one of {', '.join(PERIOD_STATUSES)}")
        return self._change(
            "UPDATE periods SET status = ? WHERE name = ? AND ledger_id = COALESCE(?, ledger_id)",
            body["status"],
            request.path_params["name"],
            body.get("ledger_id"),
        )

    def _suspense(self, request: Request, body: Any) -> Response:  # noqa: ARG002
        """Allow or forbid suspense posting of unbalanced journals: {"enabled": true}."""
        return self._change("UPDATE switches SET value = ? WHERE name = 'suspense'", _flag(body))

    def _fault(self, request: Request, body: Any) -> Response:
        """Arm a fault, or clear all with DELETE. `expire_tokens` acts at once."""
        if request.method == "DELETE":
            self._faults.clear()
            return JSONResponse({"armed": 0})
        if body.get("kind") == "expire_tokens":
            return JSONResponse({"expired": self._identity.expire_all()})
        fault = self._faults.arm(body)
        return JSONResponse({"operation": fault.operation, "kind": fault.kind, "times": fault.times})

    def _summary(self, request: Request, body: Any) -> Response:  # noqa: ARG002
        """What the ledger and the interface hold, per group id and in total."""
        groups: dict[str, dict[str, Any]] = {}

        def entry(group: str | None) -> dict[str, Any]:
            empty = {"batches": 0, "posted": 0, "journals": 0, "lines": 0, "total_dr": [], "total_cr": []}
            return groups.setdefault(group or "", {**empty, "interface_rows": 0, "interface_status": {}})

        rows = self._pod.database.rows
        for row in rows("SELECT group_id, status FROM gl_je_batches"):
            entry(row["group_id"])["batches"] += 1
            entry(row["group_id"])["posted"] += row["status"] == "P"
        for row in rows(
            "SELECT b.group_id, h.total_dr, h.total_cr, (SELECT COUNT(*) FROM gl_je_lines WHERE header_id = h.id) n"
            " FROM gl_je_headers h JOIN gl_je_batches b ON b.id = h.batch_id"
        ):
            found = entry(row["group_id"])
            found["journals"] += 1
            found["lines"] += row["n"]
            found["total_dr"].append(row["total_dr"])
            found["total_cr"].append(row["total_cr"])
        for row in rows("SELECT GROUP_ID, STATUS, COUNT(*) AS n FROM gl_interface GROUP BY GROUP_ID, STATUS"):
            entry(row["GROUP_ID"])["interface_rows"] += row["n"]
            entry(row["GROUP_ID"])["interface_status"][row["STATUS"]] = row["n"]
        for found in groups.values():
            found["total_dr"], found["total_cr"] = (
                plain(total(found["total_dr"])),
                plain(total(found["total_cr"])),
            )
        sums = {
            key: sum(found[key] for found in groups.values())
            for key in ("batches", "posted", "journals", "lines", "interface_rows")
        }
        amounts = {
            key: plain(total(found[key] for found in groups.values())) for key in ("total_dr", "total_cr")
        }
        return JSONResponse({"groups": dict(sorted(groups.items())), "totals": {**sums, **amounts}})


def _flag(body: Any) -> bool:
    if not isinstance(body.get("enabled"), bool):
        raise TypeError('the body is {"enabled": true} or {"enabled": false}')
    return bool(body["enabled"])
