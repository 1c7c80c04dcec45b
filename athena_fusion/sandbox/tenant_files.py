"""The tenant directory of the sandbox world, as files; the shipped one is this for three entities.

The list of segment values is stale on purpose: it still enables a cost centre that Fusion has disabled.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from athena_fusion.sandbox import chart
from athena_fusion.sandbox import world as w
from athena_fusion.sandbox.batches import CASH_METHODS
from athena_fusion.sandbox.procedures import TELEHEALTH_MODIFIERS, TELEHEALTH_PLACES

_FROM = "2026-01-01"
_EFFECTIVE = (_FROM, "")

X4_COLUMNS = (
    *("transaction_type", "subtype", "responsible", "reason", "method"),
    *("cas_group", "carc", "rarc", "custom_code", "reversal"),
)

_TRANSACTIONS: tuple[tuple[dict[str, str], str], ...] = (
    ({"transaction_type": "CHARGE"}, "P01"),
    ({"transaction_type": "CHARGE", "reversal": "Y"}, "P02"),
    *(({"transaction_type": "PAYMENT", "method": m}, "P03") for m in ("EFT", "LOCKBOX")),
    *(({"transaction_type": "PAYMENT", "method": m, "reversal": "Y"}, "P18") for m in ("EFT", "LOCKBOX")),
    *(
        ({"transaction_type": "PAYMENT", "responsible": "Patient", "method": m}, "P04")
        for m in ("CARD", "CASH", "CHECK", "CLEARPAY")
    ),
    # Out of unapplied money is the rule; money moved back from a claim is the more specific line.
    ({"transaction_type": "PAYMENT", "method": "UNAPPLIED"}, "P06"),
    ({"transaction_type": "PAYMENT", "subtype": "BACK", "method": "UNAPPLIED"}, "P07"),
    ({"transaction_type": "PAYMENT", "method": "UNPOSTABLE"}, "P08R"),
    ({"transaction_type": "PAYMENT", "method": "AGENCY", "custom_code": "AGENCYNET"}, "P16"),
    ({"transaction_type": "PAYMENT", "method": "AGENCY", "custom_code": "AGENCYFEE"}, "P16F"),
    ({"transaction_type": "ADJUSTMENT", "cas_group": "CO", "carc": "45"}, "P09"),
    ({"transaction_type": "ADJUSTMENT", "cas_group": "CO", "carc": "45", "reversal": "Y"}, "P18C"),
    ({"transaction_type": "ADJUSTMENT", "cas_group": "CO", "carc": "253"}, "P10"),
    ({"transaction_type": "ADJUSTMENT", "reason": "DENIAL"}, "P11"),
    ({"transaction_type": "ADJUSTMENT", "reason": "CHARITY"}, "P12"),
    ({"transaction_type": "ADJUSTMENT", "reason": "DISCOUNT"}, "P13"),
    ({"transaction_type": "ADJUSTMENT", "reason": "SMALLBALANCE"}, "P14"),
    ({"transaction_type": "ADJUSTMENT", "reason": "COLLECTIONS"}, "P15"),
    ({"transaction_type": "ADJUSTMENT", "reason": "PAYERREFUND"}, "P21"),
    ({"transaction_type": "ADJUSTMENT", "cas_group": "CO", "carc": "144", "rarc": "N807"}, "P23"),
    ({"transaction_type": "ADJUSTMENT", "cas_group": "CO", "carc": "237", "rarc": "N807"}, "P23"),
    # The two legs are one event: either names it, the pair posts once.
    ({"transaction_type": "TRANSFEROUT"}, "P17"),
    ({"transaction_type": "TRANSFERIN"}, "P17"),
    ({"transaction_type": "UNAPPLIED", "subtype": "RECEIPT"}, "P05"),
    ({"transaction_type": "UNAPPLIED", "subtype": "APPLIED"}, "NONE"),
    ({"transaction_type": "UNAPPLIED", "subtype": "FROMCLAIM"}, "NONE"),
    ({"transaction_type": "UNAPPLIED", "subtype": "REFUND"}, "P20"),
    ({"transaction_type": "UNAPPLIED", "subtype": "REFUND", "method": "CARD"}, "P20C"),
    ({"transaction_type": "UNPOSTABLE", "subtype": "RECEIPT"}, "P08"),
    ({"transaction_type": "UNPOSTABLE", "subtype": "RESOLVED"}, "NONE"),
)

_IN_PERSON, _TELEHEALTH = ("revenue_in_person", "010"), ("revenue_telehealth", "010")
_REVENUE = (
    ("992*", "", "", *_IN_PERSON),
    *(("992*", place, "", *_TELEHEALTH) for place in TELEHEALTH_PLACES),
    *(("992*", "", modifier, *_TELEHEALTH) for modifier in TELEHEALTH_MODIFIERS),
    *(
        ("992*", place, modifier, *_TELEHEALTH)
        for place in TELEHEALTH_PLACES
        for modifier in TELEHEALTH_MODIFIERS
    ),
    ("1*", "", "", "revenue_in_person", "020"),
    ("2*", "", "", "revenue_in_person", "020"),
    ("36415", "", "", "revenue_ancillary", "030"),
    ("7*", "", "", "revenue_ancillary", "030"),
    ("8*", "", "", "revenue_ancillary", "030"),
    ("93000", "", "", "revenue_ancillary", "030"),
    ("906*", "", "", "revenue_drugs", "040"),
    ("J*", "", "", "revenue_drugs", "040"),
)

_CASH_ROLES = {
    "EFT": "cash_insurance",
    "LOCKBOX": "cash_insurance",
    "CARD": "cash_card",
    "CASH": "cash_time_of_service",
    "CHECK": "cash_time_of_service",
    "CLEARPAY": "due_from_lenders",
    "AGENCY": "cash_partner",
}

_CHANGES = (
    ("x2", "Departments to cost centres and locations"),
    ("x3", "Insurance packages to payer classes"),
    ("x4", "Transaction codes to postings"),
    ("x5", "Procedures to revenue accounts"),
    ("x8", "Payment methods to cash accounts"),
    ("x10", "Segment values as of the last export of the chart"),
)


def write_tenant(world: w.World, folder: Path) -> None:
    """Write `tenant.yaml` and every table of the tenant directory for this world; other files stay."""
    (folder / "crosswalks").mkdir(parents=True, exist_ok=True)
    (folder / "tenant.yaml").write_text(_settings(), encoding="utf-8")
    for name, header, rows in _tables(world):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)


def _tables(world: w.World) -> list[tuple[str, Sequence[str], Iterable[Sequence[object]]]]:
    effective = ("effective_from", "effective_to")
    return [
        (
            "billing_entities.csv",
            (
                *("practice_id", "medical_group_id", "entity", "ordinal", "name", "ledger_name", "ledger_id"),
                *("legal_entity", "company", "business_unit", "zone", "late_policy", *effective),
            ),
            [
                (
                    *(world.practice_id, e.id, e.id, e.ordinal, e.name, w.LEDGER_NAME, w.LEDGER_ID),
                    *(f"{e.name} LLC", e.id, f"{e.name} BU", w.ZONE, "next_open_first_day", *_EFFECTIVE),
                )
                for e in world.entities
            ],
        ),
        ("accounts.csv", ("role", "account", "name", "normal", "level"), _accounts()),
        (
            "periods.csv",
            ("ledger_id", "period_name", "start", "end", "status"),
            [(w.LEDGER_ID, *period) for period in world.periods()],
        ),
        (
            "crosswalks/x2_departments.csv",
            ("department_id", "cost_center", "location", *effective),
            [(d.id, d.cost_center, d.location, *_EFFECTIVE) for d in world.departments],
        ),
        (
            "crosswalks/x3_payers.csv",
            ("insurance_package_id", "payer_class", *effective),
            [(p.id, p.payer_class, *_EFFECTIVE) for p in world.payers],
        ),
        (
            "crosswalks/x4_transactions.csv",
            (*X4_COLUMNS, "posting_id", *effective),
            [
                (*(line.get(column, "") for column in X4_COLUMNS), posting, *_EFFECTIVE)
                for line, posting in _TRANSACTIONS
            ],
        ),
        (
            "crosswalks/x5_revenue.csv",
            ("procedure", "place_of_service", "modifier", "account_role", "service_line", *effective),
            [(*line, *_EFFECTIVE) for line in _REVENUE],
        ),
        (
            "crosswalks/x8_cash.csv",
            ("deposit_location", "method", "account_role", *effective),
            [("", method, _CASH_ROLES[method], *_EFFECTIVE) for method in CASH_METHODS],
        ),
        (
            "crosswalks/x10_segments.csv",
            ("segment", "source_value", "fusion_value", "enabled", *effective),
            [(name, value, value, "Y", *_EFFECTIVE) for name, value in world.segment_values()],
        ),
        (
            "crosswalks/changes.csv",
            ("crosswalk", "version", "author", "approver", "reason", "approved_on"),
            [(name, 1, "m.santos", "e.kaya", reason, "2026-09-01") for name, reason in _CHANGES],
        ),
    ]


def _accounts() -> list[tuple[str, str, str, str, str]]:
    by_number = {account.number: account for account in chart.ACCOUNTS}
    return [
        (role, number, by_number[number].name, by_number[number].normal, by_number[number].level)
        for role, number in chart.ROLES.items()
    ]


def _settings() -> str:
    segments = "\n".join(f"    - {{name: {name}, width: {width}}}" for name, width in w.SEGMENTS)
    defaults = ", ".join(f'{name}: "{value}"' for name, value in w.SUMMARY_VALUES.items())
    categories = "\n".join(f'    "{code}": {name}' for code, name in w.CATEGORIES.items())
    scope = "urn:opc:resource:fa:instanceid=1urn:opc:resource:consumer::all"
    return f"""\
