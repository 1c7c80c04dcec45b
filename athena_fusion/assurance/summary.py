"""The pack's page for people: one printable HTML file without scripts, everything escaped."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from html import escape

from athena_fusion.clock import iso_z
from athena_fusion.trust.manifest import Manifest

_STYLE = """
body { font: 10.5pt/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color: #111; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; }
th, td { border-bottom: 1px solid #bbb; padding: .25rem .6rem .25rem 0; text-align: left; vertical-align: top; }
.bad { font-weight: bold; } .bad::before { content: "! "; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""


def render(
    business_date: date,
    attempt: int,
    issued_at: datetime,
    manifests: Sequence[Manifest],
    missing: Sequence[tuple[str, str, str]],
    reconciliation: Mapping[str, object],
    decisions: Sequence[Mapping[str, object]],
) -> str:
    """The page. `missing` holds unit, flow and reason; tables in `reconciliation` are lists of flat mappings."""
    day = business_date.isoformat()
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evidence {day}</title>'
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>Evidence of business day {day}</h1>",
        f"<p>Issue {attempt}, made {escape(iso_z(issued_at))}. This page is a reading aid; what counts are the "
        "signed manifests beside it, checked with verify.sh.</p>",
    ]
    if missing:
        rows = [
            {"Unit": unit, "Flow": flow, "Reason": reason or "nothing arrived"}
            for unit, flow, reason in missing
        ]
        parts += ['<h2 class="bad">Missing</h2>', _table(rows)]
    parts += ["<h2>Stages</h2>", _table([_stage(manifest) for manifest in manifests])]
    failed = [
        {"Unit": m.unit, "Stage": m.stage, "Control": c.id, "Expected": c.expected, "Found": c.actual}
        for m in manifests
        for c in m.controls
        if not c.ok
    ]
    if failed:
        parts += ['<h2 class="bad">Failed controls</h2>', _table(failed)]
    parts.append("<h2>Reconciliation</h2>")
    for name, value in reconciliation.items():
        parts.append(_value(name, value))
    parts += ["<h2>Decisions of people</h2>", _table(decisions) if decisions else "<p>None.</p>"]
    return "\n".join([*parts, "</body></html>\n"])


def _stage(manifest: Manifest) -> dict[str, object]:
    bad = sum(not control.ok for control in manifest.controls)
    return {
        "Unit": manifest.unit,
        "Flow": manifest.flow,
        "Stage": f"{manifest.stage}, attempt {manifest.attempt}",
        "Rows": manifest.row_count,
        "Sums": "; ".join(f"{name} {amount}" for name, amount in sorted(manifest.sums.items())),
        "Controls": f"{len(manifest.controls) - bad} of {len(manifest.controls)} passed",
        "Manifest": manifest.ref.sha256[:12],
    }


def _value(name: str, value: object) -> str:
    if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
        return f"<h3>{escape(name)}</h3>{_table(value)}"
    return f"<p>{escape(name)}: {escape(_text(value))}</p>"


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_text(row.get(name)))}</td>" for name in columns) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
