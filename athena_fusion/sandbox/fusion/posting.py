"""AutoPost: posts the unposted batches of a criteria set's sources and moves the balances."""

import sqlite3
from decimal import Decimal

from athena_fusion.sandbox.fusion.amounts import ZERO, plain, stored
from athena_fusion.sandbox.fusion.ess import Run
from athena_fusion.sandbox.fusion.setup import AutoPostCriteria


def check_criteria(run: Run) -> str:
    """AutoPost Journals, the parent: argument 1 is the criteria set id."""
    criteria = _criteria(run)
    if criteria is None:
        return run.refuse(f"The AutoPost criteria set {run.argument(1)} doesn't exist.")
    run.log.append(f"AutoPost criteria set {criteria.id}.")
    return "SUCCEEDED"


def post_batches(run: Run) -> str:
    """The posting process. Batches outside open periods stay unposted and make it a WARNING."""
    criteria = _criteria(run)
    if criteria is None:
        return run.refuse("The AutoPost criteria set was removed.")
    posted = left = 0
    for batch in run.connection.execute(
        "SELECT * FROM gl_je_batches WHERE status = 'U' ORDER BY id"
    ).fetchall():
        if batch["source"] not in criteria.sources or not _allowed(criteria.ledgers, batch["ledger_id"]):
            continue
        if _period_open(run.connection, batch):
            _post(run, batch)
            posted += 1
        else:
            run.log.append(f"Batch {batch['name']}: period {batch['period_name']} is not open, not posted.")
            left += 1
    run.log.append(f"{posted} batch(es) posted, {left} not posted.")
    return "WARNING" if left else "SUCCEEDED"


def _allowed(ledgers: frozenset[str], ledger_id: str) -> bool:
    return not ledgers or ledger_id in ledgers


def _criteria(run: Run) -> AutoPostCriteria | None:
    return next((each for each in run.pod.setup.autopost_criteria if each.id == run.argument(1)), None)


def _period_open(connection: sqlite3.Connection, batch: sqlite3.Row) -> bool:
    row = connection.execute(
        "SELECT status FROM periods WHERE ledger_id = ? AND name = ?",
        (batch["ledger_id"], batch["period_name"]),
    ).fetchone()
    return row is not None and row["status"] == "Open"


def _post(run: Run, batch: sqlite3.Row) -> None:
    sums: dict[tuple[str, int], list[Decimal]] = {}
    for line in run.connection.execute(
        "SELECT h.currency, l.combination, l.entered_dr, l.entered_cr FROM gl_je_lines l"
        " JOIN gl_je_headers h ON h.id = l.header_id WHERE h.batch_id = ?",
        (batch["id"],),
    ):
        side = sums.setdefault((line["currency"], line["combination"]), [ZERO, ZERO])
        side[0] += stored(line["entered_dr"])
        side[1] += stored(line["entered_cr"])
    for (currency, combination), pair in sums.items():
        key = (batch["ledger_id"], batch["period_name"], currency, combination)
        old = run.connection.execute(
            "SELECT period_dr, period_cr FROM gl_balances"
            " WHERE ledger_id = ? AND period_name = ? AND currency = ? AND combination = ?",
            key,
        ).fetchone()
        if old is not None:
            pair[0] += stored(old["period_dr"])
            pair[1] += stored(old["period_cr"])
        run.connection.execute(
            "INSERT OR REPLACE INTO gl_balances VALUES (?, ?, ?, ?, ?, ?)",
            (*key, plain(pair[0]), plain(pair[1])),
        )
    run.connection.execute(
        "UPDATE gl_je_batches SET status = 'P', posted = ? WHERE id = ?",
        (run.pod.stamp(), batch["id"]),
    )
