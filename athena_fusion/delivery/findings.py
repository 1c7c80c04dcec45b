"""Findings about a package: one for each line that Fusion did not take, in words for the queue."""

from collections.abc import Mapping
from typing import Any

from athena_fusion.delivery.package import Package
from athena_fusion.delivery.queue import Finding, Kind
from athena_fusion.delivery.reasons import loader_rejects
from athena_fusion.storage.artifacts import ArtifactStore


class DeliveryError(Exception):
    """The delivery did not do what was asked; the message says what was not done and what to do next."""


def finding(
    package: Package, kind: Kind, subject: str, reason: str, amount_cents: int, **more: str
) -> Finding:
    """A queue finding about one line (or the file) of a package."""
    intent = package.intent
    return Finding(
        kind=kind,
        stage="load",
        flow=intent.flow,
        entity=intent.entity,
        batch_date=intent.batch_date.isoformat(),
        category=intent.category,
        subject=subject,
        reason=reason,
        amount_cents=amount_cents,
        intent_key=intent.key,
        **more,
    )


def held_by(row: int, why: str = "") -> str:
    """Words for a healthy line of a group that was not imported."""
    because = f" ({why})" if why else ""
    return f"Not imported because of row {row}{because}. Nothing to correct here; it goes with the reload."


def log_path(package: Package, request_id: str | None) -> str:
    """Where the log of a request of this package is stored."""
    intent = package.intent
    return (
        f"assets/journal_load/{intent.batch_date}/{intent.entity}/{intent.short}-{request_id or 'none'}.log"
    )


def failure(store: ArtifactStore, package: Package, load_request_id: str | None, why: str) -> list[Finding]:
    """Findings about a load that failed before its import: the records the loader refused and the lines held
    by them, or the package as a whole.
    """
    log = log_path(package, load_request_id)
    rejects = loader_rejects(store.read_bytes(log).decode()) if store.exists(log) else {}
    if not rejects:
        return [finding(package, Kind.LOAD_FAILED, package.file_name, why, package.debit_cents)]
    lines = store.read_frame(package.lines).sort("line_key")  # the order of the file
    held = held_by(min(rejects))
    return [
        finding(
            package,
            Kind.LOADER_REJECT if number in rejects else Kind.HELD,
            line["line_key"],
            f"The file loader refused row {number}: {rejects[number]}" if number in rejects else held,
            amount_of(line),
            combination=line["combination"],
        )
        for number, line in enumerate(lines.iter_rows(named=True), start=1)
    ]


def amount_of(line: Mapping[str, Any]) -> int:
    """The cents that wait with a line, whichever side they stand on."""
    return max(line["debit_cents"] or 0, line["credit_cents"] or 0)
