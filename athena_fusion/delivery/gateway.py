"""What the delivery asks of Fusion, as one small protocol.

The real side is `fusion_gateway.RestGateway`; the tests put a simulated Fusion with every kind of failure
behind the same protocol. Reads may raise any `http.HttpError` and are repeated. Writes raise `Refused`,
`Unauthorized`, `QuotaExceeded`, `Unavailable` or `NotScheduled` when it is certain that nothing happened, and
another `HttpError` when the effect is unknown; a write is never repeated on that ground.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import polars as pl

from athena_fusion.fusion.jobs import JobTree
from athena_fusion.fusion.scheduler import EssRequest

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


class JobKind(StrEnum):
    """The four ESS jobs that the delivery submits."""

    LOAD = "load"
    IMPORT = "import"
    PURGE = "purge"
    AUTOPOST = "autopost"


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

    def execution(self, request_id: str) -> JobTree:
        """The tree of jobs a request became."""
        ...

    def log(self, request_id: str) -> str:
        """Logs and execution reports of a request and its children as one text."""
        ...

    def search_requests(self, job: JobKind, since: datetime) -> Sequence[EssRequest]:
        """Requests of one job submitted at or after `since` with their arguments, oldest first."""
        ...

    def readback(self, group_id: str, ledger_id: str) -> pl.DataFrame:
        """Every journal line and interface row of a group, as `READBACK_SCHEMA`."""
        ...
