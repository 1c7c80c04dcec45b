"""The activity of one business day, made of scenarios by vectorised selections.

The same (seed, entity, date, lines) always gives the same rows. A claim is self-contained: the payments,
transfers and write-offs of a claim are entered on the day of its charge (the ledger adds voids of the day
before). A small share of the claims is entered late: with an earlier post date that athenaOne still has open.
"""

import random
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from athena_fusion.sandbox import golden, schema
from athena_fusion.sandbox.batches import CASH_METHODS, batch_id, make_batches
from athena_fusion.sandbox.procedures import PROCEDURES
from athena_fusion.sandbox.scenarios import PACKAGES, ROWS, SCENARIOS, STEPS, VOID_NEXT_DAY, Step
from athena_fusion.sandbox.world import (
    FIRST_DAY,
    MEDICARE,
    PACKAGE_BY_LAST_DIGIT,
    PATIENTS_PER_ENTITY,
    SELF_PAY,
    ZONE,
    Entity,
    World,
)

CLOSE_DAY_OF_MONTH = 5
"""On this day of a month athenaOne closes the month before: its post dates can no longer be used."""

_LATE_ONE_IN = 33
_OPENING_SECONDS = 8 * 3600  # work starts at 08:00 Eastern ...
_WORKING_SECONDS = 11 * 3600  # ... and the last claim is begun before 19:00


@dataclass(frozen=True)
class Activity:
    """Rows entered on one business day, with the columns of `schema`."""

    claim: pl.DataFrame
    txn: pl.DataFrame
    unapplied: pl.DataFrame
    unpostable: pl.DataFrame
    paymentbatch: pl.DataFrame
    depositbatch: pl.DataFrame

    @property
    def lines(self) -> int:
        """Ledger rows: transactions, unapplied and unpostable money."""
        return len(self.txn) + len(self.unapplied) + len(self.unpostable)


def first_open_post_date(day: date) -> date:
    """The earliest post date a user can still choose on `day` (the day after the system close date)."""
    month = day.replace(day=1)
    if day.day >= CLOSE_DAY_OF_MONTH:
        return month
    return (month - timedelta(days=1)).replace(day=1)


def claim_key(day: date, ordinal: int, sequence: int) -> int:
    """Claim id: day, entity and sequence. Row ids are this times 100 plus the step."""
    return (int(f"{day:%y%m%d}") * 10_000 + ordinal) * 1_000_000 + sequence


def generate_day(world: World, day: date, lines_per_entity: int, seed: int | str) -> Activity:
    """The rows that all entities enter on `day`: at least `lines_per_entity` each.

    Entity 101 has the golden day on 2026-09-15 and its back-posted charge on 2026-09-17, and nothing else.
    """
    drawn = [
        _draw(entity, day, lines_per_entity, seed)
        for entity in world.entities
        if (entity.id, day) not in golden.DAYS
    ]
    parts = []
    if drawn:
        claims = _with_claim_columns(pl.concat(drawn), day)
        parts.append(
            {
                "claim": _claims(claims),
                **{table: _rows(claims, table) for table in ("txn", "unapplied", "unpostable")},
            }
        )
    parts += [golden.DAYS[entity.id, day]() for entity in world.entities if (entity.id, day) in golden.DAYS]
    frames = {
        name: schema.conform(_joined([part[name] for part in parts]), schema.TABLES[name])
        for name in ("claim", "txn", "unapplied", "unpostable")
    }
    payment, deposit = make_batches(day, frames["txn"], frames["unapplied"], frames["unpostable"])
    return Activity(**frames, paymentbatch=payment, depositbatch=deposit)


def _joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames, how="diagonal_relaxed")


