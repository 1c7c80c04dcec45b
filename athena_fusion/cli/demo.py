"""`athena-fusion demo`: one business day from athenaOne to a verified evidence pack, against the sandbox.

Every claim that the last lines make is checked first; a false one ends the demo with exit code 1.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import click

from athena_fusion.cli.day import ledger_table
from athena_fusion.cli.home import prepare_home
from athena_fusion.cli.output import FINDINGS, console, stop
from athena_fusion.cli.sandbox import ATHENAONE, FUSION, control
from athena_fusion.money import cents_display, parse_cents

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


@click.command()
@click.option("--keep", is_flag=True, help="Keep the state of an earlier demo instead of starting afresh.")
def demo(keep: bool) -> None:
    """Run the sandbox's business day 2026-09-15 from extraction to a verified evidence pack."""
    from athena_fusion.tenant.loader import default_tenant_dir, load_tenant

    tenant = load_tenant(default_tenant_dir())
    if tenant.name != "sandbox":
        stop(FINDINGS, f"the demo runs with the sandbox tenant only, not with {tenant.name}; nothing was done")
    place = Path(tenant.home).absolute()
    if not keep:
        _start_afresh(place)
    place = prepare_home()
    from athena_fusion.sandbox.process import SandboxProcess

    started = time.monotonic()
    with SandboxProcess(place / "sandbox") as sandbox:
        os.environ |= {ATHENAONE: sandbox.athenaone_url, FUSION: sandbox.fusion_url}
        claims = _business_day()
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
    from athena_fusion.orchestration.by_hand import run_evidence, run_nights, run_reload
    from athena_fusion.runtime import Runtime
    from athena_fusion.trust.keys import PURPOSES

    claims = _Claims()
    runtime = Runtime.shared()
    for purpose in PURPOSES:
        runtime.keys.ensure(purpose)
    night = runtime.night()

    _step("The business day ends in athenaOne", f"athena-fusion sandbox close-day {DAY}")
    closed = control(ATHENAONE, "/sandbox/close-day", {"date": DAY.isoformat()})
    console.print(f"  {closed['rows']} ledger rows, Data View delivery {closed['delivery']}", markup=False)

    _step("The night, through the Dagster graph, one run per billing entity", f"athena-fusion day run {DAY}")
    reports = {report.unit: report for report in run_nights(DAY)}
    for report in reports.values():
        console.print(f"  {report.unit}: {'reconciled' if report.success else report.stopped_by}", markup=False)
    claims.check(
        f"one entity of {len(reports)} is refused by Fusion, the others are not held by it",
        true=[unit for unit, report in reports.items() if not report.success] == [REFUSED],
    )
    run_evidence(DAY)
    claims.check("the 06:00 pack was issued all the same, and says that 102 is open", true=not night.ledger(DAY).ties)

    _step("The operator queue", f"athena-fusion queue list --date {DAY}")
    items = runtime.queue.list_items(batch_date=DAY.isoformat(), entity=REFUSED)
    rejected = [item for item in items if item.finding.kind == "REJECTED"]
    refused_loads = sorted({str(item.finding.intent_key) for item in items})
    amount = _refused_amount(night.ledger(DAY).rows)
    console.print(f"  {len(rejected)} lines rejected, {len(items) - len(rejected)} healthy siblings held", markup=False)
    if rejected:
        console.print(f"  {rejected[0].finding.reason}", markup=False)
    claims.check(
        f"every rejected line names {SEGMENT} {VALUE}",
        true=bool(rejected) and all(VALUE in item.finding.reason for item in rejected),
    )

    _step("Mended in Fusion, corrected in the queue, reloaded", f"athena-fusion sandbox enable-segment {SEGMENT} {VALUE}")
    control(FUSION, f"/sandbox/segments/{SEGMENT}/{VALUE}", {"enabled": True})
    from athena_fusion.delivery.queue import Correction

    for item in rejected:
        runtime.queue.correct(
            item.id,
            actor="demo",
            reason=f"{SEGMENT} {VALUE} was enabled in Fusion",
            change=Correction(),
            version=item.version,
        )
    for load in refused_loads:
        done = night.reload(load, "demo", "demo reload")
        outcome = "proven" if done.ok else "NOT PROVEN"
        console.print(f"  {done.package.category_name}: group {done.package.group_id} {outcome}", markup=False)
        claims.check(
            f"{done.package.category_name}: equal rows and sums under a new group", true=done.ok
        )
    report = run_reload(DAY, REFUSED)
    claims.check(f"entity {REFUSED} is reconciled in Dagster too", true=report.success)

    _step("The ledger of the day", f"athena-fusion day show {DAY}")
    evidence = run_evidence(DAY)
    view = night.ledger(DAY)
    console.print(ledger_table(view.rows, f"{DAY}, amounts in USD"))
    console.print(ledger_table(view.balances, "Moved since go-live: athenaOne's own A/R report against Fusion"))
    claims.check("every group sent is in Fusion to the cent", true=_ties(view.rows))
    claims.check("Fusion ties to athenaOne: A/R and unapplied money of every entity", true=view.ties)
    claims.check("Fusion's own books hold the same debits and credits", true=_fusion_agrees(view.rows))

    _step("The evidence pack", "athena-fusion evidence verify PACK")
    pack = _newest_pack(runtime.home / "outbox")
    claims.check("the pack was issued again after the reload, and its checks passed", true=evidence.success)
    _verify(claims, pack, runtime.home)
    audit = runtime.audit.verify()
    claims.check(f"the audit chain of {audit.events} events verifies", true=audit.ok)

    reconciled = ", ".join(unit for unit, state in view.states.items() if state == "reconciled")
    console.print(f"\nReconciled to the cent: {reconciled}", markup=False)
    console.print(f"Refused at first: {REFUSED}, {amount}: {SEGMENT} {VALUE} is disabled in Fusion (EF04)", markup=False)
    console.print(f"Reloaded: {len(refused_loads)} groups of {REFUSED} after the cost centre was enabled", markup=False)
    console.print(f"Pack: {pack}", markup=False, soft_wrap=True)
    console.print(f"Verify it offline: athena-fusion evidence verify {pack}", markup=False, soft_wrap=True)
    console.print(f"or: unzip {pack.name} -d pack && sh pack/verify.sh", markup=False, soft_wrap=True)
    return claims


