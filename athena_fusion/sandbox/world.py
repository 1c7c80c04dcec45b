"""The one world of the sandbox: what the practice has in athenaOne and what stands in Fusion for it.

Everything is a pure function of the number of billing entities, so that athenaOne, Fusion and the tenant
directory agree without sharing a file.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from athena_fusion.sandbox.chart import ACCOUNTS
from athena_fusion.sandbox.fusion import setup as fusion

PRACTICE_ID = "195900"
PRACTICE_NAME = "Athena Health Partners"
ZONE = "America/New_York"
LEDGER_NAME = "Athena Health Partners US"
LEDGER_ID = "300000046975971"
DATA_ACCESS_SET_ID = "300000046975980"
AUTOPOST_CRITERIA_ID = "300000046990001"
JOURNAL_SOURCE = "athenaCollector"
ATHENAONE_CLIENT = "athena-fusion-rcm"
FUSION_CLIENT = "athena-fusion-gl"
FUSION_USER = "athena.fusion"
FIRST_DAY = date(2026, 9, 15)
"""First business day of the ledger: nothing is posted before it."""

CATEGORIES = {
    "01": "ATH Charges",
    "02": "ATH Payments",
    "03": "ATH Adjustments",
    "04": "ATH Transfers",
    "05": "ATH Unapplied",
    "06": "ATH Unidentified",
    "07": "ATH PLB",
    "08": "ATH Refunds",
    "09": "ATH Incentives",
}

SEGMENTS = (
    ("Company", 3),
    ("CostCenter", 4),
    ("Account", 5),
    ("Location", 3),
    ("ServiceLine", 3),
    ("Intercompany", 3),
)
SUMMARY_VALUES = {"CostCenter": "0000", "Location": "000", "ServiceLine": "000", "Intercompany": "000"}
SERVICE_LINES = {
    "010": "Evaluation and management",
    "020": "Procedures",
    "030": "Imaging and laboratory",
    "040": "Drugs",
}
DISABLED_IN_FUSION = ("CostCenter", "2130")
"""Enabled in the tenant's list and disabled in Fusion, so that Fusion itself rejects entity 102."""

MAX_ENTITIES = 390  # cost centres are four digits wide


@dataclass(frozen=True)
class Department:
    """A department; one that is hidden in the patient portal is listed only on request."""

    id: str
    entity_id: str
    name: str
    provider_group_id: str
    cost_center: str
    location: str
    portal_hidden: bool


@dataclass(frozen=True)
class Entity:
    """A billing entity: medical group (its id), its provider group and departments. `index` is 0-based."""

    id: str
    index: int
    name: str
    provider_group_id: str
    departments: tuple[Department, Department]

    @property
    def ordinal(self) -> int:
        """1-based number used in ids and group ids."""
        return self.index + 1


@dataclass(frozen=True)
class Payer:
    """An insurance package; `payer_class` is the tenant's word for it, not athenaOne's."""

    id: int
    name: str
    type: str
    payer_class: str


@dataclass(frozen=True)
class Provider:
    """A provider record. `canonical_id` differs from `id` where one person has several records."""

    id: int
    canonical_id: int
    entity_id: str
    first_name: str
    last_name: str
    npi: int
    entity_type: str
    specialty: str
    specialty_id: str
    deleted: bool


PAYERS = (
    Payer(0, "*SELF PAY*", "Self Pay", "self_pay"),
    Payer(1001, "Medicare B", "Medicare Part B", "medicare"),
    Payer(1002, "Medicaid", "Medicaid", "medicaid"),
    Payer(1003, "BlueCross PPO", "Commercial", "commercial"),
    Payer(1004, "Medicare Advantage", "Medicare Advantage", "medicare_advantage"),
    Payer(1005, "Workers comp", "Workers Compensation", "workers_comp"),
    Payer(1009, "Other payer", "Other", "other"),
)
SELF_PAY, MEDICARE, COMMERCIAL = 0, 1001, 1003

PATIENTS_PER_ENTITY = 200
PACKAGE_BY_LAST_DIGIT = (1003, 1001, 1003, 1004, 1002, 1003, 0, 1005, 1009, 1001)
"""Insurance package of a patient by the last digit of the patient id."""


def _entity(index: int) -> Entity:
    number = str(101 + index)
    place = 10 * (index % 98 + 1)
    # Entity 101 keeps the locations of the worked example (014, 015); the others follow the formula.
    locations = (14, 15) if index == 0 else (place + 1, place + 2)
    departments = tuple(
        Department(
            id=f"{number}{k + 1}",
            entity_id=number,
            name=f"{PRACTICE_NAME} {number} {('Main', 'North')[k]}",
            provider_group_id=f"{number}0",
            cost_center=f"{2100 + 20 * index + 10 * k}",
            location=f"{locations[k]:03d}",
            portal_hidden=k == 1,
        )
        for k in (0, 1)
    )
    return Entity(number, index, f"{PRACTICE_NAME} {number}", f"{number}0", (departments[0], departments[1]))


def _npi(serial: int) -> int:
    """A well-formed NPI: nine digits and the Luhn check digit over 80840 + number."""
    body = f"1{serial:08d}"
    digits = [int(d) for d in "80840" + body]
    total = sum(sum(divmod(2 * d, 10)) if i % 2 == 0 else d for i, d in enumerate(reversed(digits)))
    return int(f"{body}{-total % 10}")


_PEOPLE = (
    ("Amara", "Okafor", "Internal Medicine", "026"),
    ("Jonas", "Lindqvist", "Family Practice", "673"),
    ("Priya", "Raman", "Orthopedics", "081"),
)


