"""04:00, first half: transactions become postings, and postings the journal lines that Fusion does not have yet."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl
from sqlalchemy import select

from athena_fusion.accounting.corrections import JOURNAL
from athena_fusion.accounting.periods import accounting_dates
from athena_fusion.delivery.queue import Correction, Finding
from athena_fusion.money import cents_display
from athena_fusion.revenue.journals import JOURNAL_LINES, Journals, journal_lines
from athena_fusion.revenue.night.context import (
    FLOW,
    NightContext,
    asset_folder,
    controls_of,
    money_sums,
    subject_named,
)
from athena_fusion.revenue.night.outcomes import summarise
from athena_fusion.revenue.night.tables import account_tables, crosswalk_tables, policies
from athena_fusion.revenue.postings import POSTINGS, Postings, post
from athena_fusion.revenue.remap import remapped_lines, remapped_postings
from athena_fusion.revenue.stage import CheckOutcome, StageResult
from athena_fusion.revenue.totals import t9
from athena_fusion.revenue.transactions import TRANSACTIONS, latest_versions
from athena_fusion.storage.schema import intent as intents
from athena_fusion.storage.schema import journal_revision, sent_amount
from athena_fusion.trust.manifest import CARRIED, Manifest, ManifestRef

UNMAPPED = "UNMAPPED"
NO_PERIOD = "NO_PERIOD"


def transform(ctx: NightContext, entity: str, batch_date: date, run_id: str) -> StageResult:
    """Post what is new, hold what cannot be mapped, and draw the lines that bring Fusion to the sum of postings."""
    reconciled = ctx.gate("reconcile", entity, batch_date)
    rows = _rows_to_post(ctx, entity, batch_date)
    log = posting_log(ctx, entity, batch_date)
    dates = accounting_dates(
        pl.concat([rows["post_date"], log["post_date"]]),
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
        frozen=log,
        accounting_dates=dates,
    )
    mine = log.filter(pl.col("batch_date") == batch_date)
    whole = pl.concat([log, made.postings])
    touched = _touched(ctx, entity, batch_date, pl.concat([mine, made.postings]))
    due = whole.join(touched, on=JOURNAL, how="semi")
    sent = sent_amounts(ctx, entity)
    journals = journal_lines(
        due,
        sent,
        _revisions(ctx, entity, batch_date),
        dates,
        account_tables(ctx.tenant),
        batch_date=batch_date,
    )
    unsent = pl.concat([journals.waiting.select(JOURNAL), journals.held.select(JOURNAL)])
    checks = [
        summarise("t9_events_equal_lines", t9(due, sent, journals.lines, unsent), empty="nothing to send"),
        _mapped(made.held, journals),
    ]
    ref = _sign(
        ctx,
        entity,
        batch_date,
        run_id,
        reconciled,
        {
            "journal_lines": journals.lines,
            "postings": pl.concat([mine, made.postings]),
            "held": made.held,
            "waiting": unsent.unique().sort(JOURNAL),
        },
        checks,
    )
    _queue(ctx, entity, batch_date, made, journals)
    return StageResult(
        "transform",
        entity,
        ref,
        rows=journals.lines.height,
        sums=money_sums(journals.lines),
        checks=checks,
        preview=_preview(journals.lines),
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
    chart = account_tables(ctx.tenant).chart
    changed = remapped_lines(lines, segments, chart)
    log = posting_log(ctx, entity, batch_date, own_frozen=False)
    moved = remapped_postings(log, lines, changed, batch_date)
    mine = pl.concat([log.filter(pl.col("batch_date") == batch_date), moved])
    frames = {name: ctx.store.read_frame(subject_named(standing, name).name) for name in ("held", "waiting")}
    ref = _sign(
        ctx,
        entity,
        batch_date,
        run_id,
        ctx.gate("reconcile", entity, batch_date),
        {"journal_lines": pl.DataFrame(schema=JOURNAL_LINES), "postings": mine, **frames},
        [
            CheckOutcome(
                "t9_events_equal_lines",
                ok=True,
                blocking=True,
                left=cents_display(int(changed["debit_cents"].sum())),
                right=cents_display(int(lines["debit_cents"].sum())),
                difference="0.00",
                summary=f"{len(segments)} lines take another segment; sums and postings move with them",
            )
        ],
    )
    return changed, ctx.book.read(ref)


def posting_log(ctx: NightContext, entity: str, batch_date: date, *, own_frozen: bool = True) -> pl.DataFrame:
    """All postings of the entity up to this batch date.

    Of this batch date itself only categories that already left are part of it (`own_frozen`): what never left may
    be posted anew, with a corrected crosswalk.
    """
    frames = []
    for found in ctx.history("transform", entity, ctx.tenant.first_batch_date, batch_date):
        frame = ctx.store.read_frame(subject_named(found, "postings").name)
        if found.business_date == batch_date and own_frozen:
            frame = frame.filter(pl.col("category").is_in(_left(ctx, entity, batch_date)))
        frames.append(frame)
    return pl.concat([pl.DataFrame(schema=POSTINGS), *frames])


def sent_amounts(ctx: NightContext, entity: str) -> pl.DataFrame:
    """What Fusion is proven to hold, per journal, posting id and combination."""
    query = select(
        *(
            sent_amount.c[name]
            for name in (*JOURNAL, "posting_id", "combination", "debit_cents", "credit_cents")
        )
    ).where(sent_amount.c.entity == entity)
    with ctx.database.begin() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    schema = {
        "entity": pl.String,
        "post_date": pl.String,
        "category": pl.String,
        "posting_id": pl.String,
        "combination": pl.String,
        "debit_cents": pl.Int64,
        "credit_cents": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("post_date").str.to_date("%Y-%m-%d")
    )


def _rows_to_post(ctx: NightContext, entity: str, batch_date: date) -> pl.DataFrame:
    """The night's rows, those still held, and the rows that either of them refers to."""
    manifests = ctx.history("extract", entity, ctx.tenant.first_batch_date, batch_date)
    frames = [ctx.store.read_frame(subject_named(found, "rows").name) for found in manifests]
    everything = latest_versions(frames)
    tonight = frames[-1] if manifests and manifests[-1].business_date == batch_date else everything.clear()
    held = [
        ctx.store.read_frame(subject_named(found, "held").name, ["row_id"])
        for found in ctx.history("transform", entity, ctx.tenant.first_batch_date, batch_date)[-2:]
    ]
    wanted = pl.concat([tonight.select("row_id"), *held]).unique()
    chosen = everything.join(wanted, on="row_id", how="semi")
    behind = pl.concat(
        [chosen.select(pl.col(name).alias("row_id")) for name in ("void_parent_id", "counterpart_id")]
    )
    return (
        pl.concat([chosen, everything.join(behind.drop_nulls().unique(), on="row_id", how="semi")])
        .unique("row_id")
        .sort("row_id")
        .select(list(TRANSACTIONS))
    )


