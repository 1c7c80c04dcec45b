"""The operator queue: what was not done, why, how much money waits, and what a person decided.

An item's id derives from what it is about, so putting the same finding twice leaves one item. A person may say
that the cause was fixed at its source or remap a segment of the line; an amount can never be changed here.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy import func as sql

from athena_fusion.clock import Clock, iso_z
from athena_fusion.storage.database import Database
from athena_fusion.storage.schema import decision, exception_item
from athena_fusion.trust.audit import AuditLog

_VALUE = re.compile(r"[A-Za-z0-9]{1,25}")
_SLICE = 500  # ids per IN clause


class QueueError(Exception):
    """A queue action that was not done; the message says why and what to do instead."""


class StaleItem(QueueError):
    """Somebody changed the item after it was shown."""


class Kind(StrEnum):
    """Why a line waits. Other stages add kinds of their own as plain text."""

    REJECTED = "REJECTED"  # Fusion refused this line
    HELD = "HELD"  # healthy, waits because of a sibling: nobody is asked to fix it
    NOT_IMPORTED = "NOT_IMPORTED"
    MISSING = "MISSING"
    DUPLICATE = "DUPLICATE"
    DIFFERENT = "DIFFERENT"
    LOADER_REJECT = "LOADER_REJECT"  # the file loader refused this record
    LOAD_FAILED = "LOAD_FAILED"  # the package as a whole did not get in


class Status(StrEnum):
    """OPEN -> CORRECTED by a person -> RELOADED with the next attempt -> RESOLVED once that is proven."""

    OPEN = "OPEN"
    CORRECTED = "CORRECTED"
    RELOADED = "RELOADED"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True)
class Correction:
    """What a person changed: `segments` remaps segment values of the one line; empty means that the cause was
    fixed at its source ("the cost centre was enabled in Fusion"), which the reason tells.
    """

    segments: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Text for the `correction` column."""
        return json.dumps({"segments": dict(self.segments)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The correction written by `to_json`."""
        return cls(json.loads(text)["segments"])


@dataclass(frozen=True)
class Finding:
    """Something to put into the queue. `subject` is what it is about: a line key, a row or a file name;
    `amount_cents` the money that waits, never negative.
    """

    kind: str
    stage: str
    flow: str
    entity: str
    batch_date: str
    subject: str
    reason: str
    amount_cents: int
    category: str = ""
    intent_key: str | None = None
    code: str = ""
    combination: str = ""

    @property
    def id(self) -> str:
        """`Q` and 16 hex digits over everything that tells this finding from others."""
        parts = (
            self.kind,
            self.stage,
            self.flow,
            self.entity,
            self.batch_date,
            self.category,
            self.subject,
            self.intent_key or "",
        )
        return "Q" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Item:
    """One queue item as stored; pass `version` back when correcting it."""

    id: str
    finding: Finding
    status: Status
    correction: Correction | None
    created_at: str
    updated_at: str
    version: int


class ExceptionQueue:
    """The queue over the state database. `segments` are the chart's segment names a remap may use."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock, segments: Collection[str]) -> None:
        self._database, self._audit, self._clock = database, audit, clock
        self._segments = frozenset(segments)

    def list_items(
        self,
        *,
        batch_date: str | None = None,
        entity: str | None = None,
        intent_key: str | None = None,
        kind: str | None = None,
        status: Collection[Status] = (Status.OPEN, Status.CORRECTED, Status.RELOADED),
    ) -> list[Item]:
        """Items that match every given filter, largest amount first."""
        wanted = {"batch_date": batch_date, "entity": entity, "intent_key": intent_key, "kind": kind}
        query = select(exception_item).where(exception_item.c.status.in_([str(word) for word in status]))
        for name, value in wanted.items():
            if value is not None:
                query = query.where(exception_item.c[name] == value)
        query = query.order_by(exception_item.c.amount_cents.desc(), exception_item.c.subject)
        with self._database.begin() as connection:
            return [_item(row) for row in connection.execute(query)]

    def show(self, item_id: str) -> Item:
        """One item; `QueueError` when there is none."""
        with self._database.begin() as connection:
            return _show(connection, item_id)

    def put(self, findings: Sequence[Finding]) -> None:
        """Put findings of any stage; see `put_findings`."""
        if findings:
            self._audit.append("queue.put", "ok", items=str(len(findings)), stage=findings[0].stage)
        with self._database.begin() as connection:
            put_findings(connection, findings, self._clock.now())

    def resolve(self, item_ids: Collection[str], reason: str) -> None:
        """Close items whose cause is gone. Already closed ones stay as they are."""
        self._audit.append("queue.resolve", "ok", items=str(len(item_ids)), reason=reason)
        with self._database.begin() as connection:
            set_status(connection, item_ids, Status.RESOLVED, self._clock.now())

    def correct(self, item_id: str, *, actor: str, reason: str, change: Correction, version: int) -> Item:
        """Record what a person did about an item. Nothing is sent; that is the reload.

        Raises `StaleItem` when the item changed since `version` was read, `QueueError` for an item that
        needs no correction, is past it, or a remap of something that is no segment.
        """
        if not reason.strip():
            raise QueueError("A correction needs a reason; nothing was changed.")
        self._check_change(change)
        with self._database.begin() as connection:
            _correctable(_show(connection, item_id), version)
        self._audit.append(
            "queue.correct", "ok", item=item_id, actor=actor, reason=reason, change=change.to_json()
        )
        now = iso_z(self._clock.now())
        with self._database.begin() as connection:
            _correctable(_show(connection, item_id), version)
            connection.execute(
                update(exception_item)
                .where(exception_item.c.id == item_id)
                .values(
                    status=Status.CORRECTED,
                    correction=change.to_json(),
                    updated_at=now,
                    version=version + 1,
                )
            )
            record_decision(
                connection,
                item_id,
                actor,
                "correct",
                {"reason": reason, "segments": dict(change.segments), "version": version},
                now,
            )
            return _show(connection, item_id)

    def _check_change(self, change: Correction) -> None:
        for name, value in change.segments.items():
            if name not in self._segments:
                raise QueueError(
                    f"{name} is no segment of the chart ({', '.join(sorted(self._segments))}); amounts and "
                    "other fields cannot be changed here, only at their source. Nothing was changed."
                )
            if not _VALUE.fullmatch(value):
                raise QueueError(f"{value!r} is no segment value; nothing was changed.")


def put_findings(connection: Connection, findings: Sequence[Finding], now: datetime) -> None:
    """Insert findings that are new, refresh open ones, reopen resolved ones; what a person already corrected
    or reloaded stays untouched. Idempotent.
    """
    stamp = iso_z(now)
    standing = {item.id: item for item in _by_id(connection, [finding.id for finding in findings])}
    fresh = {finding.id: finding for finding in findings if finding.id not in standing}
    if fresh:
        connection.execute(
            insert(exception_item),
            [
                {
                    "id": finding.id,
                    **finding.__dict__,
                    "status": Status.OPEN,
                    "created_at": stamp,
                    "updated_at": stamp,
                    "version": 1,
                }
                for finding in fresh.values()
            ],
        )
    for finding in findings:
        item = standing.get(finding.id)
        if item is None or item.status in (Status.CORRECTED, Status.RELOADED):
            continue
        if item.status is Status.OPEN and item.finding == finding:
            continue
        connection.execute(
            update(exception_item)
            .where(exception_item.c.id == item.id)
            .values(
                **finding.__dict__,
                status=Status.OPEN,
                correction=None,
                updated_at=stamp,
                version=item.version + 1,
            )
        )


def items_of(connection: Connection, intent_key: str) -> list[Item]:
    """Every item of one intent, by subject."""
    query = (
        select(exception_item)
        .where(exception_item.c.intent_key == intent_key)
        .order_by(exception_item.c.subject)
    )
    return [_item(row) for row in connection.execute(query)]


def set_status(connection: Connection, item_ids: Collection[str], status: Status, now: datetime) -> None:
    """Set the status of items that do not have it yet."""
    ids = list(item_ids)
    for start in range(0, len(ids), _SLICE):
        connection.execute(
            update(exception_item)
            .where(exception_item.c.id.in_(ids[start : start + _SLICE]), exception_item.c.status != status)
            .values(status=status, updated_at=iso_z(now), version=exception_item.c.version + 1)
        )


def record_decision(
    connection: Connection,
    item_id: str,
    actor: str,
    action: str,
    detail: Mapping[str, Any],
    stamp: str,
    attempt: int | None = None,
) -> None:
    """One decision row. Its id counts the decisions on the item, so the same history has the same ids."""
    number = connection.execute(
        select(sql.count()).select_from(decision).where(decision.c.item_id == item_id)
    ).scalar_one()
    connection.execute(
        insert(decision).values(
            id=f"{item_id}-{number + 1:02d}",
            item_id=item_id,
            actor=actor,
            action=action,
            detail=json.dumps(detail, sort_keys=True),
            created_at=stamp,
            attempt=attempt,
        )
    )


def _correctable(item: Item, version: int) -> None:
    if item.version != version:
        raise StaleItem(f"{item.id} was changed meanwhile (version {item.version}); look at it again first.")
    if item.finding.kind == Kind.HELD:
        raise QueueError(
            f"{item.id} is a healthy line that waits for its sibling; there is nothing to correct. "
            "It goes with the reload."
        )
    if item.status not in (Status.OPEN, Status.CORRECTED):
        raise QueueError(f"{item.id} is {item.status} and can no longer be corrected.")


def _show(connection: Connection, item_id: str) -> Item:
    row = connection.execute(select(exception_item).where(exception_item.c.id == item_id)).one_or_none()
    if row is None:
        raise QueueError(f"There is no queue item {item_id}.")
    return _item(row)


def _by_id(connection: Connection, ids: Sequence[str]) -> list[Item]:
    found: list[Item] = []
    for start in range(0, len(ids), _SLICE):
        query = select(exception_item).where(exception_item.c.id.in_(ids[start : start + _SLICE]))
        found += [_item(row) for row in connection.execute(query)]
    return found


def _item(row: Row[Any]) -> Item:
    columns = row._mapping
    return Item(
        id=row.id,
        finding=Finding(**{name: columns[name] for name in Finding.__dataclass_fields__}),
        status=Status(row.status),
        correction=Correction.from_json(row.correction) if row.correction else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
    )
