"""Whole nights against the running sandbox: one practice and one pod for a module, a home and a tenant of its own for
every test.

Tests share the pod without meeting in it: each tenant has its own name, which names its documents, and its own
entity ordinals, which number its groups. Data View deliveries are copied to the test's own folder, where it may
spoil them. What a test changes in the pod itself (periods, segment values, armed faults) is put back afterwards.
"""

import csv
import hashlib
import itertools
import json
import shutil
import sqlite3
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

import athena_fusion.tenant
from athena_fusion.delivery.queue import Item
from athena_fusion.revenue.night import RevenueNight
from athena_fusion.revenue.stage import CheckOutcome, StageResult
from athena_fusion.runtime import Runtime
from athena_fusion.sandbox import dataview_faults
from athena_fusion.sandbox.process import SandboxProcess
from athena_fusion.tenant.loader import load_tenant
from athena_fusion.trust.keys import PURPOSES

DAY, FOLLOW_UP, LATER = date(2026, 9, 15), date(2026, 9, 17), date(2026, 9, 18)
"""The worked example; its back-posted charge; a day that a test delivers by itself."""
GOLDEN_CENTS = 199_892
"""Debits of the worked example: entity 101 on 2026-09-15."""
FOLLOW_UP_CENTS = 8_800
CHARGES = "ATH-101-20260915-CHARGES"

_ORDINALS = itertools.count(100, 10)

Rows = list[dict[str, str]]
Edit = Callable[[Rows], Rows | None]


