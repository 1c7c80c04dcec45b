"""A small practice for the tests of accounting and revenue: tenant tables, a Data View writer and the golden day.

The writer follows the Data View's rules (signs, voids as rows of their own, transfer legs, US Eastern times) and is
the only place in these tests that knows column names.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import polars as pl

from athena_fusion.accounting.combinations import Chart
from athena_fusion.accounting.matrix import Policies
from athena_fusion.revenue.dataview_rows import TABLES
from athena_fusion.revenue.mapping import Accounts, Tables
from athena_fusion.revenue.transactions import Canonical, canonicalise

PRACTICE = "195900"
LEDGER = "300000046975971"
DAY = date(2026, 9, 15)

PACKAGES = {
    "0": "self_pay",
    "1001": "medicare",
    "1002": "medicaid",
    "1003": "commercial",
    "1004": "medicare_advantage",
    "1005": "workers_comp",
    "1009": "other",
}
DEPARTMENTS = {
    "1011": ("101", "2100", "014"),
    "1012": ("101", "2110", "015"),
    "1021": ("102", "2120", "021"),
    "1022": ("102", "2130", "022"),
}


def table(text: str) -> pl.DataFrame:
    """A tenant table from CSV text: everything text, `line` as in a file with a header."""
    frame = pl.read_csv(
        io.StringIO("\n".join(line.strip() for line in text.strip().splitlines())), infer_schema=False
    )
    return frame.with_columns(pl.int_range(2, pl.len() + 2, dtype=pl.Int64).alias("line"))


X1 = table(
    """practice_id,medical_group_id,entity,company,effective_from,effective_to
    195900,101,101,101,2026-01-01,
    195900,102,102,102,2026-01-01,"""
)
X2 = table(
    "department_id,cost_center,location,effective_from,effective_to\n"
    + "\n".join(f"{d},{cc},{loc},2026-01-01," for d, (_, cc, loc) in DEPARTMENTS.items())
)
X3 = table(
    "insurance_package_id,payer_class,effective_from,effective_to\n"
    + "\n".join(f"{package},{payer},2026-01-01," for package, payer in PACKAGES.items())
)
X4 = table(
    """transaction_type,subtype,responsible,reason,method,cas_group,carc,rarc,custom_code,reversal,posting_id,effective_from,effective_to
    CHARGE,,,,,,,,,,P01,2026-01-01,
    CHARGE,,,,,,,,,Y,P02,2026-01-01,
    PAYMENT,,,,,,,,,,P03,2026-01-01,
    PAYMENT,,Patient,,,,,,,,P04,2026-01-01,
    PAYMENT,,,,,,,,,Y,P18,2026-01-01,
    PAYMENT,,Patient,,,,,,,Y,P04,2026-01-01,
    PAYMENT,,Patient,,UNAPPLIED,,,,,,P06,2026-01-01,
    PAYMENT,,Patient,MOVED,UNAPPLIED,,,,,,P07,2026-01-01,
    PAYMENT,,,,UNPOSTABLE,,,,,,P08R,2026-01-01,
    PAYMENT,,Patient,,AGENCY,,,,AGENCYNET,,P16,2026-01-01,
    PAYMENT,,Patient,,AGENCY,,,,AGENCYFEE,,P16F,2026-01-01,
    ADJUSTMENT,,,CONTRACTUAL,,CO,45,,,,P09,2026-01-01,
    ADJUSTMENT,,,CONTRACTUAL,,CO,45,,,Y,P18C,2026-01-01,
    ADJUSTMENT,,,SEQUESTRATION,,CO,253,,,,P10,2026-01-01,
    ADJUSTMENT,,,MIPS,,CO,144,N807,,,P23,2026-01-01,
    ADJUSTMENT,,,MIPS,,CO,237,N807,,,P23,2026-01-01,
    ADJUSTMENT,,,DENIAL,,,,,,,P11,2026-01-01,
    ADJUSTMENT,,,CHARITY,,,,,,,P12,2026-01-01,
    ADJUSTMENT,,,DISCOUNT,,,,,,,P13,2026-01-01,
    ADJUSTMENT,,,SMALLBALANCE,,,,,,,P14,2026-01-01,
    ADJUSTMENT,,,COLLECTIONS,,,,,,,P15,2026-01-01,
    ADJUSTMENT,,,PAYERREFUND,,,,,,,P21,2026-01-01,
    TRANSFERIN,,,,,,,,,,P17,2026-01-01,
    TRANSFEROUT,,,,,,,,,,P17,2026-01-01,
    UNAPPLIED,RECEIPT,,,,,,,,,P05,2026-01-01,
    UNAPPLIED,APPLIED,,,,,,,,,NONE,2026-01-01,
    UNAPPLIED,FROMCLAIM,,,,,,,,,NONE,2026-01-01,
    UNAPPLIED,REFUND,,,,,,,,,P20,2026-01-01,
    UNAPPLIED,REFUND,,,CARD,,,,,,P20C,2026-01-01,
    UNPOSTABLE,RECEIPT,,,,,,,,,P08,2026-01-01,
    UNPOSTABLE,RESOLVED,,,,,,,,,NONE,2026-01-01,"""
)
X5 = table(
    """procedure,place_of_service,modifier,account_role,service_line,effective_from,effective_to
    99*,,,revenue_in_person,010,2026-01-01,
    99*,10,,revenue_telehealth,010,2026-01-01,
    99*,,95,revenue_telehealth,010,2026-01-01,
    20*,,,revenue_in_person,020,2026-01-01,
    7*,,,revenue_ancillary,030,2026-01-01,
    J*,,,revenue_drugs,040,2026-01-01,"""
)
X8 = table(
    """deposit_location,method,account_role,effective_from,effective_to
    ,EFT,cash_insurance,2026-01-01,
    ,LOCKBOX,cash_insurance,2026-01-01,
    ,CARD,cash_card,2026-01-01,
    ,CASH,cash_time_of_service,2026-01-01,
    ,CHECK,cash_time_of_service,2026-01-01,
    ,CLEARPAY,due_from_lenders,2026-01-01,
    ,AGENCY,cash_time_of_service,2026-01-01,"""
)
ACCOUNTS = table(
    """role,account,name,normal,level
    cash_insurance,10210,"Cash clearing, insurance",Dr,summary
    cash_card,10220,"Cash clearing, card",Dr,summary
    cash_time_of_service,10230,"Cash clearing, time of service",Dr,summary
    ar_medicare,11010,A/R Medicare,Dr,summary
    ar_medicaid,11020,A/R Medicaid,Dr,summary
    ar_commercial,11030,A/R commercial,Dr,summary
    ar_medicare_advantage,11040,A/R Medicare Advantage,Dr,summary
    ar_workers_comp,11050,A/R workers' compensation,Dr,summary
    ar_self_pay,11060,A/R self-pay,Dr,summary
    ar_other,11090,A/R other third party,Dr,summary
    due_from_lenders,11510,Due from lenders,Dr,summary
    allowance_implicit,11920,Allowance,Cr,summary
    unapplied,21010,Unapplied patient receipts,Cr,summary
    unidentified,21020,Unidentified insurance receipts,Cr,summary
    refunds_patient,21110,"Refunds payable, patients",Cr,summary
    refunds_payer,21120,"Refunds payable, payers",Cr,summary
    revenue_in_person,40010,"Revenue, in person",Cr,detail
    revenue_telehealth,40020,"Revenue, telehealth",Cr,detail
    revenue_ancillary,40030,"Revenue, ancillary",Cr,detail
    revenue_drugs,40040,"Revenue, drugs",Cr,detail
    contractual_medicare,45010,Contractual Medicare,Dr,detail
    contractual_medicaid,45020,Contractual Medicaid,Dr,detail
    contractual_commercial,45030,Contractual commercial,Dr,detail
    contractual_medicare_advantage,45040,Contractual Medicare Advantage,Dr,detail
    contractual_workers_comp,45050,Contractual workers' compensation,Dr,detail
    contractual_other,45090,Contractual other,Dr,detail
    denial_writeoff,45210,Denial write-offs,Dr,detail
    charity,45220,Charity,Dr,detail
    discount,45230,Discounts,Dr,detail
    small_balance,45310,Small-balance write-offs,Dr,detail
    sequestration,45410,Sequestration,Dr,detail
    implicit_concession,46010,Implicit price concessions,Dr,detail
    recoveries,46020,Recoveries,Cr,detail
    incentive_mips,48010,"Quality incentive, MIPS",Cr,detail
    bad_debt_expense,62010,Bad debt expense,Dr,detail
    fee_collection_agency,62140,Collection agency fees,Dr,detail"""
)
_VALUES = {
    "Company": ["101", "102"],
    "CostCenter": ["0000", *(cc for _, cc, _ in DEPARTMENTS.values())],
    "Account": ACCOUNTS["account"].to_list(),
    "Location": ["000", *(loc for _, _, loc in DEPARTMENTS.values())],
    "ServiceLine": ["000", "010", "020", "030", "040"],
    "Intercompany": ["000"],
}
X10 = table(
    "segment,source_value,fusion_value,enabled,effective_from,effective_to\n"
    + "\n".join(
        f"{segment},{value},{value},Y,2026-01-01," for segment, values in _VALUES.items() for value in values
    )
)
CHART = Chart(
    segments=("Company", "CostCenter", "Account", "Location", "ServiceLine", "Intercompany"),
    separator="-",
    balancing="Company",
    summary_defaults={"CostCenter": "0000", "Location": "000", "ServiceLine": "000", "Intercompany": "000"},
)
PERIODS = table(
    f"""ledger_id,period_name,start,end,status
    {LEDGER},Aug-26,2026-08-01,2026-08-31,Closed
    {LEDGER},Sep-26,2026-09-01,2026-09-30,Open
    {LEDGER},Oct-26,2026-10-01,2026-10-31,Open
    {LEDGER},Nov-26,2026-11-01,2026-11-30,Never Opened"""
)
TABLES_OF_TENANT = Tables(x1=X1, x2=X2, x3=X3, x4=X4, x5=X5, x8=X8, x10=X10, sha256="c" * 64)
BOOKS = Accounts(ACCOUNTS, CHART, default_revenue_role="revenue_in_person", default_service_line="010")
POLICIES = Policies()

NO_SENT = pl.DataFrame(
    schema={
        "entity": pl.String,
        "post_date": pl.Date,
        "category": pl.String,
        "posting_id": pl.String,
        "combination": pl.String,
        "debit_cents": pl.Int64,
        "credit_cents": pl.Int64,
    }
)
NO_REVISIONS = pl.DataFrame(
    schema={
        "entity": pl.String,
        "post_date": pl.Date,
        "category": pl.String,
        "revision": pl.Int64,
        "batch_date": pl.Date,
        "open": pl.Boolean,
    }
)


@dataclass
class Practice:
    """Writes Data View rows. Amounts are positive in the direction named; the writer turns them as athenaOne does."""

    day: date = DAY
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    last_id: int = 0

    def __post_init__(self) -> None:
        self.tables = {name: [] for name in TABLES}
        for department, (group, _, _) in DEPARTMENTS.items():
            self.add("DEPARTMENT", DEPARTMENTID=department, PROVIDERGROUPID=f"9{group}")
        for group in ("101", "102"):
            self.add("PROVIDERGROUP", PROVIDERGROUPID=f"9{group}", MEDICALGROUPID=group)

    def add(self, name: str, **values: str) -> dict[str, str]:
        row = dict.fromkeys(TABLES[name], "") | values
        self.tables[name].append(row)
        return row

    def next_id(self) -> str:
        self.last_id += 1
        return str(self.last_id)

    def claim(self, package: str, department: str = "1011", service: date | None = None) -> str:
        claim, insurance = self.next_id(), self.next_id()
        self.add("PATIENTINSURANCE", PATIENTINSURANCEID=insurance, INSURANCEPACKAGEID=package)
        self.add(
            "CLAIM",
            CLAIMID=claim,
            CLAIMSERVICEDATE=str(service or self.day),
            SERVICEDEPARTMENTID=department,
            CLAIMPRIMARYPATIENTINSID=insurance,
        )
        return claim

    def batch(self, group: str = "101", location: str = "MAIN", deposited: date | None = None) -> str:
        batch = self.next_id()
        self.add("PAYMENTBATCH", PAYMENTBATCHID=batch, DEPOSITBATCHID=batch, MEDICALGROUPID=group)
        self.add(
            "DEPOSITBATCH",
            DEPOSITBATCHID=batch,
            MEDICALGROUPID=group,
            DEPOSITDATE=str(deposited or self.day),
            DEPOSITLOCATION=location,
        )
        return batch

    def transaction(self, kind: str, claim: str, raw: str, responsible: str = "Primary", **more: str) -> str:
        """A TRANSACTION row with athenaOne's sign; returns its id."""
        row_id = self.next_id()
        insurance = next(c["CLAIMPRIMARYPATIENTINSID"] for c in self.tables["CLAIM"] if c["CLAIMID"] == claim)
        values = {
            "CONTEXTID": PRACTICE,
            "TRANSACTIONID": row_id,
            "CLAIMID": claim,
            "TRANSACTIONTYPE": kind,
            "TRANSACTIONTRANSFERTYPE": responsible,
            "AMOUNT": raw,
            "POSTDATE": str(self.day),
            "TRANSACTIONCREATEDDATETIME": f"{self.day} 10:00:00",
            "LASTUPDATED": f"{self.day} 10:00:00",
            "REVERSALFLAG": "N",
            "TRANSACTIONPATIENTINSID": "" if responsible == "Patient" else insurance,
        }
        self.add("TRANSACTION", **(values | more))
        return row_id

    def charge(self, claim: str, amount: str, code: str = "99214", **more: str) -> str:
        return self.transaction(
            "CHARGE", claim, amount, PROCEDURECODE=code, **({"PLACEOFSERVICE": "11"} | more)
        )

    def void(self, charge: str, **more: str) -> str:
        row = next(r for r in self.tables["TRANSACTION"] if r["TRANSACTIONID"] == charge)
        copied = {
            name: row[name] for name in ("PROCEDURECODE", "PLACEOFSERVICE", "OTHERMODIFIER", "CHARGEFROMDATE")
        }
        return self.transaction(
            "CHARGE",
            row["CLAIMID"],
            minus(row["AMOUNT"]),
            row["TRANSACTIONTRANSFERTYPE"],
            **(copied | {"REVERSALFLAG": "Y", "CHARGEVOIDPARENTID": charge} | more),
        )

    def payment(
        self, claim: str, amount: str, method: str = "EFT", responsible: str = "Primary", **more: str
    ) -> str:
        cash = method not in ("UNAPPLIED", "UNPOSTABLE")
        batch = {"PAYMENTBATCHID": self.batch()} if cash else {}
        return self.transaction(
            "PAYMENT", claim, minus(amount), responsible, **({"TRANSACTIONMETHOD": method} | batch | more)
        )

    def adjustment(
        self, claim: str, amount: str, reason: str, cas: str = "", carc: str = "", **more: str
    ) -> str:
        codes = {"TRANSACTIONREASON": reason, "CASGROUPCODE": cas, "CARC": carc}
        return self.transaction("ADJUSTMENT", claim, minus(amount), **(codes | more))

    def transfer(self, claim: str, amount: str, to: str = "Patient", **more: str) -> tuple[str, str]:
        out = self.transaction("TRANSFEROUT", claim, minus(amount), "Primary", PARENTCHARGEID=claim, **more)
        into = self.transaction("TRANSFERIN", claim, amount, to, PARENTCHARGEID=claim, CHARGEID=out, **more)
        return out, into

    def unapplied(
        self, kind: str, amount: str, method: str = "CARD", counterpart: str = "", **more: str
    ) -> str:
        """Positive raises unapplied money."""
        row_id = self.next_id()
        values = {
            "UNAPPLIEDID": row_id,
            "DEPARTMENTID": "1011",
            "UNAPPLIEDTYPE": kind,
            "METHOD": method,
            "AMOUNT": amount,
            "POSTDATE": str(self.day),
            "PAYMENTBATCHID": self.batch() if kind == "RECEIPT" else "",
            "TRANSACTIONID": counterpart,
            "CREATEDDATETIME": f"{self.day} 11:00:00",
            "LASTUPDATED": f"{self.day} 11:00:00",
        }
        self.add("UNAPPLIED", **(values | more))
        return row_id

    def unpostable(self, kind: str, amount: str, counterpart: str = "", **more: str) -> str:
        row_id = self.next_id()
        values = {
            "UNPOSTABLEID": row_id,
            "PAYMENTBATCHID": self.batch() if kind == "RECEIPT" else "",
            "INSURANCEPACKAGEID": "1003",
            "DEPARTMENTID": "1011",
            "UNPOSTABLETYPE": kind,
            "METHOD": "EFT",
            "AMOUNT": amount,
            "POSTDATE": str(self.day),
            "TRANSACTIONID": counterpart,
            "CREATEDDATETIME": f"{self.day} 11:00:00",
            "LASTUPDATED": f"{self.day} 11:00:00",
        }
        self.add("UNPOSTABLE", **(values | more))
        return row_id

    def frames(self) -> dict[str, pl.DataFrame]:
        return {
            name: pl.DataFrame(rows, schema=dict.fromkeys(TABLES[name], pl.String))
            for name, rows in self.tables.items()
        }

    def canonical(self, entity: str | None = "101") -> Canonical:
        return canonicalise(self.frames(), X1, practice_id=PRACTICE, entity=entity)

    def rows(self, entity: str | None = "101") -> pl.DataFrame:
        """Canonical rows; the practice has written no bad line."""
        canonical = self.canonical(entity)
        assert canonical.quarantined.is_empty(), canonical.quarantined.rows()
        return canonical.rows


