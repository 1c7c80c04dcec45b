"""A small Fusion of our own, and a gateway to it over a network that fails in every known way.

The model knows documents, ESS requests, interface and ledger rows. A document's bytes are JSON rows instead of an
FBDI ZIP: the file format is tested elsewhere. All state is plain data, so that it can be pickled into a file.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from athena_fusion.clock import Clock
from athena_fusion.delivery.gateway import READBACK_SCHEMA, JobKind
from athena_fusion.fusion.erp import NotScheduled
from athena_fusion.fusion.jobs import Job, JobTree
from athena_fusion.fusion.scheduler import EssRequest
from athena_fusion.http import NotJson, OutcomeUnknown, QuotaExceeded, Refused, Unauthorized, Unavailable


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Request:
    """One ESS request of the model."""

    request_id: str
    job: JobKind
    arguments: tuple[str, ...]
    submitted: datetime
    ends: datetime
    status: str = "RUNNING"
    child_status: str = "RUNNING"
    log: str = ""


@dataclass
class SimulatedFusion:
    """Documents, requests and rows. `disabled` are segment values the chart refuses."""

    documents: list[tuple[str, str, bytes]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    interface: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    disabled: set[str] = field(default_factory=set)
    late: list[tuple[datetime, str, tuple[Any, ...]]] = field(default_factory=list)
    unscheduled: set[JobKind] = field(default_factory=set)
    job_seconds: float = 5.0
    serial: int = 1000

    def advance(self, now: datetime) -> None:
        """Let everything happen that is due, in order of time."""
        while True:
            due = [(effect[0], 0, i) for i, effect in enumerate(self.late) if effect[0] <= now]
            due += [
                (request.ends, 1, i)
                for i, request in enumerate(self.requests)
                if request.status == "RUNNING" and request.ends <= now
            ]
            if not due:
                return
            when, kind, index = min(due)
            if kind == 0:
                _, name, arguments = self.late.pop(index)
                self.effect(name, arguments, when)
            else:
                self._end(self.requests[index])

    def effect(self, name: str, arguments: tuple[Any, ...], now: datetime) -> str:
        """Do one write and return the id it makes."""
        self.serial += 1
        made = str(self.serial)
        if name == "upload":
            self.documents.append((made, *arguments))
        else:
            ends = now + timedelta(seconds=self.job_seconds)
            self.requests.append(Request(made, JobKind(name), arguments, now, ends))
        return made

    def _end(self, request: Request) -> None:
        request.status = request.child_status = "SUCCEEDED"
        getattr(self, f"_end_{request.job.value}")(request)

    def _end_load(self, request: Request) -> None:
        content = next(body for made, _, body in self.documents if made == request.arguments[1])
        rows = json.loads(content)
        bad = [number for number, row in enumerate(rows, start=1) if row.get("malformed")]
        if bad:
            request.status = "ERROR"
            request.log = "\n".join(
                f"Record {n}: Rejected - Error on table GL_INTERFACE, column ENTERED_DR.\nORA-01722: invalid number\n"
                for n in bad
            )
            return
        for row in rows:
            self.interface.append(row | {"load_request_id": request.request_id, "status": "NEW", "text": ""})

    def _end_import(self, request: Request) -> None:
        group = request.arguments[3]
        rows = [row for row in self.interface if row["group_id"] == group]
        bad = [row for row in rows if self.disabled & set(row["combination"].split("-"))]
        if bad:
            request.child_status = "WARNING"
            for row in rows:
                row.update(status="P", text="")
            for row in bad:
                value = next(iter(self.disabled & set(row["combination"].split("-"))))
                text = (
                    f"FLEX-VALUE DOES NOT EXIST (SEGMENT=CostCenter) (VALUESET=Cost Center) (VALUE={value})"
                )
                row.update(status="EF04", text=text)
            return
        self.interface = [row for row in self.interface if row["group_id"] != group]
        self.ledger += [row | {"request_id": request.request_id, "posted": False} for row in rows]

    def _end_purge(self, request: Request) -> None:
        self.interface = [row for row in self.interface if row["load_request_id"] != request.arguments[2]]

    def _end_autopost(self, request: Request) -> None:
        for row in self.ledger:
            row["posted"] = True


@dataclass
class Faults:
    """Chances per call, each between 0 and 1; `settle` bounds how late a lost request may act (seconds)."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    late: float = 0.0
    doubled: float = 0.0
    refused_for_now: float = 0.0
    read: float = 0.0
    settle: float = 900.0

    @classmethod
    def rough(cls, rng: random.Random) -> "Faults":
        """A mix drawn per seed, so that single kinds and all together both occur."""
        pick = lambda most: most * rng.random() * (rng.random() < 0.7)  # noqa: E731
        return cls(pick(0.25), pick(0.25), pick(0.25), pick(0.2), pick(0.2), pick(0.2))


