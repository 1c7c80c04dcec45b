"""04:00, first half: transactions become postings, and postings the journal lines that Fusion does not have yet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date

import polars as pl

from athena_fusion.accounting.corrections import JOURNAL
from athena_fusion.accounting.periods import accounting_dates
from athena_fusion.delivery.queue import Correction, Finding
from athena_fusion.money import cents_display
from athena_fusion.revenue.journals import Journals, journal_lines
from athena_fusion.revenue.night.books import Books, open_books, revisions, rows_to_post
from athena_fusion.revenue.night.context import (
    FLOW,
    NightContext,
    StageRefused,
    asset_folder,
    controls_of,
    money_sums,
    subject_named,
)
from athena_fusion.revenue.night.outcomes import summarise
from athena_fusion.revenue.night.tables import account_tables, crosswalk_tables, policies
from athena_fusion.revenue.postings import Postings, post
from athena_fusion.revenue.remap import remapped_lines, remapped_postings
from athena_fusion.revenue.stage import CheckOutcome, StageResult
from athena_fusion.revenue.totals import t9
from athena_fusion.trust.manifest import CARRIED, Manifest, ManifestRef

UNMAPPED = "UNMAPPED"
NO_PERIOD = "NO_PERIOD"


def transform(ctx: NightContext, entity: str, batch_date: date, run_id: str) -> StageResult:
    """Post what is new, hold what cannot be mapped, and draw the lines that bring Fusion to the sum of postings.

    The lines of the partition are those that left already, whatever became of them, and the new ones: a repeated
    night that finds nothing new says the same again.
    """
    reconciled = ctx.gate("reconcile", entity, batch_date)
    rows = rows_to_post(ctx, entity, batch_date)
    books = open_books(ctx, entity, batch_date)
    dates = accounting_dates(
        pl.concat([frame["post_date"] for frame in (rows, books.log, books.later)]),
        ctx.tenant.tables["periods"],
        ledger_id=ctx.entity(entity, batch_date).ledger_id,
        late_policy=ctx.entity(entity, batch_date).late_policy,
    )
    made = post(
        rows,
        crosswalk_tables(ctx.tenant),
        account_tables(ctx.tenant),
        policies(ctx.tenant),
        batch_date=batch_date,
        frozen=books.log,
        accounting_dates=dates,
    )
    made = _without(made, books.later)
    due = books.due(made.postings)
    journals = journal_lines(
        due,
        books.covered,
        revisions(ctx, entity, books),
        dates,
        account_tables(ctx.tenant),
        batch_date=batch_date,
    )
    lines = pl.concat([books.left, journals.lines]).sort("line_key")
    unsent = (
        pl.concat([journals.waiting.select(JOURNAL), journals.held.select(JOURNAL)]).unique().sort(JOURNAL)
    )
    checks = [_t9(books, due, lines, unsent), _mapped(made.held, journals)]
    ref = _sign(
        ctx,
        entity,
        batch_date,
        run_id,
        reconciled,
        {
            "journal_lines": lines,
            "postings": books.own(made.postings),
            "held": made.held,
            "waiting": unsent,
        },
        checks,
    )
    _queue(ctx, entity, batch_date, made, journals, considered={*rows["row_id"], *_journals(due)})
    return StageResult(
        "transform",
        entity,
        ref,
        rows=lines.height,
        sums=money_sums(lines),
        checks=checks,
        preview=_preview(lines),
        notes=_notes(made, journals),
    )


def remap(
    ctx: NightContext,
    entity: str,
    batch_date: date,
    run_id: str,
    lines: pl.DataFrame,
    corrections: Mapping[str, Correction],
) -> tuple[pl.DataFrame, Manifest]:
    """`lines` with the segments that people changed, and the transform manifest that says so.

    The postings behind a remapped line move with it in the log: a later correction or void then finds the account
    that Fusion holds. Without a remap the standing manifest is kept.
    """
    standing = ctx.gate("transform", entity, batch_date)
    segments = {key: dict(change.segments) for key, change in corrections.items() if change.segments}
    if not segments:
        return lines, standing
    changed = remapped_lines(lines, segments, account_tables(ctx.tenant).chart)
    books = open_books(ctx, entity, batch_date, settled=False)
    moved = remapped_postings(books.log, lines, changed, batch_date)
    if not _moved_alike(moved, lines, changed):
        raise StageRefused(
            f"entity {entity}, {batch_date}: the postings behind the remapped lines cannot be told from others; "
            "nothing was purged or sent. Give every line of one account the same value, or mend it in Fusion."
        )
    others = books.left.join(lines, on="line_key", how="anti")
    every = pl.concat([others, changed]).sort("line_key")
    held, waiting = (ctx.store.read_frame(subject_named(standing, name).name) for name in ("held", "waiting"))
    ref = _sign(
        ctx,
        entity,
        batch_date,
        run_id,
        ctx.gate("reconcile", entity, batch_date),
        {"journal_lines": every, "postings": books.own(moved), "held": held, "waiting": waiting},
        [_t9(books, books.due(moved), every, waiting)],
    )
    return changed, ctx.book.read(ref)


def _moved_alike(moved: pl.DataFrame, lines: pl.DataFrame, changed: pl.DataFrame) -> bool:
    """Whether the postings move exactly what the lines do, per account combination."""
    back = lines.with_columns(debit_cents="credit_cents", credit_cents="debit_cents")
    controls = t9(moved, lines.clear(), pl.concat([back, changed]), lines.clear())
    return all(control.ok for control in controls)


def _without(made: Postings, later: pl.DataFrame) -> Postings:
    """What a later night has posted since, in whatever version, is that night's."""
    return replace(
        made,
        postings=made.postings.join(later, on="row_id", how="anti", maintain_order="left"),
        held=made.held.join(later, on="row_id", how="anti", maintain_order="left"),
    )