def _providers(entity: Entity) -> tuple[Provider, ...]:
    first = int(entity.id) * 100
    people = [
        Provider(
            first + k,
            first + k,
            entity.id,
            given,
            family,
            _npi(first + k),
            "Person",
            word,
            code,
            deleted=False,
        )
        for k, (given, family, word, code) in enumerate(_PEOPLE, start=1)
    ]
    twin = people[0]
    given, family, word, code = twin.first_name, twin.last_name, twin.specialty, twin.specialty_id
    return (
        *people,
        # A second record of the first person: the API shows one canonical id per NPI.
        Provider(
            first + 4, twin.id, entity.id, given, family, twin.npi, "Person", word, code, deleted=False
        ),
        Provider(
            first + 5, first + 5, entity.id, "", "Imaging Room", _npi(first + 5), "Non-Person",
            "Diagnostic Radiology", "030", deleted=False,
        ),
        Provider(
            first + 6, first + 6, entity.id, "Tomas", "Vidal", _npi(first + 6), "Person",
            "Internal Medicine", "026", deleted=True,
        ),
    )  # fmt: skip


def month_name(first: date) -> str:
    """Fusion period name of a month, `Sep-26`."""
    return f"{first:%b-%y}"


class World:
    """Practice, entities, payers, providers, patients, chart of accounts, periods, and the Fusion pod.

    `entities` billing entities 101, 102, ...; Fusion's periods are Closed up to Aug-26, Open from Sep-26
    through the month of `open_through`, the next one Future Enterable, later ones Never Opened.
    """

    def __init__(self, entities: int = 3, *, open_through: date = date(2026, 12, 31)) -> None:
        if not 1 <= entities <= MAX_ENTITIES:
            raise ValueError(f"the sandbox can have 1 to {MAX_ENTITIES} billing entities, not {entities}")
        self.practice_id = PRACTICE_ID
        self.entities = tuple(_entity(i) for i in range(entities))
        self.payers = PAYERS
        self.open_through = open_through

    @cached_property
    def departments(self) -> tuple[Department, ...]:
        """Every department in id order of its entity."""
        return tuple(d for e in self.entities for d in e.departments)

    @cached_property
    def providers(self) -> tuple[Provider, ...]:
        """Every provider record, also deleted, non-person and second records."""
        return tuple(p for e in self.entities for p in _providers(e))

    def entity(self, entity_id: str) -> Entity:
        """The entity with this id; `KeyError` where there is none."""
        for entity in self.entities:
            if entity.id == entity_id:
                return entity
        raise KeyError(entity_id)

    def patient_insurances(self) -> list[tuple[int, int, int]]:
        """(patient insurance id, patient id, insurance package) of all patients.

        Self-pay patients have none; Medicare patients have a commercial supplement as second insurance.
        """
        rows = []
        for entity in self.entities:
            for n in range(PATIENTS_PER_ENTITY):
                patient = int(entity.id) * 1000 + n
                package = PACKAGE_BY_LAST_DIGIT[n % 10]
                if package != SELF_PAY:
                    rows.append((patient * 10 + 1, patient, package))
                if package == MEDICARE:
                    rows.append((patient * 10 + 2, patient, COMMERCIAL))
        return rows

    def segment_values(self) -> list[tuple[str, str]]:
        """(segment, value) of every chart value in use, segment by segment."""
        values: dict[str, list[str]] = {name: [] for name, _ in SEGMENTS}
        for segment, value in SUMMARY_VALUES.items():
            values[segment].append(value)
        values["Company"] += [e.id for e in self.entities]
        values["CostCenter"] += [d.cost_center for d in self.departments]
        values["Account"] += [a.number for a in ACCOUNTS]
        values["Location"] += sorted({d.location for d in self.departments})
        values["ServiceLine"] += list(SERVICE_LINES)
        return [(name, value) for name, _ in SEGMENTS for value in values[name]]

    def periods(self) -> list[tuple[str, date, date, str]]:
        """(name, start, end, status) of the calendar, Jul-26 to Dec of the year after `open_through`."""
        rows = []
        months = [
            date(year, month, 1) for year in range(2026, self.open_through.year + 2) for month in range(1, 13)
        ]
        later = (first for first in months if first > self.open_through)
        next_month = next(later)
        for first in months:
            if first < date(2026, 7, 1):
                continue
            end = first.replace(day=monthrange(first.year, first.month)[1])
            if first < date(2026, 9, 1):
                status = "Closed"
            elif first <= self.open_through:
                status = "Open"
            else:
                status = "Future Enterable" if first == next_month else "Never Opened"
            rows.append((month_name(first), first, end, status))
        return rows

    def fusion_setup(self, client_secret: str) -> fusion.FusionSetup:
        """The Fusion pod of this world, with the integration's confidential application and user."""
        return fusion.FusionSetup(
            ledgers=(fusion.Ledger(LEDGER_ID, LEDGER_NAME),),
            data_access_sets=(fusion.DataAccessSet(DATA_ACCESS_SET_ID, frozenset({LEDGER_ID})),),
            sources=(fusion.Source(JOURNAL_SOURCE),),
            categories=tuple(CATEGORIES.values()),
            segments=tuple(fusion.Segment(name, f"AHP {name}", width) for name, width in SEGMENTS),
            values=tuple(
                fusion.SegmentValue(name, value, enabled=(name, value) != DISABLED_IN_FUSION)
                for name, value in self.segment_values()
            ),
            periods=tuple(fusion.Period(*row) for row in self.periods()),
            users=(fusion.User(FUSION_USER, data_access_sets=frozenset({DATA_ACCESS_SET_ID})),),
            clients=(fusion.Client(FUSION_CLIENT, client_secret, FUSION_USER),),
            autopost_criteria=(fusion.AutoPostCriteria(AUTOPOST_CRITERIA_ID, frozenset({JOURNAL_SOURCE})),),
            zone=ZONE,
        )
