"""From a stage's result to what a person sees on an asset: counts, sums, digest, checks, preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:  # the flow's libraries are loaded by the run that needs them, not by every process
    from athena_fusion.revenue.stage import CheckOutcome, StageResult


_PREVIEW_ROWS = 25
_COUNT_DIGITS = 9  # longer ones are identifiers


def materialized(result: StageResult) -> dg.MaterializeResult:
    """The materialisation of `result`; its data version is the digest of the signed manifest."""
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(result.rows),
        "manifest": dg.MetadataValue.path(result.manifest.path),
        "manifest_sha256": dg.MetadataValue.text(result.manifest.sha256),
    }
    for name, amount in result.sums.items():
        metadata[name] = dg.MetadataValue.text(amount)
    for name, note in result.notes.items():
        metadata[name] = _shown(note)
    if result.preview:
        metadata["preview"] = dg.MetadataValue.md(markdown_table(result.preview))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(result.manifest.sha256),
        metadata=metadata,
        check_results=[check_result(outcome) for outcome in result.checks],
    )


def check_result(outcome: CheckOutcome) -> dg.AssetCheckResult:
    """Both numbers and their difference; a finding that does not protect money is a warning."""
    return dg.AssetCheckResult(
        check_name=outcome.name,
        passed=outcome.ok,
        severity=dg.AssetCheckSeverity.ERROR if outcome.blocking else dg.AssetCheckSeverity.WARN,
        description=outcome.summary,
        metadata={
            "actual": _shown(outcome.left),
            "expected": _shown(outcome.right),
            "difference": _shown(outcome.difference),
        },
    )


def _shown(text: str) -> dg.MetadataValue:
    """A count as a number, which is plotted over time; an amount stays text, because a float is no money."""
    count = text.isdecimal() and len(text) <= _COUNT_DIGITS
    return dg.MetadataValue.int(int(text)) if count else dg.MetadataValue.text(text)


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """A small table for the UI: the first rows, and how many more there are."""
    names = list(rows[0])
    shown, more = rows[:_PREVIEW_ROWS], len(rows) - _PREVIEW_ROWS
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += [
        "| " + " | ".join(row.get(name, "").replace("|", "\\|") for name in names) + " |" for row in shown
    ]
    return "\n".join(lines) + (f"\n\nand {more} more" if more > 0 else "")
