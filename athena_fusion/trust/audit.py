"""Audit log: an append-only table whose rows are hash-chained, with signed checkpoints.

`hash_n = SHA-256("AFAUDIT1\\n" || hash_{n-1} || uint64be(n) || SHA-256(body_n))`, `hash_0` = 32 zero bytes. The log
fails closed: when an event cannot be recorded, `AuditUnavailable` is raised and the guarded action must not happen.
Events hold identifiers, counts and digests; never secrets and nothing about a patient.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import rfc8785
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from athena_fusion.clock import Clock, iso_z
from athena_fusion.storage.database import Database
from athena_fusion.storage.schema import audit_checkpoint, audit_event, audit_head
from athena_fusion.trust.keys import KeyProblem, KeyRing, KeySet, SignatureRefused
from athena_fusion.trust.masking import mask

CHECKPOINT_TYP = "athena-fusion-audit+jws"
CHECKPOINT_CTY = "application/json"
CHECKPOINT_AFTER = timedelta(minutes=10)
CHECKPOINT_EVERY = 1000

_MAX_VALUE = 500
_MAX_BODY = 8192
_START = bytes(32)
_READ_SLICE = 10_000


class AuditUnavailable(Exception):
    """The event could not be recorded: do not do what it would have recorded."""


class AuditRefused(ValueError):
    """An event that may not stand in the log (too long, or it looks like a secret); nothing was recorded."""


@dataclass(frozen=True)
class Event:
    """One thing that happened: a dotted type (`manifest.sign`), an outcome (`ok`, `refused` …), short identifiers."""

    type: str
    outcome: str
    detail: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement of the chain's hash after event `seq`: canonical JSON body and its detached JWS."""

    seq: int
    body: bytes
    jws: bytes


@dataclass(frozen=True)
class AuditReport:
    """What `AuditLog.verify` found. `first_bad` is the first sequence number that cannot be trusted."""

    events: int
    checkpoints: int
    head: str
    first_bad: int | None = None
    problem: str = ""

    @property
    def ok(self) -> bool:
        return self.first_bad is None


