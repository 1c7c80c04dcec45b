"""Data View as a source: every complete delivery in the window, read whole.

A delivery is the unit of "changed since": it holds what changed since the one before. Lines are therefore not
filtered by their own LASTUPDATED. A line that reached the export late, or that was written in the doubled autumn
hour, would otherwise be lost for good; a line that is read twice costs nothing, because its row hash is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from athena_fusion.athenaone.dataview import Delivery, deliveries
from athena_fusion.revenue.dataview_rows import MONEY_TABLES, TABLES
from athena_fusion.revenue.source import RawFile, SourceExtract, Window
from athena_fusion.revenue.transactions import Canonical, canonicalise, latest

ACTIVITY, AR = "activity_by_post_date", "ar_by_medical_group"


class NothingDelivered(RuntimeError):
    """No complete delivery lies in the window: silence is not an empty day."""


@dataclass(frozen=True)
class DataViewSource:
    """`RcmTransactionSource` over a delivery folder; `billing_entities` is crosswalk X1 with `line`."""

    folder: Path
    billing_entities: pl.DataFrame
    practice_id: str

    def extract(self, entity: str, window: Window) -> SourceExtract:
        """See `RcmTransactionSource`. Raises `NothingDelivered`, and what reading a delivery raises."""
        before = deliveries(self.folder, None, window.after) if window.after is not None else []
        chosen = deliveries(self.folder, window.after, window.up_to)
        if not chosen:
            since = "the start" if window.after is None else window.after.isoformat()
            raise NothingDelivered(
                f"no complete Data View delivery after {since} up to {window.up_to.isoformat()}; nothing was "
                "extracted. Wait for the delivery (control.csv is written last) or ask for it, then run again."
            )
        canonical = self._canonical(entity, before, chosen)
        newest = chosen[-1]
        return SourceExtract(
            entity=entity,
            window=window,
            rows=canonical.rows,
            quarantined=canonical.quarantined,
            files=tuple(
                RawFile(f"{delivery.name}/{name}", path, sha256)
                for delivery in chosen
                for name, path, sha256 in delivery.files()
            ),
            activity=newest.read(ACTIVITY) if newest.has(ACTIVITY) else None,
            ar=newest.read(AR) if newest.has(AR) else None,
            read=canonical.read,
            elsewhere=canonical.elsewhere,
            superseded=canonical.superseded,
            high=newest.as_of,
        )

    def _canonical(self, entity: str, before: Sequence[Delivery], chosen: Sequence[Delivery]) -> Canonical:
        found = []
        batches: dict[str, pl.DataFrame] = {}
        for number, delivery in enumerate(chosen):
            tables = {table: delivery.read(table) for table in TABLES}
            batches = _with_batches(tables, batches, [] if number else before)
            found.append(
                canonicalise(
                    tables | batches,
                    self.billing_entities,
                    practice_id=self.practice_id,
                    entity=entity,
                    files={table: _file_name(delivery, table) for table in TABLES},
                )
            )
        return latest(found)


def _with_batches(
    tables: Mapping[str, pl.DataFrame], known: Mapping[str, pl.DataFrame], before: Sequence[Delivery]
) -> dict[str, pl.DataFrame]:
    """PAYMENTBATCH and DEPOSITBATCH so far, oldest first: these tables hold changes only, and a payment may name a
    batch that an earlier delivery brought. Those are opened, newest first, only until every batch is known."""
    names = ("PAYMENTBATCH", "DEPOSITBATCH")
    batches = {name: pl.concat([*_given(known, name), tables[name]]) for name in names}
    wanted = pl.concat([tables[name].select("PAYMENTBATCHID") for name in MONEY_TABLES]).drop_nulls().unique()
    for delivery in reversed(before):
        unknown = wanted.join(batches["PAYMENTBATCH"], on="PAYMENTBATCHID", how="anti")
        named = batches["PAYMENTBATCH"].join(wanted, on="PAYMENTBATCHID", how="semi")
        deposits = named.drop_nulls("DEPOSITBATCHID").join(
            batches["DEPOSITBATCH"], on="DEPOSITBATCHID", how="anti"
        )
        if unknown.is_empty() and deposits.is_empty():
            break
        batches = {name: pl.concat([delivery.read(name), batches[name]]) for name in names}
    return batches


def _given(known: Mapping[str, pl.DataFrame], name: str) -> list[pl.DataFrame]:
    return [known[name]] if name in known else []


def _file_name(delivery: Delivery, table: str) -> str:
    return next(
        f"{delivery.name}/{file.name}" for file in delivery.control if file.name.split(".")[0] == table
    )
