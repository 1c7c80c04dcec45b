"""One mistake, one message with file and line; a sound folder gives a typed tenant."""

import hashlib
import time
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from athena_fusion.tenant import loader
from athena_fusion.tenant.loader import (
    TenantError,
    default_tenant_dir,
    load_cadence,
    load_entities,
    load_settings,
    load_tenant,
)

DEPARTMENTS = "crosswalks/x2_departments.csv"
SEGMENTS = "crosswalks/x10_segments.csv"
CHANGES = "crosswalks/changes.csv"
ENTITIES = "billing_entities.csv"


def findings(tenant, environment=None):
    with pytest.raises(TenantError) as caught:
        load_tenant(tenant.folder, environment or {})
    return [str(finding) for finding in caught.value.findings]


def test_sound_folder(small_tenant):
    tenant = load_tenant(small_tenant.folder, {"SMALL_HOME": "/data", "SMALL_RATE": "3"})
    assert (tenant.home, tenant.store, tenant.athenaone.calls_per_second) == ("/data", "/data/store", 3)
    assert tenant.athenaone.client_secret == "file:/data/secrets/athenaone"  # a reference, never a value
    assert tenant.first_batch_date == date(2026, 9, 15)
    assert tenant.chart.names[2] == "Account"
    assert tenant.chart.widths["CostCenter"] == 4
    assert tenant.accounts["suspense"].account == "19990"
    assert [period.period_name for period in tenant.periods_of("300000046975971")] == ["Aug-26", "Sep-26"]
    assert tenant.fusion.categories["05"] == "ATH Unapplied"
    assert tenant.fusion.autopost_criteria_set is None


def test_defaults_stand_for_unset_and_empty_variables(small_tenant):
    for environment in ({}, {"SMALL_HOME": ""}):
        assert load_tenant(small_tenant.folder, environment).store == "var/store"


def test_entities_by_day(small_tenant):
    tenant = load_tenant(small_tenant.folder, {})
    assert [entity.entity for entity in tenant.entities_on(date(2026, 12, 31))] == ["101", "102"]
    assert [entity.entity for entity in tenant.entities_on(date(2027, 1, 1))] == ["101"]
    assert tenant.entity("102", date(2026, 1, 1)).late_policy == "hold"
    for day in (date(2025, 12, 31), date(2027, 1, 1)):
        with pytest.raises(LookupError, match="billing entity 102"):
            tenant.entity("102", day)


def test_crosswalk_carries_frame_lines_and_current_approval(small_tenant):
    x2 = load_tenant(small_tenant.folder, {}).crosswalks["x2"]
    assert x2.frame.schema == {
        "department_id": pl.String,
        "cost_center": pl.String,
        "location": pl.String,
        "effective_from": pl.Date,
        "effective_to": pl.Date,
        "line": pl.UInt32,
    }
    assert x2.frame["line"].to_list() == [2, 3, 4]
    assert x2.frame["effective_to"].to_list() == [date(2026, 6, 30), None, None]
    assert (x2.version, x2.approver, x2.approved_on) == (2, "Bob", date(2026, 2, 1))
    assert x2.sha256 == hashlib.sha256((small_tenant.folder / DEPARTMENTS).read_bytes()).hexdigest()
    x4 = load_tenant(small_tenant.folder, {}).crosswalks["x4"].frame
    assert x4.filter(posting_id="P01")["method"].to_list() == [None]  # blank: any
    assert load_tenant(small_tenant.folder, {}).crosswalks["x10"].frame["enabled"].to_list() == list("YNYY")


def test_tables_for_work_on_whole_columns(small_tenant):
    tables = load_tenant(small_tenant.folder, {}).tables
    assert set(tables) == {"billing_entities", "accounts", "periods"}
    assert tables["billing_entities"].select("entity", "ordinal", "line").rows() == [
        ("101", 1, 2),
        ("102", 2, 3),
    ]
    assert tables["periods"]["start"].to_list() == [date(2026, 9, 1), date(2026, 8, 1)]


def test_version_hash_is_that_of_the_checksum_list(small_tenant):
    tenant = load_tenant(small_tenant.folder, {})
    listing = "".join(
        f"{hashlib.sha256((small_tenant.folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(tenant.files)
    )
    assert len(tenant.files) == 11
    assert tenant.version_hash == hashlib.sha256(listing.encode()).hexdigest()
    assert load_tenant(small_tenant.folder, {"SMALL_HOME": "x"}).version_hash == tenant.version_hash
    small_tenant.replace(CHANGES, "x2,2,Ann,Bob,change 2", "x2,2,Ann,Bob,other reason")
    assert load_tenant(small_tenant.folder, {}).version_hash != tenant.version_hash


