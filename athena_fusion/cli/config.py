"""`athena-fusion config`: the tenant directory, checked as a whole."""

import sys
from pathlib import Path

import click

from athena_fusion.cli.output import FINDINGS, console, emit_json, json_option
from athena_fusion.tenant.loader import TenantError, default_tenant_dir, load_tenant


@click.group()
def config() -> None:
    """The tenant's configuration."""


@config.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
def check(folder: Path | None, as_json: bool) -> None:
    """Read every file of the tenant directory and list all mistakes, each with file and line."""
    place = folder or default_tenant_dir()
    try:
        tenant = load_tenant(place)
    except TenantError as error:
        if as_json:
            emit_json(
                {
                    "ok": False,
                    "findings": [
                        {"file": str(found.file), "line": found.line, "message": found.message}
                        for found in error.findings
                    ],
                }
            )
        else:
            for found in error.findings:
                console.print(f"{found.file}:{found.line}: {found.message}", markup=False)
            console.print(f"{len(error.findings)} findings in {place}; this configuration is not used")
        sys.exit(FINDINGS)
    if as_json:
        emit_json({"ok": True, "tenant": tenant.name, "version": tenant.version_hash})
    else:
        console.print(
            f"{tenant.name}: {len(tenant.entities)} billing entities, version {tenant.version_hash[:16]}"
        )
