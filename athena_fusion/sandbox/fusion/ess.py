"""Enterprise Scheduler: requests, their trees, and time passing between their states.

A request waits, gets ready, runs and ends; a parent starts its children one after another while it is PAUSED.
Each move is one transaction together with the job's effect, and the time of the next move is a column, so that a
killed pod continues where it stood. A small thread moves requests on when nobody asks for them.
"""

import json
import sqlite3
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from athena_fusion.sandbox.fusion.pod import Pod
from athena_fusion.sandbox.fusion.tables import next_number

TERMINAL = frozenset({"SUCCEEDED", "WARNING", "ERROR", "CANCELLED", "EXPIRED", "VALIDATION_FAILED"})
NOT_SCHEDULED = -1

_WAITING, _READYING, _RUNNING = 0.1, 0.1, 0.8  # shares of a job's duration


@dataclass(frozen=True)
class Chain:
    """What follows when a root request of importBulkData has ended. Travels as JSON in the request row."""

    import_definition: str = ""
    import_arguments: tuple[str, ...] = ()
    extract: str = "NONE"
    purge: bool = False

    def dumps(self) -> str:
        """JSON text."""
        return json.dumps(self.__dict__)

    @classmethod
    def loads(cls, text: str) -> "Chain":
        """From JSON text."""
        values = json.loads(text)
        return cls(**{**values, "import_arguments": tuple(values["import_arguments"])})


@dataclass
class Run:
    """One running request as its job sees it; `log` and `files` are stored with the request when it ends."""

    pod: Pod
    connection: sqlite3.Connection
    request: int
    parent: int | None
    submitter: str
    arguments: tuple[str, ...]
    chain: int
    options: str | None
    children: Mapping[int, str] = field(default_factory=dict)  # request -> state, on the second visit
    log: list[str] = field(default_factory=list)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)  # name, kind LOG|OUT, content

    def argument(self, position: int) -> str | None:
        """Argument by its submit number (1 = first); None where absent, empty or `#NULL`."""
        value = self.arguments[position - 1] if len(self.arguments) >= position else ""
        return None if value in {"", "#NULL"} else value

    def refuse(self, message: str) -> str:
        """Log the reason and end in ERROR."""
        self.log.append(message)
        return "ERROR"


@dataclass(frozen=True)
class Submission:
    """A request to be written. `direct` = through erpintegrations; `at` = real seconds it starts to wait."""

    definition: str
    arguments: Sequence[str]
    user: str
    direct: bool = False
    parent: int | None = None
    absolute_parent: int | None = None
    chain: int | None = None
    at: float | None = None
    document: str | None = None
    options: str | None = None
    category: str | None = None


Body = Callable[[Run], str]


@dataclass(frozen=True)
class Job:
    """A job definition.

    `run` is the work; it returns the end state. With children it runs before them, and "SUCCEEDED" means go on.
    `after` is called once the whole request has ended. `privilege` None = cannot be submitted by a user.
    """

    definition: str
    package: str
    name: str
    run: Body
    privilege: str | None = None
    children: tuple[str, ...] = ()
    hides_warnings: bool = False
    child_log: str = "{name} job request_id: {request} has been submitted."
    after: Callable[[Run, str, "Engine"], None] | None = None


