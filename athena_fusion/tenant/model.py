"""What a tenant is: the typed, frozen form of the tenant folder.

`Settings` is `tenant.yaml`; `Tenant` adds the tables beside it. Secrets stay references (`env:`, `file:`,
`awssm:`) and are read only where they are used.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from athena_fusion.trust.secrets import SecretError, SecretRef

if TYPE_CHECKING:
    from polars import DataFrame
else:  # the schedules and gates read settings and entities only, in processes that never need a frame
    DataFrame = Any

ENTITY = r"[A-Za-z0-9_-]+"
POSTING_ID = r"P\d\d[A-Z]?|NONE"

PAYER_CLASSES = (
    "medicare",
    "medicaid",
    "commercial",
    "medicare_advantage",
    "workers_comp",
    "self_pay",
    "other",
)

ACCOUNT_ROLES = frozenset(
    {
        *("cash_insurance", "cash_card", "cash_time_of_service", "cash_partner"),
        *(f"ar_{name}" for name in PAYER_CLASSES),
        *(f"contractual_{name}" for name in PAYER_CLASSES),
        *("due_from_lenders", "due_from_telehealth", "allowance_implicit", "suspense"),
        *("unapplied", "unidentified", "refunds_patient", "refunds_payer"),
        *("revenue_in_person", "revenue_telehealth", "revenue_ancillary", "revenue_drugs"),
        *("denial_writeoff", "charity", "discount", "small_balance", "sequestration"),
        *("implicit_concession", "recoveries", "incentive_mips", "bad_debt_expense", "fee_collection_agency"),
    }
)
"""Roles a posting rule may name. A tenant gives each an account, so that no posting meets a missing one."""

CATEGORY_CODES = tuple(f"{number:02d}" for number in range(1, 10))
"""Categories of the athenaOne stream, which every tenant names; 50 to 99 are partners."""


def _day(value: object) -> object:
    """A date as YAML reads it, or its text; never a number, which pydantic would take for a timestamp."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("is not a date YYYY-MM-DD")
    return value


def is_zone(name: str) -> bool:
    """Whether `name` is a time zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _zone(value: str) -> str:
    if not is_zone(value):
        raise ValueError(f"{value!r} is not a time zone such as America/New_York")
    return value


def _secret(value: str) -> str:
    try:
        SecretRef.parse(value)
    except SecretError as error:
        raise ValueError(str(error)) from None
    return value


def _url(value: str) -> str:
    if not re.match(r"https://[^/\s]|http://(127\.0\.0\.1|localhost|\[::1\])([:/]|$)", value):
        raise ValueError("is not an https:// address (http:// is for this machine only)")
    return value.rstrip("/")


Text = Annotated[str, StringConstraints(min_length=1)]
Digits = Annotated[str, StringConstraints(pattern=r"^\d{1,18}$")]
SegmentValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+$")]
WallClock = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Day = Annotated[date, BeforeValidator(_day)]
Zone = Annotated[str, AfterValidator(_zone)]
SecretText = Annotated[str, AfterValidator(_secret)]
Url = Annotated[str, AfterValidator(_url)]
Scopes = Mapping[Text, Annotated[tuple[Text, ...], Field(min_length=1)]]


class Frozen(BaseModel):
    """Immutable, and strict about keys: a misspelt one is a mistake, not a comment."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Schedule(Frozen):
    """Wall-clock times of one day, in the tenant's zone, before which a stage of the night does not start.

    They follow the order of the stages. Stages may share a time, because each waits for its input as well; the
    evidence comes after the load.
    """

    extraction: WallClock
    reconciliation: WallClock
    transformation: WallClock
    load: WallClock
    evidence: WallClock


class Cadence(Schedule):
    """The schedule with the zone it is meant in and the first business day of the nightly flow."""

    zone: Zone
    first_batch_date: Day


class Segment(Frozen):
    """One segment of the account combination; `width` in characters."""

    name: Text
    width: Annotated[int, Field(ge=1, le=25)]


class Chart(Frozen):
    """Segments in order. `summary_defaults` fills the segments a balance-sheet line does not analyse."""

    separator: Annotated[str, StringConstraints(pattern=r"^[-._|/:]$")]
    balancing: Text
    segments: Annotated[tuple[Segment, ...], Field(min_length=1, max_length=30)]
    summary_defaults: Mapping[Text, SegmentValue]
    suspense_account: SegmentValue

    @property
    def names(self) -> tuple[str, ...]:
        """Segment names in chart order."""
        return tuple(segment.name for segment in self.segments)

    @property
    def widths(self) -> Mapping[str, int]:
        """Width of each segment by name."""
        return {segment.name: segment.width for segment in self.segments}


class Policies(Frozen):
    """Accounting choices of the customer: where agency placements and MIPS adjustments are posted."""

    bad_debt: Literal["implicit_concession", "expense", "allowance"]
    mips: Literal["incentive", "net_revenue"]


class DefaultRevenue(Frozen):
    """Revenue account role and service line of a procedure that no X5 row covers."""

    account_role: Text
    service_line: SegmentValue


class AthenaOne(Frozen):
    """The athenaOne API and the folder its Data View exports are delivered to."""

    base_url: Url
    token_url: Url
    client_id: Text
    client_secret: SecretText
    scopes: Scopes
    calls_per_second: Annotated[int, Field(ge=1)]
    dataview: Text


