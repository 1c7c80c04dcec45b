"""Submission: one effect in Fusion for every intent, over calls that may be lost, late or doubled.

Every call that changes Fusion is a `_Step`: first look whether its effect is already there, write the intent to
call, call, record the id. After a lost answer or a crash the intent stands in its ...ING state; then nothing is
repeated until `settle_seconds` have passed, so that a late effect must have shown itself, and the look decides.
Several packages are driven side by side in one loop, because nearly all the time is waiting for Fusion.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import polars as pl

from athena_fusion.clock import Clock
from athena_fusion.delivery import gate, states
from athena_fusion.delivery.gateway import FusionGateway, JobKind, NotScheduled
from athena_fusion.delivery.package import Package
from athena_fusion.delivery.queue import Finding, Kind, put_findings
from athena_fusion.delivery.reasons import loader_rejects
from athena_fusion.delivery.states import IntentRow, Overtaken, State
from athena_fusion.http import HttpError, QuotaExceeded, Refused, Unauthorized, Unavailable
from athena_fusion.storage.artifacts import ArtifactStore, sha256_hex
from athena_fusion.storage.database import Database
from athena_fusion.trust.audit import AuditLog
from athena_fusion.trust.manifest import ManifestBook

SUCCESS = frozenset({"SUCCEEDED", "WARNING"})
TERMINAL = SUCCESS | {"ERROR", "FAILED", "CANCELLED", "EXPIRED", "VALIDATION_FAILED"}

# A request is searched from this long before it was armed: the two clocks may differ.
_CLOCK_MARGIN = timedelta(hours=1)
_LONGEST_PAUSE = 60.0
_NOTHING_HAPPENED = (Unauthorized, QuotaExceeded, Unavailable)

T = TypeVar("T")


class DeliveryError(Exception):
    """The delivery did not do what was asked; the message says what was not done and what to do next."""


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
class _Found:
    """An earlier effect: the state it proves and the ids that go with it."""

    state: State
    columns: Mapping[str, str | None] = field(default_factory=dict)


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
    probe: Callable[[IntentRow], _Found | None]
    call: Callable[[IntentRow], str]


@dataclass
class _Run:
    """One package while it is driven."""

    row: IntentRow
    due: datetime
    deadline: datetime
    faults: int = 0
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
        upload = _Step(
            "upload",
            State.PLANNED,
            State.UPLOADING,
            State.UPLOADED,
            State.FAILED,
            "document_id",
            self._find_upload,
            self._upload,
        )
        load = _Step(
            "load",
            State.UPLOADED,
            State.SUBMITTING,
            State.SUBMITTED,
            State.FAILED,
            "load_request_id",
            self._find_load,
            lambda row: gateway.submit_load(_known(row.document_id)),
        )
        imports = _Step(
            "import",
            State.LOADED_INTERFACE,
            State.IMPORTING,
            State.IMPORT_SUBMITTED,
            State.FAILED,
            "import_request_id",
            self._find_import,
            self._import,
        )
        purge = _Step(
            "purge",
            State.UNPROVEN,
            State.PURGING,
            State.PURGE_SUBMITTED,
            State.UNPROVEN,
            "purge_request_id",
            self._find_purge,
            self._purge,
        )
        post = _Step(
            "autopost",
            State.PROVEN,
            State.POSTING,
            State.POST_SUBMITTED,
            State.PROVEN,
            "post_request_id",
            self._find_post,
            lambda _: gateway.submit_autopost(_known(settings.autopost_criteria_set)),
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
        rows = []
        for package in packages:
            gate.admit(package, self.book, self.store)
            rows.append(self._plan(package))
        runs = self.drive(rows, states.LOADING)
        return [self._result(run) for run in runs]

    def purge(self, row: IntentRow) -> IntentRow:
        """Remove what still waits in the interface for a failed attempt; PURGED only when nothing is left."""
        (run,) = self.drive([row], states.PURGING)
        if run.row.state is not State.PURGED:
            raise DeliveryError(
                f"{row.key}: its rejected rows could not be purged from the interface ({run.stopped}). "
                "The next attempt was not sent. Press reload again; it goes on from here."
            )
        return run.row

    def post(self, rows: Sequence[IntentRow]) -> list[IntentRow]:
        """Have proven journals posted, when AutoPost is configured."""
        if self.settings.autopost_criteria_set is None:
            return list(rows)
        return [run.row for run in self.drive(rows, states.POSTING)]

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
        return self.gateway.readback(package.group_id, package.ledger_id)

    def patiently(self, read: Callable[[], T]) -> T:
        """The answer of a read, repeated on faults until the job time-out."""
        deadline = self._from_now(self.settings.job_timeout_seconds)
        faults = 0
        while True:
            try:
                return read()
            except HttpError as error:
                faults += 1
                pause = self._pause(faults, error)
                if self._from_now(pause) > deadline:
                    raise
                self.clock.sleep(pause)

    # -- the loop ------------------------------------------------------------------------------------------

    def drive(self, rows: Iterable[IntentRow], while_in: frozenset[State]) -> list[_Run]:
        """Move every intent on until it has left `while_in` or must be given back unfinished."""
        now = self.clock.now()
        deadline = self._from_now(self.settings.job_timeout_seconds)
        runs = [_Run(row, now, deadline) for row in rows]
        while active := [run for run in runs if run.row.state in while_in and not run.stopped]:
            wait = (min(run.due for run in active) - self.clock.now()).total_seconds()
            if wait > 0:
                self.clock.sleep(wait)
            for run in active:
                if run.due <= self.clock.now():
                    self._advance(run)
        return runs

    def _advance(self, run: _Run) -> None:
        try:
            if run.row.state in self._jobs:
                self._follow(run)
            else:
                self._take(run, self._steps[run.row.state])
        except Overtaken:
            standing = self.find(run.row.key)
            assert standing is not None
            run.row, run.due = standing, self._from_now(self.settings.poll_seconds)
        except HttpError as error:  # a read failed: that says nothing about the load
            run.faults += 1
            self._later(run, self._pause(run.faults, error), str(error))

    def _take(self, run: _Run, step: _Step) -> None:
        row = run.row
        if row.state is step.armed and not self._settled(run):
            return
        key = {"intent": row.key, "step": step.name}
        found = step.probe(row)
        if found is not None:
            ids = {name: value for name, value in found.columns.items() if value}
            self.audit.append("fusion.adopted", "ok", **key, state=found.state, **ids)
            self._move(run, found.state, **ids)
            return
        self.audit.append("fusion.intent", "ok", **key, group_id=row.package.group_id)
        self._move(run, step.armed)
        try:
            made = step.call(run.row)
        except _NOTHING_HAPPENED as error:
            run.faults += 1
            self._move(run, step.ready)
            self._later(run, self._pause(run.faults, error), str(error))
        except (Refused, NotScheduled) as error:
            self.audit.append("fusion.failed", "refused", **key, reason=_brief(error))
            self._fail(run, step.refused, f"{step.name}: {error}")
        except HttpError as error:
            # Armed anew: the call may have left only just now, and settling counts from the last moment it could.
            self.audit.append("fusion.unknown", "unknown", **key, reason=_brief(error))
            self._move(run, step.armed, note=str(error))
        else:
            self.audit.append("fusion.sent", "ok", **key, **{step.column: made})
            self._move(run, step.done, **{step.column: made})

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
        request_id = _known(getattr(run.row, column))
        status = self.gateway.status(request_id)
        # Blank: Fusion does not say for requests of another origin, so the tree is asked.
        if status in TERMINAL or not status:
            tree = self.gateway.execution(request_id)
            if tree.finished:
                self._keep_log(run.row.package, request_id)
                ended(run, tree.status)
                return
            status = tree.status
        self._later(run, self.settings.poll_seconds, f"request {request_id} is still {status or 'silent'}")

    def _later(self, run: _Run, seconds: float, why: str) -> None:
        run.due = self._from_now(seconds)
        if run.due > run.deadline:
            run.stopped = f"gave up waiting: {why}"

    # -- what the end of a job means -----------------------------------------------------------------------

    def _load_ended(self, run: _Run, status: str) -> None:
        package = run.row.package
        if status not in SUCCESS:
            self._fail(run, State.FAILED, f"the file loader ended in {status}; nothing was imported", status)
            return
        rows = self.rows_in_fusion(package)
        base, waiting = _split(rows)
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
        if self._find_purge(run.row) is not None:
            self._move(run, State.PURGED, outcome=status)
        elif status in SUCCESS:  # rows of a second load request are left: purge those too
            self._move(run, State.UNPROVEN)
        else:
            self._fail(run, State.UNPROVEN, f"the purge ended in {status}", status)

    def _post_ended(self, run: _Run, status: str) -> None:
        if status in SUCCESS:
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
        requests = _load_requests(self.rows_in_fusion(row.package))
        if not requests:
            raise Overtaken(row.key)
        return self.gateway.submit_purge(requests[0])

    def _find_upload(self, row: IntentRow) -> _Found | None:
        document = self._own_document(row.package)
        return self._find_rows(row, document) or (
            _Found(State.UPLOADED, {"document_id": document}) if document else None
        )

    def _find_load(self, row: IntentRow) -> _Found | None:
        request = self._request(row, JobKind.LOAD, 2, _known(row.document_id))
        if request:
            return _Found(State.SUBMITTED, {"load_request_id": request})
        return self._find_rows(row, row.document_id) if row.state is State.SUBMITTING else None

    def _find_import(self, row: IntentRow) -> _Found | None:
        # No look at the rows: an import too many finds none to import and changes nothing.
        request = self._request(row, JobKind.IMPORT, 4, row.package.group_id)
        return _Found(State.IMPORT_SUBMITTED, {"import_request_id": request}) if request else None

    def _find_purge(self, row: IntentRow) -> _Found | None:
        _, waiting = _split(self.rows_in_fusion(row.package))
        return None if len(waiting) else _Found(State.PURGED)

    def _find_post(self, row: IntentRow) -> _Found | None:
        # One AutoPost run takes every journal of the criteria set: a run begun after the proof serves all
        # packages proven by then. No margin for clocks here: a run too many posts nothing twice.
        criteria = _known(self.settings.autopost_criteria_set)
        for request in self.gateway.search_requests(JobKind.AUTOPOST, row.armed_at):
            if request.argument(1) == criteria:
                return _Found(State.POST_SUBMITTED, {"post_request_id": request.request_id})
        return None

    def _find_rows(self, row: IntentRow, document: str | None) -> _Found | None:
        """Rows of the group, wherever they come from: in the ledger they are loaded, in the interface they
        only need the import. GL has no guard of its own against a second load.
        """
        base, waiting = _split(self.rows_in_fusion(row.package))
        if len(base):
            return _Found(State.IMPORTED, {"document_id": document})
        if len(waiting):
            request = _load_requests(waiting)[0]
            return _Found(State.SUBMITTED, {"document_id": document, "load_request_id": request})
        return None

    def _own_document(self, package: Package) -> str | None:
        """A stored document under our prefix that holds our bytes; a cut-off one does not count."""
        for document_id in self.gateway.find_documents(package.intent.short):
            if sha256_hex(self.gateway.document(document_id)) == package.sha256:
                return document_id
        return None

    def _request(self, row: IntentRow, job: JobKind, argument: int, value: str) -> str | None:
        """The newest request of a job that names our document or group; never simply the next one."""
        requests = self.gateway.search_requests(job, row.armed_at - _CLOCK_MARGIN)
        ours = [request.request_id for request in requests if request.argument(argument) == value]
        return ours[-1] if ours else None

    # -- records -------------------------------------------------------------------------------------------

    def _plan(self, package: Package) -> IntentRow:
        with self.database.begin() as connection:
            if package.intent.attempt > 1:
                before = states.find(connection, package.intent.again(-1).key)
                if before is not None and before.state is not State.PURGED:
                    raise DeliveryError(
                        f"{package.intent.key}: attempt {before.package.intent.attempt} is {before.state} and may "
                        "still be imported; nothing was sent. Use reload, which purges it first."
                    )
            return states.plan(connection, package, self.clock.now())

    def _move(self, run: _Run, state: State, **columns: Any) -> None:
        columns.setdefault("note", "")
        with self.database.begin() as connection:
            run.row = states.move(connection, run.row, state, self.clock.now(), **columns)
        self._progressed(run)

    def _fail(self, run: _Run, state: State, why: str, status: str | None = None) -> None:
        """Record a refusal or a failed job and stop; a failed load also puts its findings into the queue."""
        findings = self._failure(run.row, why) if state is State.FAILED else []
        now = self.clock.now()
        with self.database.begin() as connection:
            put_findings(connection, findings, now)
            run.row = states.move(connection, run.row, state, now, note=why, outcome=status)
        self._progressed(run)
        run.stopped = why

    def _progressed(self, run: _Run) -> None:
        run.due = self.clock.now()
        run.deadline = self._from_now(self.settings.job_timeout_seconds)

    def _failure(self, row: IntentRow, why: str) -> list[Finding]:
        package = row.package
        log = log_path(package, row.load_request_id)
        rejects = loader_rejects(self.store.read_bytes(log).decode()) if self.store.exists(log) else {}
        if not rejects:
            whole = finding(package, Kind.LOAD_FAILED, package.file_name, why, package.debit_cents)
            return [whole]
        lines = self.store.read_frame(
            package.lines, ["line_key", "combination", "debit_cents", "credit_cents"]
        )
        first = min(rejects)
        findings = []
        for number, line in enumerate(lines.iter_rows(named=True), start=1):
            refused = number in rejects
            findings.append(
                finding(
                    package,
                    Kind.LOADER_REJECT if refused else Kind.HELD,
                    line["line_key"],
                    f"The file loader refused row {number}: {rejects[number]}" if refused else held_by(first),
                    max(line["debit_cents"] or 0, line["credit_cents"] or 0),
                    combination=line["combination"],
                )
            )
        return findings

    def _keep_log(self, package: Package, request_id: str) -> None:
        """Store the job's log; a job whose log cannot be had has still ended."""
        path = log_path(package, request_id)
        try:
            self.store.write_bytes(path, self.gateway.log(request_id).encode())
        except Refused as error:
            self.store.write_bytes(path, f"The log could not be downloaded: {error}".encode())

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
        asked = error.retry_after if isinstance(error, (QuotaExceeded, Unavailable)) else None
        return max(asked or 0.0, min(_LONGEST_PAUSE, max(self.settings.poll_seconds, 0.05) * 2**faults))