# The sandbox tenant: a synthetic practice on this machine. Values of the form ${{NAME:-default}} are taken from
# the environment; secrets are references, never values.
name: sandbox
zone: {w.ZONE}
currency: USD
practice_id: "{w.PRACTICE_ID}"
first_batch_date: {w.FIRST_DAY}
go_live: {w.FIRST_DAY}
home: ${{ATHENA_FUSION_HOME:-var}}
store: ${{ATHENA_FUSION_HOME:-var}}/store
state_url: sqlite:///${{ATHENA_FUSION_HOME:-var}}/state.db
schedule:
  extraction: "02:00"
  reconciliation: "03:00"
  transformation: "04:00"
  load: "05:00"
  evidence: "06:00"
chart:
  separator: "-"
  balancing: Company
  segments:
{segments}
  summary_defaults: {{{defaults}}}
  suspense_account: "{chart.ROLES["suspense"]}"
policies:
  bad_debt: implicit_concession # or expense, allowance
  mips: incentive # or net_revenue
default_revenue: {{account_role: revenue_in_person, service_line: "010"}}
athenaone:
  base_url: ${{ATHENA_SANDBOX_URL:-http://127.0.0.1:8900}}
  token_url: ${{ATHENA_SANDBOX_URL:-http://127.0.0.1:8900}}/oauth2/v1/token
  client_id: {w.ATHENAONE_CLIENT}
  client_secret: file:${{ATHENA_FUSION_HOME:-var}}/sandbox/secrets/athenaone
  scopes:
    rcm_extract: [athena/service/Athenanet.MDP.*]
  calls_per_second: 15
  dataview: ${{ATHENA_FUSION_HOME:-var}}/sandbox/dataview
fusion:
  base_url: ${{FUSION_SANDBOX_URL:-http://127.0.0.1:8901}}
  token_url: ${{FUSION_SANDBOX_URL:-http://127.0.0.1:8901}}/oauth2/v1/token
  client_id: {w.FUSION_CLIENT}
  client_secret: file:${{ATHENA_FUSION_HOME:-var}}/sandbox/secrets/fusion
  grant: client_credentials # or jwt_assertion, with user and signing_key
  user: null
  signing_key: null
  scopes:
    submit: ["{scope}"]
    readback: ["{scope}"]
  calls_per_second: 200
  data_access_set_id: "{w.DATA_ACCESS_SET_ID}"
  source: {w.JOURNAL_SOURCE}
  categories:
{categories}
  document_account: fin$/generalLedger$/import$
  interface_options_id: "15"
  readback_report: /Custom/athena_fusion/journal_readback.xdo
  autopost_criteria_set: "{w.AUTOPOST_CRITERIA_ID}" # null: journals stay unposted
  poll_seconds: 0.2
  job_timeout_seconds: 1800
  settle_seconds: 900
  end_marker: true
evidence:
  retention_years: 7
  delivery: {{folder: "${{ATHENA_FUSION_HOME:-var}}/outbox"}}
  head_publication: {{folder: "${{ATHENA_FUSION_HOME:-var}}/published-heads"}}
"""
