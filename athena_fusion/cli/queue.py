"""`athena-fusion queue`: what was not done, why, and how much money waits. Correct the cause, then reload."""

import getpass
import sys
from datetime import date, datetime

import click

from athena_fusion.cli.home import prepare_home
from athena_fusion.cli.output import FINDINGS, console, emit_json, json_option, pairs, table
from athena_fusion.delivery.queue import Correction, Item
from athena_fusion.money import cents_display
from athena_fusion.runtime import Runtime

_SHOWN = 90  # characters of a reason in the list

actor_option = click.option("--actor", default=getpass.getuser, help="Who decides; recorded. Default: you.")


@click.group()
def queue() -> None:
    """What was not done, and why: correct and reload."""


@queue.command("list")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="Business day, YYYY-MM-DD.")
@click.option("--entity", help="Billing entity.")
@click.option("--kind", help="REJECTED, HELD, UNMAPPED, QUARANTINED ...")
@json_option
def list_items(day: datetime | None, entity: str | None, kind: str | None, as_json: bool) -> None:
    """Open items, the largest amount first; `queue show` gives one in full."""
    batch_date = None if day is None else day.date().isoformat()
    items = Runtime.shared().queue.list_items(batch_date=batch_date, entity=entity, kind=kind)
    if as_json:
        emit_json([_plain(item) for item in items])
        return
    rows = [
        [
            item.id,
            item.finding.entity,
            item.finding.batch_date,
            str(item.finding.kind),
            cents_display(item.finding.amount_cents),
            str(item.status),
            item.finding.reason if len(item.finding.reason) < _SHOWN else item.finding.reason[:_SHOWN] + "…",
        ]
        for item in items
    ]
    columns = ["item", "entity", "day", "kind", "amount", "status", "reason"]
    console.print(table(f"{len(items)} open items", columns, rows, right=["amount"]))


@queue.command()
@click.argument("item_id")
@json_option
def show(item_id: str, as_json: bool) -> None:
    """One item in full."""
    item = Runtime.shared().queue.show(item_id)
    if as_json:
        emit_json(_plain(item))
    else:
        pairs(_plain(item))


@queue.command()
@click.argument("item_ids", nargs=-1, required=True)
@click.option(
    "--fixed-in-fusion", is_flag=True, help="The cause was mended at its source; nothing of ours changes."
)
@click.option(
    "--segment", "segments", multiple=True, metavar="NAME=VALUE", help="Another value for this line."
)
@click.option("--reason", required=True, help="What was done and why; recorded and signed into the evidence.")
@actor_option
def correct(
    item_ids: tuple[str, ...], fixed_in_fusion: bool, segments: tuple[str, ...], reason: str, actor: str
) -> None:
    """Record what was done about items. Nothing is sent; `queue reload` does that. Amounts cannot be changed."""
    if fixed_in_fusion == bool(segments):
        raise click.UsageError("say either --fixed-in-fusion or --segment NAME=VALUE")
    pairs_given = [text.partition("=") for text in segments]
    if not all(sign and value for _, sign, value in pairs_given):
        raise click.UsageError("--segment takes NAME=VALUE, for example CostCenter=2110")
    change = Correction({name: value for name, _, value in pairs_given})
    opened = Runtime.shared().queue
    for item_id in item_ids:
        version = opened.show(item_id).version
        item = opened.correct(item_id, actor=actor, reason=reason, change=change, version=version)
        console.print(f"{item.id} {item.status}", markup=False)


@queue.command()
@click.argument("item_id")
@actor_option
@click.option(
    "--verify/--no-verify", default=True, help="Verify the partition in Dagster and issue the pack again."
)
def reload(item_id: str, actor: str, verify: bool) -> None:
    """Load the group of ITEM_ID again: purge, new group, equal totals, read back. Safe to press twice."""
    prepare_home()
    from athena_fusion.orchestration.by_hand import run_evidence, run_reload

    runtime = Runtime.shared()
    found = runtime.queue.show(item_id).finding
    if found.intent_key is None:
        raise click.UsageError(
            f"{item_id} never left for Fusion; mend its cause and run the day again: "
            f"athena-fusion day run {found.batch_date} --entity {found.entity}"
        )
    done = runtime.night().reload(found.intent_key, actor, run_id=f"queue reload {item_id}")
    rows = (
        f"{done.package.category_name}: {done.package.rows} lines, {cents_display(done.package.debit_cents)}"
    )
    outcome = "proven in Fusion" if done.ok else done.proof.note if done.proof else done.load.note
    console.print(f"{rows} as group {done.package.group_id}: {outcome}", markup=False)
    ok = done.ok
    if verify:
        day = date.fromisoformat(found.batch_date)
        for report in (run_reload(day, found.entity), run_evidence(day)):
            ok = ok and report.success
            if not report.success:
                console.print(f"{report.unit}: {report.stopped_by}", markup=False)
    sys.exit(0 if ok else FINDINGS)


def _plain(item: Item) -> dict[str, object]:
    found = item.finding
    return {
        "id": item.id,
        "status": str(item.status),
        "kind": str(found.kind),
        "stage": found.stage,
        "entity": found.entity,
        "batch_date": found.batch_date,
        "category": found.category,
        "subject": found.subject,
        "load": found.intent_key,
        "code": found.code,
        "reason": found.reason,
        "amount": cents_display(found.amount_cents),
        "combination": found.combination,
        "correction": None if item.correction is None else dict(item.correction.segments),
        "created_at": item.created_at,
        "updated_at": item.updated_at,
        "version": item.version,
    }