def finding(
    package: Package, kind: Kind, subject: str, reason: str, amount_cents: int, **more: str
) -> Finding:
    """A queue finding about one line (or the file) of a package."""
    intent = package.intent
    return Finding(
        kind=kind,
        stage="load",
        flow=intent.flow,
        entity=intent.entity,
        batch_date=intent.batch_date.isoformat(),
        category=intent.category,
        subject=subject,
        reason=reason,
        amount_cents=amount_cents,
        intent_key=intent.key,
        **more,
    )


def held_by(row: int, why: str = "") -> str:
    """Words for a healthy line of a group that was not imported."""
    because = f" ({why})" if why else ""
    return f"Not imported because of row {row}{because}. Nothing to correct here; it goes with the reload."


def log_path(package: Package, request_id: str | None) -> str:
    """Where the log of a request of this package is stored."""
    intent = package.intent
    return (
        f"assets/journal_load/{intent.batch_date}/{intent.entity}/{intent.short}-{request_id or 'none'}.log"
    )


def _split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Imported journal lines, and rows that still wait in the interface."""
    return rows.filter(pl.col("origin") == "BASE"), rows.filter(pl.col("origin") == "INTERFACE")


def _load_requests(rows: pl.DataFrame) -> list[str]:
    waiting = rows.filter(pl.col("origin") == "INTERFACE")
    return [str(value) for value in waiting.get_column("load_request_id").unique().sort()]


def _brief(error: Exception) -> str:
    """An error's words as one printable line, short enough for the audit log."""
    return "".join(c for c in " ".join(str(error).split()) if c.isprintable())[:400]


def _sum(rows: pl.DataFrame, column: str) -> int:
    return int(rows.get_column(column).sum())


def _known(value: str | None) -> str:
    assert value, "this state is only reached with its id recorded"
    return value
