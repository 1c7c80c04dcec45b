"""States of an intent, and the rows of the intent table that carry them.

A row moves by compare-and-set on (state, armed_at): of two processes that drive the same package only one
arms a call, the other finds itself overtaken, reads again and goes on from there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from athena_fusion.clock import iso_z
from athena_fusion.delivery.package import Package
from athena_fusion.storage.schema import intent as table


class State(StrEnum):
    """Where a package stands. A state ending in ING is written before the call whose effect it names;
    found there after a crash, the outcome of that call is unknown.
    """

    PLANNED = "PLANNED"
    UPLOADING = "UPLOADING"
    UPLOADED = "UPLOADED"
    SUBMITTING = "SUBMITTING"
    SUBMITTED = "SUBMITTED"
    LOADED_INTERFACE = "LOADED_INTERFACE"
    IMPORTING = "IMPORTING"
    IMPORT_SUBMITTED = "IMPORT_SUBMITTED"
    IMPORTED = "IMPORTED"  # the import job ended; only a read-back can say what it did
    PROVEN = "PROVEN"
    POSTING = "POSTING"
    POST_SUBMITTED = "POST_SUBMITTED"
    POSTED = "POSTED"
    FAILED = "FAILED"  # a step before the import was refused or failed
    UNPROVEN = "UNPROVEN"  # the read-back does not equal what was sent
    PURGING = "PURGING"
    PURGE_SUBMITTED = "PURGE_SUBMITTED"
    PURGED = "PURGED"  # no row of this group waits in Fusion; the next attempt may be loaded


LOADING = frozenset(
    {
        State.PLANNED,
        State.UPLOADING,
        State.UPLOADED,
        State.SUBMITTING,
        State.SUBMITTED,
        State.LOADED_INTERFACE,
        State.IMPORTING,
        State.IMPORT_SUBMITTED,
    }
)
POSTING = frozenset({State.PROVEN, State.POSTING, State.POST_SUBMITTED})
PROVED = POSTING | {State.POSTED}
PURGING = frozenset({State.FAILED, State.UNPROVEN, State.PURGING, State.PURGE_SUBMITTED})


class IntentConflict(Exception):
    """The intent key is already taken by a package with other bytes."""


class Overtaken(Exception):
    """Another process moved the intent first; read it again."""


@dataclass(frozen=True)
class IntentRow:
    """One intent as stored. `armed_at` is the instant of the last arming or move; `outcome` the worst
    state of the last finished job; `note` words for people.
    """

    package: Package
    state: State
    armed_at: datetime
    document_id: str | None
    load_request_id: str | None
    import_request_id: str | None
    post_request_id: str | None
    purge_request_id: str | None
    outcome: str | None
    note: str

    @property
    def key(self) -> str:
        """The intent key."""
        return self.package.intent.key


def find(connection: Connection, key: str) -> IntentRow | None:
    """The intent under `key`, or None."""
    found = connection.execute(select(table).where(table.c.intent_key == key)).one_or_none()
    return None if found is None else _row(found)


def plan(connection: Connection, package: Package, now: datetime) -> IntentRow:
    """The intent of `package`: a new row in PLANNED, or the one that stands.

    Raises `IntentConflict` when the key, the group id or the file name belongs to other bytes.
    """
    standing = find(connection, package.intent.key)
    if standing is not None:
        if standing.package.sha256 != package.sha256:
            raise IntentConflict(
                f"{package.intent.key} was already planned with other content "
                f"({standing.package.sha256[:12]} there, {package.sha256[:12]} here); nothing was sent. "
                "A correction is a reload (next attempt), never the same intent again."
            )
        return standing
    intent = package.intent
    try:
        connection.execute(
            insert(table).values(
                intent_key=intent.key,
                flow=intent.flow,
                entity=intent.entity,
                batch_date=intent.batch_date.isoformat(),
                category=intent.category,
                attempt=intent.attempt,
                content_sha256=package.sha256,
                group_id=package.group_id,
                file_name=package.file_name,
                manifest_sha256=package.manifest.sha256,
                state=State.PLANNED,
                armed_at=iso_z(now),
                rows=package.rows,
                debit_cents=package.debit_cents,
                credit_cents=package.credit_cents,
                package=package.to_json(),
                updated_at=iso_z(now),
            )
        )
    except IntegrityError as error:
        raise IntentConflict(
            f"{intent.key}: group id {package.group_id} or file name {package.file_name} already belongs to "
            "another intent; nothing was sent"
        ) from error
    planned = find(connection, intent.key)
    assert planned is not None
    return planned


def move(connection: Connection, row: IntentRow, state: State, now: datetime, **columns: Any) -> IntentRow:
    """Move `row` to `state` with new column values; raises `Overtaken` when it no longer stands there."""
    moved = connection.execute(
        update(table)
        .where(
            table.c.intent_key == row.key,
            table.c.state == row.state,
            table.c.armed_at == iso_z(row.armed_at),
        )
        .values(state=state, armed_at=iso_z(now), updated_at=iso_z(now), **columns)
    )
    if moved.rowcount != 1:
        raise Overtaken(row.key)
    found = find(connection, row.key)
    assert found is not None
    return found


def attempts(connection: Connection, package: Package) -> list[IntentRow]:
    """Every attempt for the same flow, entity, batch date and category, oldest first."""
    intent = package.intent
    rows: Iterable[Row[Any]] = connection.execute(
        select(table)
        .where(
            table.c.flow == intent.flow,
            table.c.entity == intent.entity,
            table.c.batch_date == intent.batch_date.isoformat(),
            table.c.category == intent.category,
        )
        .order_by(table.c.attempt)
    )
    return [_row(row) for row in rows]


def _row(row: Row[Any]) -> IntentRow:
    return IntentRow(
        package=Package.from_json(row.package),
        state=State(row.state),
        armed_at=datetime.fromisoformat(row.armed_at),
        document_id=row.document_id,
        load_request_id=row.load_request_id,
        import_request_id=row.import_request_id,
        post_request_id=row.post_request_id,
        purge_request_id=row.purge_request_id,
        outcome=row.outcome,
        note=row.note,
    )
