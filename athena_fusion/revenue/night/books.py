"""All nights of an entity as one of them sees them: events held, postings, lines drawn, and what has left.

An event belongs to the night that posted it, a line to the night that drew it, sent or not. So nights may be
repeated, or finished late, in any order: each adds only what no other has said.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import polars as pl
from sqlalchemy import select

from athena_fusion.accounting.corrections import JOURNAL
from athena_fusion.revenue.journals import JOURNAL_LINES
from athena_fusion.revenue.night.context import FLOW, NightContext, subject_named
from athena_fusion.revenue.night.package import lines_of, live_packages
from athena_fusion.revenue.postings import POSTINGS
from athena_fusion.revenue.transactions import TRANSACTIONS, latest_versions
from athena_fusion.storage.schema import intent as intents
from athena_fusion.storage.schema import journal_revision
from athena_fusion.trust.manifest import Manifest

_WAITING = {name: POSTINGS[name] for name in JOURNAL}


@dataclass(frozen=True)
class Books:
    """`log`: postings up to this night, of its own only what is settled. `later`: postings of later nights.

    `left`: own lines that went to Fusion. `drawn`: lines of all other nights, with their `batch_date`. `before`:
    journals that could not be sent in this or an earlier night; `ahead`: those that a later night will send.
    """

    batch_date: date
    log: pl.DataFrame
    later: pl.DataFrame
    left: pl.DataFrame
    drawn: pl.DataFrame
    before: pl.DataFrame
    ahead: pl.DataFrame

    def own(self, added: pl.DataFrame) -> pl.DataFrame:
        """The night's postings with what it adds, in one fixed order."""
        return (
            pl.concat([self.log, added]).filter(pl.col("batch_date") == self.batch_date).sort(list(POSTINGS))
        )

    def due(self, added: pl.DataFrame) -> pl.DataFrame:
        """Every posting of the journals that this night has to look at."""
        touched = [frame.select(JOURNAL) for frame in (self.own(added), self.left, self.before)]
        journals = pl.concat(touched).unique().join(self.ahead, on=JOURNAL, how="anti")
        return pl.concat([self.log, added, self.later]).join(journals, on=JOURNAL, how="semi")

    @property
    def covered(self) -> pl.DataFrame:
        """Lines that somebody drew: the difference to them is what is new."""
        return pl.concat([self.left, self.drawn.select(list(JOURNAL_LINES))])


def open_books(ctx: NightContext, entity: str, batch_date: date, *, settled: bool = True) -> Books:
    """The books for `batch_date`.

    Of this night itself the postings of categories that left are settled, and all of them once a later night has
    built on them; what never left may be posted anew, with a corrected crosswalk. `settled=False` takes all of
    them. Nights whose transform failed a control said nothing.
    """
    found = ctx.history("transform", entity, ctx.tenant.first_batch_date, date.max)
    earlier = [m for m in found if m.business_date < batch_date and m.passed]
    later = [m for m in found if m.business_date > batch_date and m.passed]
    mine = [m for m in found if m.business_date == batch_date]
    postings = _frames(ctx, mine, "postings", POSTINGS)
    if settled and not later:
        postings = postings.filter(pl.col("category").is_in(_left(ctx, entity, batch_date)))
    drawn = [
        _frames(ctx, [m], "journal_lines", JOURNAL_LINES).with_columns(batch_date=pl.lit(m.business_date))
        for m in (*earlier, *later)
    ]
    return Books(
        batch_date=batch_date,
        log=pl.concat([_frames(ctx, earlier, "postings", POSTINGS), postings]),
        later=_frames(ctx, later, "postings", POSTINGS),
        left=lines_of(ctx, live_packages(ctx, entity, batch_date)),
        drawn=pl.concat([pl.DataFrame(schema=JOURNAL_LINES | {"batch_date": pl.Date()}), *drawn]),
        before=_frames(ctx, [*earlier, *mine], "waiting", _WAITING),
        ahead=_frames(ctx, later, "waiting", _WAITING).unique(),
    )


def rows_to_post(ctx: NightContext, entity: str, batch_date: date) -> pl.DataFrame:
    """Rows extracted since the last night that was transformed, those still held, and all that belong to either.

    A night that was stopped before its transformation is made up for by the next one. A row belongs to another when
    it voids it or is its other leg, whichever of the two is looked at.
    """
    first = ctx.tenant.first_batch_date
    extracted = ctx.history("extract", entity, first, batch_date)
    frames = {m.business_date: ctx.store.read_frame(subject_named(m, "rows").name) for m in extracted}
    everything = latest_versions(list(frames.values()))
    transformed = [m for m in ctx.history("transform", entity, first, batch_date) if m.passed]
    done = max((m.business_date for m in transformed if m.business_date < batch_date), default=date.min)
    fresh = [frame.select("row_id") for day, frame in frames.items() if day > done]
    held = _frames(ctx, transformed, "held", {"row_id": pl.String()})
    links = pl.concat(
        [
            everything.select("row_id", pl.col(name).alias("other")).drop_nulls()
            for name in ("void_parent_id", "counterpart_id")
        ]
    )
    wanted = pl.concat([held, *fresh]).unique()
    found = 0
    while wanted.height > found:  # a void of a transferred charge is two steps away
        found = wanted.height
        to = links.join(wanted, on="row_id", how="semi").select(pl.col("other").alias("row_id"))
        back = links.join(wanted, left_on="other", right_on="row_id", how="semi").select("row_id")
        wanted = pl.concat([wanted, to, back]).unique()
    return everything.join(wanted, on="row_id", how="semi").sort("row_id").select(list(TRANSACTIONS))


def revisions(ctx: NightContext, entity: str, books: Books) -> pl.DataFrame:
    """Revisions taken so far, and whether each is still open: not proven in Fusion."""
    proven = select(*(journal_revision.c[name] for name in (*JOURNAL, "revision"))).where(
        journal_revision.c.entity == entity, journal_revision.c.state == "LOADED"
    )
    with ctx.database.begin() as connection:
        rows = [tuple(row) for row in connection.execute(proven)]
    schema = dict.fromkeys(JOURNAL, pl.String) | {"revision": pl.Int64}
    loaded = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("post_date").str.to_date("%Y-%m-%d"), open=pl.lit(value=False)
    )
    # Whatever of this night has left blocks like another night's: it is not computed again under its number.
    taken = pl.concat([books.drawn, books.left.with_columns(batch_date=pl.lit(date.min))])
    return (
        taken.select(*JOURNAL, "revision", "batch_date")
        .unique()
        .join(loaded, on=[*JOURNAL, "revision"], how="left")
        .with_columns(pl.col("open").fill_null(value=True))
    )


def _frames(
    ctx: NightContext, manifests: Iterable[Manifest], name: str, schema: dict[str, pl.DataType]
) -> pl.DataFrame:
    """One kind of frame of these manifests, with the columns of `schema`."""
    frames = [ctx.store.read_frame(subject_named(found, name).name, list(schema)) for found in manifests]
    return pl.concat([pl.DataFrame(schema=schema), *frames])


def _left(ctx: NightContext, entity: str, batch_date: date) -> list[str]:
    """Categories of this night of which something went to Fusion."""
    query = select(intents.c.category).where(
        intents.c.flow == FLOW, intents.c.entity == entity, intents.c.batch_date == batch_date.isoformat()
    )
    with ctx.database.begin() as connection:
        return sorted({row.category for row in connection.execute(query)})
