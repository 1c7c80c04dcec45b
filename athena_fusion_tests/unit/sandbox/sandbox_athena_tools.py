"""Reading deliveries and looking rows up in X4, for the tests of the sandbox."""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

Row = dict[str, str]


def read(delivery: Path, name: str) -> list[Row]:
    with (delivery / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def total(rows: list[Row], column: str = "AMOUNT") -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


def as_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 5, 30, tzinfo=UTC) + timedelta(days=1)


def event_keys(delivery: Path) -> list[Row]:
    """The X4 key of every ledger row of a delivery."""
    keys = [
        {
            "transaction_type": r["TRANSACTIONTYPE"],
            "subtype": (
                {"-": "OUT"}.get(r["AMOUNT"][0], "BACK")
                if (r["TRANSACTIONTYPE"], r["TRANSACTIONMETHOD"]) == ("PAYMENT", "UNAPPLIED")
                else ""
            ),
            "responsible": r["TRANSACTIONTRANSFERTYPE"],
            "reason": r["TRANSACTIONREASON"],
            "method": r["TRANSACTIONMETHOD"],
            "cas_group": r["CASGROUPCODE"],
            "carc": r["CARC"],
            "rarc": r["RARC"],
            "custom_code": r["CUSTOMTRANSACTIONCODE"],
            "reversal": r["REVERSALFLAG"],
        }
        for r in read(delivery, "TRANSACTION")
    ]
    for table in ("UNAPPLIED", "UNPOSTABLE"):
        keys += [
            {"transaction_type": table, "subtype": r[f"{table}TYPE"], "method": r["METHOD"]}
            for r in read(delivery, table)
        ]
    return keys


def posting_ids(key: Row, lines: list[Row]) -> list[str]:
    """Posting ids of the most specific lines that fit a key: exactly one in a sound table."""
    best: list[tuple[int, str]] = []
    for line in lines:
        named = {
            c: v for c, v in line.items() if v and c not in ("posting_id", "effective_from", "effective_to")
        }
        if all(key.get(column, "") == value for column, value in named.items()):
            best.append((len(named), line["posting_id"]))
    top = max((rank for rank, _ in best), default=0)
    return [posting for rank, posting in best if rank == top]
