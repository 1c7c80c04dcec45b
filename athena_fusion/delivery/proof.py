"""The verdict on one package: what was sent against what the ledger and the interface hold, line by line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from athena_fusion.delivery import states
from athena_fusion.delivery.findings import held_by
from athena_fusion.delivery.package import ROW_COLUMNS, Package, ledger_rows, package_rowset, sent_rows
from athena_fusion.delivery.reasons import rejection
from athena_fusion.delivery.states import State
from athena_fusion.trust.rowset import RowSet, difference


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
    `unexpected` are rows of the group that were never sent.
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


_READABLE = states.PROVED | {State.IMPORTED, State.UNPROVEN}

_WORDS: Mapping[str, str] = {
    Outcome.LOADED: "",
    Outcome.NOT_IMPORTED: "The row waits in the interface and the import did not take it up. Check that journal "
    "source and group of the import job are right.",
    Outcome.MISSING: "Neither the interface nor the ledger holds the line. Read back again; if it stays missing, "
    "ask in Fusion who deleted it.",
    Outcome.DUPLICATE: "The line stands more than once in Fusion. Reverse the surplus there; it is not sent again.",
    Outcome.DIFFERENT: "The ledger holds the line with other values than were sent.",
}


def compare(
    package: Package, lines: pl.DataFrame, found: pl.DataFrame, document: str | None, state: State
) -> Proof:
    """Judge what the group holds in Fusion (`found`, `gateway.READBACK_SCHEMA`) against what was sent (`lines`).

    `document` is the digest of the stored document, None when it could not be read.
    """
    base = found.filter(pl.col("origin") == "BASE")
    in_ledger = ledger_rows(base)
    imported = package_rowset(in_ledger)
    sent = sent_rows(
        lines,
        ledger_id=package.ledger_id,
        source=package.source,
        category_name=package.category_name,
        currency=package.currency,
    )
    same = imported == package.rowset == package_rowset(sent)
    changed = [] if same else difference(sent, in_ledger, ROW_COLUMNS)["key"].to_list()
    judged = _judge(lines, found, changed)
    equal = (
        same
        and _figures(base) == _figures(found) == Figures(*package.totals)
        and judged.get_column("outcome").eq(Outcome.LOADED).all()
    )
    document_equal = document == package.sha256
    ok = equal and document_equal and state in _READABLE
    note = f"the package is {state}"
    if not equal:
        note = "the ledger does not hold exactly what was sent"
    elif not document_equal:
        note = "the document stored in Fusion is not the ZIP that was signed"
    return Proof(
        package=package,
        state=State.PROVEN if ok else State.UNPROVEN,
        ok=ok,
        lines=judged,
        sent=Figures(*package.totals),
        loaded=_figures(found),
        imported=_figures(base),
        imported_rowset=imported,
        document_sha256=document,
        unexpected=len(found.join(lines, on="line_key", how="anti")),
        batches=tuple(base.get_column("batch_name").drop_nulls().unique().sort()),
        note="" if ok else f"LOAD_UNPROVEN: {note}",
    )


def _judge(lines: pl.DataFrame, found: pl.DataFrame, changed: Sequence[str]) -> pl.DataFrame:
    """The sent lines in the order of the file with outcome, code and reason; `changed` are keys whose lines
    differ in number or value.
    """
    base = found.filter(pl.col("origin") == "BASE")
    waiting = found.filter(pl.col("origin") == "INTERFACE")
    in_base = base.group_by("line_key").agg(n_base=pl.len())
    in_interface = waiting.group_by("line_key").agg(
        n_waiting=pl.len(), status=pl.col("status").first(), text=pl.col("text").first()
    )
    table = (
        lines.select("line_key", "posting_id", "combination", "debit_cents", "credit_cents")
        .sort("line_key")
        .with_row_index("row", offset=1)
        .join(in_base, on="line_key", how="left", maintain_order="left")
        .join(in_interface, on="line_key", how="left", maintain_order="left")
        .with_columns(pl.col("n_base", "n_waiting").fill_null(0), pl.col("status", "text").fill_null(""))
    )
    refused = pl.col("status").str.contains(r"\b[EW][A-Z][0-9A-Z]\d\b")
    errors = table.filter((pl.col("n_base") == 0) & refused)
    outcome = (
        pl.when((pl.col("n_base") > 1) | ((pl.col("n_base") == 1) & (pl.col("n_waiting") > 0)))
        .then(pl.lit(Outcome.DUPLICATE.value))
        .when((pl.col("n_base") == 1) & pl.col("line_key").is_in(changed))
        .then(pl.lit(Outcome.DIFFERENT.value))
        .when(pl.col("n_base") == 1)
        .then(pl.lit(Outcome.LOADED.value))
        .when(pl.col("n_waiting") == 0)
        .then(pl.lit(Outcome.MISSING.value))
        .when(refused)
        .then(pl.lit(Outcome.REJECTED.value))
        .when((pl.col("status") == "P") & pl.lit(len(errors) > 0))
        .then(pl.lit(Outcome.HELD.value))
        .otherwise(pl.lit(Outcome.NOT_IMPORTED.value))
    )
    table = table.with_columns(outcome=outcome)
    verdicts = table.select("outcome", "status", "text").unique().rows(named=True)
    held = _held(errors)
    words = pl.DataFrame(
        [{**verdict, "reason": _words(verdict, held)} for verdict in verdicts],
        schema={"outcome": pl.String, "status": pl.String, "text": pl.String, "reason": pl.String},
    )
    return table.join(words, on=["outcome", "status", "text"], how="left", maintain_order="left").select(
        "line_key",
        "posting_id",
        "combination",
        "debit_cents",
        "credit_cents",
        "outcome",
        code=pl.when(pl.col("outcome") == Outcome.REJECTED.value).then("status").otherwise(pl.lit("")),
        reason="reason",
    )


def _held(errors: pl.DataFrame) -> str:
    """Words for the healthy lines of a group with `errors`: they quote the first one."""
    if not len(errors):
        return ""
    first = errors.row(0, named=True)
    return held_by(first["row"], rejection(first["status"], first["text"]))


def _words(verdict: Mapping[str, str], held: str) -> str:
    if verdict["outcome"] == Outcome.REJECTED:
        return rejection(verdict["status"], verdict["text"])
    return held if verdict["outcome"] == Outcome.HELD else _WORDS[verdict["outcome"]]


def _figures(rows: pl.DataFrame) -> Figures:
    return Figures(
        len(rows), int(rows.get_column("debit_cents").sum()), int(rows.get_column("credit_cents").sum())
    )