class Engine:
    """Submits requests and moves them through their states."""

    def __init__(self, pod: Pod, jobs: Sequence[Job]) -> None:
        self.pod = pod
        self.jobs = {job.definition: job for job in jobs}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # Submission ------------------------------------------------------------------------------------------

    def submit(
        self,
        package: str,
        definition: str,
        arguments: Sequence[str],
        user: str,
        *,
        document: str | None = None,
        options: str | None = None,
        direct: bool = True,
        category: str | None = None,
    ) -> int:
        """Schedule a job for a user. Returns the request id, or -1 for an unknown path or a missing right."""
        job = self.jobs.get(definition)
        actor = self.pod.user(user)
        if job is None or job.privilege is None or actor is None:
            return NOT_SCHEDULED
        if package.strip("/") != job.package.strip("/") or job.privilege not in actor.privileges:
            return NOT_SCHEDULED
        request = self.insert(
            Submission(
                definition,
                arguments,
                user,
                direct=direct,
                document=document,
                options=options,
                category=category,
            )
        )
        self._wake.set()
        return request

    def insert(self, new: Submission) -> int:
        """Write a waiting request, inside the caller's transaction if there is one. Its id."""
        start = self.pod.real() if new.at is None else new.at
        with self.pod.database.transaction() as connection:
            request = next_number(connection, "request")
            connection.execute(
                "INSERT INTO ess_requests (id, parent, absolute_parent, chain, definition, state, submitter,"
                " submitted, direct, arguments, document, options, category, due)"
                " VALUES (?, ?, ?, ?, ?, 'WAIT', ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    request,
                    new.parent,
                    new.absolute_parent or request,
                    new.chain or request,
                    new.definition,
                    new.user,
                    self.pod.stamp(),
                    new.direct,
                    json.dumps(list(new.arguments)),
                    new.document,
                    new.options,
                    new.category,
                    start + self._seconds(new.definition) * _WAITING,
                ),
            )
        return request

    # Time ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Make every move that is due by now, in the order of their times."""
        while True:
            with self.pod.database.transaction() as connection:
                row = connection.execute(
                    "SELECT * FROM ess_requests WHERE due <= ? ORDER BY due, id LIMIT 1", (self.pod.real(),)
                ).fetchone()
                if row is None:
                    return
                self._move(connection, row)

    def start(self) -> None:
        """Start the thread that moves requests on without being asked."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._loop, name="sandbox-ess", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; waiting requests continue when the pod is started again."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self.tick()
            row = self.pod.database.row("SELECT MIN(due) AS due FROM ess_requests")
            pause = None if row is None or row["due"] is None else max(row["due"] - self.pod.real(), 0.001)
            self._wake.wait(pause)

    def _move(self, connection: sqlite3.Connection, row: sqlite3.Row) -> None:
        seconds = self._seconds(row["definition"])
        if row["state"] == "WAIT":
            self._set(connection, row["id"], "READY", row["due"] + seconds * _READYING)
        elif row["state"] == "READY":
            connection.execute(
                "UPDATE ess_requests SET started = ? WHERE id = ?", (self.pod.stamp(), row["id"])
            )
            self._set(connection, row["id"], "RUNNING", row["due"] + seconds * _RUNNING)
        else:
            self._work(connection, row)

    def _work(self, connection: sqlite3.Connection, row: sqlite3.Row) -> None:
        job = self.jobs[row["definition"]]
        run = self._run(connection, row)
        connection.execute("SAVEPOINT job")
        try:
            state = job.run(run)
        except Exception:  # the pod lives on, the request carries the trace
            connection.execute("ROLLBACK TO job")
            state = run.refuse(traceback.format_exc())
        connection.execute("RELEASE job")
        self._keep_files(run)
        if job.children and state == "SUCCEEDED":
            self._set(connection, row["id"], "PAUSED", None)
            self._spawn(row, job.children[0])
        else:
            self._end(connection, row, state)

    def _end(self, connection: sqlite3.Connection, row: sqlite3.Row, state: str) -> None:
        connection.execute(
            "UPDATE ess_requests SET state = ?, completed = ?, due = NULL WHERE id = ?",
            (state, self.pod.stamp(), row["id"]),
        )
        job = self.jobs[row["definition"]]
        if job.after is not None:
            run = self._run(connection, row)
            job.after(run, state, self)
            self._keep_files(run)
        if row["parent"] is not None:
            self._child_ended(connection, row, state)

    def _child_ended(self, connection: sqlite3.Connection, child: sqlite3.Row, state: str) -> None:
        parent = connection.execute("SELECT * FROM ess_requests WHERE id = ?", (child["parent"],)).fetchone()
        job = self.jobs[parent["definition"]]
        position = job.children.index(child["definition"]) + 1
        if state in {"SUCCEEDED", "WARNING"} and position < len(job.children):
            self._spawn(parent, job.children[position], at=child["due"])
            return
        states = [
            row["state"]
            for row in connection.execute("SELECT state FROM ess_requests WHERE parent = ?", (parent["id"],))
        ]
        worst = "ERROR" if "ERROR" in states else "WARNING" if "WARNING" in states else "SUCCEEDED"
        self._end(connection, parent, "SUCCEEDED" if worst == "WARNING" and job.hides_warnings else worst)

    def _spawn(self, parent: sqlite3.Row, definition: str, at: float | None = None) -> None:
        child = self.insert(
            Submission(
                definition,
                json.loads(parent["arguments"]),
                parent["submitter"],
                parent=parent["id"],
                absolute_parent=parent["absolute_parent"],
                chain=parent["chain"],
                at=parent["due"] if at is None else at,
                options=parent["options"],
            )
        )
        wording = self.jobs[parent["definition"]].child_log
        self.add_log(parent["id"], wording.format(name=self.jobs[definition].name, request=child))

    def _run(self, connection: sqlite3.Connection, row: sqlite3.Row) -> Run:
        return Run(
            pod=self.pod,
            connection=connection,
            request=row["id"],
            parent=row["parent"],
            submitter=row["submitter"],
            arguments=tuple(json.loads(row["arguments"])),
            chain=row["chain"],
            options=row["options"],
        )

    # Files -----------------------------------------------------------------------------------------------

    def add_log(self, request: int, *lines: str) -> None:
        """Append lines to a request's log."""
        text = "".join(f"{line}\n" for line in lines).encode()
        with self.pod.database.transaction() as connection:
            connection.execute(
                "INSERT INTO ess_files VALUES (?, ?, 'LOG', ?)"
                " ON CONFLICT (request, name) DO UPDATE SET content = CAST(content || excluded.content AS BLOB)",
                (request, f"{request}.log", text),
            )

    def _keep_files(self, run: Run) -> None:
        if run.log:
            self.add_log(run.request, *run.log)
        run.connection.executemany(
            "INSERT OR REPLACE INTO ess_files VALUES (?, ?, ?, ?)",
            [(run.request, name, kind, content) for name, kind, content in run.files],
        )

    # Small things ----------------------------------------------------------------------------------------

    def _set(self, connection: sqlite3.Connection, request: int, state: str, due: float | None) -> None:
        connection.execute("UPDATE ess_requests SET state = ?, due = ? WHERE id = ?", (state, due, request))

    def _seconds(self, definition: str) -> float:
        return self.pod.setup.job_seconds.get(definition, self.pod.setup.default_job_seconds)