class Fusion(Frozen):
    """The Fusion pod: access, import set-up and waiting times (seconds)."""

    base_url: Url
    token_url: Url
    client_id: Text
    client_secret: SecretText
    grant: Literal["client_credentials", "jwt_assertion"]
    user: Text | None = None
    signing_key: SecretText | None = None
    scopes: Scopes
    calls_per_second: Annotated[int, Field(ge=1)]
    data_access_set_id: Digits
    source: Annotated[str, StringConstraints(min_length=1, max_length=25)]
    categories: Mapping[
        Annotated[str, StringConstraints(pattern=r"^(0[1-9]|[5-9]\d)$")],
        Annotated[str, StringConstraints(min_length=1, max_length=25)],
    ]
    document_account: Text
    interface_options_id: Digits
    readback_report: Text
    autopost_criteria_set: Digits | None
    poll_seconds: Annotated[float, Field(gt=0)]
    job_timeout_seconds: Annotated[float, Field(gt=0)]
    settle_seconds: Annotated[float, Field(ge=0)]
    end_marker: bool


class Smtp(Frozen):
    """A mail server evidence packs are announced through."""

    host: Text
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    starttls: bool = True
    username: Text | None = None
    password: SecretText | None = None
    sender: Text
    recipients: Annotated[tuple[Text, ...], Field(min_length=1)]


class Target(Frozen):
    """Exactly one place: a folder or an `s3://bucket/prefix`."""

    folder: Text | None = None
    s3: Annotated[str, StringConstraints(pattern=r"^s3://.+")] | None = None


class Delivery(Target):
    """Exactly one way out for evidence packs: a folder, a bucket or mail."""

    smtp: Smtp | None = None


class Evidence(Frozen):
    """Retention in years, where packs go, and where chain heads are published outside the store."""

    retention_years: Annotated[int, Field(ge=1)]
    delivery: Delivery
    head_publication: Target


class Settings(Frozen):
    """`tenant.yaml`. `go_live` is the first post date whose totals are compared; paths may be relative."""

    name: Annotated[str, StringConstraints(pattern=rf"^{ENTITY}$")]
    zone: Zone
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    practice_id: Digits
    first_batch_date: Day
    go_live: Day
    home: Text
    store: Text
    state_url: Text
    schedule: Schedule
    chart: Chart
    policies: Policies
    default_revenue: DefaultRevenue
    athenaone: AthenaOne
    fusion: Fusion
    evidence: Evidence


class Entity(Frozen):
    """X1: one billing entity during one range of post dates (both ends included, None = open)."""

    practice_id: str
    medical_group_id: str
    entity: str
    ordinal: int
    name: str
    ledger_name: str
    ledger_id: str
    legal_entity: str
    company: str
    business_unit: str
    zone: str
    late_policy: Literal["next_open_first_day", "hold", "reject"]
    effective_from: date
    effective_to: date | None

    def in_effect(self, day: date) -> bool:
        """Whether this row holds on `day`."""
        return self.effective_from <= day and (self.effective_to is None or day <= self.effective_to)


class Account(Frozen):
    """The account of a role. `level`: summary lines take the chart's defaults, detail lines are analysed."""

    role: str
    account: str
    name: str
    normal: Literal["Dr", "Cr", "Dr/Cr"]
    level: Literal["summary", "detail"]


class Period(Frozen):
    """A calendar period of a ledger and its status, as last read from Fusion."""

    ledger_id: str
    period_name: str
    start: date
    end: date
    status: Literal["Open", "Closed", "Never Opened", "Future Enterable"]


class Crosswalk(Frozen):
    """One effective-dated table with the approval of its current version.

    `frame` has the file's columns, typed (blank is null), and `line`, the line of the file; `sha256` is that
    of the file and goes on every line derived from it.
    """

    id: str
    file: str
    frame: DataFrame
    sha256: str
    version: int
    author: str
    approver: str
    reason: str
    approved_on: date


class Tenant(Settings):
    """The whole configuration.

    `accounts` is keyed by role, `crosswalks` by id (`x2` .. `x10`). `tables` holds the frames (with `line`) of
    billing_entities (X1), accounts and periods, for work on whole columns. `files` gives the SHA-256 of each file;
    `version_hash` is the SHA-256 of `files` written as `sha256sum` would (values of environment variables
    are not part of it).
    """

    entities: tuple[Entity, ...]
    accounts: Mapping[str, Account]
    periods: tuple[Period, ...]
    crosswalks: Mapping[str, Crosswalk]
    tables: Mapping[str, DataFrame]
    files: Mapping[str, str]
    version_hash: str

    def entities_on(self, day: date) -> tuple[Entity, ...]:
        """The billing entities in effect on `day`, in file order."""
        return tuple(entity for entity in self.entities if entity.in_effect(day))

    def entity(self, entity: str, day: date) -> Entity:
        """The row of `entity` in effect on `day`; `LookupError` when there is none."""
        for found in self.entities:
            if found.entity == entity and found.in_effect(day):
                return found
        raise LookupError(f"billing entity {entity} has no row in billing_entities.csv for {day}")

    def periods_of(self, ledger_id: str) -> tuple[Period, ...]:
        """The periods of a ledger, earliest first."""
        return tuple(sorted((p for p in self.periods if p.ledger_id == ledger_id), key=lambda p: p.start))
