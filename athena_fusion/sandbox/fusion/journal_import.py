"""Import Journals: from GL_INTERFACE to journals, one group id at a time, whole or not at all."""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from athena_fusion.sandbox.fusion import import_report
from athena_fusion.sandbox.fusion.amounts import ZERO, plain
from athena_fusion.sandbox.fusion.ess import Run
from athena_fusion.sandbox.fusion.line_checks import COLUMNS, REFERENCES, Line, LineChecks, balance


@dataclass
class Group:
    """One group id of an import and its outcome. `batches` are (name, period) of what was created."""

    id: str | None
    lines: list[Line]
    batches: list[tuple[str, str]] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Error, Warning or Success, as the execution report says it."""
        if any(line.failed for line in self.lines):
            return "Error"
        return "Warning" if any(line.codes for line in self.lines) else "Success"


def check_arguments(run: Run) -> str:
    """Import Journals, the parent: the access set must hold the ledger and the options must be known."""
    names = ("data access set", "source", "ledger", "group id", "suspense", "summary", "import DFF")
    run.log += [
        f"Argument List {number}::: {name} ::: {run.argument(number)}."
        for number, name in enumerate(names, start=1)
    ]
    user = run.pod.user(run.submitter)
    access = next((each for each in run.pod.setup.data_access_sets if each.id == run.argument(1)), None)
    if access is None or user is None or (user.data_access_sets and access.id not in user.data_access_sets):
        return run.refuse(f"The user has no data access set {run.argument(1)}.")
    if run.argument(3) not in access.ledgers:
        return run.refuse(f"The data access set {access.id} doesn't contain the ledger {run.argument(3)}.")
    if run.argument(2) is None:
        return run.refuse("A journal source is required.")
    if run.argument(5) not in {None, "N"}:
        return run.refuse("The ledger has no suspense account to post account errors to.")
    if run.argument(6) not in {None, "Y", "N"}:
        return run.refuse("Create summary journals must be Y or N.")
    return "SUCCEEDED"


def import_journals(run: Run) -> str:
    """Import Journals: Child. WARNING when a group was rejected, SUCCEEDED otherwise, also for no group at all."""
    source, ledger_id = run.argument(2) or "", run.argument(3) or ""
    suspense = run.pod.switch("suspense")
    checks = LineChecks(run.pod, run.connection)
    groups = [
        Group(group_id, lines) for group_id, lines in select(run, source, ledger_id, run.argument(4)).items()
    ]
    run.log.append(f"Journal Import for source {source}.")
    journal_lines = 0
    for group in groups:
        journals = check_group(group, checks, suspense=suspense)
        if group.status == "Error":
            _reject(run.connection, group)
        else:
            journal_lines += Writer(run, source, checks).write(group, journals)
        _note_codes(run, source, group)
    run.log += [
        f"SHRD0079: Number of records inserted into the gl_je_lines table: {journal_lines}.",
        "LEZL0010: Deleting journal entry error lines.",
        f"Total: {len(groups)} group id(s)",
    ]
    report = import_report.execution_report(run.request, source, groups)
    run.files.append((f"{run.request}.txt", "OUT", report.encode()))
    return "WARNING" if any(group.status == "Error" for group in groups) else "SUCCEEDED"


def select(run: Run, source: str, ledger_id: str, group: str | None) -> dict[str | None, list[Line]]:
    """Interface lines of the source and ledger by group id; lines of no ledger at all come along."""
    if all(source != known.name for known in run.pod.setup.sources):
        return {}
    sql = f"SELECT {', '.join(COLUMNS)} FROM gl_interface WHERE USER_JE_SOURCE_NAME = ?"  # noqa: S608 - fixed names
    parameters: list[str] = [source]
    if group is None:
        sql += " AND GROUP_ID IS NULL"
    elif group != "ALL":
        sql += " AND GROUP_ID = ?"
        parameters.append(group)
    groups: dict[str | None, list[Line]] = defaultdict(list)
    for values in run.connection.execute(sql + " ORDER BY id", parameters):
        row = dict(zip(COLUMNS, values, strict=True))
        ledger = run.pod.ledger(ledger_id=row["LEDGER_ID"], name=row["LEDGER_NAME"])
        if ledger is not None and ledger.id != ledger_id:
            continue
        if row["STATUS"] in {"NEW", "P"} or row["STATUS"].startswith(("E", "W")):
            groups[row["GROUP_ID"]].append(Line(row, ledger))
    return groups


JournalKey = tuple[str | None, ...]


def check_group(group: Group, checks: LineChecks, *, suspense: bool) -> dict[JournalKey, list[Line]]:
    """Check every line and the balance of every journal; the lines by journal."""
    journals: dict[JournalKey, list[Line]] = defaultdict(list)
    for line in group.lines:
        checks.check(line)
        row = line.row
        key: JournalKey = (
            row["REFERENCE1"],
            line.period,
            row["REFERENCE4"],
            row["USER_JE_CATEGORY_NAME"],
            row["CURRENCY_CODE"],
            row["ACTUAL_FLAG"],
            row["ACCOUNTING_DATE"],
            row["USER_CURRENCY_CONVERSION_TYPE"],
            row["CURRENCY_CONVERSION_DATE"],
            row["CURRENCY_CONVERSION_RATE"],
        )
        journals[key].append(line)
    for key, lines in journals.items():
        balance(lines, suspense=suspense)
        if any(code in {"EU02", "WU01"} for code in lines[0].codes):
            group.unbalanced.append(key[2] or "(unnamed)")
    return journals


class Writer:
    """Writes the batches, headers and lines of one accepted group and deletes its interface rows."""

    def __init__(self, run: Run, source: str, checks: LineChecks) -> None:
        self._run = run
        self._connection = run.connection
        self._source = next(each for each in run.pod.setup.sources if each.name == source)
        self._checks = checks
        self._batches: dict[tuple[str | None, str | None], int] = {}
        self._combinations: dict[str, int] = {}

    def write(self, group: Group, journals: dict[JournalKey, list[Line]]) -> int:
        """Number of journal lines written."""
        written = 0
        by_batch: dict[tuple[str | None, str | None], list[Line]] = defaultdict(list)
        for key, lines in journals.items():
            by_batch[key[0], key[1]] += lines
        for (reference1, period), lines in by_batch.items():
            self._batches[reference1, period] = self._batch(group, reference1, str(period), lines)
        for key, lines in journals.items():
            written += self._journal(self._batches[key[0], key[1]], key, lines)
        self._connection.executemany(
            "DELETE FROM gl_interface WHERE id = ?", [(line.row["id"],) for line in group.lines]
        )
        return written

    def _batch(self, group: Group, reference1: str | None, period: str, lines: Sequence[Line]) -> int:
        first = lines[0].row
        flag = first["ACTUAL_FLAG"]
        name = f"{(reference1 or '')[:50]} {self._source.name} {flag} {group.id or ''} {self._run.request} N".strip()
        cursor = self._connection.execute(
            "INSERT INTO gl_je_batches (name, description, status, group_id, source, ledger_id, period_name,"
            " import_request, created_by, created, total_dr, total_cr)"
            " VALUES (?, ?, 'U', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                name[:100],
                first["REFERENCE2"],
                group.id,
                self._source.name,
                lines[0].ledger.id if lines[0].ledger else "",
                period,
                self._run.request,
                self._run.submitter,
                self._run.pod.stamp(),
                *_totals(lines),
            ),
        )
        group.batches.append((name[:100], period))
        return int(cursor.lastrowid or 0)

    def _journal(self, batch: int, key: JournalKey, lines: Sequence[Line]) -> int:
        first = lines[0].row
        # The pod builds the journal's name from REFERENCE4, category and currency.
        name = (
            f"{first['REFERENCE4'] or ''} {first['USER_JE_CATEGORY_NAME']} {first['CURRENCY_CODE']}".strip()
        )
        header = self._connection.execute(
            "INSERT INTO gl_je_headers (batch_id, ledger_id, name, description, external_reference, source,"
            " category, currency, actual_flag, period_name, effective_date, date_created, total_dr, total_cr)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                batch,
                lines[0].ledger.id if lines[0].ledger else "",
                name[:100],
                first["REFERENCE5"],
                first["REFERENCE6"],
                self._source.name,
                first["USER_JE_CATEGORY_NAME"],
                first["CURRENCY_CODE"],
                first["ACTUAL_FLAG"],
                key[1],
                first["ACCOUNTING_DATE"],
                first["DATE_CREATED"],
                *_totals(lines),
            ),
        ).lastrowid
        rows = (
            self._summary(lines) if self._run.argument(6) == "Y" else [self._detail(line) for line in lines]
        )
        self._connection.executemany(
            f"INSERT INTO gl_je_lines VALUES (?{', ?' * 17})",  # noqa: S608 - only parameter marks
            [(header, number, *row) for number, row in enumerate(rows, start=1)],
        )
        return len(rows)

    def _detail(self, line: Line) -> tuple[object, ...]:
        keep = self._source.import_references
        references = map(line.row.get, REFERENCES) if keep else [None] * len(REFERENCES)
        return (
            self._combination(line),
            line.row["ENTERED_DR"],
            line.row["ENTERED_CR"],
            *(None if amount is None else plain(amount) for amount in map(line.accounted, ("DR", "CR"))),
            line.row["REFERENCE10"],
            *references,
        )

    def _summary(self, lines: Sequence[Line]) -> list[tuple[object, ...]]:
        """Summary journals: one line per account and side, without the keys of the lines."""
        sums: dict[tuple[int, str], list[Line]] = defaultdict(list)
        for line in lines:
            sums[self._combination(line), "DR" if line.debit else "CR"].append(line)
        rows: list[tuple[object, ...]] = []
        for (combination, side), merged in sums.items():
            entered = plain(sum((line.debit + line.credit for line in merged), ZERO))
            accounted = plain(sum((line.accounted(side) or ZERO for line in merged), ZERO))
            pair = [entered, None, accounted, None] if side == "DR" else [None, entered, None, accounted]
            rows.append((combination, *pair, "Journal Import Created", *([None] * 10)))
        return rows

    def _combination(self, line: Line) -> int:
        account = line.account
        if account is None:
            raise AssertionError("an accepted line has a valid account")
        if account.segments not in self._combinations:
            self._combinations[account.segments] = self._checks.chart.create(account)
        return self._combinations[account.segments]


def _reject(connection: sqlite3.Connection, group: Group) -> None:
    """Bad lines get their codes; the good lines of the group are held with status P."""
    connection.executemany(
        "UPDATE gl_interface SET STATUS = ?, STATUS_DESCRIPTION = ?, LEDGER_ID = ? WHERE id = ?",
        [
            (
                ",".join(line.codes) or "P",
                "; ".join(line.descriptions) or None,
                line.ledger.id if line.ledger else line.row["LEDGER_ID"],
                line.row["id"],
            )
            for line in group.lines
        ],
    )


def _note_codes(run: Run, source: str, group: Group) -> None:
    debit = sum((line.debit for line in group.lines), ZERO)
    credit = sum((line.credit for line in group.lines), ZERO)
    codes = sorted({code for line in group.lines for code in line.codes})
    run.connection.execute(
        "INSERT INTO gl_ji_error_codes VALUES (?, ?, ?, ?, ?)",
        (
            run.request,
            group.id,
            source,
            ",".join(codes),
            f"CR {plain(credit)};DR {plain(debit)};DIF {plain(debit - credit)};",
        ),
    )


def _totals(lines: Sequence[Line]) -> tuple[str, str]:
    """Accounted debit and credit."""
    debit = sum((line.accounted("DR") or ZERO for line in lines), ZERO)
    credit = sum((line.accounted("CR") or ZERO for line in lines), ZERO)
    return plain(debit), plain(credit)
