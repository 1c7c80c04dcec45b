"""The worked example as ledger rows: entity 101 on 2026-09-15, and its back-posted charge of 2026-09-17.

Events E01 to E21 of the example stand in this order; a transfer is two rows, an application of unapplied money
a payment and an unapplied row. The agency placement and the takeback concern claims of earlier months, whose
charges are older than this ledger.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from athena_fusion.sandbox import schema
from athena_fusion.sandbox.batches import CASH_METHODS, batch_id
from athena_fusion.sandbox.world import ZONE

ENTITY = "101"
DAY = date(2026, 9, 15)
FOLLOW_UP_DAY = date(2026, 9, 17)
_DEPARTMENT = "1011"
_PROVIDER = 10101
_ORDINAL = 1
_COMMERCIAL, _MEDICARE, _MEDICAID, _SELF = 101_000, 101_001, 101_004, 101_006  # patients

Frames = dict[str, pl.DataFrame]


def _golden_day() -> Frames:
    book = _Book(DAY)
    office = book.claim(1, _COMMERCIAL)
    video = book.claim(2, _MEDICARE)
    medicaid = book.claim(3, _MEDICAID)
    mistake = book.claim(4, _COMMERCIAL)
    prepaid = book.claim_number(5)  # a receipt without a claim
    unknown = book.claim_number(6)  # an insurer's cheque without a claim
    placed = book.claim(7, _SELF, service=date(2026, 3, 12))
    taken = book.claim(8, _COMMERCIAL, service=date(2026, 7, 20))

    # E01 to E05: charges, one entered in error
    book.charge(office, 25000, "99214")
    book.charge(video, 18000, "99213", place="10")
    book.charge(medicaid, 21000, "99203")
    wrong = book.charge(mistake, 9500, "20610")
    book.charge(mistake, -9500, "20610", voids=wrong)
    # E06 to E08: the commercial remittance
    book.row(office, "PAYMENT", -13250, transactionmethod="EFT")
    book.row(office, "ADJUSTMENT", -8750, transactionreason="CONTRACTUAL", casgroupcode="CO", carc="45")
    copay = book.transfer(office, 3000, "COPAY", "3")
    # E09 to E13: the Medicare remittance, with sequestration and a MIPS bonus
    book.row(video, "PAYMENT", -7136, transactionmethod="EFT")
    book.row(video, "ADJUSTMENT", -9000, transactionreason="CONTRACTUAL", casgroupcode="CO", carc="45")
    coinsurance = book.transfer(video, 1800, "COINSURANCE", "2")
    book.row(video, "ADJUSTMENT", -144, transactionreason="SEQUESTRATION", casgroupcode="CO", carc="253")
    book.row(
        video, "ADJUSTMENT", 80, transactionreason="MIPS", casgroupcode="CO", carc="144", rarc="N807"
    )  # fmt: skip
    # E14: co-pay by card
    payment = book.next_id(office)
    book.patient_row(
        office, "PAYMENT", -3000, transactionmethod="CARD", chargeid=copay, patientpaymentid=payment
    )
    # E15, E16, E18: prepayment, its use for the coinsurance, refund of a part
    receipt = book.unapplied(prepaid, _MEDICARE, "RECEIPT", 10000, method="CARD")
    used = book.patient_row(
        video, "PAYMENT", -1800, transactionmethod="UNAPPLIED", chargeid=coinsurance, patientpaymentid=receipt
    )
    book.unapplied(prepaid, _MEDICARE, "APPLIED", -1800, receipt=receipt, transactionid=used)
    # E17: a cheque nobody can post
    book.unpostable(unknown, 41207)
    book.unapplied(prepaid, _MEDICARE, "REFUND", -5000, receipt=receipt, method="CHECK")
    # E19: an old balance goes to the collection agency
    book.patient_row(placed, "ADJUSTMENT", -6425, transactionreason="COLLECTIONS")
    # E20, E21: the insurer takes back an old payment and its contractual
    book.row(taken, "PAYMENT", 4100, transactionmethod="EFT", reversalflag="Y")
    book.row(
        taken,
        "ADJUSTMENT",
        2200,
        transactionreason="CONTRACTUAL",
        casgroupcode="CO",
        carc="45",
        reversalflag="Y",
    )
    return book.frames()


def _follow_up() -> Frames:
    book = _Book(FOLLOW_UP_DAY, post_date=DAY)
    book.charge(book.claim(1, _COMMERCIAL, service=DAY), 8800, "99212")
    return book.frames()


DAYS: dict[tuple[str, date], Callable[[], Frames]] = {
    (ENTITY, DAY): _golden_day,
    (ENTITY, FOLLOW_UP_DAY): _follow_up,
}
"""What an entity enters on a day instead of drawn activity."""


class _Book:
    """Collects rows; every row is entered one minute after the one before, from 09:00 Eastern."""

    def __init__(self, day: date, post_date: date | None = None) -> None:
        self._day = day
        self._post = (post_date or day).isoformat()
        self._at = datetime(day.year, day.month, day.day, 9, tzinfo=ZoneInfo(ZONE))
        self._rows: dict[str, list[dict[str, Any]]] = {
            n: [] for n in ("claim", "txn", "unapplied", "unpostable")
        }
        self._patients: dict[int, int] = {}
        self._steps: dict[int, int] = {}
        self._services: dict[int, str] = {}

    def claim_number(self, sequence: int) -> int:
        return (int(f"{self._day:%y%m%d}") * 10_000 + _ORDINAL) * 1_000_000 + sequence

    def claim(self, sequence: int, patient: int, service: date | None = None) -> int:
        number = self.claim_number(sequence)
        self._patients[number] = patient
        self._services[number] = (service or self._day).isoformat()
        old = service is not None and service < DAY
        if old:
            self._steps[number] = 1  # the charge itself is older than this ledger
        created = self._at - timedelta(days=60) if old else self._at
        self._rows["claim"].append(
            {
                "claimid": number,
                "patientid": patient,
                "claimservicedate": self._services[number],
                "servicedepartmentid": _DEPARTMENT,
                "renderingproviderid": _PROVIDER,
                "claimprimarypatientinsid": None if patient == _SELF else patient * 10 + 1,
                "lastupdated": _text(created),
                "entity": ENTITY,
                "created_utc": int(created.timestamp()),
            }
        )
        return number

    def next_id(self, number: int) -> int:
        """Id that the next row of this claim or receipt will have."""
        return number * 100 + self._steps.get(number, 0) + 1

    def _stamp(self, number: int, *, same_time: bool = False) -> tuple[int, str, int]:
        if not same_time:
            self._at += timedelta(minutes=1)
        row_id = self.next_id(number)
        self._steps[number] = self._steps.get(number, 0) + 1
        return row_id, _text(self._at), int(self._at.timestamp())

    def row(self, claim: int, kind: str, amount: int, *, same_time: bool = False, **values: Any) -> int:
        """A transaction for which the primary insurance is responsible, unless `values` say otherwise."""
        row_id, at, created = self._stamp(claim, same_time=same_time)
        patient = self._patients[claim]
        self._rows["txn"].append(
            {
                "transactionid": row_id,
                "claimid": claim,
                "patientid": patient,
                "chargeid": claim * 100 + 1,
                "parentchargeid": claim * 100 + 1,
                "transactiontype": kind,
                "transactiontransfertype": "Primary",
                "amount": amount,
                "chargefromdate": self._services[claim],
                "chargetodate": self._services[claim],
                "postdate": self._post,
                "transactioncreateddatetime": at,
                "reversalflag": "N",
                "transactionpatientinsid": patient * 10 + 1,
                "entity": ENTITY,
                "created_utc": created,
            }
            | values
        )
        return row_id

    def patient_row(self, claim: int, kind: str, amount: int, **values: Any) -> int:
        own = {"transactiontransfertype": "Patient", "transactionpatientinsid": None}
        return self.row(claim, kind, amount, **(own | values))

    def charge(
        self, claim: int, amount: int, procedure: str, *, place: str = "11", voids: int | None = None
    ) -> int:
        row_id = self.next_id(claim)
        self.row(
            claim, "CHARGE", amount, chargeid=row_id, procedurecode=procedure, placeofservice=place, units=1,
            chargevoidparentid=voids, reversalflag="N" if voids is None else "Y",
        )  # fmt: skip
        if voids is not None:
            void = self._rows["txn"][-1]
            voided = next(r for r in self._rows["txn"] if r["transactionid"] == voids)
            voided["voideddate"] = void["postdate"]
            voided["voided_at"] = void["transactioncreateddatetime"]
            voided["voided_utc"] = void["created_utc"]
        return row_id

    def transfer(self, claim: int, amount: int, reason: str, carc: str) -> int:
        """Both legs, primary insurance to patient; the id of the leg that came in."""
        told: dict[str, Any] = {"transactionreason": reason, "casgroupcode": "PR", "carc": carc}
        out = self.row(claim, "TRANSFEROUT", -amount, transactiontransferintent="Patient", **told)
        return self.patient_row(claim, "TRANSFERIN", amount, same_time=True, chargeid=out, **told)

    def unapplied(
        self,
        number: int,
        patient: int,
        kind: str,
        amount: int,
        *,
        method: str | None = None,
        receipt: int | None = None,
        transactionid: int | None = None,
    ) -> int:
        row_id, at, created = self._stamp(number, same_time=transactionid is not None)
        self._rows["unapplied"].append(
            {
                "unappliedid": row_id,
                "patientpaymentid": receipt or row_id,
                "patientid": patient,
                "departmentid": _DEPARTMENT,
                "unappliedtype": kind,
                "method": method,
                "amount": amount,
                "postdate": self._post,
                "transactionid": transactionid,
                "createddatetime": at,
                "entity": ENTITY,
                "created_utc": created,
                "claimid": number,
            }
        )
        return row_id

    def unpostable(self, number: int, amount: int) -> None:
        row_id, at, created = self._stamp(number)
        self._rows["unpostable"].append(
            {
                "unpostableid": row_id,
                "insurancepackageid": 1009,
                "departmentid": _DEPARTMENT,
                "unpostabletype": "RECEIPT",
                "method": "LOCKBOX",
                "amount": amount,
                "postdate": self._post,
                "createddatetime": at,
                "entity": ENTITY,
                "created_utc": created,
                "claimid": number,
            }
        )

    def frames(self) -> Frames:
        """The frames of the day, with the payment batch on every row that moves cash."""
        result = {}
        for name, rows in self._rows.items():
            columns = schema.TABLES[name] | {"claimid": pl.Int64}
            frame = pl.DataFrame(rows, schema=columns, orient="row")
            if name != "claim":
                method = "transactionmethod" if name == "txn" else "method"
                cash = pl.col(method).is_in(list(CASH_METHODS))
                if name == "unapplied":
                    cash &= (pl.col("unappliedtype") == "RECEIPT") | (pl.col(method) == "CARD")
                frame = frame.with_columns(paymentbatchid=pl.when(cash).then(batch_id(pl.col(method))))
            result[name] = schema.conform(frame, schema.TABLES[name])
        return result


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"