def _sign(
    ctx: NightContext,
    entity: str,
    batch_date: date,
    run_id: str,
    reconciled: Manifest,
    frames: Mapping[str, pl.DataFrame],
    checks: Sequence[CheckOutcome],
) -> ManifestRef:
    folder = asset_folder("revenue", "journal_lines", batch_date, entity)
    kept = [
        ctx.keep(folder, name, frame, carried=CARRIED)
        if name == "journal_lines"
        else ctx.keep(folder, name, frame)
        for name, frame in frames.items()
    ]
    lines = frames["journal_lines"]
    return ctx.sign(
        "transform",
        entity,
        batch_date,
        run_id,
        subjects=sorted(kept, key=lambda subject: subject.name),
        prev=[reconciled.ref],
        rows=lines.height,
        sums=money_sums(lines),
        source={"tenant": ctx.tenant.name, "tenantVersion": ctx.tenant.version_hash},
        controls=controls_of(checks),
    )


def _t9(books: Books, due: pl.DataFrame, lines: pl.DataFrame, unsent: pl.DataFrame) -> CheckOutcome:
    controls = t9(due, books.drawn, lines, pl.concat([unsent, books.ahead]).unique())
    return summarise("t9_events_equal_lines", controls, empty="nothing to send")


def _mapped(held: pl.DataFrame, journals: Journals) -> CheckOutcome:
    cents = int(held["amount_cents"].sum()) + int(journals.held["debit_cents"].sum())
    count = held.height + journals.held.height
    return CheckOutcome(
        "everything_mapped",
        ok=count == 0,
        blocking=False,
        left=str(count),
        right="0",
        difference=cents_display(cents),
        summary="every event is posted" if not count else f"{count} held, {cents_display(cents)} at stake",
    )


def _queue(
    ctx: NightContext,
    entity: str,
    batch_date: date,
    made: Postings,
    journals: Journals,
    considered: Collection[str],
) -> None:
    """Held events wait in the queue with the amount at stake, each once, under the night that held it first.

    Of the `considered` ones those that are posted now are closed.
    """
    standing = [
        item for kind in (UNMAPPED, NO_PERIOD) for item in ctx.queue.list_items(kind=kind, entity=entity)
    ]
    first = {item.finding.subject: item.finding.batch_date for item in standing}
    today = batch_date.isoformat()
    events = [
        Finding(
            kind=UNMAPPED,
            stage="transform",
            flow=FLOW,
            entity=entity,
            batch_date=min(today, first.get(row["row_id"], today)),
            subject=row["row_id"],
            reason=row["reason"],
            amount_cents=row["amount_cents"],
            code=row["crosswalk"],
        )
        for row in made.held.iter_rows(named=True)
    ]
    undated = [
        Finding(
            kind=NO_PERIOD,
            stage="transform",
            flow=FLOW,
            entity=entity,
            batch_date=min(today, first.get(name, today)),
            subject=name,
            reason=row["reason"],
            amount_cents=row["debit_cents"],
            category=row["category"],
            code=row["decision"],
        )
        for name, row in zip(_journals(journals.held), journals.held.iter_rows(named=True), strict=True)
    ]
    ctx.queue.put(events + undated)
    open_now = {finding.subject for finding in events + undated}
    posted = {*considered} - open_now
    done = [item.id for item in standing if item.finding.subject in posted]
    if done:
        ctx.queue.resolve(done, f"posted by the night of {batch_date}")


def _journals(frame: pl.DataFrame) -> list[str]:
    """The journals of a frame as the queue names them."""
    name = pl.format("{}-{}-{}", "entity", pl.col("post_date").dt.strftime("%Y%m%d"), "category")
    return frame.select(name).to_series().to_list()


def _preview(lines: pl.DataFrame) -> list[dict[str, str]]:
    sums = lines.group_by("journal", "accounting_date", maintain_order=True).agg(
        pl.len().alias("lines"), pl.col("debit_cents", "credit_cents").sum()
    )
    return [
        {
            "journal": name,
            "accounting date": day.isoformat(),
            "lines": str(count),
            "debits": cents_display(debit),
            "credits": cents_display(credit),
        }
        for name, day, count, debit, credit in sums.head(20).iter_rows()
    ]


def _notes(made: Postings, journals: Journals) -> dict[str, str]:
    carried = journals.lines.filter("carried")
    new = journals.lines.height
    notes = {
        "to_send": f"{new} lines" if new else "nothing: no difference to what was sent before",
        "postings": str(made.postings.height),
        "held_events": str(made.held.height),
        "journals_waiting": _waiting(journals.waiting),
        "journals_without_difference": str(journals.unchanged.height),
        "carried_to_later_period": cents_display(int(carried["debit_cents"].sum())),
    }
    for text, rows in made.notices.select("text", "rows").head(5).iter_rows():
        notes[f"notice: {text}"] = f"{rows} rows"
    return notes


def _waiting(waiting: pl.DataFrame) -> str:
    """How many journals wait, and for the first of them for what and with how much."""
    if waiting.is_empty():
        return "0"
    first = waiting.row(0, named=True)
    amount = cents_display(first["debit_cents"])
    return f"{waiting.height}; the first is {_journals(waiting)[0]}, {amount}: {first['reason']}"