def test_overlapping_rows_name_both_lines(small_tenant):
    line = small_tenant.append(DEPARTMENTS, "1021,2100,014,2026-05-01,")
    assert findings(small_tenant) == [
        f"{DEPARTMENTS}:{line}: department 1021 has overlapping rows 2026-01-01..open (line 4) "
        "and 2026-05-01..open"
    ]


def test_overlap_of_one_day_hidden_behind_a_longer_row(small_tenant):
    small_tenant.append(DEPARTMENTS, "1031,2100,014,2026-01-01,2026-12-31")
    small_tenant.append(DEPARTMENTS, "1031,2100,014,2026-02-01,2026-02-28")
    small_tenant.append(DEPARTMENTS, "1031,2100,014,2026-12-31,")
    assert [finding.split(": ")[0] for finding in findings(small_tenant)] == [
        f"{DEPARTMENTS}:6",
        f"{DEPARTMENTS}:7",
    ]


def test_blank_key_columns_are_one_key(small_tenant):
    small_tenant.append("crosswalks/x4_transactions.csv", "CHARGE,,,,,,,,,,P02,2026-03-01,")
    (finding,) = findings(small_tenant)
    assert "transaction CHARGE / any / any" in finding
    small_tenant.replace("crosswalks/x4_transactions.csv", "P02,2026-03-01", "P02,2025-03-01")
    assert "2025-03-01..open" in findings(small_tenant)[0]
    small_tenant.replace("crosswalks/x4_transactions.csv", "P02,2025-03-01,", "P02,2025-03-01,2025-12-31")
    load_tenant(small_tenant.folder, {})


def test_stages_may_share_a_time(small_tenant):
    small_tenant.replace("tenant.yaml", 'reconciliation: "03:00"', 'reconciliation: "04:00"')
    schedule = load_tenant(small_tenant.folder, {}).schedule
    assert (schedule.reconciliation, schedule.transformation) == ("04:00", "04:00")


