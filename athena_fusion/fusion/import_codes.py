"""Journal Import's status codes in words: what is wrong, whose turn it is, what to do.

The table `import_codes.csv` holds the codes that actuals can meet. EF04 covers two different troubles; Fusion's
STATUS_DESCRIPTION tells them apart.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

_SEGMENT = re.compile(r"\(SEGMENT=([^)]*)\)")
_VALUE = re.compile(r"\(VALUE=([^)]*)\)")


@dataclass(frozen=True)
class Explanation:
    """A code's routing class, what it means, and what mends it."""

    code: str
    kind: str
    words: str
    fix: str


@cache
def import_codes() -> Mapping[str, Explanation]:
    """All known codes."""
    text = files(__package__).joinpath("import_codes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["code"]: Explanation(row["code"], row["class"], row["words"], row["fix"]) for row in rows}


def explain(status: str, description: str = "") -> Explanation:
    """The verdict on one interface row. `status` may join codes (`EF04,EC03`): the first one leads.

    `description` is the row's STATUS_DESCRIPTION, which is blank for many codes.
    """
    parts = [_one(code.strip(), description) for code in status.split(",") if code.strip()]
    if not parts:
        return Explanation("", "unknown", "the row has no status", "read the execution report of the import")
    words = "; ".join(dict.fromkeys(part.words for part in parts))
    fixes = "; ".join(dict.fromkeys(part.fix for part in parts))
    return Explanation(",".join(part.code for part in parts), parts[0].kind, words, fixes)


def _one(code: str, description: str) -> Explanation:
    known = import_codes().get(code)
    if known is None:
        return Explanation(
            code, "unknown", f"Fusion gave code {code}, which no list explains", "read the execution report"
        )
    if code == "EF03":
        return _disabled(known, description)
    return _combination(known, description) if code == "EF04" else known


def _disabled(known: Explanation, description: str) -> Explanation:
    segment, value = _SEGMENT.search(description), _VALUE.search(description)
    if not (segment and value):
        return known
    return replace(
        known,
        words=f"{segment[1]} {value[1]} is disabled, and the account combination with it",
        fix=f"enable {segment[1]} {value[1]} in Fusion, or map to another value and reload",
    )


def _combination(known: Explanation, description: str) -> Explanation:
    text = description.upper()
    segment, value = _SEGMENT.search(description), _VALUE.search(description)
    if segment and value:
        return replace(
            known,
            words=f"{segment[1]} {value[1]} does not exist in the chart of accounts or is not enabled",
            fix=f"enable {segment[1]} {value[1]} in Fusion, or map to another value and reload",
        )
    if "FLEX-DATA NOT ENTERED" in text:
        return replace(known, words="a segment of the account combination is blank")
    if "DETAIL POSTING" in text or "SUMMARY SEGMENT" in text:
        return replace(
            known,
            kind="coa_disabled",
            words="the account combination does not take journal lines",
            fix="map to an account that can be posted to, and reload",
        )
    if text and not text.startswith("FLEX-"):
        # Whatever else stands there is the customer's own message of a cross-validation rule.
        return replace(
            known,
            kind="cross_validation",
            words="a cross-validation rule bars this combination of segment values",
            fix="change the crosswalk of one of the segments, or have the rule changed, and reload",
        )
    return known
