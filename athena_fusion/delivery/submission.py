"""Submission: one effect in Fusion for every intent, over calls that may be lost, late or doubled.

Every call that changes Fusion is a `_Step`: first look whether its effect is already there, write the intent to
call, call, record the id. After a lost answer or a crash the intent stands in its ...ING state; then nothing is
repeated until `settle_seconds` have passed, so that a late effect must have shown itself, and the look decides.
Only a drive that has itself just made the call before needs no look: nobody can have made the next one, and the
search behind a look grows with everything that the pod ran in the last hour.
Several packages are driven side by side in one loop, because nearly all the time is waiting for Fusion.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import polars as pl
from sqlalchemy import Connection, select

from athena_fusion.clock import Clock
from athena_fusion.delivery import gate, looks, states
from athena_fusion.delivery.findings import DeliveryError, failure, log_path
from athena_fusion.delivery.gateway import FusionGateway
from athena_fusion.delivery.looks import Found, Looks, known
from athena_fusion.delivery.package import Package
from athena_fusion.delivery.queue import put_findings
from athena_fusion.delivery.states import IntentRow, Overtaken, State
from athena_fusion.fusion.erp import NotScheduled
from athena_fusion.fusion.jobs import FAILED, TERMINAL, finished, worst
from athena_fusion.http import HttpError, QuotaExceeded, Refused, Unauthorized, Unavailable
from athena_fusion.storage.artifacts import ArtifactStore
from athena_fusion.storage.database import Database
from athena_fusion.storage.schema import sent_amount
from athena_fusion.trust.audit import AuditLog
from athena_fusion.trust.manifest import ManifestBook

_SUCCESS = TERMINAL - FAILED
_LONGEST_PAUSE = 60.0
_SLICE = 500  # keys per IN clause
_MOST_CALLS = 5  # calls of one step with unknown outcome, each settled, before the package is given back
_NOTHING_HAPPENED = (Unauthorized, QuotaExceeded, Unavailable)

T = TypeVar("T")


@dataclass(frozen=True)
class DeliverySettings:
    """`settle_seconds` must exceed the longest time after which a lost request can still take effect.
    `autopost_criteria_set` None switches AutoPost off.
    """

    settle_seconds: float = 900
    poll_seconds: float = 10
    job_timeout_seconds: float = 1800
    autopost_criteria_set: str | None = None


@dataclass(frozen=True)
class LoadResult:
    """How far one package got. `ok` means that Fusion ran the import to its end; what the import did is for
    the read-back to say. `status` is the worst state of the last finished job; `logs` are artifact paths.
    """

    package: Package
    state: State
    status: str
    note: str
    document_id: str | None
    load_request_id: str | None
    import_request_id: str | None
    logs: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the import ended."""
        return self.state is State.IMPORTED or self.state in states.PROVED


@dataclass(frozen=True)
class _Step:
    """One call that may take effect once only. `ready` is where it starts, `armed` is written before the call,
    `done` follows with the id in `column`; `refused` is where the intent goes when Fusion says no.
    """

    name: str
    ready: State
    armed: State
    done: State
    refused: State
    column: str
    look: Callable[[IntentRow], Found | None]
    call: Callable[[IntentRow], str]


@dataclass
class _Run:
    """One package while it is driven."""

    row: IntentRow
    due: datetime
    deadline: datetime
    faults: int = 0
    unknown: int = 0
    purges: int = 0
    own: bool = False  # this drive made the call before and had its answer
    stopped: str = ""


