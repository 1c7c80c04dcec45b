"""05:00: deliver the packages, read them back, and carry out reloads. What Fusion says is signed as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import polars as pl

from athena_fusion.delivery.package import Package
from athena_fusion.delivery.proof import Outcome, Proof
from athena_fusion.delivery.queue import Correction
from athena_fusion.delivery.readback import prove
from athena_fusion.delivery.reload import Reloaded
from athena_fusion.delivery.reload import reload as deliver_again
from athena_fusion.delivery.states import LOADING, PROVED, State
from athena_fusion.delivery.submission import LoadResult
from athena_fusion.money import cents_display, cents_text
from athena_fusion.revenue.night.context import (
    NightContext,
    StageRefused,
    asset_folder,
    chain_verified,
    controls_of,
    money_sums,
)
from athena_fusion.revenue.night.package import (
    live_packages,
    packages_of,
    sign_packages,
    source_rowset,
    write_package,
)
from athena_fusion.revenue.night.transform import remap
from athena_fusion.revenue.stage import CheckOutcome, StageResult
from athena_fusion.trust.manifest import CARRIED

_LINES = {
    "line_key": pl.String,
    "posting_id": pl.String,
    "combination": pl.String,
    "debit_cents": pl.Int64,
    "credit_cents": pl.Int64,
    "outcome": pl.String,
    "code": pl.String,
    "reason": pl.String,
}


def load(ctx: NightContext, entity: str, batch_date: date, run_id: str) -> StageResult:
    """Bring every package of the partition into Fusion, or go on where an earlier run stopped."""
    packaged = ctx.gate("package", entity, batch_date)
    packages = packages_of(ctx, entity, batch_date, packaged)
    before = [found for package in packages if (found := ctx.delivery.find(package.intent.key))]
    imported = sum(found.state in (State.IMPORTED, *PROVED) for found in before)
    results = ctx.delivery.load(packages)
    unfinished = [result for result in results if not result.ok]
    checks = [
        CheckOutcome(
            "ess_jobs_succeeded",
            ok=not unfinished and all(result.status in ("SUCCEEDED", "") for result in results),
            blocking=False,
            left=str(len(results) - len(unfinished)),
            right=str(len(results)),
            difference=str(len(unfinished)),
            summary=_said(results, imported),
        )
    ]
    sums = _package_sums([result.package for result in results])
    ref = ctx.sign(
        "submit",
        entity,
        batch_date,
        run_id,
        subjects=[],
        prev=[packaged.ref],
        rows=sum(result.package.rows for result in results),
        sums=sums,
        target=_target(results),
    )
    return StageResult(
        "submit",
        entity,
        ref,
        rows=sum(result.package.rows for result in results),
        sums=sums,
        checks=checks,
        preview=[
            {
                "file": result.package.file_name,
                "group": result.package.group_id,
                "load request": result.load_request_id or "",
                "import request": result.import_request_id or "",
                "ESS": result.status,
                "state": str(result.state),
            }
            for result in results
        ],
    )


def read_back(ctx: NightContext, entity: str, batch_date: date, run_id: str) -> StageResult:
    """Prove, line by line, that Fusion holds what was sent (T10). What it refused goes to the operator queue."""
    submitted = ctx.gate("submit", entity, batch_date)
    proofs = prove(ctx.delivery, live_packages(ctx, entity, batch_date))
    lines = pl.concat([pl.DataFrame(schema=_LINES), *(proof.lines.select(list(_LINES)) for proof in proofs)])
    kept = ctx.keep(
        asset_folder("load", "journal_readback", batch_date, entity), "readback", lines, carried=CARRIED
    )
    checks = [_t10(ctx, proofs), chain_verified(submitted)]
    loaded = lines.filter(pl.col("outcome") == Outcome.LOADED.value)
    ref = ctx.sign(
        "readback",
        entity,
        batch_date,
        run_id,
        subjects=[kept],
        prev=[submitted.ref],
        rows=loaded.height,
        sums=money_sums(loaded),
        target=_proof_target(proofs),
        controls=controls_of(checks),
    )
    return StageResult(
        "readback",
        entity,
        ref,
        rows=loaded.height,
        sums=money_sums(loaded),
        checks=checks,
        preview=_refused(lines),
        notes={str(name).lower(): str(count) for name, count in _outcomes(lines).items()},
    )


def reload(ctx: NightContext, intent_key: str, actor: str, run_id: str) -> Reloaded:
    """Replace a refused load by its next attempt: purge, new group, equal totals, prove. Safe to press twice."""

    def rebuild(old: Package, attempt: int, corrections: Mapping[str, Correction]) -> Package:
        intent = old.intent
        lines = ctx.store.read_frame(old.lines)
        changed, transformed = remap(ctx, intent.entity, intent.batch_date, run_id, lines, corrections)
        rowset = source_rowset(ctx, transformed)
        fresh = write_package(ctx, changed, intent.entity, intent.batch_date, attempt, rowset)
        # The fresh one itself is among the live ones when another press was quicker.
        standing = live_packages(ctx, intent.entity, intent.batch_date)
        others = [p for p in standing if p.intent not in (intent, fresh.intent)]
        ref, checks = sign_packages(
            ctx, intent.entity, intent.batch_date, run_id, transformed, [*others, fresh]
        )
        if any(check.blocking and not check.ok for check in checks):
            raise StageRefused(
                f"{intent.key}: the corrected lines do not balance; nothing was purged or sent"
            )
        return replace(fresh, manifest=ref)

    return deliver_again(ctx.delivery, intent_key, actor, rebuild)


def _t10(ctx: NightContext, proofs: Sequence[Proof]) -> CheckOutcome:
    sent = sum(proof.sent.debit_cents for proof in proofs)
    held = sum(proof.imported.debit_cents for proof in proofs)
    bad = [proof for proof in proofs if not proof.ok]
    if not proofs:
        said = "this night sent nothing"
    elif not bad:
        said = f"{sum(p.sent.rows for p in proofs)} lines in {len(proofs)} groups: rows, sums and row sets are equal"
    else:
        names = ", ".join(proof.package.category_name for proof in bad)
        said = f"{names}: {cents_display(sent - held)} not in Fusion. {_why(ctx, bad)}"
    return CheckOutcome(
        "t10_sent_equals_imported",
        ok=not bad,
        blocking=True,
        left=cents_display(sent),
        right=cents_display(held),
        difference=cents_display(sent - held),
        summary=said,
    )


def _why(ctx: NightContext, bad: Sequence[Proof]) -> str:
    """The first load that has not ended or line that Fusion refused, with the reason; else what is not proven."""
    for proof in bad:
        row = ctx.delivery.find(proof.package.intent.key)
        if row is not None and row.state in LOADING:
            return f"The load of {proof.package.category_name} has not ended ({row.state}); run it again."
        refused = proof.lines.filter(~pl.col("outcome").is_in([Outcome.LOADED.value, Outcome.HELD.value]))
        if refused.height:
            return f"First: {refused['reason'][0]}"
    return bad[0].note


def _package_sums(packages: Sequence[Package]) -> dict[str, str]:
    return {
        "debits": cents_text(sum(package.debit_cents for package in packages)),
        "credits": cents_text(sum(package.credit_cents for package in packages)),
    }


def _target(results: Sequence[LoadResult]) -> dict[str, str | int]:
    target: dict[str, str | int] = {"system": "Oracle Fusion ESS"}
    for result in results:
        group = result.package.group_id
        target[f"{group}/document"] = result.document_id or ""
        target[f"{group}/load"] = result.load_request_id or ""
        target[f"{group}/import"] = result.import_request_id or ""
        target[f"{group}/outcome"] = "IMPORTED" if result.ok else str(result.state)
    return target


def _proof_target(proofs: Sequence[Proof]) -> dict[str, str | int]:
    target: dict[str, str | int] = {"system": "Oracle Fusion GL"}
    for proof in proofs:
        group = proof.package.group_id
        target[f"{group}/documentSha256"] = proof.document_sha256 or ""
        target[f"{group}/sentRowset"] = proof.package.rowset.sha256
        target[f"{group}/importedRowset"] = proof.imported_rowset.sha256
        target[f"{group}/importedRows"] = proof.imported.rows
        target[f"{group}/outcome"] = "PROVEN" if proof.ok else "UNPROVEN"
    return target


def _said(results: Sequence[LoadResult], imported: int) -> str:
    """What this run did; `imported` groups were in Fusion before it began."""
    if imported == len(results):
        return f"nothing to send; {imported} groups were imported before" if imported else "nothing to send"
    bad = [result for result in results if not result.ok]
    if bad:
        return "; ".join(
            f"{result.package.category_name}: {result.note or result.state}" for result in bad[:3]
        )
    warned = sum(result.status not in ("SUCCEEDED", "") for result in results)
    return f"{len(results)} groups imported, {warned} with a warning or error of Fusion"


def _outcomes(lines: pl.DataFrame) -> dict[str, int]:
    return dict(lines.group_by("outcome").len().sort("outcome").iter_rows())


def _refused(lines: pl.DataFrame) -> list[dict[str, str]]:
    bad = lines.filter(pl.col("outcome") != Outcome.LOADED.value).head(20)
    return [
        {
            "line": row["line_key"],
            "combination": row["combination"],
            "debit": cents_display(row["debit_cents"]),
            "credit": cents_display(row["credit_cents"]),
            "outcome": row["outcome"],
            "reason": f"{row['code']} {row['reason']}".strip(),
        }
        for row in bad.iter_rows(named=True)
    ]
