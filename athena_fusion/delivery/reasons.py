"""Fusion's verdicts as sentences for the queue."""

import re

from athena_fusion.fusion.import_codes import explain

_REJECTED = re.compile(r"^Record (\d+): (Rejected - .*)$")


def rejection(status: str, text: str) -> str:
    """Why a line was rejected and what mends it, with Fusion's status and description quoted at the end."""
    verdict = explain(status, text)
    sentence = f"{verdict.words}; {verdict.fix} (Fusion: {f'{status} {text}'.strip()})"
    return sentence[0].upper() + sentence[1:]


def loader_rejects(log: str) -> dict[int, str]:
    """Rejected records of a SQL*Loader log: record number (from one, file order) -> the loader's words."""
    rejects: dict[int, str] = {}
    open_record = 0
    for line in map(str.strip, log.splitlines()):
        if found := _REJECTED.match(line):
            open_record = int(found[1])
            rejects[open_record] = found[2]
        elif open_record and line.startswith("ORA-"):
            rejects[open_record] += f" {line}"
            open_record = 0
    return rejects
