"""`FusionGateway` over the clients of the Fusion room: upload, then submit, then follow (decision 10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from athena_fusion.clock import iso_z
from athena_fusion.delivery.gateway import READBACK_SCHEMA, JobKind
from athena_fusion.fusion.erp import ErpIntegrations
from athena_fusion.fusion.jobs import JobCall, JobTree, autopost_job, import_job, load_job, purge_job
from athena_fusion.fusion.reports import ReportError, Reports
from athena_fusion.fusion.scheduler import EssRequest, Scheduler

# The bare definition name of each job, as the scheduler tells it.
_DEFINITIONS = {
    JobKind.LOAD: load_job("", "").definition,
    JobKind.IMPORT: import_job("", "", "", "0").definition,
    JobKind.PURGE: purge_job("", "").definition,
    JobKind.AUTOPOST: autopost_job("").definition,
}
_SEGMENTS = [f"SEGMENT{number}" for number in range(1, 11)]
_NAMES = {
    "ORIGIN": "origin",
    "STATUS": "status",
    "STATUS_DESCRIPTION": "text",
    "LINE_KEY": "line_key",
    "LOAD_REQUEST_ID": "load_request_id",
    "LEDGER_ID": "ledger_id",
    "JE_SOURCE": "source",
    "JE_CATEGORY": "category",
    "CURRENCY_CODE": "currency",
    "BATCH_NAME": "batch_name",
    "BATCH_STATUS": "batch_status",
    "JOURNAL_NAME": "journal",
}


@dataclass(frozen=True)
class RestGateway:
    """One pod. `account` is the document account of journals, `separator` joins segments into a combination."""

    erp: ErpIntegrations
    scheduler: Scheduler
    reports: Reports
    account: str
    interface_options_id: str
    separator: str

    def upload(self, file_name: str, content: bytes) -> str:
        return self.erp.upload(file_name, content, self.account)

    def find_documents(self, prefix: str) -> Sequence[str]:
        return self.erp.find_documents(prefix, self.account)

    def document(self, document_id: str) -> bytes:
        return self.erp.document(document_id)

    def submit_load(self, document_id: str) -> str:
        return self._submit(load_job(self.interface_options_id, document_id))

    def submit_import(self, *, data_access_set_id: str, source: str, ledger_id: str, group_id: str) -> str:
        return self._submit(import_job(data_access_set_id, source, ledger_id, group_id))

    def submit_purge(self, load_request_id: str) -> str:
        return self._submit(purge_job(self.interface_options_id, load_request_id))

    def submit_autopost(self, criteria_set_id: str) -> str:
        return self._submit(autopost_job(criteria_set_id))

    def status(self, request_id: str) -> str:
        return self.erp.status(request_id)

    def execution(self, request_id: str) -> JobTree:
        return self.erp.execution(request_id)

    def log(self, request_id: str) -> str:
        return self.erp.log(request_id)

    def search_requests(self, job: JobKind, since: datetime) -> Sequence[EssRequest]:
        # The job is matched here and not in the filter: pods write definition ids in more than one form, and a
        # filter that matches nothing would read as "never submitted".
        found = self.scheduler.search(f'submissionTime ge "{iso_z(since)}"')
        return [request for request in found if request.definition == _DEFINITIONS[job]]

    def readback(self, group_id: str, ledger_id: str) -> pl.DataFrame:
        return read_rows(self.reports.journal_readback(group_id, ledger_id), self.separator)

    def _submit(self, job: JobCall) -> str:
        return self.erp.submit(job.package, job.definition, job.arguments)


def read_rows(report: pl.DataFrame, separator: str) -> pl.DataFrame:
    """The read-back report as `READBACK_SCHEMA`; raises `ReportError` for a date that is none."""
    try:
        return (
            report.select(
                *(pl.col(theirs).alias(ours) for theirs, ours in _NAMES.items()),
                "debit_cents",
                "credit_cents",
                accounting_date=pl.col("ACCOUNTING_DATE").str.to_date("%Y-%m-%d"),
                combination=pl.concat_str(_SEGMENTS, separator=separator, ignore_nulls=True),
            )
            .select(*READBACK_SCHEMA.names())
            .cast(READBACK_SCHEMA)
        )
    except pl.exceptions.InvalidOperationError:
        raise ReportError(
            "the read-back report holds an accounting date that is none; nothing is proven"
        ) from None