def minus(amount: str) -> str:
    return str(-Decimal(amount))


def golden_day() -> Practice:
    """Entity 101, post date 2026-09-15: the 21 events E01 to E21 of the worked example."""
    p = Practice()
    commercial, medicare, medicaid, old = (p.claim(package) for package in ("1003", "1001", "1002", "1003"))
    p.charge(commercial, "250.00", "99214")  # E01
    p.charge(medicare, "180.00", "99213", PLACEOFSERVICE="10")  # E02
    p.charge(medicaid, "210.00", "99203")  # E03
    error = p.charge(commercial, "95.00", "20610")  # E04
    p.void(error)  # E05
    p.payment(commercial, "132.50")  # E06
    p.adjustment(commercial, "87.50", "CONTRACTUAL", "CO", "45")  # E07
    p.transfer(commercial, "30.00")  # E08
    p.payment(medicare, "71.36")  # E09
    p.adjustment(medicare, "90.00", "CONTRACTUAL", "CO", "45")  # E10
    p.transfer(medicare, "18.00")  # E11
    p.adjustment(medicare, "1.44", "SEQUESTRATION", "CO", "253")  # E12
    p.adjustment(medicare, "-0.80", "MIPS", "CO", "144", RARC="N807")  # E13
    p.payment(commercial, "30.00", "CARD", "Patient")  # E14
    p.unapplied("RECEIPT", "100.00")  # E15
    used = p.payment(medicare, "18.00", "UNAPPLIED", "Patient")  # E16
    p.unapplied("APPLIED", "-18.00", counterpart=used)
    p.unpostable("RECEIPT", "412.07")  # E17
    p.unapplied("REFUND", "-50.00", method="CHECK")  # E18
    p.adjustment(old, "64.25", "COLLECTIONS", responsible="Patient")  # E19
    p.payment(old, "-41.00", REVERSALFLAG="Y")  # E20
    p.adjustment(old, "-22.00", "CONTRACTUAL", "CO", "45", REVERSALFLAG="Y")  # E21
    return p