class AuditLog:
    """The chain in `database`. Never call it from inside a transaction of your own: it takes the write lock."""

    def __init__(self, database: Database, clock: Clock, keys: KeyRing) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        path = database.url.database
        on_disk = database.sqlite and path and path != ":memory:"
        self._lock_path = Path(f"{path}.audit-lock") if on_disk else None

    def append(self, type: str, outcome: str, **detail: str) -> int:
        """Record one event durably and return its sequence number."""
        return self.append_many([Event(type, outcome, detail)])[-1]

    def append_many(self, events: Sequence[Event]) -> range:
        """Record the events of one step in one transaction, all or none; their sequence numbers."""
        now = self._clock.now()
        bodies = [(_event_id(now), event) for event in events]
        rows = [(identity, _body(identity, now, event)) for identity, event in bodies]
        with self._writing() as connection:
            last, digest = _head(connection)
            first = last + 1
            values = []
            for seq, (identity, body) in enumerate(rows, start=first):
                digest = chain_hash(digest, seq, body)
                values.append({"seq": seq, "id": identity, "ts": iso_z(now), "body": body, "hash": digest})
            if values:
                connection.execute(insert(audit_event), values)
                _set_head(connection, first + len(values) - 1, digest, first_time=last == 0)
            marked = _last_marked(connection)
        after = last + len(rows)
        if after // CHECKPOINT_EVERY > last // CHECKPOINT_EVERY:
            self._checkpoint_now()
        elif marked is not None and now - marked >= CHECKPOINT_AFTER:
            with suppress(KeyProblem):  # before keys are set up; the thousandth event insists
                self.checkpoint()
        return range(first, after + 1)

    def checkpoint(self) -> Checkpoint:
        """Sign the present end of the chain with the audit key; the last one again if nothing happened since."""
        key = self._keys.active("audit")
        with self._writing() as connection:
            seq, digest = _head(connection)
            previous = connection.execute(
                select(audit_checkpoint).order_by(audit_checkpoint.c.seq.desc()).limit(1)
            ).one_or_none()
            if previous is not None and previous.seq == seq:
                return Checkpoint(seq, _raw(previous.body), _raw(previous.jws))
            now = iso_z(self._clock.now())
            before = hashlib.sha256(previous.body).hexdigest() if previous is not None else ""
            body = rfc8785.dumps(
                {"count": seq, "hash": digest.hex(), "prevCheckpointSha256": before, "seq": seq, "ts": now}
            )
            signature = key.sign(body, typ=CHECKPOINT_TYP, cty=CHECKPOINT_CTY)
            connection.execute(
                insert(audit_checkpoint).values(
                    seq=seq, hash=digest, ts=now, prev_sha256=before, body=body, jws=signature.decode()
                )
            )
            return Checkpoint(seq, body, signature)

    def _checkpoint_now(self) -> None:
        try:
            self.checkpoint()
        except KeyProblem as error:
            raise AuditUnavailable(f"the log's checkpoint is due and cannot be signed: {error}") from error

    def verify(self, published: Iterable[Checkpoint] = ()) -> AuditReport:
        """Recompute the whole chain and compare it with head and checkpoints.

        `published` are checkpoints kept elsewhere, for example in evidence packs: they expose somebody who cut off
        the tail together with the head and the checkpoints of this database.
        """
        with self._database.begin() as connection:
            end, head = _head(connection)
            own = [
                Checkpoint(row.seq, _raw(row.body), _raw(row.jws))
                for row in connection.execute(select(audit_checkpoint).order_by(audit_checkpoint.c.seq))
            ]
            lowest, highest = connection.execute(
                select(func.min(audit_event.c.seq), func.max(audit_event.c.seq))
            ).one()
        keys = self._keys.public()
        marks: dict[int, list[str]] = {}
        problems: list[tuple[int, str]] = []
        if lowest is not None and lowest < 1:
            problems.append((lowest, f"event {lowest} was added before the first"))
        before = ""
        for position, checkpoint in enumerate((*own, *published)):
            try:
                body = read_checkpoint(checkpoint, keys)
            except SignatureRefused as error:
                problems.append((checkpoint.seq, f"checkpoint {checkpoint.seq}: {error}"))
                continue
            if position < len(own):
                if body["prevCheckpointSha256"] != before:
                    problems.append(
                        (checkpoint.seq, f"checkpoint {checkpoint.seq} does not follow the one before")
                    )
                before = hashlib.sha256(checkpoint.body).hexdigest()
            marks.setdefault(checkpoint.seq, []).append(str(body["hash"]))

        seq, digest, bad = 0, _START, ""
        for seq, digest, bad in self._recompute(max(end, highest or 0)):
            if not bad and any(mark != digest.hex() for mark in marks.pop(seq, [])):
                bad = f"event {seq} differs from what checkpoint {seq} signed"  # noqa: PLW2901
            if bad:
                problems.append((seq, bad))
                break
        else:
            known = max(end, *marks, 0)
            if known > seq:
                problems.append((seq + 1, f"events {seq + 1} to {known} are gone from the end of the log"))
            elif seq > end:
                problems.append((end + 1, f"events after {end} were added behind the head"))
            elif digest != head:
                problems.append((seq, "the head does not match the last event"))
        first_bad, problem = min(problems, default=(None, ""))
        return AuditReport(seq, len(own), digest.hex(), first_bad, problem)

    def _recompute(self, end: int) -> Iterator[tuple[int, bytes, str]]:
        """Each event's number, recomputed hash and problem. Read in slices so that writers are not held up."""
        expected, digest = 1, _START
        while expected <= end:
            with self._database.begin() as connection:
                rows = connection.execute(
                    select(audit_event)
                    .where(audit_event.c.seq >= expected, audit_event.c.seq <= end)
                    .order_by(audit_event.c.seq)
                    .limit(_READ_SLICE)
                ).all()
            if not rows:
                return
            for row in rows:
                if row.seq != expected:
                    yield expected, digest, f"event {expected} is missing"
                    return
                body = _raw(row.body)
                digest = chain_hash(digest, expected, body)
                yield expected, digest, _row_problem(expected, row.id, row.ts, body, digest == row.hash)
                expected += 1

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._queue(), self._database.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise AuditUnavailable(
                f"the audit log cannot be written ({type(error).__name__}); the action was not done"
            ) from error

    @contextmanager
    def _queue(self) -> Iterator[None]:
        """SQLite only: writers queue on a file lock, because its own busy-waiting starves some for seconds."""
        if self._lock_path is None:
            yield
            return
        with self._lock_path.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def chain_hash(previous: bytes, seq: int, body: bytes) -> bytes:
    """The chain's hash after event `seq`."""
    return hashlib.sha256(
        b"AFAUDIT1\n" + previous + seq.to_bytes(8, "big") + hashlib.sha256(body).digest()
    ).digest()


