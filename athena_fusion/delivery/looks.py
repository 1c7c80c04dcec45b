"""Looks into Fusion: is the effect of a call already there?

Each look answers with the state that is proven and the ids that go with it, or None. They decide whether a call
is made at all, and after a lost answer whether it is made again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl

from athena_fusion.delivery.gateway import FusionGateway, JobKind
from athena_fusion.delivery.package import Package
from athena_fusion.delivery.states import IntentRow, State
from athena_fusion.storage.artifacts import sha256_hex

# A request is searched from this long before it was armed: the two clocks may differ.
_CLOCK_MARGIN = timedelta(hours=1)


@dataclass(frozen=True)
class Found:
    """An earlier effect: the state it proves and the ids that go with it."""

    state: State
    columns: Mapping[str, str | None] = field(default_factory=dict)


class Looks:
    """The looks of one delivery; `criteria_set` is the AutoPost criteria set, if any."""

    def __init__(self, gateway: FusionGateway, criteria_set: str | None) -> None:
        self._gateway, self._criteria_set = gateway, criteria_set

    def upload(self, row: IntentRow) -> Found | None:
        """A stored document of ours, or rows that must have come from it."""
        document = self._own_document(row.package)
        return self._rows(row, document) or (
            Found(State.UPLOADED, {"document_id": document}) if document else None
        )

    def load(self, row: IntentRow) -> Found | None:
        """The load request of our document; after a lost answer also its rows."""
        request = self._request(row, JobKind.LOAD, 2, known(row.document_id))
        if request:
            return Found(State.SUBMITTED, {"load_request_id": request})
        return self._rows(row, row.document_id) if row.state is State.SUBMITTING else None

    def imports(self, row: IntentRow) -> Found | None:
        """The import request of our group."""
        # No look at the rows: an import too many finds none to import and changes nothing.
        request = self._request(row, JobKind.IMPORT, 4, row.package.group_id)
        return Found(State.IMPORT_SUBMITTED, {"import_request_id": request}) if request else None

    def purge(self, row: IntentRow) -> Found | None:
        """Whether nothing of the group waits any more."""
        _, waiting = split(rows_in_fusion(self._gateway, row.package))
        return None if len(waiting) else Found(State.PURGED)

    def post(self, row: IntentRow) -> Found | None:
        """An AutoPost run that began after the proof."""
        # One AutoPost run takes every journal of the criteria set: a run begun after the proof serves all
        # packages proven by then. No margin for clocks here: a run too many posts nothing twice.
        criteria = known(self._criteria_set)
        for request in self._gateway.search_requests(JobKind.AUTOPOST, row.armed_at):
            if request.argument(1) == criteria:
                return Found(State.POST_SUBMITTED, {"post_request_id": request.id})
        return None

    def _rows(self, row: IntentRow, document: str | None) -> Found | None:
        """Rows of the group, wherever they come from: in the ledger they are loaded, in the interface they
        only need the import. GL has no guard of its own against a second load.
        """
        base, waiting = split(rows_in_fusion(self._gateway, row.package))
        if len(base):
            return Found(State.IMPORTED, {"document_id": document})
        if len(waiting):
            request = load_requests(waiting)[0]
            return Found(State.SUBMITTED, {"document_id": document, "load_request_id": request})
        return None

    def _own_document(self, package: Package) -> str | None:
        """A stored document under our prefix that holds our bytes; a cut-off one does not count."""
        for document_id in self._gateway.find_documents(package.intent.short):
            if sha256_hex(self._gateway.document(document_id)) == package.sha256:
                return document_id
        return None

    def _request(self, row: IntentRow, job: JobKind, argument: int, value: str) -> str | None:
        """The newest request of a job that names our document or group; never simply the next one."""
        requests = self._gateway.search_requests(job, row.armed_at - _CLOCK_MARGIN)
        ours = [request.id for request in requests if request.argument(argument) == value]
        return ours[-1] if ours else None


def rows_in_fusion(gateway: FusionGateway, package: Package) -> pl.DataFrame:
    """Every journal line and interface row of the package's group."""
    return gateway.readback(package.group_id, package.ledger_id)


def split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Imported journal lines, and rows that still wait in the interface."""
    return rows.filter(pl.col("origin") == "BASE"), rows.filter(pl.col("origin") == "INTERFACE")


def load_requests(rows: pl.DataFrame) -> list[str]:
    """The load requests whose rows still wait in the interface."""
    waiting = rows.filter(pl.col("origin") == "INTERFACE")
    return [str(value) for value in waiting.get_column("load_request_id").unique().sort()]


def known(value: str | None) -> str:
    """An id that is recorded in this state by construction."""
    assert value, "this state is only reached with its id recorded"
    return value
