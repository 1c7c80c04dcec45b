"""The practice's own totals, computed from the ledger tables by SQL of their own.

They share no code with the Data View export on purpose: they are what an extraction is compared with. The
entity of a row is the ledger's own column here, not the way over claim, department and provider group.
"""

import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

ACTIVITY = "activity_by_post_date"
ACTIVITY_HEADER = ("PRACTICE", "MEDICALGROUPID", "POSTDATE", "TRANSACTIONTYPE", "COUNT", "AMOUNT")
RECEIVABLE = "ar_by_medical_group"
RECEIVABLE_HEADER = ("MEDICALGROUPID", "ASOFDATE", "AR", "UNAPPLIED")

_ACTIVITY = """
SELECT entity, postdate, transactiontype, count(*), sum(amount) FROM txn
 WHERE created_utc <= :upto GROUP BY entity, postdate, transactiontype
UNION ALL
SELECT entity, postdate, 'UNAPPLIED', count(*), sum(amount) FROM unapplied
 WHERE created_utc <= :upto GROUP BY entity, postdate
UNION ALL
SELECT entity, postdate, 'UNPOSTABLE', count(*), sum(amount) FROM unpostable
 WHERE created_utc <= :upto GROUP BY entity, postdate
ORDER BY 1, 2, 3
"""

# Money from a collection agency is a recovery of what was written off: it never was A/R again.
_MOVEMENTS = """
SELECT entity, postdate, sum(ar), sum(unapplied) FROM (
  SELECT entity, postdate, CASE WHEN transactionmethod IS 'AGENCY' THEN 0 ELSE amount END AS ar, 0 AS unapplied
    FROM txn WHERE created_utc <= :upto
  UNION ALL
  SELECT entity, postdate, 0, amount FROM unapplied WHERE created_utc <= :upto
  UNION ALL
  SELECT entity, postdate, 0, 0 FROM unpostable WHERE created_utc <= :upto
) GROUP BY entity, postdate ORDER BY entity, postdate
"""


def _dollars(cents: int) -> str:
    return str(Decimal(cents).scaleb(-2).quantize(Decimal("0.01")))


def activity_by_post_date(
    connection: sqlite3.Connection, practice_id: str, as_of: datetime
) -> Iterator[tuple[str, str, str, str, int, str]]:
    """Count and amount (athenaOne's signs) per medical group, post date and type, of rows entered by `as_of`."""
    for entity, post_date, kind, count, cents in connection.execute(
        _ACTIVITY, {"upto": int(as_of.timestamp())}
    ):
        yield practice_id, entity, post_date, kind, count, _dollars(cents)


def ar_by_medical_group(
    connection: sqlite3.Connection, as_of: datetime
) -> Iterator[tuple[str, str, str, str]]:
    """A/R and unapplied money at the end of every post date with activity, and of the day before the first."""
    opening = {row[0]: row[1:] for row in connection.execute("SELECT entity, ar, unapplied FROM opening")}
    current = None
    receivable = unapplied = 0
    for entity, post_date, receivable_change, unapplied_change in connection.execute(
        _MOVEMENTS, {"upto": int(as_of.timestamp())}
    ):
        if entity != current:
            current = entity
            receivable, unapplied = opening[entity]
            before = date.fromisoformat(post_date) - timedelta(days=1)
            yield entity, before.isoformat(), _dollars(receivable), _dollars(unapplied)
        receivable += receivable_change
        unapplied += unapplied_change
        yield entity, post_date, _dollars(receivable), _dollars(unapplied)
