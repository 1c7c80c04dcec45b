"""Checks of a single interface line at import: ledger, period, currency, category, flags."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from athena_fusion.sandbox.fusion.amounts import ZERO, stored
from athena_fusion.sandbox.fusion.chart import Account, Chart, Verdict
from athena_fusion.sandbox.fusion.pod import Pod
from athena_fusion.sandbox.fusion.setup import Ledger

CENT = Decimal("0.01")
USABLE = ("Open", "Future Enterable")
SEGMENTS = tuple(f"SEGMENT{n}" for n in range(1, 31))
REFERENCES = tuple(f"REFERENCE{n}" for n in range(21, 31))
COLUMNS = (
    *(
        "id",
        "STATUS",
        "LEDGER_ID",
        "LEDGER_NAME",
        "ACCOUNTING_DATE",
        "PERIOD_NAME",
        "DATE_CREATED",
        "GROUP_ID",
    ),
    *("USER_JE_CATEGORY_NAME", "CURRENCY_CODE", "ACTUAL_FLAG", "ENCUMBRANCE_TYPE_ID"),
    *("ENTERED_DR", "ENTERED_CR", "ACCOUNTED_DR", "ACCOUNTED_CR"),
    *("USER_CURRENCY_CONVERSION_TYPE", "CURRENCY_CONVERSION_DATE", "CURRENCY_CONVERSION_RATE"),
    *("REFERENCE1", "REFERENCE2", "REFERENCE4", "REFERENCE5", "REFERENCE6", "REFERENCE7", "REFERENCE8"),
    *("REFERENCE10", *REFERENCES, *SEGMENTS),
)
"""What an import reads of an interface row."""


@dataclass
class Line:
    """An interface row and what the import found out about it. `codes` are errors and warnings in report order."""

    row: dict[str, Any]  # of COLUMNS; text or None, but for the id
    ledger: Ledger | None
    period: str | None = None
    account: Account | None = None
    rate: Decimal | None = None
    codes: list[str] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)

    @property
    def debit(self) -> Decimal:
        """Entered debit, zero where blank."""
        return stored(self.row["ENTERED_DR"])

    @property
    def credit(self) -> Decimal:
        """Entered credit, zero where blank."""
        return stored(self.row["ENTERED_CR"])

    def accounted(self, side: str) -> Decimal | None:
        """Amount of `DR` or `CR` in ledger currency; None on an empty side."""
        if self.row[f"ENTERED_{side}"] is None:
            return None
        if self.rate is None:
            return stored(self.row[f"ACCOUNTED_{side}"] or self.row[f"ENTERED_{side}"])
        return (stored(self.row[f"ENTERED_{side}"]) * self.rate).quantize(CENT, ROUND_HALF_UP)

    @property
    def failed(self) -> bool:
        """Some code is an error."""
        return any(code.startswith("E") for code in self.codes)


class LineChecks:
    """The set-up tables as they stand when an import runs."""

    def __init__(self, pod: Pod, connection: sqlite3.Connection) -> None:
        self._setup = pod.setup
        self.chart = Chart(connection, pod.setup)
        self._periods = connection.execute("SELECT * FROM periods ORDER BY first_day").fetchall()
        self._rates = {
            (rate.currency, rate.conversion_type, rate.day.isoformat()): rate.rate
            for rate in pod.setup.daily_rates
        }

    def check(self, line: Line) -> None:
        """Fill in the line's period, account, rate and codes."""
        account = self.chart.check(tuple(map(line.row.get, SEGMENTS)), line.row["ACCOUNTING_DATE"])
        if isinstance(account, Verdict):
            line.codes.append(account.code)
            line.descriptions.append(account.description)
        else:
            line.account = account
        for code in (*self._period(line), *self._currency(line), *self._rest(line)):
            line.codes.append(code)

    def _period(self, line: Line) -> Iterator[str]:
        if line.ledger is None:
            return
        usable = [
            period
            for period in self._periods
            if period["ledger_id"] == line.ledger.id and period["status"] in USABLE
        ]
        if not usable:
            yield "EP02"
            return
        day, name = line.row["ACCOUNTING_DATE"], line.row["PERIOD_NAME"]
        for period in usable:
            if period["first_day"] <= day <= period["last_day"] and name in {None, period["name"]}:
                line.period = period["name"]
                return
        yield "EP01"

    def _currency(self, line: Line) -> Iterator[str]:
        row, ledger = line.row, line.ledger
        if row["CURRENCY_CODE"] not in self._setup.currencies:
            yield "EC08"
        elif ledger is None:
            return  # without a ledger there is no ledger currency to compare with
        elif row["CURRENCY_CODE"] == ledger.currency:
            for side in ("DR", "CR"):
                if row[f"ACCOUNTED_{side}"] not in {None, row[f"ENTERED_{side}"]}:
                    yield "EC12"
                    return
        elif row["USER_CURRENCY_CONVERSION_TYPE"] is None:
            missing = [
                side
                for side in ("DR", "CR")
                if row[f"ENTERED_{side}"] is not None and row[f"ACCOUNTED_{side}"] is None
            ]
            if missing:
                yield "EC03"
        else:
            yield from self._conversion(line)

    def _conversion(self, line: Line) -> Iterator[str]:
        row = line.row
        kind, day = row["USER_CURRENCY_CONVERSION_TYPE"], row["CURRENCY_CONVERSION_DATE"]
        if kind not in self._setup.conversion_types:
            yield "EC11"
            return
        if day is None:
            yield "EC02"
        if kind == "User":
            if row["CURRENCY_CONVERSION_RATE"] is None:
                yield "EC01"
            else:
                line.rate = stored(row["CURRENCY_CONVERSION_RATE"])
        elif day is not None:
            line.rate = self._rates.get((row["CURRENCY_CODE"], kind, day))
            if line.rate is None:
                yield "EC06"

    def _rest(self, line: Line) -> Iterator[str]:
        row = line.row
        if line.ledger is None:
            yield "EM03"
        if row["USER_JE_CATEGORY_NAME"] not in self._setup.categories:
            yield "EM01"
        if row["ACTUAL_FLAG"] not in {"A", "B", "E"}:
            yield "EM04"
        if row["ACTUAL_FLAG"] == "A" and row["ENCUMBRANCE_TYPE_ID"] is not None:
            yield "EM05"
        if row["ACTUAL_FLAG"] == "B":
            yield "EB01"  # the file has no budget version
        if row["ACTUAL_FLAG"] == "E":
            yield "EE01" if row["ENCUMBRANCE_TYPE_ID"] is None else "EE02"
        if row["REFERENCE7"] == "Y":
            if row["REFERENCE8"] is None:
                yield "ER01"
            elif all(period["name"] != row["REFERENCE8"] for period in self._periods):
                yield "ER02"


def balance(lines: list[Line], *, suspense: bool) -> None:
    """Mark the lines of one journal that is out of balance, as a whole or in one balancing segment value."""
    sums: dict[str, Decimal] = {}
    whole = ZERO
    for line in lines:
        difference = line.debit - line.credit
        whole += difference
        if line.account is not None:
            sums[line.account.balancing] = sums.get(line.account.balancing, ZERO) + difference
    # A line without a valid account has no balancing segment: then only the whole journal can be judged.
    by_segment = all(line.account is not None for line in lines) and any(sums.values())
    if whole or by_segment:
        for line in lines:
            line.codes.append("WU01" if suspense else "EU02")
