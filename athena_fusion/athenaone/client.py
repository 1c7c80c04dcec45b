"""The athenaNet v1 API: what the nightly flow asks of it.

Answers are read tolerantly, because their types wander: an id is text here whether it came as text or number, a
single object may come alone or in a one-element array, unknown keys are ignored and absent keys are "".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from athena_fusion.http import HttpClient, Refused

_PAGE = 1000
_PASSES = 3


class AthenaError(Exception):
    """An athenaNet answer that cannot be used, or a practice that this client may not read."""


@dataclass(frozen=True)
class Department:
    """A department (place where care is given); `provider_group_id` leads to the medical group."""

    id: str
    name: str
    provider_group_id: str
    provider_group_name: str
    zone: str
    service: bool


@dataclass(frozen=True)
class Provider:
    """A provider record; `entity_type` is Person or Non-Person (machines), `npi` may be ""."""

    id: str
    npi: str
    first_name: str
    last_name: str
    entity_type: str
    type: str
    specialty: str


class AthenaOne:
    """One practice behind one `HttpClient`. Every method raises `http.HttpError` kinds and `AthenaError`."""

    def __init__(self, http: HttpClient, practice_id: str) -> None:
        if not re.fullmatch(r"[0-9]+", practice_id):
            raise AthenaError(f"a practice id is digits, not {practice_id!r}")
        self._http, self._practice = http, practice_id

    def ping(self) -> None:
        """Prove that this client may read this practice; the cheapest call there is."""
        try:
            answer = self._http.get(f"/v1/{self._practice}/ping").json()
        except Refused as error:
            if error.status not in (403, 404):
                raise
            raise AthenaError(
                f"practice {self._practice} is not granted to this client ({error.status}: "
                f"{error.title or error.detail}). "
                "Nothing of it was read; other practices are not affected. Ask athenahealth for the grant."
            ) from None
        if str(_object(answer).get("pong", "")).lower() != "true":
            raise AthenaError(f"practice {self._practice}: ping did not answer pong; check the base URL")

    def departments(self) -> tuple[Department, ...]:
        """All departments, also those hidden in the patient portal, by id."""
        # Without showalldepartments the portal-hidden ones are silently missing.
        rows = self._list("departments", "departmentid", {"showalldepartments": "true"})
        return tuple(_department(row) for row in rows)

    def department(self, department_id: str) -> Department:
        """One department by id."""
        if not re.fullmatch(r"[0-9]+", department_id):
            raise AthenaError(f"a department id is digits, not {department_id!r}")
        path = f"/v1/{self._practice}/departments/{department_id}"
        return _department(_object(self._http.get(path, {"showalldepartments": "true"}).json()))

    def providers(self) -> tuple[Provider, ...]:
        """All providers under their canonical ids, by id."""
        return tuple(
            Provider(
                id=_text(row, "providerid"),
                npi=_text(row, "npi"),
                first_name=_text(row, "firstname"),
                last_name=_text(row, "lastname"),
                entity_type=_text(row, "entitytype"),
                type=_text(row, "providertype"),
                specialty=_text(row, "specialty"),
            )
            for row in self._list("providers", "providerid", {})
        )

    def _list(self, plural: str, key: str, params: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """All rows of a paged list, each id once, ordered by id.

        Rows may come and go while the pages are read (`totalcount` drifts): then the list is read again, and
        the last of three readings counts.
        """
        rows: dict[str, Mapping[str, Any]] = {}
        for _ in range(_PASSES):
            rows, totals = self._read_pages(plural, key, params)
            if totals <= {len(rows)}:
                break
        return [rows[name] for name in sorted(rows, key=lambda text: (len(text), text))]

    def _read_pages(
        self, plural: str, key: str, params: Mapping[str, str]
    ) -> tuple[dict[str, Mapping[str, Any]], set[int]]:
        rows: dict[str, Mapping[str, Any]] = {}
        totals, offset = set[int](), 0
        while True:
            page = _object(
                self._http.get(
                    f"/v1/{self._practice}/{plural}", {**params, "limit": str(_PAGE), "offset": str(offset)}
                ).json()
            )
            listed = page.get(plural)
            if not isinstance(listed, list):
                raise AthenaError(f"the answer to {plural} has no list {plural!r}; nothing was taken from it")
            for row in listed:
                found = _object(row)
                if not (name := _text(found, key)):
                    raise AthenaError(f"a row of {plural} has no {key}; nothing was taken from the list")
                rows[name] = found
            if (total := _text(page, "totalcount")).isdecimal():
                totals.add(int(total))
            following = _next_offset(page.get("next"), plural)
            if following is None or not listed:
                return rows, totals
            if following <= offset:
                raise AthenaError(f"the pages of {plural} do not advance; nothing was taken from the list")
            offset = following


def _department(row: Mapping[str, Any]) -> Department:
    return Department(
        id=_text(row, "departmentid"),
        name=_text(row, "name"),
        provider_group_id=_text(row, "providergroupid"),
        provider_group_name=_text(row, "providergroupname"),
        zone=_text(row, "timezonename"),
        service=_text(row, "servicedepartment").lower() != "false",
    )


def _object(answer: Any) -> Mapping[str, Any]:
    """One object, also out of a one-element array."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if not isinstance(answer, dict):
        raise AthenaError("an answer is not one object; nothing was taken from it")
    return answer


def _text(row: Mapping[str, Any], name: str) -> str:
    """A scalar as text: 86 and "86" are the same id, an absent value is ""."""
    value = row.get(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or isinstance(value, list | dict) else str(value)


def _next_offset(link: Any, plural: str) -> int | None:
    """The offset of a relative `next` link. A link to another host is refused, wherever it leads."""
    if not link:
        return None
    parts = urlsplit(str(link))
    offset = parse_qs(parts.query).get("offset", [""])[0]
    if parts.scheme or parts.netloc or not offset.isdecimal():
        raise AthenaError(
            f"the next link of {plural} is not a relative link with an offset; it was not followed"
        )
    return int(offset)
