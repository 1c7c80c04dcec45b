"""The example chart of accounts: accounts, the roles a tenant gives them, and posting level.

`normal` is the side an account grows on. Balance-sheet accounts (1xxxx, 2xxxx) are kept in summary: no cost
centre, location or service line; income and expense accounts carry the department's.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """One value of the Account segment."""

    number: str
    name: str
    normal: str  # Dr | Cr | Dr/Cr

    @property
    def level(self) -> str:
        """`summary` for balance-sheet accounts, `detail` for income and expense."""
        return "summary" if self.number[0] in "12" else "detail"


ACCOUNTS = tuple(
    Account(*row)
    for row in (
        ("10210", "Cash clearing, insurance", "Dr"),
        ("10220", "Cash clearing, patient card and e-payment", "Dr"),
        ("10230", "Cash clearing, time of service", "Dr"),
        ("10240", "Cash clearing, partner settlements", "Dr"),
        ("11010", "A/R Medicare", "Dr"),
        ("11020", "A/R Medicaid", "Dr"),
        ("11030", "A/R commercial and managed care", "Dr"),
        ("11040", "A/R Medicare Advantage", "Dr"),
        ("11050", "A/R workers' compensation, auto, liability", "Dr"),
        ("11060", "A/R self-pay", "Dr"),
        ("11090", "A/R other third party", "Dr"),
        ("11510", "Due from patient-financing lenders", "Dr"),
        ("11520", "Patient-financing receivable", "Dr"),
        ("11610", "Due from telehealth platforms", "Dr"),
        ("11615", "Telehealth platform receivable", "Dr"),
        ("11620", "Quality incentive receivable", "Dr"),
        ("11630", "Payer withhold receivable", "Dr"),
        ("11910", "Allowance, contractual", "Cr"),
        ("11920", "Allowance, implicit price concession", "Cr"),
        ("12310", "Taxes withheld and levies", "Dr"),
        ("19990", "Integration suspense", "Dr/Cr"),
        ("21010", "Unapplied patient receipts", "Cr"),
        ("21020", "Unidentified insurance receipts", "Cr"),
        ("21110", "Refunds payable, patients", "Cr"),
        ("21120", "Refunds and recoupments payable, payers", "Cr"),
        ("21310", "Payer forwarding-balance clearing", "Cr"),
        ("21320", "Payer advances", "Cr"),
        ("21530", "Recourse obligation, patient financing", "Cr"),
        ("40010", "Gross patient service revenue, in person", "Cr"),
        ("40020", "Gross patient service revenue, telehealth", "Cr"),
        ("40030", "Gross revenue, ancillary", "Cr"),
        ("40040", "Gross revenue, drugs and vaccines", "Cr"),
        ("45010", "Contractual adjustments, Medicare", "Dr"),
        ("45020", "Contractual adjustments, Medicaid", "Dr"),
        ("45030", "Contractual adjustments, commercial", "Dr"),
        ("45040", "Contractual adjustments, Medicare Advantage", "Dr"),
        ("45050", "Contractual adjustments, workers' compensation", "Dr"),
        ("45090", "Contractual adjustments, other", "Dr"),
        ("45210", "Administrative and denial write-offs", "Dr"),
        ("45220", "Charity and financial assistance", "Dr"),
        ("45230", "Discounts", "Dr"),
        ("45310", "Small-balance write-offs", "Dr"),
        ("45410", "Sequestration", "Dr"),
        ("46010", "Implicit price concessions, self-pay", "Dr"),
        ("46020", "Recoveries of implicit price concessions", "Cr"),
        ("48010", "Quality incentive revenue, MIPS", "Cr"),
        ("48020", "Quality incentive revenue, commercial and shared savings", "Cr"),
        ("48030", "Capitation revenue", "Cr"),
        ("48040", "Telehealth platform revenue", "Cr"),
        ("48050", "Interest received from payers", "Cr"),
        ("62010", "Bad debt expense", "Dr"),
        ("62110", "Fees, card processing", "Dr"),
        ("62120", "Fees, patient financing", "Dr"),
        ("62130", "Fees, telehealth platform", "Dr"),
        ("62140", "Fees, collection agency", "Dr"),
    )
)

ROLES = {
    "cash_insurance": "10210",
    "cash_card": "10220",
    "cash_time_of_service": "10230",
    "cash_partner": "10240",
    "ar_medicare": "11010",
    "ar_medicaid": "11020",
    "ar_commercial": "11030",
    "ar_medicare_advantage": "11040",
    "ar_workers_comp": "11050",
    "ar_self_pay": "11060",
    "ar_other": "11090",
    "due_from_lenders": "11510",
    "due_from_telehealth": "11610",
    "allowance_implicit": "11920",
    "suspense": "19990",
    "unapplied": "21010",
    "unidentified": "21020",
    "refunds_patient": "21110",
    "refunds_payer": "21120",
    "revenue_in_person": "40010",
    "revenue_telehealth": "40020",
    "revenue_ancillary": "40030",
    "revenue_drugs": "40040",
    "contractual_medicare": "45010",
    "contractual_medicaid": "45020",
    "contractual_commercial": "45030",
    "contractual_medicare_advantage": "45040",
    "contractual_workers_comp": "45050",
    "contractual_self_pay": "45090",
    "contractual_other": "45090",
    "denial_writeoff": "45210",
    "charity": "45220",
    "discount": "45230",
    "small_balance": "45310",
    "sequestration": "45410",
    "implicit_concession": "46010",
    "recoveries": "46020",
    "incentive_mips": "48010",
    "bad_debt_expense": "62010",
    "fee_collection_agency": "62140",
}
"""What a posting rule asks for -> account number."""
