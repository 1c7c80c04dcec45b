"""ESS jobs: their argument lists, their states, and the tree a request grows into.

Argument orders and paths were seen on live pods, except where a docstring says ASSUMED.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NULL = "#NULL"
"""An absent argument: trailing blanks can be dropped in transit, this cannot."""

TERMINAL = frozenset({"SUCCEEDED", "WARNING", "ERROR", "FAILED", "CANCELLED", "EXPIRED", "VALIDATION_FAILED"})
"""States that never change again. Everything else is in progress: PAUSED is a parent waiting for its children,
and a blank or unknown state is one that Fusion does not tell yet."""

FAILED = TERMINAL - {"SUCCEEDED", "WARNING"}

STATE_NAMES: Mapping[int, str] = dict(
    enumerate(
        (
            *(
                "WAIT",
                "READY",
                "RUNNING",
                "COMPLETED",
                "BLOCKED",
                "HOLD",
                "CANCELLING",
                "EXPIRED",
                "CANCELLED",
            ),
            *("ERROR", "WARNING", "SUCCEEDED", "PAUSED", "PENDING_VALIDATION", "VALIDATION_FAILED"),
            *("SCHEDULE_ENDED", "FINISHED", "ERROR_AUTO_RETRY", "ERROR_MANUAL_RECOVERY"),
        ),
        start=1,
    )
)
"""The scheduler's numeric states."""

_LOADER = "/oracle/apps/ess/financials/commonModules/shared/common/interfaceLoader"
_LEDGER = "/oracle/apps/ess/financials/generalLedger/programs/common"
_DEEPEST = 20


@dataclass(frozen=True)
class JobCall:
    """A job to submit: package path, definition name, `submit.argument1..n`."""

    package: str
    definition: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One request in a job tree; `definition` is the job path Fusion names, `status` "" where it is silent."""

    name: str
    definition: str
    request_id: str
    status: str
    children: tuple["Job", ...] = ()


@dataclass(frozen=True)
class JobTree:
    """All requests that one submission became. `document_id` holds the job output in UCM, where there is one."""

    jobs: tuple[Job, ...]
    document_id: str = ""

    def walk(self) -> Iterator[Job]:
        """Every job, parents before children."""
        waiting = list(self.jobs)
        while waiting:
            job = waiting.pop(0)
            yield job
            waiting = [*job.children, *waiting]


def worst(tree: JobTree) -> str:
    """The worst status in the tree: a failure, else one still in progress, else WARNING, else SUCCEEDED.

    A parent can be SUCCEEDED over a child in WARNING or ERROR. "" for an empty tree.
    """
    return max((job.status for job in tree.walk()), key=_severity, default="")


def finished(tree: JobTree) -> bool:
    """Every job of the tree has ended (an empty tree has not)."""
    return bool(tree.jobs) and all(job.status in TERMINAL for job in tree.walk())


def _severity(status: str) -> int:
    if status in FAILED:
        return 3
    return {"SUCCEEDED": 0, "WARNING": 1}.get(status, 2)


def load_job(interface_options_id: str, document_id: str) -> JobCall:
    """*Load Interface File for Import* for a ZIP already stored in UCM."""
    return JobCall(_LOADER, "InterfaceLoaderController", (interface_options_id, document_id, "N", "N"))


def import_job(data_access_set_id: str, source: str, ledger_id: str, group_id: str) -> JobCall:
    """*Import Journals* for one group: no suspense, no summary journals, no descriptive flexfields.

    Summary journals would merge lines and lose their keys; group ALL would take anybody's pending rows.
    """
    if not re.fullmatch(r"[0-9]{1,18}", group_id):
        raise ValueError(f"Import Journals takes one numeric group id of at most 18 digits, not {group_id!r}")
    arguments = (data_access_set_id, source, ledger_id, group_id, "N", "N", "N")
    return JobCall(_LEDGER, "JournalImportLauncher", arguments)


def purge_job(interface_options_id: str, load_request_id: str) -> JobCall:
    """Purge of the interface rows of one load request (the package is ASSUMED, the arguments were seen)."""
    arguments = (interface_options_id, NULL, load_request_id, load_request_id, NULL, "ORA_FBDI", "USER")
    return JobCall(_LOADER, "InterfaceLoaderPurge", arguments)


def autopost_job(criteria_set_id: str) -> JobCall:
    """*AutoPost Journals* for a criteria set (decision 10)."""
    return JobCall(_LEDGER, "AutomaticPosting", (criteria_set_id,))


def parameter_list(arguments: Sequence[str]) -> str:
    """Arguments as the one comma-separated text Fusion takes; blank becomes `#NULL`, commas are quoted."""
    shown = []
    for argument in arguments:
        if re.search(r'["\r\n]', argument):
            raise ValueError("a job argument cannot hold a double quote or a line break")
        shown.append(f'"{argument}"' if "," in argument else argument or NULL)
    return ",".join(shown)


def read_tree(execution_details: str | Mapping[str, Any]) -> JobTree:
    """The tree in an execution-details text. JOBS and CHILD may be a list or a single object.

    Raises `ValueError` for text that is no such JSON; a blank text is a tree that is not there yet.
    """
    if isinstance(execution_details, str):
        if not execution_details.strip():
            return JobTree(())
        execution_details = json.loads(execution_details)
    if not isinstance(execution_details, Mapping):
        raise ValueError("the execution details are not an object")
    jobs = tuple(_job(node, 1) for node in _nodes(execution_details.get("JOBS")))
    return JobTree(jobs, str(execution_details.get("DOCUMENTID") or ""))


def _nodes(value: Any) -> Sequence[Any]:
    if value is None or value == "":
        return ()
    return value if isinstance(value, list) else (value,)


def _job(node: Any, depth: int) -> Job:
    if not isinstance(node, Mapping) or depth > _DEEPEST:
        raise ValueError("the execution details hold something that is no job")
    return Job(
        name=str(node.get("JOBNAME") or ""),
        definition=str(node.get("JOBPATH") or ""),
        request_id=str(node.get("REQUESTID") or ""),
        status=str(node.get("STATUS") or "").strip().upper(),
        children=tuple(_job(child, depth + 1) for child in _nodes(node.get("CHILD"))),
    )
