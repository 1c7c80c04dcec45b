"""REST resources journalBatches (with child journalHeaders and describe) and ledgerBalances."""

import re
import sqlite3
from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase

from starlette.responses import JSONResponse, Response

from athena_fusion.sandbox.fusion.amounts import ZERO, plain, stored
from athena_fusion.sandbox.fusion.web import ROOT, ApiError, Call, collection, framework_version

_BATCH = {
    "JeBatchId": "id",
    "BatchName": "name",
    "BatchDescription": "description",
    "Status": "status",
    "GroupId": "group_id",
    "JeSource": "source",
    "LedgerId": "ledger_id",
    "DefaultPeriodName": "period_name",
    "CreatedBy": "created_by",
    "CreationDate": "created",
    "PostedDate": "posted",
    "RunningTotalAccountedDr": "total_dr",
    "RunningTotalAccountedCr": "total_cr",
}
_HEADER = {
    "JeHeaderId": "id",
    "JeBatchId": "batch_id",
    "LedgerId": "ledger_id",
    "JournalName": "name",
    "JournalDescription": "description",
    "ExternalReference": "external_reference",
    "JeSource": "source",
    "JeCategory": "category",
    "CurrencyCode": "currency",
    "PeriodName": "period_name",
    "EffectiveDate": "effective_date",
    "RunningTotalAccountedDr": "total_dr",
    "RunningTotalAccountedCr": "total_cr",
}
_NUMBERS = {"JeBatchId", "JeHeaderId", "GroupId", "LedgerId"}
_TERM = re.compile(r"""\s*(\w+)\s*(=|!=|>=|<=|>|<|\bLIKE\b)\s*('[^']*'|"[^"]*"|[^'"\s]+)\s*""", re.IGNORECASE)
_PAGE, _LARGEST_PAGE = 25, 500


def batches(call: Call) -> Response:
    """GET journalBatches with `q`, `limit`, `offset`, `fields`."""
    where, parameters = _where(call.query.get("q", ""), _BATCH)
    rows = call.pod.database.rows(f"SELECT * FROM gl_je_batches{where} ORDER BY id", *parameters)  # noqa: S608 - columns of _BATCH
    return _page(call, rows, _BATCH, f"{ROOT}/journalBatches")


def batch(call: Call) -> Response:
    """GET journalBatches/{id}."""
    return JSONResponse(_item(call, _batch_row(call), _BATCH))


def headers(call: Call) -> Response:
    """GET journalBatches/{id}/child/journalHeaders."""
    row = _batch_row(call)
    where, parameters = _where(call.query.get("q", ""), _HEADER)
    rows = call.pod.database.rows(
        f"SELECT * FROM (SELECT * FROM gl_je_headers WHERE batch_id = {int(row['id'])}){where} ORDER BY id",  # noqa: S608 - columns of _HEADER
        *parameters,
    )
    return _page(call, rows, _HEADER, f"{ROOT}/journalBatches/{row['id']}/child/journalHeaders")


def describe(call: Call) -> Response:  # noqa: ARG001 - the same for every caller
    """GET journalBatches/describe: attribute names and types."""

    def attributes(names: Mapping[str, str]) -> list[dict[str, object]]:
        return [
            {"name": name, "type": "integer" if name in _NUMBERS else "string", "updatable": False}
            for name in names
        ]

    child = {"journalHeaders": {"attributes": attributes(_HEADER)}}
    return JSONResponse(
        {"Resources": {"journalBatches": {"attributes": attributes(_BATCH), "item": {"children": child}}}}
    )