class JournalDelivery:
    """Drives packages into Fusion. One instance per process; several processes may run at once."""

    def __init__(
        self,
        gateway: FusionGateway,
        database: Database,
        audit: AuditLog,
        book: ManifestBook,
        store: ArtifactStore,
        clock: Clock,
        settings: DeliverySettings,
    ) -> None:
        self.gateway, self.database, self.audit = gateway, database, audit
        self.book, self.store, self.clock, self.settings = book, store, clock, settings
        self._looks = Looks(gateway, settings.autopost_criteria_set)
        upload = _Step(
            "upload",
            State.PLANNED,
            State.UPLOADING,
            State.UPLOADED,
            State.FAILED,
            "document_id",
            self._looks.upload,
            self._upload,
        )
        load = _Step(
            "load",
            State.UPLOADED,
            State.SUBMITTING,
            State.SUBMITTED,
            State.FAILED,
            "load_request_id",
            self._looks.load,
            lambda row: gateway.submit_load(known(row.document_id)),
        )
        imports = _Step(
            "import",
            State.LOADED_INTERFACE,
            State.IMPORTING,
            State.IMPORT_SUBMITTED,
            State.FAILED,
            "import_request_id",
            self._looks.imports,
            self._import,
        )
        purge = _Step(
            "purge",
            State.UNPROVEN,
            State.PURGING,
            State.PURGE_SUBMITTED,
            State.UNPROVEN,
            "purge_request_id",
            self._looks.purge,
            self._purge,
        )
        post = _Step(
            "autopost",
            State.PROVEN,
            State.POSTING,
            State.POST_SUBMITTED,
            State.PROVEN,
            "post_request_id",
            self._looks.post,
            lambda _: gateway.submit_autopost(known(settings.autopost_criteria_set)),
        )
        steps = {step.ready: step for step in (upload, load, imports, purge, post)}
        steps |= {step.armed: step for step in steps.values()}
        self._steps = steps | {State.FAILED: purge}
        self._jobs: dict[State, tuple[str, Callable[[_Run, str], None]]] = {
            State.SUBMITTED: ("load_request_id", self._load_ended),
            State.IMPORT_SUBMITTED: ("import_request_id", self._import_ended),
            State.PURGE_SUBMITTED: ("purge_request_id", self._purge_ended),
            State.POST_SUBMITTED: ("post_request_id", self._post_ended),
        }

    # -- the doors -----------------------------------------------------------------------------------------

    def load(self, packages: Sequence[Package]) -> list[LoadResult]:
        """Bring packages into Fusion up to the end of their import, resuming whatever was begun.

        Raises `GateRefused` or `IntentConflict` before anything is sent for any of them. A package that fails
        does not hold the others; its result says why and its findings are in the queue.
        """
        for package in packages:
            gate.admit(package, self.book, self.store)
        runs = [self._run(self._plan(package)) for package in packages]
        self._clear_way(runs)
        self._drive(runs, states.LOADING)
        return [self._result(run) for run in runs]

    def post(self, rows: Sequence[IntentRow]) -> list[IntentRow]:
        """Have proven journals posted, when AutoPost is configured."""
        if self.settings.autopost_criteria_set is None:
            return list(rows)
        runs = [self._run(row) for row in rows]
        self._drive(runs, states.POSTING)
        return [run.row for run in runs]

    def latest(self, package: Package) -> Package:
        """The newest attempt for the package's entity, batch date and category; itself when it is the first."""
        with self.database.begin() as connection:
            rows = states.attempts(connection, package)
        return rows[-1].package if rows else package

    def find(self, key: str) -> IntentRow | None:
        """The intent under `key` as it stands now."""
        with self.database.begin() as connection:
            return states.find(connection, key)

    def rows_in_fusion(self, package: Package) -> pl.DataFrame:
        """Every journal line and interface row of the package's group."""
        return looks.rows_in_fusion(self.gateway, package)

    def patiently(self, read: Callable[[], T]) -> T:
        """The answer of a read, repeated on passing faults until the job time-out."""
        deadline = self._from_now(self.settings.job_timeout_seconds)
        faults = 0
        while True:
            try:
                return read()
            except Refused:
                raise
            except HttpError as error:
                faults += 1
                pause = self._pause(faults, error)
                if self._from_now(pause) > deadline:
                    raise
                self.clock.sleep(pause)

    # -- the loop ------------------------------------------------------------------------------------------

    def _run(self, row: IntentRow) -> _Run:
        return _Run(row, self.clock.now(), self._from_now(self.settings.job_timeout_seconds))

    def _clear_way(self, runs: Sequence[_Run]) -> None:
        """Before a later attempt is sent, what waits of the one before is purged: imported after all, it would
        be in the ledger twice. A proven one stays, the later brings what was still to send of the category.
        """
        before: dict[str, _Run] = {}
        for run in runs:
            intent = run.row.package.intent
            if (
                intent.attempt > 1
                and run.row.state in states.LOADING
                and (old := self.find(intent.again(-1).key))
                and old.state not in states.PROVED
            ):
                before[run.row.key] = self._run(old)
        self._drive(list(before.values()), states.PURGING)
        for run in runs:
            cleared = before.get(run.row.key)
            if cleared and cleared.row.state is not State.PURGED:
                run.stopped = (
                    f"attempt {cleared.row.package.intent.attempt} could not be purged from the interface "
                    f"({cleared.stopped or cleared.row.state}); this attempt was not sent"
                )

    def _drive(self, runs: Sequence[_Run], while_in: frozenset[State]) -> None:
        """Move every intent on until it has left `while_in` or must be given back unfinished."""
        while active := [run for run in runs if run.row.state in while_in and not run.stopped]:
            wait = (min(run.due for run in active) - self.clock.now()).total_seconds()
            if wait > 0:
                self.clock.sleep(wait)
            for run in active:
                if run.due <= self.clock.now():
                    self._advance(run)

    def _advance(self, run: _Run) -> None:
        try:
            if run.row.state in self._jobs:
                self._follow(run)
            else:
                self._take(run, self._steps[run.row.state])
        except Overtaken:
            standing = self.find(run.row.key)
            assert standing is not None
            run.row, run.due, run.own = standing, self._from_now(self.settings.poll_seconds), False
        except Refused as error:  # a read that Fusion will not answer: later calls go on from here
            run.stopped = str(error)
        except HttpError as error:  # a read failed: that says nothing about the load
            run.faults += 1
            self._later(run, self._pause(run.faults, error), str(error))

    def _take(self, run: _Run, step: _Step) -> None:
        row = run.row
        if row.state is step.armed and not self._settled(run):
            return
        key = {"intent": row.key, "step": step.name}
        found = None if run.own else step.look(row)
        run.own = False
        if found is not None:
            ids = {name: value for name, value in found.columns.items() if value}
            self.audit.append("fusion.adopted", "ok", **key, state=found.state, **ids)
            self._move(run, found.state, **ids)
            return
        if run.unknown == _MOST_CALLS:
            run.stopped = f"{step.name}: {run.unknown} calls without any effect; {row.note}"
            return
        self.audit.append("fusion.intent", "ok", **key, group_id=row.package.group_id)
        self._write(run, step.armed)
        try:
            made = step.call(run.row)
        except _NOTHING_HAPPENED as error:
            run.faults += 1
            self._write(run, step.ready)
            self._later(run, self._pause(run.faults, error), str(error))
        except (Refused, NotScheduled) as error:
            self.audit.append("fusion.failed", "refused", **key, reason=_brief(error))
            self._fail(run, step.refused, f"{step.name}: {error}")
        except HttpError as error:
            # Armed anew: the call may have left only just now, and settling counts from the last moment it could.
            self.audit.append("fusion.unknown", "unknown", **key, reason=_brief(error))
            self._write(run, step.armed, note=str(error))
            run.unknown += 1
        else:
            self.audit.append("fusion.sent", "ok", **key, **{step.column: made})
            self._move(run, step.done, **{step.column: made})
            run.own = True

    def _settled(self, run: _Run) -> bool:
        """Whether a lost call can no longer take effect; if not, come back. Looks in between, because another
        process may own the call and be about to record its answer.
        """
        settle = self.settings.settle_seconds
        left = (run.row.armed_at - self._from_now(-settle)).total_seconds()
        if left <= 0:
            return True
        standing = self.find(run.row.key)
        assert standing is not None
        if standing != run.row:
            raise Overtaken(run.row.key)
        run.due = self._from_now(min(left, settle / 4))
        run.deadline = self._from_now(left + self.settings.job_timeout_seconds)
        return False

    def _follow(self, run: _Run) -> None:
        column, ended = self._jobs[run.row.state]
        request_id = known(getattr(run.row, column))
        status = self.gateway.status(request_id)
        # Blank: Fusion does not say for requests of another origin, so the tree is asked.
        if status in TERMINAL or not status:
            tree = self.gateway.execution(request_id)
            status = worst(tree)
            if finished(tree):
                self._keep_log(run.row.package, request_id)
                ended(run, status)
                return
        self._later(run, self.settings.poll_seconds, f"request {request_id} is still {status or 'silent'}")

    def _later(self, run: _Run, seconds: float, why: str) -> None:
        run.due = self._from_now(seconds)
        if run.due > run.deadline:
            run.stopped = f"gave up waiting: {why}"

    # -- what the end of a job means -----------------------------------------------------------------------

    def _load_ended(self, run: _Run, status: str) -> None:
        package = run.row.package
        if status not in _SUCCESS:
            self._fail(run, State.FAILED, f"the file loader ended in {status}; nothing was imported", status)
            return
        rows = self.rows_in_fusion(package)
        base, waiting = looks.split(rows)
        if len(base):  # somebody's import of all groups was faster
            self._move(run, State.IMPORTED, outcome=status)
            return
        there = (len(waiting), _sum(waiting, "debit_cents"), _sum(waiting, "credit_cents"))
        if there == package.totals:
            self._move(run, State.LOADED_INTERFACE, outcome=status)
            return
        self._fail(
            run,
            State.FAILED,
            f"the file loader ended in {status} but the interface holds {there[0]} of {package.rows} rows or "
            "other sums; nothing was imported",
            status,
        )

    def _import_ended(self, run: _Run, status: str) -> None:
        self._move(run, State.IMPORTED, outcome=status)

    def _purge_ended(self, run: _Run, status: str) -> None:
        if self._looks.purge(run.row) is not None:
            self._move(run, State.PURGED, outcome=status)
        elif status in _SUCCESS and run.purges < _MOST_CALLS:  # rows of a second load request are left
            run.purges += 1
            self._move(run, State.UNPROVEN)
        else:
            self._fail(run, State.UNPROVEN, f"the purge ended in {status} and left rows", status)

    def _post_ended(self, run: _Run, status: str) -> None:
        if status in _SUCCESS:
            self._move(run, State.POSTED)
        else:
            self._fail(
                run, State.PROVEN, f"AutoPost ended in {status}; the journals are imported, not posted"
            )

    # -- calls and looks -----------------------------------------------------------------------------------

    def _upload(self, row: IntentRow) -> str:
        content = gate.admit(row.package, self.book, self.store)
        return self.gateway.upload(row.package.file_name, content)

    def _import(self, row: IntentRow) -> str:
        package = row.package
        return self.gateway.submit_import(
            data_access_set_id=package.data_access_set_id,
            source=package.source,
            ledger_id=package.ledger_id,
            group_id=package.group_id,
        )

    def _purge(self, row: IntentRow) -> str:
        # Every load request that left rows of the group behind is purged, one after the other.
        requests = looks.load_requests(self.rows_in_fusion(row.package))
        if not requests:
            raise Overtaken(row.key)
        return self.gateway.submit_purge(requests[0])

    # -- records -------------------------------------------------------------------------------------------

    def _plan(self, package: Package) -> IntentRow:
        intent = package.intent
        with self.database.begin() as connection:
            if states.find(connection, intent.key) is None:
                before = states.find(connection, intent.again(-1).key) if intent.attempt > 1 else None
                if before is not None and before.state not in (State.PURGED, *states.PROVED):
                    raise DeliveryError(
                        f"{intent.key}: attempt {intent.attempt - 1} is {before.state} and nobody decided to "
                        "replace it; nothing was sent. Use reload."
                    )
                self._refuse_sent(connection, package)
            return states.plan(connection, package, self.clock.now())

    def _refuse_sent(self, connection: Connection, package: Package) -> None:
        """Whoever made the package: a line that is proven to be in the ledger would be there twice."""
        keys = self.store.read_frame(package.lines, ["line_key"]).to_series().sort().to_list()
        for start in range(0, len(keys), _SLICE):
            sent = select(sent_amount.c.line_key).where(
                sent_amount.c.line_key.in_(keys[start : start + _SLICE])
            )
            if (doubled := connection.execute(sent.limit(1)).scalar_one_or_none()) is not None:
                raise DeliveryError(
                    f"{package.intent.key}: line {doubled} is in the ledger already; nothing was sent."
                )

    def _move(self, run: _Run, state: State, **columns: Any) -> None:
        """Progress: the next state, with the time-out counted anew."""
        self._write(run, state, **columns)
        self._progressed(run)

    def _write(self, run: _Run, state: State, **columns: Any) -> None:
        columns.setdefault("note", "")
        with self.database.begin() as connection:
            run.row = states.move(connection, run.row, state, self.clock.now(), **columns)

    def _fail(self, run: _Run, state: State, why: str, status: str | None = None) -> None:
        """Record a refusal or a failed job and stop; a failed load also puts its findings into the queue."""
        findings = []
        if state is State.FAILED:
            findings = failure(self.store, run.row.package, run.row.load_request_id, why)
        now = self.clock.now()
        with self.database.begin() as connection:
            put_findings(connection, findings, now)
            run.row = states.move(connection, run.row, state, now, note=why, outcome=status)
        self._progressed(run)
        run.stopped = why

    def _progressed(self, run: _Run) -> None:
        run.due = self.clock.now()
        run.deadline = self._from_now(self.settings.job_timeout_seconds)
        run.faults = run.unknown = 0

    def _keep_log(self, package: Package, request_id: str) -> None:
        """Store the job's log; a job whose log cannot be had (FND-2: another user's) has still ended."""
        try:
            text = self.gateway.log(request_id)
        except HttpError as error:
            if error.passing or isinstance(error, QuotaExceeded):
                raise
            text = f"The log could not be downloaded: {error}"
        self.store.write_bytes(log_path(package, request_id), text.encode())

    def _result(self, run: _Run) -> LoadResult:
        row = run.row
        logs = [log_path(row.package, request) for request in (row.load_request_id, row.import_request_id)]
        return LoadResult(
            package=row.package,
            state=row.state,
            status=row.outcome or "",
            note=run.stopped or row.note,
            document_id=row.document_id,
            load_request_id=row.load_request_id,
            import_request_id=row.import_request_id,
            logs=tuple(path for path in logs if self.store.exists(path)),
        )

    def _from_now(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)

    def _pause(self, faults: int, error: HttpError) -> float:
        grown = max(self.settings.poll_seconds, 0.05) * 2.0 ** min(faults, 10)
        return max(error.retry_after or 0.0, min(_LONGEST_PAUSE, grown))


def _brief(error: Exception) -> str:
    """An error's words as one printable line, short enough for the audit log."""
    return "".join(c for c in " ".join(str(error).split()) if c.isprintable())[:400]


def _sum(rows: pl.DataFrame, column: str) -> int:
    return int(rows.get_column(column).sum())
