"""A small sound tenant folder, written anew for each test, to be broken one file at a time."""

from pathlib import Path

import pytest

from athena_fusion.tenant.model import ACCOUNT_ROLES

LEDGER = "300000046975971"

YAML = """\
name: small
zone: America/New_York
currency: USD
practice_id: "195900"
first_batch_date: 2026-09-15
go_live: 2026-09-15
home: ${SMALL_HOME:-var}
store: ${SMALL_HOME:-var}/store
state_url: sqlite:///${SMALL_HOME:-var}/state.db
schedule: {extraction: "02:00", reconciliation: "03:00", transformation: "04:00", load: "05:00", evidence: "06:00"}
chart:
  separator: "-"
  balancing: Company
  segments:
    - {name: Company, width: 3}
    - {name: CostCenter, width: 4}
    - {name: Account, width: 5}
    - {name: Location, width: 3}
    - {name: ServiceLine, width: 3}
    - {name: Intercompany, width: 3}
  summary_defaults: {CostCenter: "0000", Location: "000", ServiceLine: "000", Intercompany: "000"}
  suspense_account: "19990"
policies: {bad_debt: implicit_concession, mips: incentive}
default_revenue: {account_role: revenue_in_person, service_line: "010"}
athenaone:
  base_url: ${SMALL_ATHENA:-http://127.0.0.1:8900}
  token_url: ${SMALL_ATHENA:-http://127.0.0.1:8900}/oauth2/v1/token
  client_id: athena-fusion-rcm
  client_secret: file:${SMALL_HOME:-var}/secrets/athenaone
  scopes: {rcm_extract: ["athena/service/Athenanet.MDP.*"]}
  calls_per_second: ${SMALL_RATE:-15}
  dataview: ${SMALL_HOME:-var}/dataview
fusion:
  base_url: https://pod.example.com
  token_url: https://identity.example.com/oauth2/v1/token
  client_id: athena-fusion-gl
  client_secret: env:FUSION_SECRET
  grant: client_credentials
  scopes: {submit: [scope-a], readback: [scope-b]}
  calls_per_second: 20
  data_access_set_id: "300000046975980"
  source: athenaCollector
  categories: {"01": ATH Charges, "02": ATH Payments, "03": ATH Adjustments, "04": ATH Transfers, "05": ATH Unapplied,
    "06": ATH Unidentified, "07": ATH PLB, "08": ATH Refunds, "09": ATH Incentives}
  document_account: fin$/generalLedger$/import$
  interface_options_id: "15"
  readback_report: /Custom/athena_fusion/journal_readback.xdo
  autopost_criteria_set: null
  poll_seconds: 0.2
  job_timeout_seconds: 1800
  settle_seconds: 900
  end_marker: true
evidence:
  retention_years: 7
  delivery: {folder: "${SMALL_HOME:-var}/outbox"}
  head_publication: {folder: "${SMALL_HOME:-var}/published-heads"}
"""

FILES = {
    "tenant.yaml": YAML,
    "billing_entities.csv": (
        "practice_id,medical_group_id,entity,ordinal,name,ledger_name,ledger_id,legal_entity,company,"
        "business_unit,zone,late_policy,effective_from,effective_to\n"
        f"195900,101,101,1,North,Ledger,{LEDGER},North LLC,101,BU,America/New_York,next_open_first_day,2026-01-01,\n"
        f"195900,102,102,2,South,Ledger,{LEDGER},South LLC,102,BU,America/Chicago,hold,2026-01-01,2026-12-31\n"
    ),
    "accounts.csv": "role,account,name,normal,level\n"
    + "".join(
        f"{role},{'19990' if role == 'suspense' else 30000 + n},{role},Dr,"
        f"{'detail' if role.startswith('revenue') else 'summary'}\n"
        for n, role in enumerate(sorted(ACCOUNT_ROLES))
    ),
    "periods.csv": (
        "ledger_id,period_name,start,end,status\n"
        f"{LEDGER},Sep-26,2026-09-01,2026-09-30,Open\n"
        f"{LEDGER},Aug-26,2026-08-01,2026-08-31,Closed\n"
    ),
    "crosswalks/x2_departments.csv": (
        "department_id,cost_center,location,effective_from,effective_to\n"
        "1011,2100,014,2026-01-01,2026-06-30\n"
        "1011,2110,014,2026-07-01,\n"
        "1021,2110,015,2026-01-01,\n"
    ),
    "crosswalks/x3_payers.csv": (
        "insurance_package_id,payer_class,effective_from,effective_to\n1001,medicare,2026-01-01,\n"
    ),
    "crosswalks/x4_transactions.csv": (
        "transaction_type,subtype,responsible,reason,method,cas_group,carc,rarc,custom_code,reversal,"
        "posting_id,effective_from,effective_to\n"
        "CHARGE,,,,,,,,,,P01,2026-01-01,\n"
        "PAYMENT,,,,CARD,,,,,Y,P20C,2026-01-01,\n"
    ),
    "crosswalks/x5_revenue.csv": (
        "procedure,place_of_service,modifier,account_role,service_line,effective_from,effective_to\n"
        "992*,,,revenue_in_person,010,2026-01-01,\n"
    ),
    "crosswalks/x8_cash.csv": (
        "deposit_location,method,account_role,effective_from,effective_to\n,EFT,cash_insurance,2026-01-01,\n"
    ),
    "crosswalks/x10_segments.csv": (
        "segment,source_value,fusion_value,enabled,effective_from,effective_to\n"
        "CostCenter,2100,2100,Y,2026-01-01,\n"
        "CostCenter,2110,2110,N,2026-01-01,\n"
        "Location,014,014,Y,2026-01-01,\n"
        "Location,015,015,Y,2026-01-01,\n"
    ),
    "crosswalks/changes.csv": "crosswalk,version,author,approver,reason,approved_on\n"
    + "".join(
        f"{name},{version},Ann,Bob,change {version},2026-0{version}-01\n"
        for name in ("x2", "x3", "x4", "x5", "x8", "x10")
        for version in (1, 2)
    ),
}


class SmallTenant:
    """The folder, with an edit that must hit exactly one place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in FILES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        """Change one place of a file."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        (self.folder / name).write_text(text.replace(old, new), encoding="utf-8")

    def append(self, name: str, row: str) -> int:
        """Add a row at the end; its line number."""
        with (self.folder / name).open("a", encoding="utf-8") as out:
            out.write(row + "\n")
        return (self.folder / name).read_text(encoding="utf-8").count("\n")


@pytest.fixture
def small_tenant(tmp_path):
    return SmallTenant(tmp_path)