class Sandbox:
    """The running sandbox with its control routes, and Fusion's books as Fusion itself keeps them."""

    def __init__(self, process: SandboxProcess) -> None:
        self.process = process

    def athenaone(self, path: str, body: object | None = None, method: str | None = None) -> Any:
        """A control call of the athenaOne side."""
        return _call(f"{self.process.athenaone_url}/sandbox/{path}", body, method)

    def fusion(self, path: str, body: object | None = None, method: str | None = None) -> Any:
        """A control call of the Fusion side."""
        return _call(f"{self.process.fusion_url}/sandbox/{path}", body, method)

    def clear_faults(self) -> None:
        """Disarm both sides."""
        self.athenaone("faults", method="DELETE")
        self.fusion("faults", method="DELETE")

    @contextmanager
    def segment(self, name: str, value: str, *, enabled: bool) -> Iterator[None]:
        """A segment value switched on or off in Fusion for the time of the block."""
        self.fusion(f"segments/{name}/{value}", {"enabled": enabled})
        try:
            yield
        finally:
            self.fusion(f"segments/{name}/{value}", {"enabled": not enabled})

    @contextmanager
    def period(self, name: str, status: str) -> Iterator[None]:
        """A period of Fusion with another status for the time of the block; it was open."""
        self.fusion(f"periods/{name}", {"status": status})
        try:
            yield
        finally:
            self.fusion(f"periods/{name}", {"status": "Open"})

    def books(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """A query on the pod's own database."""
        path = self.process.home / "fusion.db"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            connection.row_factory = sqlite3.Row
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()


def _call(url: str, body: object | None, method: str | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@contextmanager
def running_sandbox(home: Path, days: Iterable[date]) -> Iterator[Sandbox]:
    """The sandbox with these business days closed, and no others between them.

    With the follow-up day alone, entity 101 has a single charge: a whole night of one group and two lines.
    """
    with SandboxProcess(home, lines_per_entity=40) as process:
        sandbox = Sandbox(process)
        for day in days:
            sandbox.athenaone("close-day", {"date": day.isoformat()})
        yield sandbox


@dataclass
class Night:
    """The stages of one entity's night that were run, as far as they let one go."""

    results: dict[str, StageResult] = field(default_factory=dict)

    def __getitem__(self, stage: str) -> StageResult:
        return self.results[stage]

    @property
    def blocked_by(self) -> list[str]:
        """Summaries of the failed checks that protect money, in the stage that ended the night."""
        last = list(self.results.values())[-1]
        return [check.summary for check in last.blocked_by]

    @property
    def finished(self) -> bool:
        """Read back, and nothing blocks."""
        return "read_back" in self.results and not self.blocked_by

    def check(self, name: str) -> CheckOutcome:
        """The newest outcome of a check."""
        return next(c for r in reversed(self.results.values()) for c in r.checks if c.name == name)

    @property
    def digests(self) -> dict[str, str]:
        """The digest of every stage's manifest."""
        return {stage: result.manifest.sha256 for stage, result in self.results.items()}


STAGES = ("extract", "reconcile_source", "transform", "package", "load", "read_back")


class World:
    """One tenant in one home. `runtime` is this process's way in; `reopen` stands for another process."""

    def __init__(self, sandbox: Sandbox, place: Path) -> None:
        self.sandbox, self.place = sandbox, place
        self.home, self.folder = place / "home", place / "tenant"
        self.dataview = place / "dataview"
        self.dataview.mkdir(parents=True)
        ordinal = next(_ORDINALS)
        self.name = f"sandbox{ordinal}"
        self.ordinals = {entity: ordinal + number for number, entity in enumerate(("101", "102", "103"))}
        shutil.copytree(Path(athena_fusion.tenant.__file__).parent / "sandbox", self.folder)
        self._own_settings()
        self.edit("billing_entities.csv", self._own_ordinals)
        self._open()
        for purpose in PURPOSES:
            self.runtime.keys.ensure(purpose)

    @property
    def environment(self) -> dict[str, str]:
        """What the tenant's settings take from the environment."""
        return {
            "ATHENA_FUSION_HOME": str(self.home),
            "ATHENA_SANDBOX_URL": self.sandbox.process.athenaone_url,
            "FUSION_SANDBOX_URL": self.sandbox.process.fusion_url,
        }

    def _own_settings(self) -> None:
        secrets = self.sandbox.process.home / "secrets"

        def own(settings: dict[str, Any]) -> None:
            settings["name"] = self.name
            settings["athenaone"] |= {
                "client_secret": f"file:{secrets / 'athenaone'}",
                "dataview": str(self.dataview),
                "calls_per_second": 500,
            }
            settings["fusion"] |= {
                "client_secret": f"file:{secrets / 'fusion'}",
                "calls_per_second": 500,
                "poll_seconds": 0.02,
                "settle_seconds": 0.6,
                "job_timeout_seconds": 30,
            }

        self.settings(own)

    def _own_ordinals(self, rows: Rows) -> None:
        for row in rows:
            row["ordinal"] = str(self.ordinals[row["entity"]])

    # -- the tenant's files ---------------------------------------------------------------------------------

    def settings(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change `tenant.yaml`; takes effect with `reopen`."""
        path = self.folder / "tenant.yaml"
        values = yaml.safe_load(path.read_text())
        change(values)
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def edit(self, name: str, change: Edit) -> None:
        """Change a table of the tenant; takes effect with `reopen`."""
        edit_csv(self.folder / name, change)

    def fork(self, place: Path, *, renumber: bool = True) -> "World":
        """Another tenant with the same past: a copy of home, deliveries and settings, under ordinals of its own.

        Without `renumber` the settings are the same to the byte, and new groups would meet those of the original.
        """
        other = World(self.sandbox, place)
        for name in ("home", "dataview", "tenant"):
            shutil.rmtree(place / name, ignore_errors=True)
            shutil.copytree(self.place / name, place / name)
        other.name = self.name
        if renumber:
            other.settings(lambda values: values["athenaone"].update(dataview=str(other.dataview)))
            other.edit("billing_entities.csv", other._own_ordinals)
        else:
            other.ordinals, other.dataview = self.ordinals, self.dataview
        other.reopen()
        return other

    def reopen(self) -> None:
        """Load the tenant's files and open everything anew, as another process would."""
        self.runtime.close()
        self._open()

    def _open(self) -> None:
        self.runtime = Runtime(load_tenant(self.folder, self.environment))
        self.night: RevenueNight = self.runtime.night()

    # -- athenaOne's side -----------------------------------------------------------------------------------

    def deliver(
        self, day: date, *faults: str, edits: Mapping[str, Edit] | None = None, again_on: date | None = None
    ) -> Path:
        """Take over the delivery of `day`, spoiled by sandbox faults or by changes to its tables.

        `again_on` gives the same rows once more as the delivery of that later day.
        """
        source = self.sandbox.process.dataview / delivery_name(day)
        target = self.dataview / delivery_name(again_on or day)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        rows = {
            row["file"].removesuffix(".csv"): int(row["rows"]) for row in read_csv(target / "control.csv")
        }
        for table, change in (edits or {}).items():
            rows[table] = edit_csv(target / f"{table}.csv", change)
        dataview_faults.spoil(target, rows, faults)
        seal(target, rows)
        dataview_faults.spoil_after_control(target, faults)
        return target

    # -- the night ------------------------------------------------------------------------------------------

    def run(
        self, entity: str = "101", day: date = DAY, until: str = "read_back", run_id: str = "run-1"
    ) -> Night:
        """The stages of one night in order, up to `until` or to the first that blocks."""
        done = Night()
        for stage in STAGES[: STAGES.index(until) + 1]:
            done.results[stage] = getattr(self.night, stage)(entity, day, run_id)
            if done.blocked_by:
                break
        return done

    def items(self, **wanted: Any) -> list[Item]:
        """Queue items that wait."""
        return self.runtime.queue.list_items(**wanted)

    # -- Fusion's books -------------------------------------------------------------------------------------

    def groups(self, entity: str | None = None) -> dict[str, dict[str, Any]]:
        """Fusion's own summary of the groups of this tenant (of one entity)."""
        numbers = [self.ordinals[entity]] if entity else list(self.ordinals.values())
        found = self.sandbox.fusion("gl/summary")["groups"]
        return {
            group: sums for group, sums in found.items() if len(group) == 17 and int(group[8:13]) in numbers
        }

    def in_ledger(self, entity: str | None = None) -> int:
        """Debit cents in Fusion's ledger; the credits are the same."""
        sums = self.groups(entity).values()
        debits, credits = (sum(Decimal(found[side]) for found in sums) for side in ("total_dr", "total_cr"))
        assert debits == credits
        return int(debits * 100)

    def waiting(self, entity: str | None = None) -> int:
        """Rows in Fusion's interface."""
        return sum(found["interface_rows"] for found in self.groups(entity).values())

    def lines(self, entity: str = "101") -> list[dict[str, Any]]:
        """Every journal line of the entity as Fusion's own tables hold it."""
        found = self.sandbox.books(
            "SELECT b.group_id, b.status, h.name AS journal, h.effective_date, h.period_name, h.category,"
            " c.segments, l.entered_dr, l.entered_cr, l.description, l.REFERENCE_1 AS line_key"
            " FROM gl_je_lines l JOIN gl_je_headers h ON h.id = l.header_id"
            " JOIN gl_je_batches b ON b.id = h.batch_id JOIN gl_code_combinations c ON c.id = l.combination"
            " WHERE substr(b.group_id, 9, 5) = ?",
            f"{self.ordinals[entity]:05d}",
        )
        return [dict(row) for row in found]

    def requests(self, entity: str = "101") -> int:
        """ESS requests that name a group of the entity: imports that were submitted."""
        (row,) = self.sandbox.books(
            "SELECT COUNT(*) AS n FROM ess_requests WHERE parent IS NULL AND arguments LIKE ?",
            f'%"2026____{self.ordinals[entity]:05d}____"%',
        )
        return int(row["n"])

    def audited(self) -> list[dict[str, Any]]:
        """Bodies of the audit log, oldest first."""
        with self.runtime.database.begin() as connection:
            rows = connection.exec_driver_sql("SELECT body FROM audit_event ORDER BY seq").scalars().all()
        return [json.loads(row) for row in rows]


def charges(*more: tuple[str, str]) -> dict[str, Edit]:
    """Edits for the delivery of the single charge of 101 (88.00, department 1011): further charges of the same post
    date as (amount, department), each with a claim of its own, in the rows and in both reports.
    """
    total = sum(Decimal(amount) for amount, _ in more)

    def transactions(rows: Rows) -> Rows:
        first = _own(rows)
        made = []
        for number, (amount, _) in enumerate(more, start=1):
            claim = str(int(first["CLAIMID"]) + number)
            charge = dict.fromkeys(("TRANSACTIONID", "CHARGEID", "PARENTCHARGEID"), f"{claim}01")
            made.append(first | charge | {"CLAIMID": claim, "AMOUNT": amount})
        return [*rows, *made]

    def claims(rows: Rows) -> Rows:
        first = _own(rows)
        return [
            *rows,
            *(
                first | {"CLAIMID": str(int(first["CLAIMID"]) + number), "SERVICEDEPARTMENTID": department}
                for number, (_, department) in enumerate(more, start=1)
            ),
        ]

    def activity(rows: Rows) -> None:
        (row,) = (row for row in rows if row["MEDICALGROUPID"] == "101")
        row["COUNT"] = str(int(row["COUNT"]) + len(more))
        row["AMOUNT"] = str(Decimal(row["AMOUNT"]) + total)

    def receivable(rows: Rows) -> None:
        for row in rows:
            if row["MEDICALGROUPID"] == "101" and row["ASOFDATE"] >= DAY.isoformat():
                row["AR"] = str(Decimal(row["AR"]) + total)

    return {
        "TRANSACTION": transactions,
        "CLAIM": claims,
        "activity_by_post_date": activity,
        "ar_by_medical_group": receivable,
    }


def _own(rows: Rows) -> dict[str, str]:
    """The row of entity 101 in the delivery of the single charge: the lowest claim number."""
    return min(rows, key=lambda row: int(row["CLAIMID"]))


def delivery_name(day: date) -> str:
    """The folder of a business day's delivery."""
    return f"{day + timedelta(days=1):%Y%m%d}T053000Z"


def seal(delivery: Path, rows: Mapping[str, int]) -> None:
    """Write the control file of a delivery, which promises so many `rows` per table and makes it complete."""
    files = sorted(path for path in delivery.glob("*.csv") if path.stem != "control")
    lines = [
        {
            "file": path.name,
            "rows": str(rows[path.stem]),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]
    write_csv(delivery / "control.csv", lines)


def read_csv(path: Path) -> Rows:
    """Rows by column name."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_csv(path: Path, rows: Rows, header: Iterable[str] = ()) -> None:
    """Rows with this header, or that of the first."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(header) or list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def edit_csv(path: Path, change: Edit) -> int:
    """Change the rows of a file, in place or by returning others; how many there are now."""
    rows = read_csv(path)
    changed = change(rows)
    rows = rows if changed is None else changed
    write_csv(path, rows)
    return len(rows)


def cents(text: str | None) -> int:
    """Cents of an amount as Fusion writes it."""
    return int(Decimal(text or "0") * 100)