class SimulatedGateway:
    """`FusionGateway` over the model. `hook` is called before and after every call and may raise `Crash`."""

    def __init__(
        self,
        model: SimulatedFusion,
        clock: Clock,
        rng: random.Random | None = None,
        faults: Faults | None = None,
        hook: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.model, self.clock, self.hook = model, clock, hook
        self.rng, self.faults = rng or random.Random(0), faults or Faults()
        self.calls: list[str] = []

    # writes

    def upload(self, file_name: str, content: bytes) -> str:
        return self._write("upload", (file_name, content))

    def submit_load(self, document_id: str) -> str:
        return self._write("load", ("15", document_id, "N", "N"))

    def submit_import(self, *, data_access_set_id: str, source: str, ledger_id: str, group_id: str) -> str:
        return self._write("import", (data_access_set_id, source, ledger_id, group_id, "N", "N", "N"))

    def submit_purge(self, load_request_id: str) -> str:
        return self._write("purge", ("15", "", load_request_id, load_request_id, "", "ORA_FBDI", "USER"))

    def submit_autopost(self, criteria_set_id: str) -> str:
        return self._write("autopost", (criteria_set_id,))

    def _write(self, name: str, arguments: tuple[Any, ...]) -> str:
        self.calls.append(name)
        self.hook(f"before {name}")
        model, faults, now = self.model, self.faults, self.clock.now()
        model.advance(now)
        chance = self.rng.random
        if chance() < faults.refused_for_now:
            if chance() < 0.5:
                raise Unauthorized("401")
            raise QuotaExceeded("429", "rid", retry_after=chance() * 30)
        if name in model.unscheduled:
            raise NotScheduled("ReqstId -1")
        if chance() < faults.lost_request:
            raise OutcomeUnknown(f"{name}: 503, nothing arrived")
        if chance() < faults.late:
            after = timedelta(seconds=chance() * (faults.settle - 1))
            model.late.append((now + after, name, arguments))
            raise OutcomeUnknown(f"{name}: time-out")
        made = model.effect(name, arguments, now)
        if name != "load" and chance() < faults.doubled:
            model.effect(name, arguments, now)
        self.hook(f"after {name}")
        if chance() < faults.lost_answer:
            raise OutcomeUnknown(f"{name}: connection lost")
        return made

    # reads

    def find_documents(self, prefix: str) -> Sequence[str]:
        self._read("find_documents")
        return [made for made, name, _ in self.model.documents if name.startswith(prefix)]

    def document(self, document_id: str) -> bytes:
        self._read("document")
        for made, _, content in self.model.documents:
            if made == document_id:
                return content
        raise Refused("no such document", "rid", status=404, title="", detail="")

    def status(self, request_id: str) -> str:
        self._read("status")
        status = self._request(request_id).status
        return self.rng.choice(["RUNNING", "PAUSED", "", "WAIT"]) if status == "RUNNING" else status

    def execution(self, request_id: str) -> JobTree:
        self._read("execution")
        request = self._request(request_id)
        child = Job("child", "", request_id + "1", request.child_status)
        return JobTree((Job(request.job, "", request_id, request.status, (child,)),))

    def log(self, request_id: str) -> str:
        self._read("log")
        return self._request(request_id).log

    def search_requests(self, job: JobKind, since: datetime) -> Sequence[EssRequest]:
        self._read("search")
        return [
            EssRequest(
                request.request_id,
                request.job,
                request.status,
                {f"submit.argument{n}": value for n, value in enumerate(request.arguments, start=1)},
            )
            for request in self.model.requests
            if request.job is job and request.submitted >= since
        ]

    def readback(self, group_id: str, ledger_id: str) -> pl.DataFrame:
        self._read("readback")
        rows = [_found(row, "INTERFACE") for row in self.model.interface if row["group_id"] == group_id] + [
            _found(row, "BASE") for row in self.model.ledger if row["group_id"] == group_id
        ]
        self.rng.shuffle(rows)
        return pl.DataFrame(rows, schema=READBACK_SCHEMA)

    def _read(self, name: str) -> None:
        self.calls.append(name)
        self.hook(f"before {name}")
        self.model.advance(self.clock.now())
        if self.rng.random() < self.faults.read:
            fault = self.rng.randrange(4)
            if fault == 0:
                raise Unavailable("503", passing=True)
            if fault == 1:
                raise Unauthorized("401")
            if fault == 2:
                raise QuotaExceeded("429", "rid", retry_after=self.rng.random() * 20)
            raise NotJson("a login page")

    def _request(self, request_id: str) -> Request:
        return next(request for request in self.model.requests if request.request_id == request_id)


def _found(row: dict[str, Any], origin: str) -> dict[str, Any]:
    base = origin == "BASE"
    return {
        "origin": origin,
        "status": None if base else row["status"],
        "text": None if base else row["text"],
        "line_key": row["line_key"],
        "load_request_id": None if base else row["load_request_id"],
        "ledger_id": row["ledger_id"],
        "accounting_date": date.fromisoformat(row["accounting_date"]),
        "source": row["source"],
        "category": row["category"],
        "currency": row["currency"],
        "combination": row["combination"],
        "debit_cents": row["debit_cents"] or None,
        "credit_cents": row["credit_cents"] or None,
        "batch_name": f"ATH {row['source']} A {row['group_id']} {row['request_id']} N" if base else None,
        "batch_status": ("P" if row["posted"] else "U") if base else None,
        "journal": row["journal"],
    }