def balances(call: Call) -> Response:
    """GET ledgerBalances?finder=AccountBalanceFinder;ledgerName=..,accountingPeriod=..,currency=..

    Optional accountCombination, `%` stands for any text. Posted amounts only.
    """
    framework_version(call)
    _privilege(call)
    finder, _, rest = call.query.get("finder", "").partition(";")
    given = dict(part.partition("=")[::2] for part in rest.split(",") if part)
    if finder != "AccountBalanceFinder":
        raise ApiError(400, "The finder is unknown or missing.")
    ledger = call.pod.ledger(name=given.get("ledgerName"))
    periods = call.pod.database.rows(
        "SELECT * FROM periods WHERE ledger_id = ? ORDER BY first_day", ledger.id if ledger else ""
    )
    names = [row["name"] for row in periods]
    wanted = given.get("accountingPeriod", "")
    if ledger is None or wanted not in names:
        raise ApiError(400, "ledgerName or accountingPeriod is not valid.")
    currency = given.get("currency", ledger.currency)
    pattern = given.get("accountCombination", "%").replace("%", "*")
    earlier = set(names[: names.index(wanted)])
    sums: dict[str, list[Decimal]] = {}
    for row in call.pod.database.rows(
        "SELECT b.*, c.segments FROM gl_balances b JOIN gl_code_combinations c ON c.id = b.combination"
        " WHERE b.ledger_id = ? AND b.currency = ? ORDER BY c.segments",
        ledger.id,
        currency,
    ):
        if not fnmatchcase(row["segments"], pattern):
            continue
        amount = stored(row["period_dr"]) - stored(row["period_cr"])
        pair = sums.setdefault(row["segments"], [ZERO, ZERO])
        if row["period_name"] in earlier:
            pair[0] += amount
        elif row["period_name"] == wanted:
            pair[1] += amount
    items: list[dict[str, object]] = [
        {
            "LedgerName": ledger.name,
            "PeriodName": wanted,
            "Currency": currency,
            "DetailAccountCombination": segments,
            "BeginningBalance": plain(start),
            "PeriodActivity": plain(activity),
            "EndingBalance": plain(start + activity),
            "AmountType": "PTD",
        }
        for segments, (start, activity) in sums.items()
    ]
    return _slice(call, items, f"{ROOT}/ledgerBalances")


def _batch_row(call: Call) -> sqlite3.Row:
    framework_version(call)
    _privilege(call)
    text = call.path["batch"]
    row = (
        call.pod.database.row("SELECT * FROM gl_je_batches WHERE id = ?", int(text))
        if text.isdigit()
        else None
    )
    if row is None:
        raise ApiError(404, "Not Found", f"No journal batch {text}.")
    return row


def _privilege(call: Call) -> None:
    if "ledger" not in call.user.privileges:
        raise ApiError(403, "Forbidden")


def _where(query: str, names: Mapping[str, str]) -> tuple[str, list[object]]:
    """SQL of an ADF row filter: `Attribute op value` joined by `;` or `and`."""
    parts, parameters = [], []
    for part in filter(None, re.split(r";|\s+and\s+", query, flags=re.IGNORECASE)):
        match = _TERM.fullmatch(part)
        if match is None or match[1] not in names:
            raise ApiError(400, "URL request parameter q cannot be used in this context.", f"q={part}")
        parts.append(f"{names[match[1]]} {match[2].upper()} ?")
        value = match[3]
        parameters.append(value[1:-1] if value[0] in "'\"" else value)
    return (" WHERE " + " AND ".join(parts) if parts else ""), list(parameters)


def _page(call: Call, rows: list[sqlite3.Row], names: Mapping[str, str], href: str) -> Response:
    framework_version(call)
    _privilege(call)
    return _slice(call, [_item(call, row, names) for row in rows], href)


def _slice(call: Call, items: list[dict[str, object]], href: str) -> Response:
    limit, offset = call.query.get("limit", str(_PAGE)), call.query.get("offset", "0")
    if not (limit.isdigit() and offset.isdigit()):
        raise ApiError(400, "limit and offset are whole numbers.")
    size, start = min(int(limit), _LARGEST_PAGE), int(offset)
    page = items[start : start + size]
    more = len(items) > start + size
    return collection(page, limit=size, offset=start, more=more, href=call.url + href)


def _item(call: Call, row: sqlite3.Row, names: Mapping[str, str]) -> dict[str, object]:
    fields = [each for each in call.query.get("fields", "").split(",") if each]
    if set(fields) - set(names):
        raise ApiError(400, "Invalid attribute in fields.")
    item: dict[str, object] = {}
    for name in fields or names:
        value = row[names[name]]
        item[name] = int(value) if name in _NUMBERS and value is not None else value
    return item
