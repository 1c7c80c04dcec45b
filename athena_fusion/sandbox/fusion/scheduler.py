"""REST of the Enterprise Scheduler: one request, search with SCIM filters, submission."""

import json
import re
import sqlite3
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from athena_fusion.sandbox.fusion.ess import NOT_SCHEDULED
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


def requests(call: Call) -> Response:
    """GET = search, POST = submission."""
    return submit(call) if call.method == "POST" else search(call)


def submit(call: Call) -> Response:
    """POST /requests: jobDefinitionId, requestParameters, requestCategory. erpintegrations knows no status of it."""
    try:
        body = json.loads(call.body)
        path = str(body["jobDefinitionId"]).removeprefix("JobDefinition:")
        values = {
            str(each["name"]): str(each.get("value") or "") for each in body.get("requestParameters", [])
        }
        category = body.get("requestCategory")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApiError(400, "ESS-00500", f"The body is no submission: {error}") from error
    package, _, definition = path.rpartition("/")
    arguments = [values.get(f"submit.argument{number}", "") for number in range(1, len(values) + 1)]
    request = call.engine.submit(
        package, definition, arguments, call.user.name, direct=False, category=category
    )
    if request == NOT_SCHEDULED:
        raise ApiError(400, "ESS-00500", f"No job definition {path}, or no right to submit it.")
    return JSONResponse({"requestId": request}, 201)


def search(call: Call) -> Response:
    """GET /requests?q=...: terms `field op value` joined by `and`; newest first, `limit` and `offset` page."""
    call.engine.tick()
    terms = _terms(call.query.get("q", ""))
    limit, offset = _whole(call, "limit", _PAGE), _whole(call, "offset", 0)
    roots = [int(v) for field, op, v in terms if (field, op) == ("absParentRequestId", "eq") and v.isdigit()]
    tree = roots[0] if roots else None
    rows = call.pod.database.rows(
        "SELECT * FROM ess_requests WHERE ? IS NULL OR absolute_parent = ? ORDER BY id DESC", tree, tree
    )
    wanted = [
        row
        for row in rows
        if all(_matches(_value(call, row, field), compare, value) for field, compare, value in terms)
    ]
    page = [_narrow(call, _details(call, row)) for row in wanted[offset : offset + limit]]
    more = len(wanted) > offset + limit
    following = urlencode({**call.query, "limit": limit, "offset": offset + limit})
    return collection(
        page,
        limit=limit,
        offset=offset,
        more=more,
        href=call.url + PATH,
        following=f"{call.url}{PATH}?{following}" if more else None,
    )


_COLUMNS = {
    "requestId": "id",
    "absParentRequestId": "absolute_parent",
    "state": "state",
    "submitter": "submitter",
    "submissionTime": "submitted",
    "processStartTime": "started",
    "completedTime": "completed",
    "requestCategory": "category",
}


def _value(call: Call, row: sqlite3.Row, field: str) -> object:
    """One field; a search looks at thousands of requests and shows a page of them."""
    if field in _COLUMNS:
        return row[_COLUMNS[field]]
    job = call.engine.jobs[row["definition"]]
    match field:
        case "parentRequestId":
            return row["parent"] or 0
        case "jobDefinitionId":
            return f"JobDefinition:/{job.package}/{job.definition}"
        case "description":
            return job.name
        case _:
            return [
                {"name": f"submit.argument{number}", "paramType": "STRING", "value": value}
                for number, value in enumerate(json.loads(row["arguments"]), start=1)
            ]


def _details(call: Call, row: sqlite3.Row) -> dict[str, object]:
    return {field: _value(call, row, field) for field in (*_FIELDS, "description")}


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
            left, wanted_time = datetime.fromisoformat(str(actual)), datetime.fromisoformat(wanted)
        except ValueError:
            raise ApiError(400, "ESS-00500", f"{wanted} is not a time.") from None
        if wanted_time.tzinfo is None:
            raise ApiError(400, "ESS-00500", f"{wanted} is a time without its offset.")
        right = wanted_time
    return _COMPARE[compare](left, right)


def _whole(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdigit():
        raise ApiError(400, "ESS-00500", f"{name} is not a whole number.")
    return int(text)
