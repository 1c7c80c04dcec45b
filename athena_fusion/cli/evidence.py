"""`athena-fusion evidence`: packs and their verification, offline."""

import sys
from pathlib import Path

import click

from athena_fusion.assurance.verify import verify_pack
from athena_fusion.cli.output import FINDINGS, console, emit_json, json_option


@click.group()
def evidence() -> None:
    """Evidence packs."""


@evidence.command()
@click.argument("pack", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--trusted",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Key set (jwks.json) received by another way than the pack.",
)
@click.option("--head", help="Head hash as it was published outside the store.")
@json_option
def verify(pack: Path, trusted: Path | None, head: str | None, as_json: bool) -> None:
    """Verify PACK (the ZIP or its folder): signatures, payloads, chain, completeness. Needs no network."""
    report = verify_pack(pack, trusted, head)
    if as_json:
        emit_json(
            {
                "ok": not report.findings,
                "trusted": report.trusted,
                "businessDate": report.business_date,
                "attempt": report.attempt,
                "head": report.head,
                "manifests": report.manifests,
                "files": report.files,
                "findings": [{"file": found.file, "reason": found.reason} for found in report.findings],
            }
        )
    else:
        for found in report.findings:
            console.print(f"{found.file}: {found.reason}", markup=False)
        for note in report.notes:
            console.print(f"note: {note.file}: {note.reason}", markup=False)
        if not report.findings:
            console.print(
                f"verified: business day {report.business_date}, issue {report.attempt}, "
                f"{report.manifests} manifests, {report.files} files\nhead {report.head}"
            )
            if not report.trusted:
                console.print("The keys came from the pack itself: compare the head or give --trusted.")
    sys.exit(FINDINGS if report.findings else 0)