def _touched(ctx: NightContext, entity: str, batch_date: date, postings: pl.DataFrame) -> pl.DataFrame:
    """Journals to look at: those of the night's postings and those that could not be sent before."""
    before = [
        ctx.store.read_frame(subject_named(found, "waiting").name)
        for found in ctx.history("transform", entity, ctx.tenant.first_batch_date, batch_date)[-2:]
    ]
    return pl.concat([postings.select(JOURNAL), *before]).unique()


def _left(ctx: NightContext, entity: str, batch_date: date) -> list[str]:
    query = select(intents.c.category).where(
        intents.c.flow == FLOW, intents.c.entity == entity, intents.c.batch_date == batch_date.isoformat()
    )
    with ctx.database.begin() as connection:
        return sorted({row.category for row in connection.execute(query)})


def _revisions(ctx: NightContext, entity: str, batch_date: date) -> pl.DataFrame:
    """Revisions taken so far. Those of files of this batch date that never left are given again."""
    columns = (*JOURNAL, "revision", "batch_date", "state", "intent_key")
    query = select(*(journal_revision.c[name] for name in columns)).where(journal_revision.c.entity == entity)
    with ctx.database.begin() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
        left = set(
            connection.execute(select(intents.c.intent_key).where(intents.c.entity == entity)).scalars()
        )
    schema = dict.fromkeys(columns, pl.String) | {"revision": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    gone = pl.col("intent_key").is_in(list(left)) & (pl.col("batch_date") == batch_date.isoformat())
    return frame.select(
        "entity",
        pl.col("post_date").str.to_date("%Y-%m-%d"),
        "category",
        "revision",
        # An own revision that left blocks like another night's: it is not computed again under its number.
        pl.when(gone).then(None).otherwise(pl.col("batch_date").str.to_date("%Y-%m-%d")).alias("batch_date"),
        (pl.col("state") != "LOADED").alias("open"),
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


def _queue(ctx: NightContext, entity: str, batch_date: date, made: Postings, journals: Journals) -> None:
    """Held events wait in the queue with the amount at stake; those that are posted now are closed."""
    place = {"stage": "transform", "flow": FLOW, "entity": entity, "batch_date": batch_date.isoformat()}
    events = [
        Finding(
            kind=UNMAPPED,
            subject=row["row_id"],
            reason=row["reason"],
            amount_cents=row["amount_cents"],
            code=row["crosswalk"],
            **place,
        )
        for row in made.held.iter_rows(named=True)
    ]
    undated = [
        Finding(
            kind=NO_PERIOD,
            subject=f"{row['entity']}-{row['post_date']:%Y%m%d}-{row['category']}",
            reason=row["reason"],
            amount_cents=row["debit_cents"],
            category=row["category"],
            code=row["decision"],
            **place,
        )
        for row in journals.held.iter_rows(named=True)
    ]
    ctx.queue.put(events + undated)
    open_now = {finding.subject for finding in events + undated}
    done = [
        item.id
        for kind in (UNMAPPED, NO_PERIOD)
        for item in ctx.queue.list_items(kind=kind, entity=entity)
        if item.finding.subject not in open_now
    ]
    if done:
        ctx.queue.resolve(done, f"posted by the night of {batch_date}")


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
    notes = {
        "postings": str(made.postings.height),
        "held_events": str(made.held.height),
        "journals_waiting": str(journals.waiting.height),
        "journals_without_difference": str(journals.unchanged.height),
        "carried_to_later_period": cents_display(int(carried["debit_cents"].sum())),
    }
    for text, rows in made.notices.select("text", "rows").head(5).iter_rows():
        notes[f"notice: {text}"] = f"{rows} rows"
    return notes
