"""`athena-fusion demo`: one business day from athenaOne to a verified evidence pack, against the sandbox.

Every claim that the last lines make is checked first; a false one ends the demo with exit code 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from athena_fusion.cli.day import ledger_table
from athena_fusion.cli.home import claim_home, prepare_home
from athena_fusion.cli.output import FINDINGS, console, stop
from athena_fusion.cli.sandbox import ATHENAONE, FUSION, control
from athena_fusion.money import cents_display, parse_cents

if TYPE_CHECKING:
    from athena_fusion.revenue.night.ledger import LedgerView
    from athena_fusion.runtime import Runtime

DAY = date(2026, 9, 15)
REFUSED = "102"
SEGMENT, VALUE = "CostCenter", "2130"


@dataclass
class _Claims:
    """What the demo says, and whether it was true."""

    false: list[str] = field(default_factory=list)

    def check(self, claim: str, *, true: bool) -> None:
        console.print(f"  {'[green]true [/]' if true else '[red]FALSE[/]'}  ", end="")
        console.print(claim, markup=False)
        if not true:
            self.false.append(claim)


@dataclass(frozen=True)
class _Refused:
    """What Fusion did not take at first: the amount for people and the number of groups."""

    amount: str
    groups: int


@click.command()
@click.option("--keep", is_flag=True, help="Keep the state of an earlier demo instead of starting afresh.")
def demo(keep: bool) -> None:
    """Run the sandbox's business day 2026-09-15 from extraction to a verified evidence pack."""
    from athena_fusion.tenant.loader import default_tenant_dir, load_tenant

    tenant = load_tenant(default_tenant_dir())
    if tenant.name != "sandbox":
        stop(
            FINDINGS, f"the demo runs with the sandbox tenant only, not with {tenant.name}; nothing was done"
        )
    from athena_fusion.sandbox.process import SandboxFailed, SandboxProcess

    place = Path(tenant.home).absolute()
    started = time.monotonic()
    with claim_home(place):
        if not keep:
            _start_afresh(place)
        place = prepare_home()
        try:
            with SandboxProcess(place / "sandbox") as sandbox:
                os.environ |= {ATHENAONE: sandbox.athenaone_url, FUSION: sandbox.fusion_url}
                claims = _business_day()
        except SandboxFailed as error:
            stop(FINDINGS, str(error))
    console.print(f"\n{time.monotonic() - started:.0f} s. State in {place}; look at it with: make ui")
    if claims.false:
        stop(FINDINGS, f"{len(claims.false)} claims were false:\n" + "\n".join(claims.false))


def _start_afresh(place: Path) -> None:
    """Forget an earlier demo. Only what the sandbox tenant itself makes is removed."""
    for name in ("dagster", "keys", "outbox", "published-heads", "sandbox", "store"):
        shutil.rmtree(place / name, ignore_errors=True)
    for pattern in ("state.db*", "tokens.db*", "limits.db*"):
        for found in place.glob(pattern):
            found.unlink()


def _business_day() -> _Claims:
    from athena_fusion.cli.keys import ensure_keys
    from athena_fusion.runtime import Runtime

    claims, runtime = _Claims(), Runtime.shared()
    ensure_keys()
    _run_night(claims, runtime)
    refused = _reload_refused(claims, runtime)
    view = _show_ledger(claims, runtime)
    pack = _verify_evidence(claims, runtime)

    say = partial(console.print, markup=False, soft_wrap=True)
    say(
        f"\nReconciled to the cent: {', '.join(e for e, state in view.states.items() if state == 'reconciled')}"
    )
    say(f"Refused at first: {REFUSED}, {refused.amount} USD: {SEGMENT} {VALUE} is disabled in Fusion (EF04)")
    say(f"Reloaded: {refused.groups} groups of {REFUSED} after the cost centre was enabled")
    say(f"Pack: {pack}")
    say(f"Verify it offline: athena-fusion evidence verify {pack}")
    say(f"or: unzip {pack.name} -d pack && sh pack/verify.sh")
    return claims


def _run_night(claims: _Claims, runtime: Runtime) -> None:
    from athena_fusion.orchestration.by_hand import run_evidence, run_nights

    _step("The business day ends in athenaOne", f"athena-fusion sandbox close-day {DAY}")
    closed = control(ATHENAONE, "/sandbox/close-day", {"date": DAY.isoformat()})
    console.print(f"  {closed['rows']} ledger rows, Data View delivery {closed['delivery']}", markup=False)

    _step("The night, through the Dagster graph, one run per billing entity", f"athena-fusion day run {DAY}")
    reports = run_nights(DAY)
    for report in reports:
        console.print(
            f"  {report.unit}: {'reconciled' if report.success else report.stopped_by}", markup=False
        )
    claims.check(
        f"one entity of {len(reports)} is refused by Fusion, the others are not held by it",
        true=[report.unit for report in reports if not report.success] == [REFUSED],
    )
    run_evidence(DAY)
    claims.check(
        f"the 06:00 pack was issued all the same, and says that {REFUSED} is open",
        true=_newest_pack(runtime.home).is_file() and not runtime.night().ledger(DAY).ties,
    )


