"""Read-back: the proof, line by line, that the ledger holds exactly what was sent.

Proven means all of it: the stored document is the signed ZIP, every line stands in the ledger once, nothing else
stands under the group, and row set, count and sums of both sides are equal. Anything less is not proven.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl
from sqlalchemy import Connection, insert, select, update

from athena_fusion.delivery import states
from athena_fusion.delivery.package import ROW_COLUMNS, Package, ledger_rows, package_rowset, sent_rows
from athena_fusion.delivery.queue import Finding, Kind, put_findings
from athena_fusion.delivery.reasons import explain
from athena_fusion.delivery.states import IntentRow, State
from athena_fusion.delivery.submission import DeliveryError, JournalDelivery, finding, held_by
from athena_fusion.http import Refused
from athena_fusion.storage.artifacts import sha256_hex
from athena_fusion.storage.schema import journal_revision, sent_amount
from athena_fusion.trust.rowset import RowSet, canonical_lines

_SLICE = 500  # keys per IN clause


class Outcome(StrEnum):
    """What became of one line."""

    LOADED = "LOADED"
    REJECTED = "REJECTED"
    HELD = "HELD"
    NOT_IMPORTED = "NOT_IMPORTED"
    MISSING = "MISSING"
    DUPLICATE = "DUPLICATE"
    DIFFERENT = "DIFFERENT"


@dataclass(frozen=True)
class Figures:
    """Rows, debit cents and credit cents of one side."""

    rows: int
    debit_cents: int
    credit_cents: int


@dataclass(frozen=True)
class Proof:
    """What the read-back of one package showed.

    `lines` has one row per sent line: line_key, posting_id, combination, debit_cents, credit_cents, outcome, code,
    reason. `loaded` counts every row of the group Fusion holds (interface and ledger), `imported` the ledger only;
    `unexpected` are ledger rows of the group that were never sent.
    """

    package: Package
    state: State
    ok: bool
    lines: pl.DataFrame
    sent: Figures
    loaded: Figures
    imported: Figures
    imported_rowset: RowSet
    document_sha256: str | None
    unexpected: int
    batches: tuple[str, ...]
    note: str

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many lines had which outcome."""
        counted = self.lines.group_by("outcome").len().sort("outcome")
        return dict(counted.iter_rows())


