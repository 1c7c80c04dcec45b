"""The Journal Import Execution Report: the child's output file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from athena_fusion.sandbox.fusion.amounts import ZERO, plain
from athena_fusion.sandbox.fusion.line_checks import SEGMENTS

if TYPE_CHECKING:
    from athena_fusion.sandbox.fusion.journal_import import Group
    from athena_fusion.sandbox.fusion.line_checks import Line

ERROR_KEY = {
    "EP01": "The date isn't in any open or future enterable period of the ledger.",
    "EP02": "The ledger has no open or future enterable period.",
    "EF01": "The account combination is inactive on the accounting date.",
    "EF02": "Detail posting isn't allowed to the account combination.",
    "EF03": "The account combination is disabled.",
    "EF04": "The account combination is invalid. Check the segment values and cross-validation rules.",
    "EC01": "The conversion type User needs a conversion rate.",
    "EC02": "The conversion date is missing.",
    "EC03": "A conversion type or an accounted amount is needed for a foreign currency line.",
    "EC06": "No daily rate exists for the currency, conversion type and date.",
    "EC08": "The currency code is invalid.",
    "EC11": "The conversion type is invalid.",
    "EC12": "Entered and accounted amounts must be equal in the ledger currency.",
    "EM01": "The journal category is invalid.",
    "EM03": "The ledger is invalid.",
    "EM04": "The actual flag is invalid.",
    "EM05": "The encumbrance type must be blank for actual lines.",
    "EB01": "A budget version is required.",
    "EE01": "An encumbrance type is required.",
    "EE02": "The encumbrance type is invalid or disabled.",
    "ER01": "The reversal period is missing.",
    "ER02": "The reversal period is invalid.",
    "EU02": "The journal is unbalanced and suspense posting isn't allowed.",
    "WU01": "Warning: the journal is unbalanced. It is accepted because suspense posting is allowed.",
}


def execution_report(request: int, source: str, groups: list[Group]) -> str:
    """Totals per group, error lines, batches created, unbalanced journals, and the key of every code."""
    text = ["Journal Import Execution Report", f"Request ID: {request}", ""]
    text.append("Source | Group ID | Status | Lines | Total Debits | Total Credits")
    text += [_totals(source, group) for group in groups]
    text += [f"Total: {len(groups)} group id(s)", "", "Error Lines"]
    text += [_error_line(source, line) for group in groups for line in group.lines if line.codes]
    text += ["", "Batches Created", "Batch Name | Period Name"]
    text += [f"{name} | {period}" for group in groups for name, period in group.batches]
    text += ["", "Unbalanced Journal Entries"]
    text += [f"{group.id} | {journal}" for group in groups for journal in group.unbalanced]
    text += ["", "===== Error Key ====="]
    text += [f"{code} {meaning}" for code, meaning in ERROR_KEY.items()]
    return "\n".join(text) + "\n"


def _totals(source: str, group: Group) -> str:
    debit = plain(sum((line.debit for line in group.lines), ZERO))
    credit = plain(sum((line.credit for line in group.lines), ZERO))
    return f"{source} | {group.id} | {group.status} | {len(group.lines)} | {debit} | {credit}"


def _error_line(source: str, line: Line) -> str:
    row = line.row
    account = ".".join(filter(None, map(row.get, SEGMENTS)))
    return (
        f"{','.join(line.codes)} | {source} | {row['ACCOUNTING_DATE']} | {row['CURRENCY_CODE']} |"
        f" {row['ENTERED_DR'] or ''} | {row['ENTERED_CR'] or ''} | {account}"
    )
