"""04:00, first half: transactions become postings, and postings the journal lines that Fusion does not have yet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import polars as pl

from athena_fusion.accounting.balance import t8
from athena_fusion.accounting.combinations import check
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
    chart_of,
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
WAITING = "WAITING"
BEFORE_GO_LIVE = "BEFORE_GO_LIVE"
_KINDS = (UNMAPPED, NO_PERIOD, WAITING, BEFORE_GO_LIVE)


def transform(ctx: NightContext, entity: str, batch_date: date, run_id: str) -> StageResult:
    """Post what is new, hold what cannot be mapped, and draw the lines that bring Fusion to the sum of postings.

    The lines of the partition are those that left already, whatever became of them, and the new ones: a repeated
    night that finds nothing new says the same again.
    """
    reconciled = ctx.gate("reconcile", entity, batch_date)
    rows, early = _since_go_live(ctx, rows_to_post(ctx, entity, batch_date))
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
    waiting = _open_events(made, journals, early)
    checks = [_t9(books, due, lines, unsent), _mapped(waiting)]
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
    considered = {*rows["row_id"], *early["row_id"], *_journals(due)}
    _queue(ctx, entity, batch_date, waiting, considered)
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
    segments = {key: dict(change.segments) for key, change in corrections.items() if change.segments}
    if not segments:
        return lines, ctx.gate("transform", entity, batch_date)
    changed = remapped_lines(lines, segments, account_tables(ctx.tenant).chart)
    _check_remap(ctx, entity, batch_date, changed)
    books = open_books(ctx, entity, batch_date, settled=False)
    standing = ctx.gate("transform", entity, batch_date)  # after the log: another press may be signing
    drawn = ctx.store.read_frame(subject_named(standing, "journal_lines").name)
    if changed.join(drawn, on=["line_key", "combination"], how="anti").is_empty():
        return changed, standing  # a press that got no further has moved the postings already
    moved = remapped_postings(books.log, lines, changed, batch_date)
    if moved.join(books.later, on="row_id", how="semi").height:
        raise StageRefused(
            f"entity {entity}, {batch_date}: a later night has changed or voided rows behind these lines; nothing was "
            "purged or sent. Mend the segment in Fusion and reload without another value."
        )
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


def _check_remap(ctx: NightContext, entity: str, batch_date: date, changed: pl.DataFrame) -> None:
    """Refuse, before anything is signed, a remap that does not balance per company or that X10 does not know."""
    chart = chart_of(ctx.tenant)
    off = [control for control in t8(changed, chart) if not control.ok]
    why = f"{off[0].scope} would not balance" if off else ""
    used = changed.select("combination", pl.col("accounting_date").alias("on"))
    unknown = check(used, chart, ctx.tenant.crosswalks["x10"].frame).drop_nulls()
    why = why or (str(unknown[0]) if len(unknown) else "")
    if why:
        raise StageRefused(
            f"entity {entity}, {batch_date}: {why}; nothing was purged or sent. Correct it otherwise."
        )


def _moved_alike(moved: pl.DataFrame, lines: pl.DataFrame, changed: pl.DataFrame) -> bool:
    """Whether the postings move exactly what the lines do, per account combination."""
    back = lines.with_columns(debit_cents="credit_cents", credit_cents="debit_cents")
    controls = t9(moved, lines.clear(), pl.concat([back, changed]), lines.clear())
    return all(control.ok for control in controls)


def _since_go_live(ctx: NightContext, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows to post, and rows entered after go-live with an earlier post date, which a person has to look at.

    What was entered and posted before go-live is in the opening balances and concerns nobody here.
    """
    go_live = ctx.tenant.go_live
    start = datetime.combine(go_live, time(), ZoneInfo(ctx.tenant.zone)).astimezone(UTC)
    early = rows.filter(pl.col("post_date") < go_live)
    return rows.filter(pl.col("post_date") >= go_live), early.filter(pl.col("created_at") >= start)


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


def _open_events(made: Postings, journals: Journals, early: pl.DataFrame) -> pl.DataFrame:
    """What is not on its way to Fusion, one line each: kind, subject, reason, amount_cents, code, category."""
    parts = [
        made.held.select(
            pl.lit(UNMAPPED).alias("kind"),
            pl.col("row_id").alias("subject"),
            "reason",
            "amount_cents",
            pl.col("crosswalk").fill_null("").alias("code"),
            pl.lit("").alias("category"),
        ),
        early.select(
            pl.lit(BEFORE_GO_LIVE).alias("kind"),
            pl.col("row_id").alias("subject"),
            pl.format("post date {} lies before go-live: it changes an opening balance", "post_date").alias(
                "reason"
            ),
            pl.col("amount_cents").abs(),
            pl.lit("").alias("code"),
            pl.lit("").alias("category"),
        ),
    ]
    for kind, frame, code in (
        (NO_PERIOD, journals.held, pl.col("decision")),
        (WAITING, journals.waiting, pl.format("r{}", "revision")),
    ):
        parts.append(
            frame.select(
                pl.lit(kind).alias("kind"),
                pl.Series("subject", _journals(frame), dtype=pl.String),
                "reason",
                pl.col("debit_cents").alias("amount_cents"),
                code.alias("code"),
                "category",
            )
        )
    return pl.concat(parts)


def _mapped(waiting: pl.DataFrame) -> CheckOutcome:
    cents = int(waiting["amount_cents"].sum())
    return CheckOutcome(
        "everything_mapped",
        ok=waiting.is_empty(),
        blocking=False,
        left=str(waiting.height),
        right="0",
        difference=cents_display(cents),
        summary="every event is on its way"
        if waiting.is_empty()
        else f"{waiting.height} wait, {cents_display(cents)} at stake; the first: {waiting['reason'][0]}",
    )


def _queue(
    ctx: NightContext, entity: str, batch_date: date, waiting: pl.DataFrame, considered: Collection[str]
) -> None:
    """What waits stands in the queue with the amount at stake, each once, under the night that held it first.

    Of the `considered` ones those that are posted now are closed.
    """
    standing = [item for kind in _KINDS for item in ctx.queue.list_items(kind=kind, entity=entity)]
    first = {(item.finding.kind, item.finding.subject): item.finding.batch_date for item in standing}
    today = batch_date.isoformat()
    findings = [
        Finding(
            stage="transform",
            flow=FLOW,
            entity=entity,
            batch_date=min(today, first.get((row["kind"], row["subject"]), today)),
            **row,
        )
        for row in waiting.iter_rows(named=True)
    ]
    ctx.queue.put(findings)
    open_now = {(finding.kind, finding.subject) for finding in findings}
    done = [
        item.id
        for item in standing
        if item.finding.subject in considered and (item.finding.kind, item.finding.subject) not in open_now
    ]
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