def prove(delivery: JournalDelivery, packages: Sequence[Package]) -> list[Proof]:
    """Read every package back and record what is proven.

    A proof moves, in one transaction, the sent amounts, the journal revisions (LOADED) and the intent (PROVEN);
    then AutoPost runs if configured. What is not proven goes into the queue, line by line. Proving again what
    is proven reads Fusion again and changes nothing.
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
    proof = _compare(package, delivery.store.read_frame(package.lines), found, document, row.state)
    if proof.ok and row.state is State.IMPORTED:
        _record_proof(delivery, row, proof)
    elif not proof.ok and row.state in (State.IMPORTED, State.UNPROVEN):
        _record_failure(delivery, row, proof)
    return proof


def _document_digest(delivery: JournalDelivery, row: IntentRow) -> str | None:
    document_id = row.document_id
    if document_id is None:
        return None
    try:
        return sha256_hex(delivery.patiently(lambda: delivery.gateway.document(document_id)))
    except Refused:  # deleted or not ours to read: no proof
        return None


def _compare(
    package: Package, lines: pl.DataFrame, found: pl.DataFrame, document: str | None, state: State
) -> Proof:
    base = found.filter(pl.col("origin") == "BASE")
    imported = package_rowset(ledger_rows(base))
    sent = sent_rows(
        lines,
        ledger_id=package.ledger_id,
        source=package.source,
        category_name=package.category_name,
        currency=package.currency,
    )
    judged = _judge(lines, sent, found, base)
    figures = _figures(base)
    equal = (
        imported == package.rowset
        and package_rowset(sent) == package.rowset
        and figures == Figures(*package.totals)
        and judged.get_column("outcome").eq(Outcome.LOADED).all()
    )
    document_equal = document == package.sha256
    note = "" if equal else "LOAD_UNPROVEN: the ledger does not hold exactly what was sent"
    if equal and not document_equal:
        note = "LOAD_UNPROVEN: the document stored in Fusion is not the ZIP that was signed"
    ok = equal and document_equal and (state is State.IMPORTED or state in states.PROVED)
    return Proof(
        package=package,
        state=State.PROVEN if ok else State.UNPROVEN,
        ok=ok,
        lines=judged,
        sent=Figures(*package.totals),
        loaded=_figures(found),
        imported=figures,
        imported_rowset=imported,
        document_sha256=document,
        unexpected=len(base.join(lines, on="line_key", how="anti")),
        batches=tuple(base.get_column("batch_name").drop_nulls().unique().sort()),
        note=note if note or ok else f"LOAD_UNPROVEN: the package is {state}",
    )


def _judge(lines: pl.DataFrame, sent: pl.DataFrame, found: pl.DataFrame, base: pl.DataFrame) -> pl.DataFrame:
    """The sent lines with outcome, code and reason."""
    waiting = found.filter(pl.col("origin") == "INTERFACE")
    in_base = base.group_by("line_key").agg(
        n_base=pl.len(), line=canonical_of(base).first() if len(base) else pl.lit(None, pl.String)
    )
    in_interface = waiting.group_by("line_key").agg(
        n_waiting=pl.len(), status=pl.col("status").first(), text=pl.col("text").first()
    )
    table = (
        lines.select("line_key", "posting_id", "combination", "debit_cents", "credit_cents")
        .with_columns(sent_line=canonical_lines(sent, ROW_COLUMNS), row=pl.int_range(1, pl.len() + 1))
        .join(in_base, on="line_key", how="left", maintain_order="left")
        .join(in_interface, on="line_key", how="left", maintain_order="left")
        .with_columns(pl.col("n_base", "n_waiting").fill_null(0), pl.col("status", "text").fill_null(""))
    )
    refused = pl.col("status").str.contains(r"\b[EW][A-Z][0-9A-Z]\d\b")
    errors = table.filter((pl.col("n_base") == 0) & refused)
    outcome = (
        pl.when((pl.col("n_base") > 1) | ((pl.col("n_base") == 1) & (pl.col("n_waiting") > 0)))
        .then(pl.lit(Outcome.DUPLICATE.value))
        .when((pl.col("n_base") == 1) & (pl.col("line") == pl.col("sent_line")))
        .then(pl.lit(Outcome.LOADED.value))
        .when(pl.col("n_base") == 1)
        .then(pl.lit(Outcome.DIFFERENT.value))
        .when(pl.col("n_waiting") == 0)
        .then(pl.lit(Outcome.MISSING.value))
        .when(refused)
        .then(pl.lit(Outcome.REJECTED.value))
        .when((pl.col("status") == "P") & pl.lit(len(errors) > 0))
        .then(pl.lit(Outcome.HELD.value))
        .otherwise(pl.lit(Outcome.NOT_IMPORTED.value))
    )
    words = {
        (status, text): explain(status, text) for status, text in errors.select("status", "text").iter_rows()
    }
    return table.with_columns(outcome=outcome).select(
        "line_key",
        "posting_id",
        "combination",
        "debit_cents",
        "credit_cents",
        "outcome",
        code=pl.when(pl.col("outcome") == Outcome.REJECTED.value).then("status").otherwise(pl.lit("")),
        reason=_reason(words, _first_error(errors)),
    )


def canonical_of(rows: pl.DataFrame) -> pl.Series:
    """The canonical line of each read-back row."""
    return canonical_lines(ledger_rows(rows), ROW_COLUMNS)


def _first_error(errors: pl.DataFrame) -> str:
    if not len(errors):
        return ""
    first = errors.row(0, named=True)
    return held_by(first["row"], explain(first["status"], first["text"]))


def _reason(words: Mapping[tuple[str, str], str], held: str) -> pl.Expr:
    """Words for every outcome that is not LOADED."""
    fixed = {
        Outcome.HELD: held,
        Outcome.NOT_IMPORTED: "The row waits in the interface; the import did not take it up. "
        "Check that journal source and group of the import job are right",
        Outcome.MISSING: "Neither the interface nor the ledger holds the line. Read back again; if it stays "
        "missing, ask who deleted it",
        Outcome.DUPLICATE: "The line stands more than once in Fusion. Reverse the surplus there; it is never sent again",
        Outcome.DIFFERENT: "The ledger holds the line with other values than were sent",
    }
    reason = pl.when(pl.col("outcome") == Outcome.LOADED.value).then(pl.lit(""))
    for outcome, text in fixed.items():
        reason = reason.when(pl.col("outcome") == outcome.value).then(pl.lit(text))
    for (status, said), text in words.items():
        reason = reason.when((pl.col("status") == status) & (pl.col("text") == said)).then(pl.lit(text))
    return reason.otherwise(pl.lit(""))


def _figures(rows: pl.DataFrame) -> Figures:
    return Figures(
        len(rows), int(rows.get_column("debit_cents").sum()), int(rows.get_column("credit_cents").sum())
    )


# -- records -------------------------------------------------------------------------------------------------


def _record_proof(delivery: JournalDelivery, row: IntentRow, proof: Proof) -> None:
    lines = delivery.store.read_frame(proof.package.lines)
    now = delivery.clock.now()
    with delivery.database.begin() as connection:
        _insert_sent(connection, row.key, lines)
        _close_revisions(connection, row, lines)
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
            max(line["debit_cents"] or 0, line["credit_cents"] or 0),
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
        standing |= {
            row.line_key: row.intent_key
            for row in connection.execute(query.where(sent_amount.c.line_key.in_(keys)))
        }
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
