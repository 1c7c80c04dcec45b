"""What the delivery asks of Fusion, as one small protocol.

The real side is `fusion_gateway.RestGateway`; the tests put a simulated Fusion with every kind of failure
behind the same protocol. Reads may raise any `http.HttpError`; they are repeated. Writes raise `Refused`,
`Unauthorized`, `QuotaExceeded` or `NotScheduled` when it is certain that nothing happened, and any other
`HttpError` when the effect is unknown; a write is never repeated on that ground.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import polars as pl

# One row per journal line found for a group id. `origin` BASE = imported journal line, INTERFACE = row that
# still waits in GL_INTERFACE with its `status` (NEW, P, or error codes joined by commas) and Fusion's `text`.
READBACK_SCHEMA = pl.Schema(
    {
        "origin": pl.String,
        "status": pl.String,
        "text": pl.String,
        "line_key": pl.String,
        "load_request_id": pl.String,
        "ledger_id": pl.String,
        "accounting_date": pl.Date,
        "source": pl.String,
        "category": pl.String,
        "currency": pl.String,
        "combination": pl.String,
        "debit_cents": pl.Int64,
        "credit_cents": pl.Int64,
        "batch_name": pl.String,
        "batch_status": pl.String,
        "journal": pl.String,
    }
)


class NotScheduled(Exception):
    """Fusion answered without scheduling the job (request id -1): nothing was submitted."""


class JobKind(StrEnum):
    """The four ESS jobs that the delivery submits."""

    LOAD = "load"
    IMPORT = "import"
    PURGE = "purge"
    AUTOPOST = "autopost"


@dataclass(frozen=True)
class Execution:
    """A job with all its children: the worst state of the tree, and whether every job has ended."""

    status: str
    finished: bool


@dataclass(frozen=True)
class SubmittedRequest:
    """A request the scheduler knows, with its `submit.argument1..n` in order ("" where absent)."""

    request_id: str
    arguments: tuple[str, ...]

    def argument(self, number: int) -> str:
        """`submit.argument<number>`, counted from one; "" beyond the last."""
        return self.arguments[number - 1] if number <= len(self.arguments) else ""


class FusionGateway(Protocol):
    """Calls into Fusion. Ids are text; request ids are ESS request ids."""

    def upload(self, file_name: str, content: bytes) -> str:
        """Store a ZIP in the document account; the document id."""
        ...

    def find_documents(self, prefix: str) -> Sequence[str]:
        """Document ids of the account whose file name starts with `prefix`."""
        ...

    def document(self, document_id: str) -> bytes:
        """The stored bytes."""
        ...

    def submit_load(self, document_id: str) -> str:
        """Submit *Load Interface File for Import* for a stored document (argument 2)."""
        ...

    def submit_import(self, *, data_access_set_id: str, source: str, ledger_id: str, group_id: str) -> str:
        """Submit *Import Journals* for one group (argument 4)."""
        ...

    def submit_purge(self, load_request_id: str) -> str:
        """Submit the purge of the interface rows of one load request (arguments 3 and 4)."""
        ...

    def submit_autopost(self, criteria_set_id: str) -> str:
        """Submit *AutoPost Journals* for a criteria set (argument 1)."""
        ...

    def status(self, request_id: str) -> str:
        """State word of one request; "" when Fusion does not say."""
        ...

    def execution(self, request_id: str) -> Execution:
        """The whole job tree of a request, folded into its worst state."""
        ...

    def log(self, request_id: str) -> str:
        """Logs and execution reports of a request and its children as one text."""
        ...

    def search_requests(self, job: JobKind, since: datetime) -> Sequence[SubmittedRequest]:
        """Requests of one job definition submitted at or after `since`, oldest first."""
        ...

    def readback(self, group_id: str, ledger_id: str) -> pl.DataFrame:
        """Every journal line and interface row of a group, as `READBACK_SCHEMA`."""
        ...
