"""The `journalBatches` REST resource: which batches a group became, and whether they are posted.

Attribute names are ASSUMED from Oracle's documentation and stand in one place; on a new pod compare them with
`GET .../journalBatches/describe`.
"""

import re
from dataclasses import dataclass
from typing import Any

from athena_fusion.fusion.erp import BadAnswer
from athena_fusion.http import HttpClient
from athena_fusion.money import MoneyError, parse_cents

_RESOURCE = "/fscmRestApi/resources/11.13.18.05/journalBatches"
_HEADERS = {
    "Accept": "application/vnd.oracle.adf.error+json, application/vnd.oracle.adf.resourcecollection+json, "
    "application/json",
    "REST-Framework-Version": "4",  # the first with row-match expressions in q and structured errors
}
_PAGE = 100
_ATTRIBUTES = {
    "id": "JeBatchId",
    "name": "BatchName",
    "status": "Status",
    "period": "DefaultPeriodName",
    "posted_on": "PostedDate",
    "debit": "RunningTotalAccountedDr",
    "credit": "RunningTotalAccountedCr",
}


@dataclass(frozen=True)
class JournalBatch:
    """One batch; `status` U unposted, P posted; `posted_on` "" until then; totals in cents, None if not told."""

    id: str
    name: str
    status: str
    period: str
    posted_on: str
    debit_cents: int | None
    credit_cents: int | None


class JournalBatches:
    """Journal batches of one pod. Raises `http.HttpError` kinds and `BadAnswer`."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def by_group(self, group_id: str) -> list[JournalBatch]:
        """Batches that Journal Import made of a group, by name (`... A <group id> <request id> N`)."""
        if not re.fullmatch(r"[0-9]{1,18}", group_id):
            raise ValueError(f"a group id is at most 18 digits, not {group_id!r}")
        found, offset = list[JournalBatch](), 0
        while True:
            query = {
                "q": f"{_ATTRIBUTES['name']} LIKE '%{group_id}%'",
                "limit": str(_PAGE),
                "offset": str(offset),
                "onlyData": "true",
            }
            body = self._http.get(_RESOURCE, query, headers=_HEADERS).json()
            items = body.get("items") if isinstance(body, dict) else None
            if not isinstance(items, list):
                raise BadAnswer("the answer to journalBatches has no items; nothing was taken from it")
            found += [_batch(item) for item in items]
            if not body.get("hasMore"):
                break
            if not items:
                raise BadAnswer("the pages of journalBatches do not advance; nothing was taken from them")
            offset += len(items)
        # The pattern may hit digits elsewhere in a name; the group stands between blanks.
        return [batch for batch in found if f" A {group_id} " in batch.name]


def _batch(item: Any) -> JournalBatch:
    if not isinstance(item, dict):
        raise BadAnswer("the answer to journalBatches holds something that is no batch")
    for field in ("id", "name", "status"):
        if item.get(_ATTRIBUTES[field]) in (None, ""):
            raise BadAnswer(
                f"a journal batch came without {_ATTRIBUTES[field]}; nothing was taken from the answer. "
                "Compare the attribute names with the resource's describe."
            )
    text = {field: str(item.get(name) or "") for field, name in _ATTRIBUTES.items()}
    return JournalBatch(
        id=text["id"],
        name=text["name"],
        status=text["status"],
        period=text["period"],
        posted_on=text["posted_on"],
        debit_cents=_cents(item.get(_ATTRIBUTES["debit"])),
        credit_cents=_cents(item.get(_ATTRIBUTES["credit"])),
    )


def _cents(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        return parse_cents(f"{value:f}" if not isinstance(value, str) else value)
    except (MoneyError, ValueError):
        raise BadAnswer("a journal batch has a total that is not an exact amount") from None