def _step(title: str, command: str) -> None:
    console.print(f"\n[bold]{title}[/]")
    console.print(f"  $ {command}", markup=False, style="dim")


def _refused_amount(rows: list[dict[str, str]]) -> str:
    cents = sum(_cents(row["difference"]) for row in rows if row["entity"] == REFUSED)
    return f"{cents_display(cents)} USD"


def _cents(shown: str) -> int:
    return parse_cents(shown.replace(",", "").replace("\u2212", "-"))


def _ties(rows: list[dict[str, str]]) -> bool:
    return bool(rows) and all(_cents(row["difference"]) == 0 for row in rows)


def _fusion_agrees(rows: list[dict[str, str]]) -> bool:
    """The sum over the ledger rows against the totals that the sandbox's general ledger computes by itself."""
    sent = sum(_cents(row["sent"]) for row in rows)
    groups = control(FUSION, "/sandbox/gl/summary")["groups"]
    assert isinstance(groups, dict)
    debits = sum(parse_cents(str(group["total_dr"])) for group in groups.values())
    credits = sum(parse_cents(str(group["total_cr"])) for group in groups.values())
    return sent == debits == credits


def _newest_pack(outbox: Path) -> Path:
    packs = sorted(outbox.rglob("*.zip"), key=lambda path: path.stat().st_mtime_ns)
    if not packs:
        stop(FINDINGS, f"no evidence pack was delivered to {outbox}")
    return packs[-1]


def _verify(claims: _Claims, pack: Path, place: Path) -> None:
    from athena_fusion.assurance.verify import verify_pack

    report = verify_pack(pack)
    claims.check(f"{pack.name}: {report.manifests} manifests and {report.files} files verify", true=report.ok)
    published = any(report.head in found.read_text() for found in (place / "published-heads").rglob("*") if found.is_file())
    claims.check("its head was published outside the store", true=published)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(pack) as archive:
            archive.extractall(folder)  # noqa: S202 - our own pack, just verified
        for script, tools in (("verify.sh", ("jose", "jq", "sha256sum")), ("verify-openssl.sh", ("openssl",))):
            missing = [tool for tool in tools if shutil.which(tool) is None]
            if missing:
                console.print(f"  ----   {script} not run: {', '.join(missing)} is not installed", markup=False)
                continue
            ran = subprocess.run(["sh", f"{folder}/{script}"], capture_output=True, text=True, check=False)  # noqa: S603, S607
            if ran.returncode:
                sys.stderr.write(ran.stdout + ran.stderr)
            claims.check(f"{script} in the pack says so too ({', '.join(tools)})", true=ran.returncode == 0)
