"""04:00, second half: journal lines become one ZIP and one group per category, signed before anything is sent."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import polars as pl
from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.exc import IntegrityError

from athena_fusion.accounting.balance import t8
from athena_fusion.delivery.package import Intent, Package, group_id, package_rowset, sent_rows
from athena_fusion.delivery.states import State
from athena_fusion.formats.fbdi.journal import ENTRY, JournalFile, write_journal
from athena_fusion.formats.fbdi.package import zip_entry
from athena_fusion.money import cents_display
from athena_fusion.revenue.journals import JOURNAL_LINES, batch_name
from athena_fusion.revenue.night.context import (
    FLOW,
    PARQUET,
    NightContext,
    StageRefused,
    asset_folder,
    chain_verified,
    chart_of,
    controls_of,
    money_sums,
    subject_named,
)
from athena_fusion.revenue.night.outcomes import summarise
from athena_fusion.revenue.stage import CheckOutcome, StageResult
from athena_fusion.storage.artifacts import sha256_hex
from athena_fusion.storage.schema import intent as intents
from athena_fusion.storage.schema import journal_revision
from athena_fusion.trust.manifest import CARRIED, Manifest, ManifestRef, Subject

UNSIGNED = ManifestRef("", "")
"""In place of the manifest until there is one; the money gate refuses such a package."""


def package(ctx: NightContext, entity: str, batch_date: date, run_id: str) -> StageResult:
    """Write the FBDI files of the lines that have not left yet, and sign them with those that have.

    What was submitted stays as it is; new lines of a category that was submitted take its next attempt.
    """
    transformed = ctx.gate("transform", entity, batch_date)
    standing = live_packages(ctx, entity, batch_date)
    every = ctx.store.read_frame(subject_named(transformed, "journal_lines").name)
    lines = every.join(lines_of(ctx, standing), on="line_key", how="anti", maintain_order="left")
    attempts = last_attempts(ctx, entity, batch_date)
    rowset = source_rowset(ctx, transformed)
    fresh = [
        write_package(ctx, part, entity, batch_date, attempts.get(str(category), 0) + 1, rowset)
        for (category,), part in lines.sort("category").group_by("category", maintain_order=True)
    ]
    _open_revisions(ctx, entity, batch_date, fresh)  # first: what has no number of its own is never signed
    ref, checks = sign_packages(ctx, entity, batch_date, run_id, transformed, [*standing, *fresh])
    everything = lines_of(ctx, [*standing, *fresh])
    return StageResult(
        "package",
        entity,
        ref,
        rows=everything.height,
        sums=money_sums(everything),
        checks=checks,
        preview=[
            {
                "file": found.file_name,
                "group": found.group_id,
                "category": found.category_name,
                "rows": str(found.rows),
                "debits": cents_display(found.debit_cents),
                "sha256": found.sha256[:16],
            }
            for found in fresh
        ],
        notes={"files": str(len(standing) + len(fresh)), "new_files": str(len(fresh))},
    )


def source_rowset(ctx: NightContext, transformed: Manifest) -> str:
    """The row-set hash of the extraction that the lines come from: it is written on every line."""
    chain = ctx.book.verify_chain(transformed.ref)
    found = next(found.rowset_sha256 for found in reversed(chain) if found.stage == "extract")
    assert found is not None
    return found


def write_package(
    ctx: NightContext, lines: pl.DataFrame, entity: str, batch_date: date, attempt: int, rowset: str
) -> Package:
    """Write the ZIP and the lines of one category, not yet signed; the same lines give the same bytes."""
    fusion, owner = ctx.tenant.fusion, ctx.entity(entity, batch_date)
    category = str(lines["category"][0])
    intent = Intent(ctx.tenant.name, FLOW, entity, batch_date, category, attempt)
    group = group_id(batch_date, owner.ordinal, category, attempt)
    header = JournalFile(
        ledger_id=owner.ledger_id,
        ledger_name=owner.ledger_name,
        source=fusion.source,
        category_name=fusion.categories[category],
        currency=ctx.tenant.currency,
        date_created=batch_date,
        group_id=group,
        batch_name=batch_name(entity, batch_date, category),
        rowset=rowset,
        segments=len(ctx.tenant.chart.segments),
        separator=ctx.tenant.chart.separator,
        end_marker=fusion.end_marker,
    )
    ordered = lines.sort("line_key")
    content = zip_entry(ENTRY, write_journal(ordered, header))
    folder = asset_folder("revenue", "journal_fbdi", batch_date, entity)
    stored = ctx.store.write_bytes(f"{folder}/{sha256_hex(content)[:16]}.{intent.file_name()}", content)
    rows = sent_rows(
        ordered,
        ledger_id=header.ledger_id,
        source=header.source,
        category_name=header.category_name,
        currency=header.currency,
    )
    return Package(
        intent=intent,
        file_name=intent.file_name(),
        path=stored.path,
        sha256=stored.sha256,
        group_id=group,
        ledger_id=header.ledger_id,
        data_access_set_id=fusion.data_access_set_id,
        source=header.source,
        category_name=header.category_name,
        currency=header.currency,
        rows=ordered.height,
        debit_cents=int(ordered["debit_cents"].sum()),
        credit_cents=int(ordered["credit_cents"].sum()),
        rowset=package_rowset(rows),
        lines=ctx.keep(folder, f"{intent.short}_lines", ordered, carried=CARRIED).name,
        manifest=UNSIGNED,
    )


def sign_packages(
    ctx: NightContext,
    entity: str,
    batch_date: date,
    run_id: str,
    transformed: Manifest,
    packages: Sequence[Package],
) -> tuple[ManifestRef, list[CheckOutcome]]:
    """Check (T8) and sign every file of the partition, those that left before and the fresh ones.

    Where a file stands makes no difference to what is signed: the same files give the same manifest.
    """
    everything = sorted(packages, key=lambda package: package.intent.key)
    lines = lines_of(ctx, everything)
    checks = [
        summarise("t8_debits_equal_credits", t8(lines, chart_of(ctx.tenant)), empty="nothing to send"),
        chain_verified(transformed),
    ]
    folder = asset_folder("revenue", "journal_fbdi", batch_date, entity)
    unsigned = [replace(found, manifest=UNSIGNED).to_json() for found in everything]
    listing = json.dumps(unsigned, indent=1).encode()
    name = f"{folder}/packages.{sha256_hex(listing)[:16]}.json"
    listed = ctx.store.write_bytes(name, listing, immutable=True)
    subjects = [
        Subject(listed.path, listed.sha256, listed.size, "application/json", len(everything), CARRIED)
    ]
    for found in everything:
        for path, media_type in ((found.path, "application/zip"), (found.lines, PARQUET)):
            data = ctx.store.read_bytes(path)
            subjects.append(Subject(path, sha256_hex(data), len(data), media_type, found.rows, CARRIED))
    ref = ctx.sign(
        "package",
        entity,
        batch_date,
        run_id,
        subjects=sorted(subjects, key=lambda subject: subject.name),
        prev=[transformed.ref],
        rows=lines.height,
        sums=money_sums(lines),
        controls=controls_of(checks),
    )
    return ref, checks


def packages_of(ctx: NightContext, entity: str, batch_date: date, packaged: Manifest) -> list[Package]:
    """Everything of the partition that is or goes into Fusion: what left before, then the fresh files."""
    standing = live_packages(ctx, entity, batch_date)
    listing = json.loads(ctx.store.read_bytes(subject_named(packaged, "packages").name))
    fresh = [replace(Package.from_json(text), manifest=packaged.ref) for text in listing]
    attempts = last_attempts(ctx, entity, batch_date)
    return standing + [
        found for found in fresh if found.intent.attempt > attempts.get(found.intent.category, 0)
    ]


def live_packages(ctx: NightContext, entity: str, batch_date: date) -> list[Package]:
    """Packages with an intent, less those whose place another attempt took."""
    return [
        Package.from_json(text)
        for _, _, text, state in _intents(ctx, entity, batch_date)
        if state != State.PURGED
    ]


def lines_of(ctx: NightContext, packages: Sequence[Package]) -> pl.DataFrame:
    """The journal lines of these packages (JOURNAL_LINES)."""
    return pl.concat([pl.DataFrame(schema=JOURNAL_LINES), *(ctx.store.read_frame(p.lines) for p in packages)])


def last_attempts(ctx: NightContext, entity: str, batch_date: date) -> dict[str, int]:
    """Highest attempt with an intent, per category."""
    return {category: attempt for category, attempt, _, _ in _intents(ctx, entity, batch_date)}


def _intents(ctx: NightContext, entity: str, batch_date: date) -> list[tuple[str, int, str, str]]:
    query = (
        select(intents.c.category, intents.c.attempt, intents.c.package, intents.c.state)
        .where(
            intents.c.flow == FLOW,
            intents.c.entity == entity,
            intents.c.batch_date == batch_date.isoformat(),
        )
        .order_by(intents.c.category, intents.c.attempt)
    )
    with ctx.database.begin() as connection:
        return [tuple(row) for row in connection.execute(query)]


def _open_revisions(ctx: NightContext, entity: str, batch_date: date, fresh: Sequence[Package]) -> None:
    """Take revision numbers for the fresh files. Numbers of files that never left are given back first.

    `StageRefused` when another night has taken one since the lines were drawn.
    """
    day = batch_date.isoformat()
    mine = (journal_revision.c.entity == entity) & (journal_revision.c.batch_date == day)
    try:
        _number(ctx, entity, day, mine, fresh)
    except IntegrityError as error:
        raise StageRefused(
            f"entity {entity}, {batch_date}: another night has taken a journal revision since these lines were "
            "drawn; nothing was packaged. Run journal_lines of this night again."
        ) from error


def _number(
    ctx: NightContext, entity: str, day: str, mine: ColumnElement[bool], fresh: Sequence[Package]
) -> None:
    with ctx.database.begin() as connection:
        connection.execute(
            delete(journal_revision).where(
                mine, journal_revision.c.intent_key.not_in(select(intents.c.intent_key))
            )
        )
        for found in fresh:
            journals = ctx.store.read_frame(found.lines, ["post_date", "revision"]).unique().sort("post_date")
            for post_date, revision in journals.iter_rows():
                connection.execute(
                    insert(journal_revision).values(
                        entity=entity,
                        post_date=post_date.isoformat(),
                        category=found.intent.category,
                        revision=revision,
                        batch_date=day,
                        state="OPEN",
                        intent_key=found.intent.key,
                    )
                )
