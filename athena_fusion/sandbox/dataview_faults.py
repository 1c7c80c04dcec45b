"""Ways to spoil a Data View delivery on purpose.

Except for a truncated file the control file agrees with the spoiled content: a checksum cannot find these, the
reader has to.
"""

import csv
from collections.abc import Callable, Collection
from pathlib import Path

Rows = list[list[str]]


def _renamed_column(rows: Rows) -> None:
    rows[0][rows[0].index("AMOUNT")] = "AMT"


def _missing_column(rows: Rows) -> None:
    position = rows[0].index("POSTDATE")
    for row in rows:
        del row[position]


def _three_decimals(rows: Rows) -> None:
    rows[1][rows[0].index("AMOUNT")] += "5"


def _unknown_type(rows: Rows) -> None:
    rows[1][rows[0].index("TRANSACTIONTYPE")] = "MYSTERY"


def _duplicate_row(rows: Rows) -> None:
    rows.append(list(rows[1]))


_EDITS: dict[str, Callable[[Rows], None]] = {
    "wrong_column": _renamed_column,
    "missing_column": _missing_column,
    "three_decimals": _three_decimals,
    "unknown_type": _unknown_type,
    "duplicate_row": _duplicate_row,
}
FAULTS = frozenset({*_EDITS, "truncated_file", "unmapped_department", "missing_report"})
"""`truncated_file` cuts TRANSACTION.csv after the control file was written; `wrong_column` renames AMOUNT and
`missing_column` drops POSTDATE of it; `three_decimals`, `unknown_type` and `duplicate_row` change its first row;
`unmapped_department` moves the first claim to department 9999 of the same provider group;
`missing_report` leaves activity_by_post_date.csv out.
"""


def spoil(folder: Path, rows: dict[str, int], faults: Collection[str]) -> None:
    """Apply the faults that the control file does not betray, and correct the row counts."""
    for name in sorted(set(faults) & set(_EDITS)):
        path = folder / "TRANSACTION.csv"
        content = _read(path)
        _EDITS[name](content)
        rows["TRANSACTION"] = _save(path, content)
    if "unmapped_department" in faults:
        _unmapped_department(folder, rows)
    if "missing_report" in faults:
        (folder / "activity_by_post_date.csv").unlink()


def spoil_after_control(folder: Path, faults: Collection[str]) -> None:
    """Apply the faults that contradict the control file."""
    if "truncated_file" in faults:
        path = folder / "TRANSACTION.csv"
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])


def _unmapped_department(folder: Path, rows: dict[str, int]) -> None:
    claims, departments = _read(folder / "CLAIM.csv"), _read(folder / "DEPARTMENT.csv")
    column = claims[0].index("SERVICEDEPARTMENTID")
    group = next(d[2] for d in departments[1:] if d[0] == claims[1][column])
    claims[1][column] = "9999"
    departments.append(["9999", "Unmapped", group])
    _save(folder / "CLAIM.csv", claims)
    rows["DEPARTMENT"] = _save(folder / "DEPARTMENT.csv", departments)


def _read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _save(path: Path, content: Rows) -> int:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(content)
    return len(content) - 1
