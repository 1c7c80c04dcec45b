"""`athena-fusion day`: one business day, run by hand or looked at."""

import sys
from datetime import date, datetime

import click

from athena_fusion.cli.home import prepare_home
from athena_fusion.cli.output import FINDINGS, console, emit_json, json_option, table
from athena_fusion.runtime import Runtime


def as_date(_context: click.Context, _parameter: click.Parameter, value: datetime) -> date:
    """The date of a click DateTime argument."""
    return value.date()


day_argument = click.argument(
    "batch_date", metavar="BATCH_DATE", type=click.DateTime(["%Y-%m-%d"]), callback=as_date
)


@click.group()
def day() -> None:
    """One business day: run it, look at it."""


@day.command()
@day_argument
@click.option("--entity", "entities", multiple=True, help="Only this billing entity; may be repeated.")
@click.option("--workers", default=2, show_default=True, help="Entities side by side.")
@click.option(
    "--evidence/--no-evidence", default=True, show_default=True, help="Reconcile the day and issue the pack."
)
def run(batch_date: date, entities: tuple[str, ...], workers: int, evidence: bool) -> None:
    """Run the night that closes BATCH_DATE through Dagster, as the schedules would. Safe to repeat."""
    prepare_home()
    from athena_fusion.orchestration.by_hand import run_evidence, run_nights

    reports = run_nights(batch_date, entities, workers)
    if evidence:
        reports.append(run_evidence(batch_date))
    for report in reports:
        console.print(f"{report.unit}: {'ok' if report.success else report.stopped_by}", markup=False)
    sys.exit(0 if all(report.success for report in reports) else FINDINGS)


@day.command()
@day_argument
@json_option
def show(batch_date: date, as_json: bool) -> None:
    """The day's ledger, entity by entity: what athenaOne says, what was sent, what Fusion holds."""
    view = Runtime.shared().night().ledger(batch_date)
    if as_json:
        emit_json(view.as_json())
    else:
        console.print(ledger_table(view.rows, f"Ledger of {batch_date}"))
        console.print(
            ledger_table(view.balances, "Balances since go-live: athenaOne's A/R report against Fusion")
        )
        for entity, state in view.states.items():
            console.print(f"{entity}: {state}", markup=False)
    sys.exit(0 if view.ties else FINDINGS)


def ledger_table(rows: list[dict[str, str]], title: str) -> object:
    """The ledger as people read it."""
    columns = list(rows[0]) if rows else ["entity"]
    return table(title, columns, [list(row.values()) for row in rows], right=columns[2:])