def _draw(entity: Entity, day: date, lines: int, seed: int | str) -> pl.DataFrame:
    """Scenario and 62 random bits of each claim. One of every kind first, then by weight."""
    rng = random.Random(f"{seed}:{entity.id}:{day.isoformat()}")  # noqa: S311 - reproducible, no secret
    every = list(SCENARIOS)
    rng.shuffle(every)
    # Sequence 0 is voided tomorrow; 1 is an ordinary charge that is always in the second department.
    names = [VOID_NEXT_DAY, "open"]
    rows = sum(ROWS[name] for name in names)
    weights = [SCENARIOS[name].weight for name in SCENARIOS]
    kinds = list(SCENARIOS)
    queue = every
    while rows < lines:
        for name in queue:
            if rows >= lines:
                break
            names.append(name)
            rows += ROWS[name]
        queue = rng.choices(kinds, weights, k=max(1, (lines - rows) // 5))
    return pl.DataFrame(
        {"scenario": names, "bits": [rng.getrandbits(62) for _ in names]},
        schema={"scenario": pl.String, "bits": pl.Int64},
    ).with_columns(
        sequence=pl.int_range(pl.len(), dtype=pl.Int64),
        entity=pl.lit(entity.id),
        ordinal=pl.lit(entity.ordinal, pl.Int64),
        provider_base=pl.lit(int(entity.id) * 100, pl.Int64),
    )


def _pick(shift: int, size: int) -> pl.Expr:
    """A number in [0, size) from the claim's bits; different shifts are as good as independent."""
    return (pl.col("bits") // (1 << shift)) % size


def _lookup(index: pl.Expr, values: list[object], dtype: type[pl.DataType]) -> pl.Expr:
    return index.replace_strict(list(range(len(values))), values, return_dtype=dtype)


def _digits(patients: str) -> list[int]:
    """Last digits of the patients of a group."""
    packages = PACKAGES[patients]  # type: ignore[index]  # the values of Scenario.patients are its keys
    return [
        digit
        for digit, package in enumerate(PACKAGE_BY_LAST_DIGIT)
        if (packages is None and (patients == "any" or package != SELF_PAY))
        or (packages is not None and package in packages)
    ]


def _with_claim_columns(drawn: pl.DataFrame, day: date) -> pl.DataFrame:
    procedures = [i for i, p in enumerate(PROCEDURES) for _ in range(p.weight)]
    number = int(f"{day:%y%m%d}")
    digit = pl.lit(0, pl.Int64)
    for group in PACKAGES:
        names = [name for name, s in SCENARIOS.items() if s.patients == group]
        if group == "any":
            names.append(VOID_NEXT_DAY)
        digits = _digits(group)
        digit = (
            pl.when(pl.col("scenario").is_in(names))
            .then(_lookup(_pick(3, len(digits)), list(digits), pl.Int64))
            .otherwise(digit)
        )
    frame = drawn.with_columns(
        claimid=(number * 10_000 + pl.col("ordinal")) * 1_000_000 + pl.col("sequence"),
        patientid=pl.col("entity").cast(pl.Int64) * 1000 + _pick(8, PATIENTS_PER_ENTITY // 10) * 10 + digit,
        department=pl.col("entity")
        + pl.when(pl.col("sequence") == 1).then(pl.lit(2)).otherwise(_pick(13, 2) + 1).cast(pl.String),
        renderingproviderid=pl.col("provider_base") + _pick(15, 3) + 1,
        procedure=_lookup(_pick(18, len(procedures)), list(procedures), pl.Int64),
        postdate=_post_date(day),
        service_date=pl.lit(day) - pl.duration(days=_pick(24, 4)),
        second=_OPENING_SECONDS + _pick(20, _WORKING_SECONDS),
    ).join(_procedure_frame(), on="procedure", how="left", maintain_order="left")
    package = _lookup(pl.col("patientid") % 10, list(PACKAGE_BY_LAST_DIGIT), pl.Int64)
    units = _pick(28, 4) % pl.col("max_units") + 1
    frame = frame.with_columns(
        package=package,
        self_pay=package == SELF_PAY,
        units=units,
        charge=pl.col("fee") * units,
        # Late entries keep a service date not after their post date.
        service_date=pl.min_horizontal("service_date", "postdate").dt.to_string("%Y-%m-%d"),
        postdate=pl.col("postdate").dt.to_string("%Y-%m-%d"),
        extra=2500 + _pick(30, 30_000),
        patient_method=_lookup(_pick(34, 4), ["CARD", "CARD", "CASH", "CHECK"], pl.String),
        insurer_method=_lookup(_pick(38, 4), ["EFT", "EFT", "EFT", "LOCKBOX"], pl.String),
        refund_method=_lookup(_pick(41, 2), ["CHECK", "CARD"], pl.String),
        denial_carc=_lookup(_pick(43, 3), ["29", "96", "197"], pl.String),
    )
    medicare = pl.col("package") == MEDICARE
    allowed = pl.col("charge") * (45 + _pick(46, 41)) // 100
    kind = pl.when(medicare).then(1).otherwise(_pick(52, 3))
    share = (
        pl.when(kind == 0).then(pl.min_horizontal(pl.lit(2500), allowed // 2))
        .when(kind == 1).then(allowed * 20 // 100)
        .otherwise(allowed * 30 // 100)
    )  # fmt: skip
    bonus = pl.max_horizontal(pl.lit(1), allowed // 100)
    return frame.with_columns(
        allowed=allowed,
        share=share,
        share_reason=_lookup(kind, ["COPAY", "COINSURANCE", "DEDUCTIBLE"], pl.String),
        share_carc=_lookup(kind, ["3", "2", "1"], pl.String),
        sequestered=pl.when(medicare).then((allowed - share) * 2 // 100).otherwise(0),
        mips=pl.when(pl.col("scenario") != "mips")
        .then(0)
        .when(_pick(55, 3) > 0)
        .then(bonus)
        .otherwise(-bonus),
        primary_ins=pl.when(pl.col("self_pay")).then(None).otherwise(pl.col("patientid") * 10 + 1),
        secondary_ins=pl.when(medicare).then(pl.col("patientid") * 10 + 2),
    ).with_columns(paid=pl.col("allowed") - pl.col("share") - pl.col("sequestered") + pl.col("mips"))


def _procedure_frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "procedure": list(range(len(PROCEDURES))),
            "procedurecode": [p.code for p in PROCEDURES],
            "placeofservice": [p.place for p in PROCEDURES],
            "othermodifier": [p.modifier for p in PROCEDURES],
            "fee": [p.fee for p in PROCEDURES],
            "work_rvu": [p.work_rvu for p in PROCEDURES],
            "max_units": [p.max_units for p in PROCEDURES],
        }
    )


def _post_date(day: date) -> pl.Expr:
    """Post date of a claim entered on `day`: mostly `day`, sometimes an earlier open date."""
    earliest = max(first_open_post_date(day), min(FIRST_DAY, day))
    candidate = pl.lit(day) - pl.duration(days=1 + _pick(50, 6))
    late = (_pick(44, _LATE_ONE_IN) == 0) & (candidate >= earliest) & ~pl.col("scenario").eq(VOID_NEXT_DAY)
    for entity_id, golden_day in golden.DAYS:
        late &= ~((pl.col("entity") == entity_id) & (candidate == golden_day))
    return pl.when(late).then(candidate).otherwise(pl.lit(day))


def _claims(claims: pl.DataFrame) -> pl.DataFrame:
    with_claim = [name for name, s in SCENARIOS.items() if s.claim] + [VOID_NEXT_DAY]
    return claims.filter(pl.col("scenario").is_in(with_claim)).select(
        "claimid",
        "patientid",
        "renderingproviderid",
        "entity",
        claimservicedate="service_date",
        servicedepartmentid="department",
        claimprimarypatientinsid="primary_ins",
        lastupdated=_eastern(1),
        created_utc=_utc(1),
    )


def _naive(number: int) -> pl.Expr:
    day = (pl.col("claimid") // 10**10).cast(pl.String).str.to_date("%y%m%d")
    return day.cast(pl.Datetime("ms")) + pl.duration(seconds=pl.col("second") + number * 7)


def _eastern(number: int) -> pl.Expr:
    """Entry time of step `number` as US Eastern text; steps of a claim are seven seconds apart."""
    return _naive(number).dt.to_string("%Y-%m-%d %H:%M:%S")


def _utc(number: int) -> pl.Expr:
    return _naive(number).dt.replace_time_zone(ZONE).dt.epoch("s")


def _rows(claims: pl.DataFrame, table: str) -> pl.DataFrame:
    select = {"txn": _transaction, "unapplied": _unapplied, "unpostable": _unpostable}[table]
    parts = []
    for step in STEPS:
        if step.table != table:
            continue
        chosen = claims.filter(pl.col("scenario").is_in(list(step.scenarios)))
        if step.when is not None:
            chosen = chosen.filter(step.when)
        parts.append(chosen.select(**select(step)))
    frame = _joined(parts)
    if table != "txn":
        return frame.sort(frame.columns[0])
    return _mark_voided(frame).sort("transactionid")


def _value(value: str | pl.Expr | None) -> pl.Expr:
    return value if isinstance(value, pl.Expr) else pl.lit(value, pl.String)


def _row_id(number: int | None) -> pl.Expr:
    return pl.lit(None, pl.Int64) if number is None else pl.col("claimid") * 100 + number


def _batch(step: Step) -> pl.Expr:
    """Batch of the rows that move cash, by their method; the agency's fee never reaches us."""
    if step.method is None or step.code == "AGENCYFEE" or step.kind in ("APPLIED", "FROMCLAIM", "RESOLVED"):
        return pl.lit(None, pl.Int64)
    method = _value(step.method)
    cash = method.is_in(["CARD"]) if step.kind == "REFUND" else method.is_in(list(CASH_METHODS))
    return pl.when(cash).then(batch_id(method))


def _transaction(step: Step) -> dict[str, pl.Expr]:
    charge = step.kind == "CHARGE"
    responsible = (
        pl.lit(step.responsible)
        if step.responsible
        else pl.when("self_pay").then(pl.lit("Patient")).otherwise(pl.lit("Primary"))
    )
    insurance = {
        None: pl.col("primary_ins"),
        "Secondary": pl.col("secondary_ins"),
        "Patient": pl.lit(None, pl.Int64),
    }[step.responsible]
    nothing = pl.lit(None, pl.String)
    original = charge and step.voids is None
    rvu = pl.col("work_rvu") * pl.col("units")
    moment = step.moment or step.number
    return {
        "transactionid": _row_id(step.number),
        "claimid": pl.col("claimid"),
        "patientid": pl.col("patientid"),
        "chargeid": _row_id(step.number if charge else step.acts_on),
        "parentchargeid": _row_id(1),
        "chargevoidparentid": _row_id(step.voids if charge else None),
        "transactiontype": pl.lit(step.kind),
        "transactiontransfertype": responsible,
        "transactiontransferintent": _value(step.intent),
        "transactionreason": _value(step.reason),
        "transactionmethod": _value(step.method),
        "amount": step.amount,
        "procedurecode": pl.col("procedurecode"),
        "othermodifier": pl.col("othermodifier"),
        "units": pl.col("units") if charge else pl.lit(None, pl.Int64),
        "chargefromdate": pl.col("service_date"),
        "chargetodate": pl.col("service_date"),
        "placeofservice": pl.col("placeofservice"),
        "postdate": pl.col("postdate"),
        "transactioncreateddatetime": _eastern(moment),
        "reversalflag": pl.lit("Y" if step.reversal else "N"),
        "paymentbatchid": _batch(step),
        "patientpaymentid": pl.when(responsible == "Patient").then(_row_id(step.receipt)),
        "transactionpatientinsid": insurance,
        "expectedallowedamount": pl.col("allowed") if original else pl.lit(None, pl.Int64),
        "workrvu": (
            pl.concat_str(rvu // 100, pl.lit("."), (rvu % 100).cast(pl.String).str.zfill(2))
            if original
            else nothing
        ),
        "customtransactioncode": _value(step.code),
        "casgroupcode": _value(step.cas),
        "carc": _value(step.carc),
        "rarc": _value(step.rarc),
        "entity": pl.col("entity"),
        "created_utc": _utc(moment),
        "voids": _row_id(step.voids),
    }


def _mark_voided(rows: pl.DataFrame) -> pl.DataFrame:
    """Write date and time of its void on each voided row."""
    voids = rows.filter(pl.col("voids").is_not_null()).select(
        transactionid="voids",
        voideddate="postdate",
        voided_utc="created_utc",
        voided_at="transactioncreateddatetime",
    )
    return rows.join(voids, on="transactionid", how="left")


def _unapplied(step: Step) -> dict[str, pl.Expr]:
    moment = step.moment or step.number
    return {
        "unappliedid": _row_id(step.number),
        "patientpaymentid": _row_id(step.receipt),
        "patientid": pl.col("patientid"),
        "departmentid": pl.col("department"),
        "unappliedtype": pl.lit(step.kind),
        "method": _value(step.method),
        "amount": step.amount,
        "postdate": pl.col("postdate"),
        "paymentbatchid": _batch(step),
        "transactionid": _row_id(step.refers),
        "createddatetime": _eastern(moment),
        "entity": pl.col("entity"),
        "created_utc": _utc(moment),
    }


def _unpostable(step: Step) -> dict[str, pl.Expr]:
    moment = step.moment or step.number
    return {
        "unpostableid": _row_id(step.number),
        "paymentbatchid": _batch(step),
        "insurancepackageid": pl.col("package"),
        "departmentid": pl.col("department"),
        "unpostabletype": pl.lit(step.kind),
        "method": _value(step.method),
        "amount": step.amount,
        "postdate": pl.col("postdate"),
        "transactionid": _row_id(step.refers),
        "createddatetime": _eastern(moment),
        "entity": pl.col("entity"),
        "created_utc": _utc(moment),
    }
