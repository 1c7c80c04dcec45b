"""What is set up in the sandbox pod before anything is loaded: ledgers, chart, periods, users, switches.

A `FusionSetup` seeds the pod database once; later changes (a value enabled, a period closed, suspense on) are
made through the control routes and live in the database, so that they survive a restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

FUSION_SCOPE = "urn:opc:resource:fa:instanceid=1urn:opc:resource:consumer::all"

PRIVILEGES = frozenset({"upload", "load", "import", "purge", "autopost", "report", "ledger"})
"""What a Fusion user may be allowed to do: write to UCM, run each job, run reports, read ledger resources."""


@dataclass(frozen=True)
class Segment:
    """One chart segment in chart order: column SEGMENTn is its position."""

    name: str
    value_set: str
    width: int


@dataclass(frozen=True)
class SegmentValue:
    """A value of one segment. `summary` values are parents and never take postings."""

    segment: str
    value: str
    enabled: bool = True
    summary: bool = False
    posting: bool = True  # "Allow posting" of the value


@dataclass(frozen=True)
class Combination:
    """An account combination that already exists in the chart (others are created by the first import).

    `segments` is the text joined by `FusionSetup.separator`. Outside [start, end] it is inactive.
    """

    segments: str
    enabled: bool = True
    detail_posting: bool = True
    start: date | None = None
    end: date | None = None


@dataclass(frozen=True)
class CrossValidationRule:
    """Bars a new combination in which every named segment starts with the given value.

    Example: `CrossValidationRule("...", {"Account": "41000", "Cost Center": "999"})`.
    """

    message: str
    barred: Mapping[str, str]


@dataclass(frozen=True)
class Ledger:
    """A primary ledger; `id` is decimal text."""

    id: str
    name: str
    currency: str = "USD"


@dataclass(frozen=True)
class DataAccessSet:
    """The ledgers a job submitted with this access set may touch (ledger ids)."""

    id: str
    ledgers: frozenset[str]


@dataclass(frozen=True)
class Source:
    """A journal source. Without `import_references` the keys in REFERENCE21-30 do not reach GL_JE_LINES."""

    name: str
    import_references: bool = True


@dataclass(frozen=True)
class Period:
    """A period of the shared calendar and its first status.

    Statuses: Open, Closed, Permanently Closed, Never Opened, Future Enterable.
    """

    name: str
    start: date
    end: date
    status: str = "Open"


@dataclass(frozen=True)
class DailyRate:
    """A daily rate from a foreign currency to the ledger currency, by user conversion type."""

    currency: str
    conversion_type: str
    day: date
    rate: Decimal


@dataclass(frozen=True)
class AutoPostCriteria:
    """An AutoPost criteria set: the journal sources it posts, and the ledgers (empty = every ledger)."""

    id: str
    sources: frozenset[str]
    ledgers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class User:
    """A Fusion user: rights, access sets and UCM accounts it may write to (`$` and `/` forms are equal)."""

    name: str
    privileges: frozenset[str] = PRIVILEGES
    data_access_sets: frozenset[str] = frozenset()  # empty = every set of the pod
    accounts: frozenset[str] = frozenset({"fin$/generalLedger$/import$"})


@dataclass(frozen=True)
class Client:
    """A confidential application of the identity domain.

    `user` is the Fusion user that client_credentials calls act as; None = Fusion does not know the client and
    answers 401. `certificate` is a PEM public key or X.509 certificate; with it the client may sign
    assertions, whose header `x5t` (base64url SHA-1) or `kid` must equal the value here when that is not None.
    """

    id: str
    secret: str | None
    user: str | None
    certificate: str | None = None
    x5t: str | None = None
    kid: str | None = None
    scopes: frozenset[str] = frozenset({FUSION_SCOPE})


@dataclass(frozen=True)
class FusionSetup:
    """One pod. Job durations are real seconds by job definition; others take `default_job_seconds`."""

    ledgers: tuple[Ledger, ...]
    data_access_sets: tuple[DataAccessSet, ...]
    sources: tuple[Source, ...]
    categories: tuple[str, ...]
    segments: tuple[Segment, ...]
    values: tuple[SegmentValue, ...]
    periods: tuple[Period, ...]
    users: tuple[User, ...]
    clients: tuple[Client, ...]
    balancing_segment: str = "Company"
    separator: str = "-"
    currencies: frozenset[str] = frozenset({"USD"})
    conversion_types: frozenset[str] = frozenset({"Corporate", "Spot", "User"})
    daily_rates: tuple[DailyRate, ...] = ()
    combinations: tuple[Combination, ...] = ()
    cross_validation_rules: tuple[CrossValidationRule, ...] = ()
    suspense: bool = False  # "suspense posting allowed" of the ledger
    # What a pod keeps of a partly bad file is not settled: the default keeps nothing.
    loader_keeps_good_rows: bool = False
    autopost_criteria: tuple[AutoPostCriteria, ...] = ()
    readback_report: str = "/Custom/athena_fusion/journal_readback.xdo"
    zone: str = "America/New_York"  # of the times the pod stamps on what it writes
    token_seconds: int = 3600
    assertion_audience: str = "https://identity.oraclecloud.com/"
    default_job_seconds: float = 0.05
    job_seconds: Mapping[str, float] = field(default_factory=dict)
    execution_details_as_list: bool = True  # JOBS as a list, or as one object where there is one root job
    first_request_id: int = 9763072
    max_zip_bytes: int = 250 * 1024 * 1024

    def ledger_ids(self) -> frozenset[str]:
        """Every ledger id of the pod."""
        return frozenset(ledger.id for ledger in self.ledgers)
