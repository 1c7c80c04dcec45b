"""REST of the Enterprise Scheduler: one request, and search with SCIM filters (read only)."""

import json
import re
import sqlite3
from collections.abc import Callable
from datetime import datetime

from starlette.responses import JSONResponse, Response

from athena_fusion.sandbox.fusion.web import ApiError, Call, collection

PATH = "/ess/rest/scheduler/v1/requests"
_FIELDS = (
    "requestId",
    "absParentRequestId",
    "parentRequestId",
    "jobDefinitionId",
    "state",
    "submitter",
    "submissionTime",
    "processStartTime",
    "completedTime",
    "requestCategory",
    "requestParameters",
)
_DEFINITION_NAMES = {"definition": "jobDefinitionId"}  # accepted in searches beside the documented name
_TERM = re.compile(r'\s*(\w+)\s+(eq|ne|co|sw|gt|ge|lt|le)\s+("[^"]*"|\S+)\s*', re.IGNORECASE)
_COMPARE: dict[str, Callable[[object, object], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "co": lambda left, right: str(right) in str(left),
    "sw": lambda left, right: str(left).startswith(str(right)),
    "gt": lambda left, right: left > right,  # type: ignore[operator]  # both come from _comparable of one field
    "ge": lambda left, right: left >= right,  # type: ignore[operator]
    "lt": lambda left, right: left < right,  # type: ignore[operator]
    "le": lambda left, right: left <= right,  # type: ignore[operator]
}
_PAGE = 500


def one(call: Call) -> Response:
    """GET /requests/{id}: requestParameters only when asked for by `fields`."""
    call.engine.tick()
    request = call.path["request"]
    row = (
        call.pod.database.row("SELECT * FROM ess_requests WHERE id = ?", int(request))
        if request.isdigit()
        else None
    )
    if row is None:
        raise ApiError(404, "ESS-00501", f"Request {request} was not found.")
    return JSONResponse(_narrow(call, _details(call, row)))


def search(call: Call) -> Response:
    """GET /requests?q=...: terms `field op value` joined by `and`; newest first, `limit` and `offset` page."""
    call.engine.tick()
    terms = _terms(call.query.get("q", ""))
    limit, offset = _whole(call, "limit", _PAGE), _whole(call, "offset", 0)
    found = []
    for row in call.pod.database.rows("SELECT * FROM ess_requests ORDER BY id DESC"):
        details = _details(call, row)
        if all(_matches(details.get(field), compare, value) for field, compare, value in terms):
            found.append(details)
    page = [_narrow(call, details) for details in found[offset : offset + limit]]
    more = len(found) > offset + limit
    return collection(page, limit=limit, offset=offset, more=more, href=call.url + PATH)


def _details(call: Call, row: sqlite3.Row) -> dict[str, object]:
    job = call.engine.jobs[row["definition"]]
    return {
        "requestId": row["id"],
        "absParentRequestId": row["absolute_parent"],
        "parentRequestId": row["parent"] or 0,
        "jobDefinitionId": f"JobDefinition:/{job.package}/{job.definition}",
        "description": job.name,
        "state": row["state"],
        "submitter": row["submitter"],
        "submissionTime": row["submitted"],
        "processStartTime": row["started"],
        "completedTime": row["completed"],
        "requestCategory": row["category"],
        "requestParameters": [
            {"name": f"submit.argument{number}", "paramType": "STRING", "value": value}
            for number, value in enumerate(json.loads(row["arguments"]), start=1)
        ],
    }


def _narrow(call: Call, details: dict[str, object]) -> dict[str, object]:
    asked = [each.strip() for each in call.query.get("fields", "").strip('"').split(",") if each.strip()]
    if asked == ["@full"]:
        return details
    if not asked or asked == ["@basic"]:
        return {key: value for key, value in details.items() if key != "requestParameters"}
    if unknown := set(asked) - set(_FIELDS) - {"description"}:
        raise ApiError(400, "ESS-00500", f"Unknown fields: {', '.join(sorted(unknown))}.")
    return {key: details[key] for key in {"requestId": None, **dict.fromkeys(asked)}}


def _terms(query: str) -> list[tuple[str, str, str]]:
    terms = []
    for part in filter(None, re.split(r"\s+and\s+", query, flags=re.IGNORECASE)):
        match = _TERM.fullmatch(part)
        field = _DEFINITION_NAMES.get(match[1], match[1]) if match else ""
        if match is None or field not in _FIELDS or field == "requestParameters":
            raise ApiError(400, "ESS-00500", f"The query term {part} is not understood.")
        terms.append((field, match[2].lower(), match[3].strip('"')))
    return terms


def _matches(actual: object, compare: str, wanted: str) -> bool:
    if actual is None:
        return False
    left: object = actual
    right: object = wanted
    if isinstance(actual, int):
        if not wanted.isdigit():
            return False
        right = int(wanted)
    elif compare in {"gt", "ge", "lt", "le"}:
        try:
            left, right = datetime.fromisoformat(str(actual)), datetime.fromisoformat(wanted)
        except ValueError:
            raise ApiError(400, "ESS-00500", f"{wanted} is not a time.") from None
    return _COMPARE[compare](left, right)


def _whole(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdigit():
        raise ApiError(400, "ESS-00500", f"{name} is not a whole number.")
    return int(text)
