"""Read-back: the proof, line by line, that the ledger holds exactly what was sent.

Proven means all of it: the stored document is the signed ZIP, every line stands in the ledger once, nothing else
stands under the group, and row set, count and sums of both sides are equal. Anything less is not proven.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import polars as pl
from sqlalchemy import Connection, insert, select, update

from athena_fusion.delivery import states
from athena_fusion.delivery.findings import DeliveryError, amount_of, finding
from athena_fusion.delivery.package import Package
from athena_fusion.delivery.proof import Outcome, Proof, compare
from athena_fusion.delivery.queue import Finding, Kind, Status, items_of, put_findings, set_status
from athena_fusion.delivery.states import IntentRow, Overtaken, State
from athena_fusion.delivery.submission import JournalDelivery
from athena_fusion.http import Refused
from athena_fusion.storage.artifacts import sha256_hex
from athena_fusion.storage.schema import journal_revision, sent_amount

_SLICE = 500  # keys per IN clause


def prove(delivery: JournalDelivery, packages: Sequence[Package]) -> list[Proof]:
    """Read every package back and record what is proven.

    A proof moves, in one transaction, the sent amounts, the journal revisions (LOADED) and the intent (PROVEN),
    and closes the findings of this and earlier attempts; then AutoPost runs if configured. What is not proven
    goes into the queue, line by line. Proving again what is proven reads Fusion again and changes nothing.
    """
    proofs = [_prove(delivery, package) for package in packages]
    proven = [row for proof in proofs if proof.ok and (row := delivery.find(proof.package.intent.key))]
    delivery.post([row for row in proven if row.state in states.POSTING])
    for proof in proofs:
        delivery.audit.append(
            "fusion.readback",
            "ok" if proof.ok else "unproven",
            intent=proof.package.intent.key,
            rows=str(proof.imported.rows),
            rowset=proof.imported_rowset.sha256,
            document=proof.document_sha256 or "",
        )
    return proofs


def _prove(delivery: JournalDelivery, package: Package) -> Proof:
    row = delivery.find(package.intent.key)
    if row is None:
        raise DeliveryError(f"{package.intent.key} was never submitted; there is nothing to read back.")
    found = delivery.patiently(lambda: delivery.rows_in_fusion(package))
    document = _document_digest(delivery, row)
    proof = compare(package, delivery.store.read_frame(package.lines), found, document, row.state)
    if row.state in (State.IMPORTED, State.UNPROVEN):
        record = _record_proof if proof.ok else _record_failure
        with suppress(Overtaken):  # another process read the same and recorded it first
            record(delivery, row, proof)
    return proof


def _document_digest(delivery: JournalDelivery, row: IntentRow) -> str | None:
    document_id = row.document_id
    if document_id is None:
        return None
    try:
        return sha256_hex(delivery.patiently(lambda: delivery.gateway.document(document_id)))
    except Refused:  # deleted or not ours to read: no proof
        return None


def _record_proof(delivery: JournalDelivery, row: IntentRow, proof: Proof) -> None:
    lines = delivery.store.read_frame(proof.package.lines)
    now = delivery.clock.now()
    with delivery.database.begin() as connection:
        _insert_sent(connection, row.key, lines)
        _close_revisions(connection, row, lines)
        for attempt in states.attempts(connection, proof.package):
            items = [item.id for item in items_of(connection, attempt.key)]
            set_status(connection, items, Status.RESOLVED, now)
        states.move(connection, row, State.PROVEN, now, note="")


def _record_failure(delivery: JournalDelivery, row: IntentRow, proof: Proof) -> None:
    now = delivery.clock.now()
    with delivery.database.begin() as connection:
        put_findings(connection, _findings(proof), now)
        states.move(connection, row, State.UNPROVEN, now, note=proof.note)


def _findings(proof: Proof) -> list[Finding]:
    bad = proof.lines.filter(pl.col("outcome") != Outcome.LOADED.value)
    if not len(bad):  # every line is there, but the whole is not: the document or foreign rows
        package = proof.package
        return [finding(package, Kind.LOAD_FAILED, package.file_name, proof.note, package.debit_cents)]
    return [
        finding(
            proof.package,
            Kind(line["outcome"]),
            line["line_key"],
            line["reason"],
            amount_of(line),
            code=line["code"],
            combination=line["combination"],
        )
        for line in bad.iter_rows(named=True)
    ]


def _insert_sent(connection: Connection, intent_key: str, lines: pl.DataFrame) -> None:
    """The amounts now proven to be in the ledger; lines that stand already are left as they are."""
    rows: list[dict[str, Any]] = lines.select(
        "line_key",
        pl.lit(intent_key).alias("intent_key"),
        "entity",
        pl.col("post_date").cast(pl.String),
        "category",
        "revision",
        "posting_id",
        "combination",
        pl.col("debit_cents").fill_null(0),
        pl.col("credit_cents").fill_null(0),
    ).to_dicts()
    standing: dict[str, str] = {}
    for start in range(0, len(rows), _SLICE):
        keys = [row["line_key"] for row in rows[start : start + _SLICE]]
        query = select(sent_amount.c.line_key, sent_amount.c.intent_key)
        found = connection.execute(query.where(sent_amount.c.line_key.in_(keys)))
        standing |= {row.line_key: row.intent_key for row in found}
    if others := {key for key in standing.values() if key != intent_key}:
        raise DeliveryError(
            f"{intent_key}: its lines are already recorded as loaded by {', '.join(sorted(others))}; the sent "
            "amounts were not changed. The ledger may hold these lines twice: look at both groups in Fusion."
        )
    fresh = [row for row in rows if row["line_key"] not in standing]
    if fresh:
        connection.execute(insert(sent_amount), fresh)


def _close_revisions(connection: Connection, row: IntentRow, lines: pl.DataFrame) -> None:
    intent = row.package.intent
    revisions = lines.select("entity", pl.col("post_date").cast(pl.String), "category", "revision").unique()
    for key in revisions.sort(pl.all()).iter_rows(named=True):
        same = [journal_revision.c[name] == value for name, value in key.items()]
        values = {"state": "LOADED", "intent_key": row.key}
        if not connection.execute(update(journal_revision).where(*same).values(values)).rowcount:
            batch_date = intent.batch_date.isoformat()
            connection.execute(insert(journal_revision).values(**key, **values, batch_date=batch_date))