def _reload_refused(claims: _Claims, runtime: Runtime) -> _Refused:
    """Show what Fusion refused, mend it there, say so in the queue, and load the groups again."""
    from athena_fusion.delivery.queue import Correction
    from athena_fusion.orchestration.by_hand import run_reload

    _step("The operator queue", f"athena-fusion queue list --date {DAY}")
    items = runtime.queue.list_items(batch_date=DAY.isoformat(), entity=REFUSED)
    rejected = [item for item in items if item.finding.kind == "REJECTED"]
    loads = sorted({str(item.finding.intent_key) for item in items})
    refused = _Refused(_difference(runtime.night().ledger(DAY).rows), len(loads))
    console.print(
        f"  {len(rejected)} lines rejected, {len(items) - len(rejected)} healthy siblings held", markup=False
    )
    if rejected:
        console.print(f"  {rejected[0].finding.reason}", markup=False)
    claims.check(
        f"every rejected line names {SEGMENT} {VALUE}",
        true=bool(rejected) and all(VALUE in item.finding.reason for item in rejected),
    )

    _step("Mended in Fusion", f"athena-fusion sandbox enable-segment {SEGMENT} {VALUE}")
    control(FUSION, f"/sandbox/segments/{SEGMENT}/{VALUE}", {"enabled": True})
    _step(
        "Corrected and reloaded", "athena-fusion queue correct ITEM... --fixed-in-fusion; queue reload ITEM"
    )
    said = f"{SEGMENT} {VALUE} was enabled in Fusion"
    for item in rejected:
        runtime.queue.correct(item.id, actor="demo", reason=said, change=Correction(), version=item.version)
    for load in loads:
        done = runtime.night().reload(load, "demo", "demo reload")
        claims.check(
            f"{done.package.category_name}: equal rows and sums as group {done.package.group_id}, proven",
            true=done.ok,
        )
    claims.check(f"entity {REFUSED} is reconciled in Dagster too", true=run_reload(DAY, REFUSED).success)
    return refused


def _show_ledger(claims: _Claims, runtime: Runtime) -> LedgerView:
    from athena_fusion.orchestration.by_hand import run_evidence

    _step("The ledger of the day", f"athena-fusion day show {DAY}")
    claims.check(
        "the pack was issued again after the reload, and its checks passed", true=run_evidence(DAY).success
    )
    view = runtime.night().ledger(DAY)
    console.print(ledger_table(view.rows, f"{DAY}, amounts in USD"))
    console.print(
        ledger_table(view.balances, "Moved since go-live: athenaOne's own A/R report against Fusion")
    )
    claims.check(
        "every group sent is in Fusion to the cent", true=bool(view.rows) and _difference(view.rows) == "0.00"
    )
    claims.check("Fusion ties to athenaOne: A/R and unapplied money of every entity", true=view.ties)
    claims.check("Fusion's own books hold the same debits and credits", true=_fusion_agrees(view.rows))
    return view


def _verify_evidence(claims: _Claims, runtime: Runtime) -> Path:
    _step("The evidence pack", "athena-fusion evidence verify PACK")
    pack = _newest_pack(runtime.home)
    _verify(claims, pack, runtime.home)
    audit = runtime.audit.verify()
    claims.check(f"the audit chain of {audit.events} events verifies", true=audit.ok)
    return pack


def _step(title: str, command: str) -> None:
    console.print(f"\n[bold]{title}[/]")
    console.print(f"  $ {command}", markup=False, style="dim")


def _difference(rows: list[dict[str, str]]) -> str:
    """What was sent and is not in Fusion, over all rows."""
    return cents_display(sum(_cents(row["difference"]) for row in rows))


def _cents(shown: str) -> int:
    return parse_cents(shown.replace(",", "").replace("\u2212", "-"))


def _fusion_agrees(rows: list[dict[str, str]]) -> bool:
    """The sum over the ledger rows against the totals that the sandbox's general ledger computes by itself."""
    sent = sum(_cents(row["sent"]) for row in rows)
    groups = control(FUSION, "/sandbox/gl/summary")["groups"]
    assert isinstance(groups, dict)
    debits = sum(parse_cents(str(group["total_dr"])) for group in groups.values())
    credits = sum(parse_cents(str(group["total_cr"])) for group in groups.values())
    return sent == debits == credits


def _newest_pack(place: Path) -> Path:
    packs = sorted((place / "outbox").rglob("*.zip"), key=lambda path: path.stat().st_mtime_ns)
    if not packs:
        stop(FINDINGS, f"no evidence pack was delivered to {place / 'outbox'}")
    return packs[-1]


def _verify(claims: _Claims, pack: Path, place: Path) -> None:
    from athena_fusion.assurance.verify import verify_pack

    report = verify_pack(pack)
    claims.check(f"{pack.name}: {report.manifests} manifests and {report.files} files verify", true=report.ok)
    published = any(
        report.head in found.read_text()
        for found in (place / "published-heads").rglob("*")
        if found.is_file()
    )
    claims.check("its head was published outside the store", true=published)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(pack) as archive:
            archive.extractall(folder)
        for script, tools in (
            ("verify.sh", ("jose", "jq", "sha256sum")),
            ("verify-openssl.sh", ("openssl",)),
        ):
            missing = [tool for tool in tools if shutil.which(tool) is None]
            if missing:
                console.print(
                    f"  ----   {script} not run: {', '.join(missing)} is not installed", markup=False
                )
                continue
            ran = subprocess.run(["sh", f"{folder}/{script}"], capture_output=True, text=True, check=False)  # noqa: S603, S607
            if ran.returncode:
                sys.stderr.write(ran.stdout + ran.stderr)
            claims.check(f"{script} in the pack says so too ({', '.join(tools)})", true=ran.returncode == 0)
