"""Fusion's verdicts in words: interface status codes and the loader's log."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_SEGMENT = re.compile(r"\(SEGMENT=([^)]*)\)")
_VALUE = re.compile(r"\(VALUE=([^)]*)\)")
_REJECTED = re.compile(r"^Record (\d+): (Rejected - .*)$")


@dataclass(frozen=True)
class StatusCode:
    """A GL_INTERFACE status: routing class, what is wrong and what to do about it, in words."""

    code: str
    kind: str
    words: str
    fix: str


@cache
def status_codes() -> dict[str, StatusCode]:
    """All known codes of lines that can come from our file."""
    text = files(__package__).joinpath("gl_status_codes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["code"]: StatusCode(row["code"], row["class"], row["words"], row["fix"]) for row in rows}


def explain(status: str, text: str) -> str:
    """Words for an error status such as `EF04` or `EF04,EC03`, with Fusion's own `text` quoted at the end."""
    parts = []
    for code in status.split(","):
        known = status_codes().get(code.strip())
        words = known.words if known else f"Fusion rejected the line with code {code.strip()}"
        fix = known.fix if known else "read the execution report of the import"
        if code.strip() == "EF04":
            words = _flexfield(text) or words
        parts.append(f"{words}; {fix}")
    said = f" (Fusion: {status}{' ' + text if text else ''})"
    sentence = ". ".join(parts) + said
    return sentence[0].upper() + sentence[1:]


def loader_rejects(log: str) -> dict[int, str]:
    """Rejected records of a SQL*Loader log: record number (from one, file order) -> the loader's words."""
    rejects: dict[int, str] = {}
    open_record = 0
    for line in log.splitlines():
        if found := _REJECTED.match(line.strip()):
            open_record = int(found[1])
            rejects[open_record] = found[2]
        elif open_record and line.strip().startswith("ORA-"):
            rejects[open_record] += f" {line.strip()}"
            open_record = 0
    return rejects


def _flexfield(text: str) -> str:
    segment, value = _SEGMENT.search(text), _VALUE.search(text)
    if not (segment and value):
        return ""
    return f"{segment[1]} {value[1]} does not exist or is not enabled in the chart of accounts"