# by file: text to change, its replacement, the one finding expected
MISTAKES = {
    "tenant.yaml": [
        ("currency: USD", "curency: USD", ":3: curency is not a known key"),
        ("  poll_seconds: 0.2", "  pol_seconds: 0.2", ": fusion.pol_seconds is not a known key"),
        ("zone: America/New_York", "zone: America/Boston", ":2: zone 'America/Boston' is not a time zone"),
        ('practice_id: "195900"', "practice_id: 195900", ":4: practice_id is not text; put the value in quotes"),
        ("go_live: 2026-09-15", "go_live: 2026-09-31", ":6: go_live cannot be read"),
        ("go_live: 2026-09-15", "go_live: 20260915", ":6: go_live is not a date YYYY-MM-DD"),
        ("go_live: 2026-09-15", "go_live: 2026-09-15 02:00:00", ":6: go_live is not a date YYYY-MM-DD"),
        ("store: ${SMALL_HOME:-var}/store", "store: ${SMALL_STORE}", ":8: store needs the environment variable"),
        ("store: ${SMALL_HOME:-var}/store", "store: ${SMALL HOME}", ":8: store has a variable that is not"),
        ('evidence: "06:00"', "evidence: 10:00", ":10: schedule.evidence is not text"),
        ('load: "05:00"', 'load: "25:00"', ":10: schedule.load: String should match"),
        ('load: "05:00"', 'load: "03:30"', ":10: schedule.load 03:30 is not after transformation 04:00"),
        ('evidence: "06:00"', 'evidence: "05:00"', ":10: schedule.evidence 05:00 is not after load 05:00"),
        ("{name: Location, width: 3}", "{name: Location, width: 0}", ":18: chart.segments.3.width:"),
        ("balancing: Company", "balancing: Entity", ": chart.balancing 'Entity' is not a segment of the chart"),
        ('Location: "000", ', 'Location: "00", ', ": chart.summary_defaults.Location '00' is not 3 characters wide"),
        ('Location: "000", ', 'Location: "000", Fund: "1", ', ": chart.summary_defaults.Fund is not a segment of"),
        ('Location: "000", ', "", ": chart.summary_defaults has no value for segment Location"),
        ('suspense_account: "19990"', 'suspense_account: "19991"', ": chart.suspense_account is not in accounts.csv"),
        ("mips: incentive", "mips: revenue", ": policies.mips: Input should be 'incentive' or 'net_revenue'"),
        ("account_role: revenue_in_person", "account_role: revenue", ": default_revenue.account_role 'revenue' is"),
        ('service_line: "010"', 'service_line: "10"', ": default_revenue.service_line '10' is not 3 characters wide"),
        ("https://pod.example.com", "http://pod.example.com", ": fusion.base_url is not an https:// address"),
        ("grant: client_credentials", "grant: jwt_assertion", ": fusion.grant jwt_assertion needs user and"),
        ('"01": ATH Charges, ', "", ": fusion.categories has no name for 01"),
        ('"01": ATH Charges', '"01": ATH PLB', ": fusion.categories gives two categories the same name"),
        ('"01": ATH Charges', '"01": ATH Charges, "10": More', ": fusion.categories.10: String should match"),
        ('{folder: "${SMALL_HOME:-var}/outbox"}', "{}", ": evidence.delivery names not exactly one of folder, s3,"),
        ("${SMALL_HOME:-var}/published-heads", "${SMALL_HOME:-var}/store/heads", ": evidence.head_publication lies"),
        ("retention_years: 7", "retention_years: [", ": not YAML"),
        ("retention_years: 7", "retention_years: 7\n  retention_years: 9", ": evidence.retention_years is there"),
        ("retention_years: 7", "retention_years: !!python/name:os.system 7", ": not YAML"),
    ],
    DEPARTMENTS: [
        ("1021,2110,015,2026-01-01,", "1021,2110,015,2026-01-01", ":4: 4 values where 5 are due"),
        ("1021,2110,015,2026-01-01", "1021,2110,015,01/01/2026", ":4: effective_from '01/01/2026' is not a date"),
        ("1021,2110,015,2026-01-01", "1021,2110,015,2026-02-30", ":4: effective_from '2026-02-30' is not a date"),
        ("1021,2110,015,2026-01-01", "1021,2110,015,", ":4: effective_from is blank"),
        ("1021,2110,015,2026-01-01,", "1021,2110,015,2026-01-01,2025-12-31", ":4: effective_from 2026-01-01 is"),
        ("1021,2110", "1021, 2110", ":4: cost_center ' 2110' has blanks around it"),
        ("1021,2110", ",2110", ":4: department_id is blank"),
        ("location,", "site,", ":1: the header does not fit (location, site)"),
        ("1021,2110,015", '1021,"2110"x,015', ":4: not a CSV row"),
        ("1021,2110", "1021,2120", ":4: cost_center 2120 of department 1021 is not in crosswalks/x10"),
        ("1021,2110,015", "1021,2110,016", ":4: location 016 of department 1021 is not in crosswalks/x10"),
    ],
    "crosswalks/x3_payers.csv": [
        ("medicare", "tricare", ":2: payer_class 'tricare' is not accepted; known are medicare,"),
    ],
    "crosswalks/x4_transactions.csv": [
        ("P01", "P1", ":2: posting_id 'P1' is not accepted"),
        ("CHARGE", "CHRGE", ":2: transaction_type 'CHRGE' is not accepted; known are CHARGE,"),
    ],
    "crosswalks/x5_revenue.csv": [
        ("992*", "9*2", ":2: procedure '9*2' is not accepted"),
        ("revenue_in_person", "revenue", ":2: account_role revenue is not known"),
        ("010", "10", ":2: service_line '10' is not 3 characters wide"),
    ],
    "crosswalks/x8_cash.csv": [
        ("cash_insurance", "cash_eft", ":2: account_role cash_eft is not known"),
    ],
    SEGMENTS: [
        ("CostCenter,2110,2110,N", "CostCenter,2110,2110,X", ":3: enabled 'X' is not accepted; known are Y, N"),
        ("CostCenter,2110,2110", "CostCenter,2110,211", ":3: fusion_value '211' is not 4 characters wide"),
        ("Location,015,015", "Site,015,015", ":5: segment Site is not in the chart"),
    ],
    "accounts.csv": [
        ("suspense,19990,suspense,Dr,summary\n", "", ": role suspense has no account"),
        ("normal,level\n", "normal,level\nrent,70000,Rent,Dr,detail\n", ":2: role rent is not known"),
        ("suspense,19990,suspense,Dr", "suspense,19990,suspense,debit", ": normal 'debit' is not accepted; known"),
    ],
    ENTITIES: [
        ("195900,102", "195901,102", ":3: practice_id 195901 is not the tenant's 195900"),
        ("102,102,2,", "102,102,1,", ":3: ordinal 1 belongs to entity 101 (line 2)"),
        ("102,102,2,", "101,102,2,", ":3: medical group 101 belongs to entity 101 (line 2)"),
        ("102,102,2,", "102,10/2,2,", ":3: entity '10/2' is not accepted"),
        ("102,102,2,", "102,101,1,", ":3: billing entity 101 has overlapping rows"),
        ("South LLC,102", "South LLC,1020", ":3: company '1020' is not 3 characters wide"),
        ("America/Chicago", "America", ":3: 'America' is not a time zone"),
        ("hold", "wait", ":3: late_policy 'wait' is not accepted; known are next_open_first_day, hold, reject"),
        ("South,Ledger,300000046975971", "South,Ledger,300000046975972", ":3: ledger 300000046975972 has no periods"),
    ],
    "periods.csv": [
        ("2026-08-31", "2026-08-30", ":2: period Sep-26 of ledger 300000046975971 starts 2026-09-01, Aug-26 before"),
        ("Sep-26,", "Aug-26,", ":3: period 300000046975971 / Aug-26 is there twice (line 2)"),
        ("2026-09-30", "2026-08-30", ":2: start 2026-09-01 is after end 2026-08-30"),
        ("Closed", "Shut", ":3: status 'Shut' is not accepted"),
    ],
    CHANGES: [
        ("x3,2,Ann,Bob", "x3,2,Ann,ann", ":5: Ann approved their own change of x3"),
        ("x3,2,", "x3,1,", ":5: version x3 / 1 is there twice (line 4)"),
        ("x3,2,", "x11,2,", ":5: crosswalk x11 is not known"),
        ("x3,2,Ann", "x3,2,", ":5: author is blank"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [pytest.param(name, *row, id=row[2][:60]) for name, rows in MISTAKES.items() for row in rows],
)
def test_one_mistake_gives_one_finding(small_tenant, name, old, new, expected):
    small_tenant.replace(name, old, new)
    found = findings(small_tenant)
    if expected.startswith(":3: curency"):  # the misspelt key is told, and the one that is missing for it
        assert found.pop(0).startswith("tenant.yaml:1: currency is missing")
    if "pol_seconds" in expected:
        assert "fusion.poll_seconds is missing" in found.pop(0)
    assert len(found) == 1, found
    assert found[0].startswith(f"{name}:")
    assert expected in found[0]


def test_lines_of_yaml_findings_are_those_of_the_keys(small_tenant):
    text = (small_tenant.folder / "tenant.yaml").read_text()
    small_tenant.replace("tenant.yaml", "  source: athenaCollector\n", "  source: ''\n")
    line = text[: text.index("  source: athenaCollector")].count("\n") + 1
    assert findings(small_tenant)[0].startswith(f"tenant.yaml:{line}: fusion.source:")


def test_missing_and_unknown_files(small_tenant):
    (small_tenant.folder / DEPARTMENTS).rename(small_tenant.folder / "crosswalks/x2_department.csv")
    assert findings(small_tenant) == [
        "crosswalks/x2_department.csv:1: no crosswalk of this name is known",
        f"{DEPARTMENTS}:1: the file cannot be read (No such file or directory)",
    ]
    (small_tenant.folder / "tenant.yaml").unlink()
    assert "tenant.yaml:1: the file cannot be read (No such file or directory)" in findings(small_tenant)


def test_crosswalk_without_approval(small_tenant):
    text = (small_tenant.folder / CHANGES).read_text()
    (small_tenant.folder / CHANGES).write_text(
        "".join(line for line in text.splitlines(keepends=True) if "x5," not in line)
    )
    assert findings(small_tenant) == [f"{CHANGES}:1: crosswalk x5 has no approved version"]


def test_all_mistakes_are_told_at_once_and_in_order(small_tenant):
    small_tenant.replace("tenant.yaml", "currency: USD", "currency: usd")
    small_tenant.replace("periods.csv", "Closed", "Shut")
    small_tenant.replace(ENTITIES, "hold", "wait")
    found = findings(small_tenant)
    assert [finding.split(":")[0] for finding in found] == [ENTITIES, "periods.csv", "tenant.yaml"]
    with pytest.raises(TenantError, match=r"3 findings in the tenant configuration .*; nothing was loaded"):
        load_tenant(small_tenant.folder, {})


def test_a_secret_typed_in_is_refused_and_not_repeated(small_tenant):
    small_tenant.replace("tenant.yaml", "env:FUSION_SECRET", "hunter2hunter2")
    (finding,) = findings(small_tenant)
    assert "fusion.client_secret a secret is given as env:NAME" in finding
    assert "hunter2" not in finding


def test_files_with_bom_crlf_and_blank_lines_are_read(small_tenant):
    path = small_tenant.folder / DEPARTMENTS
    rows = path.read_bytes().replace(b"\n", b"\r\n").replace(b"1021,", b"\r\n1021,")
    path.write_bytes(b"\xef\xbb\xbf" + rows)
    assert load_tenant(small_tenant.folder, {}).crosswalks["x2"].frame["line"].to_list() == [2, 3, 5]


@pytest.mark.parametrize("name", ["tenant.yaml", DEPARTMENTS])
def test_files_that_are_not_utf8(small_tenant, name):
    path = small_tenant.folder / name
    path.write_bytes(path.read_bytes() + b"\xff\n")
    assert findings(small_tenant) == [f"{name}:1: the file is not UTF-8"]


def test_tenant_is_immutable(small_tenant):
    tenant = load_tenant(small_tenant.folder, {})
    with pytest.raises(ValueError, match="frozen"):
        tenant.name = "other"


def test_parts_loaded_alone(small_tenant):
    cadence = load_cadence(small_tenant.folder)
    assert (cadence.zone, cadence.first_batch_date, cadence.load) == (
        "America/New_York",
        date(2026, 9, 15),
        "05:00",
    )
    assert load_entities(small_tenant.folder) == ("101", "102")
    assert load_entities(small_tenant.folder, date(2026, 12, 31)) == ("101", "102")
    assert load_entities(small_tenant.folder, date(2027, 1, 1)) == ("101",)
    assert load_settings(small_tenant.folder).athenaone.dataview == "var/dataview"
    small_tenant.replace("tenant.yaml", "zone: America/New_York", "zone: Nowhere")
    small_tenant.replace(ENTITIES, "hold", "wait")
    with pytest.raises(TenantError, match=r"tenant\.yaml:2: zone"):
        load_cadence(small_tenant.folder)
    with pytest.raises(TenantError, match=r"billing_entities\.csv:3: late_policy"):
        load_entities(small_tenant.folder)
    with pytest.raises(TenantError, match=r"tenant\.yaml:1: the file cannot be read"):
        load_cadence(small_tenant.folder / "elsewhere")


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ATHENA_FUSION_TENANT", str(tmp_path))
    assert default_tenant_dir() == tmp_path
    monkeypatch.delenv("ATHENA_FUSION_TENANT")
    assert default_tenant_dir() == Path(loader.__file__).parent / "sandbox"


def test_fifty_entities_load_quickly(small_tenant):
    for number in range(103, 151):
        group = f"{number},{number},{number - 100},E{number},Ledger,300000046975971,LLC,{number}"
        small_tenant.append(ENTITIES, f"195900,{group},BU,America/New_York,hold,2026-01-01,")
        for department in range(1, 5):
            small_tenant.append(DEPARTMENTS, f"{number}{department},2100,014,2026-01-01,")
            small_tenant.append(SEGMENTS, f"CostCenter,{number}{department},2100,Y,2026-01-01,")
    start = time.perf_counter()
    tenant = load_tenant(small_tenant.folder, {})
    assert time.perf_counter() - start < 0.3
    assert len(tenant.entities) == 50


def test_shipped_sandbox_tenant_has_no_findings(monkeypatch):
    monkeypatch.delenv("ATHENA_FUSION_TENANT", raising=False)
    tenant = load_tenant(default_tenant_dir(), {})
    assert tenant.name == "sandbox"
    assert [entity.entity for entity in tenant.entities[:3]] == ["101", "102", "103"]
    assert load_entities(default_tenant_dir())[:3] == ("101", "102", "103")
    assert load_cadence(default_tenant_dir()).first_batch_date == date(2026, 9, 15)