def reports(
    practice: Practice, group: str = "101", opening: Mapping[str, int] | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """athenaOne's activity and A/R reports, added up from the raw rows by rules of their own."""
    start = dict(opening or {"ar": 0, "unapplied": 0})
    activity: dict[tuple[str, str], list[Decimal]] = {}
    moves: dict[str, list[Decimal]] = {}

    def book(day: str, kind: str, amount: Decimal, ar: bool, unapplied: bool) -> None:
        activity.setdefault((day, kind), []).append(amount)
        move = moves.setdefault(day, [Decimal(0), Decimal(0)])
        move[0] += amount if ar else 0
        move[1] += amount if unapplied else 0

    for row in practice.tables["TRANSACTION"]:
        touches = row["TRANSACTIONMETHOD"] != "AGENCY"
        book(row["POSTDATE"], row["TRANSACTIONTYPE"], Decimal(row["AMOUNT"]), touches, unapplied=False)
    for row in practice.tables["UNAPPLIED"]:
        book(row["POSTDATE"], "UNAPPLIED", Decimal(row["AMOUNT"]), ar=False, unapplied=True)
    for row in practice.tables["UNPOSTABLE"]:
        book(row["POSTDATE"], "UNPOSTABLE", Decimal(row["AMOUNT"]), ar=False, unapplied=False)
    first = pl.DataFrame(
        [
            {
                "PRACTICE": PRACTICE,
                "MEDICALGROUPID": group,
                "POSTDATE": day,
                "TRANSACTIONTYPE": kind,
                "COUNT": str(len(amounts)),
                "AMOUNT": f"{sum(amounts):.2f}",
            }
            for (day, kind), amounts in sorted(activity.items())
        ],
        schema=dict.fromkeys(
            ("PRACTICE", "MEDICALGROUPID", "POSTDATE", "TRANSACTIONTYPE", "COUNT", "AMOUNT"), pl.String
        ),
    )
    ar, unapplied = Decimal(start["ar"]), Decimal(start["unapplied"])
    lines = [("2026-08-31", ar, unapplied)]
    for day in sorted(moves):
        ar, unapplied = ar + moves[day][0], unapplied + moves[day][1]
        lines.append((day, ar, unapplied))
    second = pl.DataFrame(
        [
            {"MEDICALGROUPID": group, "ASOFDATE": day, "AR": f"{a:.2f}", "UNAPPLIED": f"{u:.2f}"}
            for day, a, u in lines
        ]
    )
    return first, second
