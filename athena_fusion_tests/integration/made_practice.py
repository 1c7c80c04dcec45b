"""A practice of a test's own making: deliveries of a few rows, which athenaOne's two reports count to the cent.

The reports follow from the events by construction, so whatever a test makes of them (a row changed, voided, late,
lost on the way, unreadable) has one right outcome in Fusion.
"""

import itertools
import shutil
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from integration.night_world import (
    DAY,
    Rows,
    Sandbox,
    World,
    cents,
    delivery_name,
    read_csv,
    seal,
    write_csv,
)

from athena_fusion.money import cents_text, parse_cents

_RECEIVABLE = {"CHARGE", "PAYMENT", "ADJUSTMENT", "TRANSFERIN", "TRANSFEROUT"}
_AS_THE_SANDBOX_HAS_THEM = (
    "DEPARTMENT",
    "PROVIDERGROUP",
    "PAYER",
    "PATIENTINSURANCE",
    "PAYMENTBATCH",
    "DEPOSITBATCH",
)
Row = dict[str, str]


@dataclass(frozen=True)
class Event:
    """A row of TRANSACTION, with its claim, or of UNPOSTABLE."""

    table: str
    row: Row
    claim: Row

    @property
    def id(self) -> str:
        """What athenaOne tells it from others by."""
        return self.row["TRANSACTIONID"] or self.row["UNPOSTABLEID"]

    @property
    def entity(self) -> str:
        """Whose it is: the sandbox numbers departments by entity."""
        return (self.claim or self.row)["SERVICEDEPARTMENTID" if self.claim else "DEPARTMENTID"][:3]

    @property
    def kind(self) -> str:
        """The transaction type of the activity report."""
        return self.row.get("TRANSACTIONTYPE", self.table)

    def again(self, day: date, department: str = "", **changes: str) -> "Event":
        """The same row as athenaOne gives it on `day`: changed, or with nothing but a newer date of change."""
        claim = self.claim | ({"SERVICEDEPARTMENTID": department} if department else {})
        return Event(self.table, self.row | {"LASTUPDATED": f"{day} 10:00:00"} | changes, claim)


