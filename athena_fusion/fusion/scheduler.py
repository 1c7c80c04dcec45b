"""The scheduler REST API (23B and later): who runs with which arguments.

Ties *Import Journals* to its load by `submit.argument4` (the group id), and finds requests whose id was lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from athena_fusion.fusion.erp import BadAnswer
from athena_fusion.fusion.jobs import STATE_NAMES
from athena_fusion.http import HttpClient

_REQUESTS = "/ess/rest/scheduler/v1/requests"
_FIELDS = "requestId,jobDefinitionId,state,requestParameters"


@dataclass(frozen=True)
class EssRequest:
    """One ESS request. `definition` is the bare name of the job, `parameters` holds `submit.argument1..n`."""

    id: str
    definition: str
    state: str
    parameters: Mapping[str, str]

    def argument(self, number: int) -> str:
        """`submit.argument<number>`, "" where there is none."""
        return self.parameters.get(f"submit.argument{number}", "")


class Scheduler:
    """Requests of one pod. Raises `http.HttpError` kinds and `BadAnswer`."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def request(self, request_id: str) -> EssRequest:
        """One request with its arguments."""
        if not request_id.isdecimal():
            raise ValueError(f"a request id is digits, not {request_id!r}")
        return _request(self._http.get(f"{_REQUESTS}/{request_id}", {"fields": _FIELDS}).json())

    def descendants(self, request_id: str) -> list[EssRequest]:
        """All requests below a submitted one, by id."""
        if not request_id.isdecimal():
            raise ValueError(f"a request id is digits, not {request_id!r}")
        found = self.search(f"absParentRequestId eq {request_id}")
        return [request for request in found if request.id != request_id]

    def search(self, q: str) -> list[EssRequest]:
        """Requests matching a SCIM filter, by id, over all pages.

        A probe that misses a request would load journals twice, so an answer that has more than can be reached
        is an error.
        """
        found: dict[int, EssRequest] = {}
        offset = 0
        while True:
            query = {"q": q, "fields": _FIELDS} | ({"offset": str(offset)} if offset else {})
            body = self._http.get(_REQUESTS, query).json()
            items = body.get("items") if isinstance(body, dict) else None
            if not isinstance(items, list):
                raise BadAnswer("the scheduler's answer has no items; nothing was taken from it")
            page = {int(request.id): request for request in map(_request, items)}
            if offset and not page.keys() - found.keys():
                # How a pod pages here is ASSUMED (by offset); one that does not must not look complete.
                raise BadAnswer("the scheduler has more requests than it gives; narrow the search")
            found |= page
            if body.get("hasMore") is not True:
                return [found[number] for number in sorted(found)]
            if not items:
                raise BadAnswer("the scheduler has more requests than it gives; narrow the search")
            offset += len(items)


def _request(item: Any) -> EssRequest:
    if not isinstance(item, dict) or not str(item.get("requestId") or "").isdecimal():
        raise BadAnswer("the scheduler's answer holds something that is no request")
    state = item.get("state")
    return EssRequest(
        id=str(item["requestId"]),
        # `JobDefinition://oracle/apps/ess/.../JournalImportLauncher`
        definition=str(item.get("jobDefinitionId") or "").rsplit("/", 1)[-1],
        state=STATE_NAMES.get(state, "") if isinstance(state, int) else str(state or "").strip().upper(),
        parameters=_parameters(item.get("requestParameters")),
    )


def _parameters(listed: Any) -> dict[str, str]:
    """Parameters as a list of {name, value} objects, or as one object."""
    if isinstance(listed, dict):
        pairs = list(listed.items())
    else:
        rows = [row for row in listed or [] if isinstance(row, dict)]
        pairs = [(row.get("name"), row.get("value")) for row in rows]
    return {str(name): "" if value is None else str(value) for name, value in pairs if name}