def read_checkpoint(checkpoint: Checkpoint, keys: KeySet) -> dict[str, object]:
    """The verified body of a checkpoint; `SignatureRefused` otherwise."""
    key = keys.verify(
        checkpoint.body, checkpoint.jws, purpose="audit", typ=CHECKPOINT_TYP, cty=CHECKPOINT_CTY
    )
    body: dict[str, object] = json.loads(checkpoint.body)
    key.check_time(datetime.fromisoformat(str(body["ts"])))
    if body["seq"] != checkpoint.seq:
        raise SignatureRefused(f"it speaks of event {body['seq']}")
    return body


def _last_marked(connection: Connection) -> datetime | None:
    """When the chain was last signed, or began; None while it is empty."""
    last = select(audit_checkpoint.c.ts).order_by(audit_checkpoint.c.seq.desc()).limit(1)
    text = connection.execute(last).scalar_one_or_none()
    if text is None:
        text = connection.execute(select(audit_event.c.ts).where(audit_event.c.seq == 1)).scalar_one_or_none()
    return None if text is None else datetime.fromisoformat(text)


def _head(connection: Connection) -> tuple[int, bytes]:
    row = connection.execute(select(audit_head.c.seq, audit_head.c.hash).with_for_update()).one_or_none()
    return (row.seq, _raw(row.hash)) if row is not None else (0, _START)


def _raw(value: object) -> bytes:
    # SQLite keeps any type in any column: whatever an attacker left there must not stop the verification.
    return value if isinstance(value, bytes) else str(value).encode()


def _set_head(connection: Connection, seq: int, digest: bytes, *, first_time: bool) -> None:
    values = {"seq": seq, "hash": digest}
    connection.execute(
        insert(audit_head).values(one=1, **values) if first_time else update(audit_head).values(values)
    )


def _row_problem(seq: int, identity: str, ts: str, body: bytes, hash_matches: bool) -> str:
    if not hash_matches:
        return f"event {seq} was changed: its hash does not follow"
    try:
        fields = json.loads(body)
        same = (fields["id"], fields["ts"]) == (identity, ts)
    except (ValueError, KeyError, TypeError):
        same = False
    return "" if same else f"event {seq}: its columns say something else than its body"


def _body(identity: str, now: datetime, event: Event) -> bytes:
    fields = {"id": identity, "ts": iso_z(now), "type": event.type, "outcome": event.outcome}
    if clash := fields.keys() & event.detail.keys():
        raise AuditRefused(
            f"event {event.type}: {', '.join(sorted(clash))} cannot be a detail; nothing was recorded"
        )
    values: dict[str, object] = {**fields, **event.detail}
    for name, value in values.items():
        if not isinstance(value, str) or len(value) > _MAX_VALUE or not value.isprintable():
            raise AuditRefused(
                f"event {event.type}: {name} is not printable text of at most {_MAX_VALUE} "
                "characters; nothing was recorded"
            )
        if mask(value) != value:
            raise AuditRefused(f"event {event.type}: {name} looks like a credential; nothing was recorded")
    body = rfc8785.dumps(fields | event.detail)
    if len(body) > _MAX_BODY:
        raise AuditRefused(f"event {event.type} is longer than {_MAX_BODY} bytes; nothing was recorded")
    return body


def _event_id(now: datetime) -> str:
    """A UUIDv7: 48 bits of milliseconds, then random bits, so that ids sort by time."""
    raw = int(now.timestamp() * 1000).to_bytes(6, "big") + os.urandom(10)
    number = int.from_bytes(raw, "big")
    number = number & ~(0xF << 76) | (0x7 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