class MadePractice(World):
    """A tenant of these entities, alone in its ledger, and what athenaOne did there so far."""

    def __init__(self, sandbox: Sandbox, place: Path, *entities: str) -> None:
        self.entities = entities
        super().__init__(sandbox, place)
        self._numbers = itertools.count(900_000_001)
        self._reported: dict[str, Event] = {}

    def _own_settings(self) -> None:
        super()._own_settings()
        self.settings(lambda values: values["fusion"].update(autopost_criteria_set=None))

    def _own_ordinals(self, rows: Rows) -> None:
        super()._own_ordinals(rows)
        rows[:] = [row for row in rows if row["entity"] in self.entities]

    # -- what happens in athenaOne --------------------------------------------------------------------------

    @cached_property
    def _tables(self) -> dict[str, Rows]:
        files = (self.sandbox.process.dataview / delivery_name(DAY)).glob("*.csv")
        return {path.stem: read_csv(path) for path in files if path.stem != "control"}

    def charge(self, day: date, amount: str, department: str = "1011", *, post: date | None = None) -> Event:
        """A charge of a claim of its own, entered on `day`."""
        pattern = self._pattern("TRANSACTION", TRANSACTIONTYPE="CHARGE")
        number = str(next(self._numbers))
        own = dict.fromkeys(("TRANSACTIONID", "CHARGEID", "PARENTCHARGEID", "CLAIMID"), number)
        (claim,) = (row for row in self._tables["CLAIM"] if row["CLAIMID"] == pattern["CLAIMID"])
        return Event(
            "TRANSACTION",
            pattern | own | _entered(day, post) | {"AMOUNT": amount},
            claim | {"CLAIMID": number, "SERVICEDEPARTMENTID": department},
        )

    def void(self, day: date, charge: Event) -> Event:
        """The row that takes `charge` back, posted on `day`."""
        number = str(next(self._numbers))
        own = dict.fromkeys(("TRANSACTIONID", "CHARGEID", "PARENTCHARGEID"), number)
        voids = {
            "CHARGEVOIDPARENTID": charge.id,
            "REVERSALFLAG": "Y",
            "AMOUNT": cents_text(-parse_cents(charge.row["AMOUNT"])),
        }
        return Event("TRANSACTION", charge.row | own | _entered(day) | voids, charge.claim)

    def transfer(self, day: date, amount: str, charge: Event) -> tuple[Event, Event]:
        """Both legs of a transfer from the insurance to the patient: out, in."""
        out, into = str(next(self._numbers)), str(next(self._numbers))
        of_charge = {"CLAIMID": charge.row["CLAIMID"], "PARENTCHARGEID": charge.id, **_entered(day)}
        legs = (
            (self._pattern("TRANSACTION", TRANSACTIONTYPE="TRANSFEROUT"), out, charge.id, f"-{amount}"),
            (self._pattern("TRANSACTION", TRANSACTIONTYPE="TRANSFERIN"), into, out, amount),
        )
        first, second = (
            Event(
                "TRANSACTION",
                row | of_charge | {"TRANSACTIONID": number, "CHARGEID": source, "AMOUNT": signed},
                charge.claim,
            )
            for row, number, source, signed in legs
        )
        return first, second

    def receipt(self, day: date, amount: str, department: str = "1011") -> Event:
        """Money of an insurance that nobody could post yet."""
        own = {"UNPOSTABLEID": str(next(self._numbers)), "DEPARTMENTID": department, "AMOUNT": amount}
        entered = _entered(day)
        entered["CREATEDDATETIME"] = entered.pop("TRANSACTIONCREATEDDATETIME")
        return Event("UNPOSTABLE", self._pattern("UNPOSTABLE", UNPOSTABLETYPE="RECEIPT") | own | entered, {})

    def _pattern(self, table: str, **wanted: str) -> Row:
        return next(row for row in self._tables[table] if wanted.items() <= row.items())

    # -- what athenaOne delivers ------------------------------------------------------------------------------

    def send(
        self,
        day: date,
        *events: Event,
        lost: Collection[Event] = (),
        unreported: Collection[Event] = (),
        without: str = "",
    ) -> None:
        """The delivery of `day` with these events; the reports count them and all that were sent before.

        `lost` ones are in the reports only, `unreported` ones in the tables only; `without` leaves a file out.
        """
        self._reported |= {event.id: event for event in (*events, *lost)}
        delivered = (*events, *unreported)
        tables: dict[str, Rows] = {
            **{name: self._tables[name] for name in _AS_THE_SANDBOX_HAS_THEM},
            "TRANSACTION": [event.row for event in delivered if event.claim],
            "CLAIM": list({e.claim["CLAIMID"]: e.claim for e in delivered if e.claim}.values()),
            "UNAPPLIED": [],
            "UNPOSTABLE": [event.row for event in delivered if not event.claim],
            "activity_by_post_date": self._activity(),
            "ar_by_medical_group": self._receivable(),
        }
        target = self.dataview / delivery_name(day)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for name, rows in tables.items():
            if name != without:
                write_csv(target / f"{name}.csv", rows, self._tables[name][0])
        seal(target, {name: len(rows) for name, rows in tables.items()})

    def _activity(self) -> Rows:
        sums: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        for event in self._reported.values():
            found = sums[event.entity, event.row["POSTDATE"], event.kind]
            found[0] += 1
            found[1] += parse_cents(event.row["AMOUNT"])
        names = ("PRACTICE", "MEDICALGROUPID", "POSTDATE", "TRANSACTIONTYPE", "COUNT", "AMOUNT")
        practice = self._tables["activity_by_post_date"][0]["PRACTICE"]
        return [
            dict(zip(names, (practice, *figure, str(count), cents_text(amount)), strict=True))
            for figure, (count, amount) in sorted(sums.items())
        ]

    def _receivable(self) -> Rows:
        rows: Rows = []
        for entity in self.entities:
            moved = {DAY: 0}
            for event in self._reported.values():
                if event.entity == entity:
                    post = date.fromisoformat(event.row["POSTDATE"])
                    amount = parse_cents(event.row["AMOUNT"]) if event.kind in _RECEIVABLE else 0
                    moved[post] = moved.get(post, 0) + amount
            balance = 0
            for day in (min(moved) - timedelta(days=1), *sorted(moved)):
                balance += moved.get(day, 0)
                rows.append(
                    {
                        "MEDICALGROUPID": entity,
                        "ASOFDATE": day.isoformat(),
                        "AR": cents_text(balance),
                        "UNAPPLIED": "0.00",
                    }
                )
        return rows

    # -- what Fusion made of it -------------------------------------------------------------------------------

    def balances(self, entity: str | None = None) -> dict[str, int]:
        """Net debit cents per account combination in Fusion's ledger; what comes to nothing is left out."""
        found: defaultdict[str, int] = defaultdict(int)
        for line in self.lines(entity or self.entities[0]):
            found[line["segments"]] += _net(line)
        return {combination: net for combination, net in found.items() if net}

    def journals(self, entity: str | None = None) -> dict[str, int]:
        """Debit cents per journal in Fusion's ledger, named by post date, category and revision.

        The sum is the one of Fusion's own summary, so a journal imported twice shows.
        """
        found: defaultdict[str, int] = defaultdict(int)
        for line in self.lines(entity or self.entities[0]):
            found[line["line_key"].split("-", 1)[1].rsplit("-", 1)[0]] += max(_net(line), 0)
        assert sum(found.values()) == self.in_ledger(entity or self.entities[0])
        return dict(found)

    def queued(self, **wanted: Any) -> list[tuple[str, str, int]]:
        """What waits for people: kind, subject, cents."""
        return [(i.finding.kind, i.finding.subject, i.finding.amount_cents) for i in self.items(**wanted)]


def _entered(day: date, post: date | None = None) -> Row:
    entered = f"{day} 10:00:00"
    return {
        "POSTDATE": (post or day).isoformat(),
        "TRANSACTIONCREATEDDATETIME": entered,
        "LASTUPDATED": entered,
    }


def _net(line: dict[str, Any]) -> int:
    return cents(line["entered_dr"]) - cents(line["entered_cr"])
