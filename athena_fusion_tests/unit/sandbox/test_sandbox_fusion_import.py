"""Journal Import: all or nothing per group, several codes per line, what is written and what stays."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from fusion_pod import LEDGER, RunningPod, money, northwind, packed, pair, record, running


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[RunningPod]:
    with running(northwind(), tmp_path / "pod.db") as running_pod:
        running_pod.act_as("app")
        yield running_pod


@pytest.fixture(scope="module")
def calm_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPod]:
    """One pod for tests that change no set-up and use a group id of their own."""
    with running(northwind(), tmp_path_factory.mktemp("pod") / "pod.db") as running_pod:
        running_pod.act_as("app")
        yield running_pod


_groups = itertools.count(100)


def bad(pod: RunningPod, **fields: str) -> dict[str, str]:
    """Status by key after importing one pair whose debit line is changed."""
    group = str(next(_groups))
    debit = record(ENTERED_DR="10.00", REFERENCE21="K-1", GROUP_ID=group, **fields)
    assert pod.load(packed([debit, pair("10.00", GROUP_ID=group)[1]]))[1] == "SUCCEEDED"
    assert pod.import_group(group) == "WARNING"
    return pod.statuses(group)


def test_accepted_group_is_written_whole_and_leaves_the_interface(pod: RunningPod) -> None:
    lines = [
        *pair("15250.75", "A", REFERENCE10="Charges", REFERENCE22="abc"),
        *pair("20.00", "B", REFERENCE4="J2"),
    ]
    load, _ = pod.load(packed(lines))
    before = pod.readback("1")
    assert {(row["ORIGIN"], row["STATUS"], row["LOAD_REQUEST_ID"]) for row in before} == {
        ("INTERFACE", "NEW", load)
    }
    assert before[0]["LEDGER_ID"] == "300000000000001"
    assert pod.import_group("1") == "SUCCEEDED"
    rows = pod.readback("1")
    assert [row["LINE_KEY"] for row in rows] == ["A-1", "A-2", "B-1", "B-2"]
    first = rows[0]
    assert first["ORIGIN"] == "BASE"
    assert first["STATUS"] == ""
    assert first["BATCH_STATUS"] == "U"
    assert first["BATCH_NAME"].startswith("B1 athenaCollector A 1 ")
    assert first["BATCH_NAME"].endswith(" N")
    assert first["JOURNAL_NAME"].startswith("J1")
    assert (first["ENTERED_DR"], first["ENTERED_CR"], first["REFERENCE_2"]) == ("15250.75", "", "abc")
    assert rows[2]["ENTERED_DR"] == "20"
    assert [first[f"SEGMENT{n}"] for n in range(1, 11)] == [
        "101",
        "10",
        "12100",
        "000",
        "000",
        "000",
        "",
        "",
        "",
        "",
    ]
    assert (first["ACCOUNTING_DATE"], first["PERIOD_NAME"]) == ("2026-01-30", "Jan-26")
    assert sum(money(row["ENTERED_DR"]) for row in rows) == sum(money(row["ENTERED_CR"]) for row in rows)


def test_one_bad_line_holds_the_whole_group_and_says_why(pod: RunningPod) -> None:
    lines = [*pair("1.00", "GOOD", REFERENCE4="J0"), *pair("2.00", "BAD", SEGMENT4="777")]
    pod.load(packed(lines))
    assert pod.import_group("1") == "WARNING"
    assert pod.statuses("1") == {"GOOD-1": "P", "GOOD-2": "P", "BAD-1": "EF04", "BAD-2": "EF04"}
    text = next(row["STATUS_DESCRIPTION"] for row in pod.readback("1") if row["LINE_KEY"] == "BAD-1")
    assert (
        text == "FLEX-VALUE DOES NOT EXIST (SEGMENT=Cost Center) (VALUESET=Corporate Cost Center) (VALUE=777)"
    )
    assert pod.summary()["totals"]["batches"] == 0


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"SEGMENT3": "99999"}, "EF04"),
        ({"SEGMENT6": ""}, "EF04"),
        ({"SEGMENT7": "000"}, "EF04"),
        ({"SEGMENT3": "19000"}, "EF04"),
        ({"SEGMENT3": "41000", "SEGMENT4": "999"}, "EF04"),
        ({"SEGMENT3": "10000"}, "EF02"),
        ({"SEGMENT3": "41999", "SEGMENT4": "110"}, "EF03"),
        ({"SEGMENT3": "11010", "SEGMENT4": "110"}, "EF01"),
        ({"USER_JE_CATEGORY_NAME": "No Such"}, "EM01,EU02"),
        ({"LEDGER_NAME": "No Such"}, "EM03,EU02"),
        ({"ACTUAL_FLAG": "X"}, "EM04,EU02"),
        ({"ENCUMBRANCE_TYPE_ID": "100"}, "EM05"),
        ({"ACCOUNTING_DATE": "2025/12/31"}, "EP01,EU02"),
        ({"PERIOD_NAME": "Feb-26"}, "EP01,EU02"),
        ({"CURRENCY_CODE": "ZZZ"}, "EC08,EU02"),
        ({"ACCOUNTED_DR": "11.00"}, "EC12"),
        ({"CURRENCY_CODE": "EUR"}, "EC03,EU02"),
        ({"CURRENCY_CODE": "EUR", "USER_CURRENCY_CONVERSION_TYPE": "Magic"}, "EC11,EU02"),
        ({"CURRENCY_CODE": "EUR", "USER_CURRENCY_CONVERSION_TYPE": "Corporate"}, "EC02,EU02"),
        (
            {
                "CURRENCY_CODE": "EUR",
                "USER_CURRENCY_CONVERSION_TYPE": "User",
                "CURRENCY_CONVERSION_DATE": "2026/01/30",
            },
            "EC01,EU02",
        ),
        (
            {
                "CURRENCY_CODE": "EUR",
                "USER_CURRENCY_CONVERSION_TYPE": "Corporate",
                "CURRENCY_CONVERSION_DATE": "2026/01/30",
            },
            "EC06,EU02",
        ),
        ({"SEGMENT3": "99999", "CURRENCY_CODE": "EUR"}, "EF04,EC03,EU02"),
        ({"REFERENCE7": "Y"}, "ER01"),
        ({"REFERENCE7": "Y", "REFERENCE8": "Mar-99"}, "ER02"),
    ],
)
def test_codes(calm_pod: RunningPod, fields: dict[str, str], codes: str) -> None:
    assert bad(calm_pod, **fields)["K-1"] == codes


def test_no_usable_period_at_all(pod: RunningPod) -> None:
    pod.control("periods/Jan-26", status="Closed")
    assert bad(pod)["K-1"] == "EP02"


def test_each_journal_and_each_company_must_balance(pod: RunningPod) -> None:
    split = [
        record(ENTERED_DR="5.00", REFERENCE21="S-1", REFERENCE4="JA"),
        record(ENTERED_CR="5.00", REFERENCE21="S-2", REFERENCE4="JB", SEGMENT3="41000", SEGMENT4="110"),
    ]
    pod.load(packed(split))
    assert pod.import_group("1") == "WARNING"
    assert set(pod.statuses("1").values()) == {"EU02"}
    company = pair("5.00", "C", GROUP_ID="2")
    company[1] = record(
        ENTERED_CR="5.00", REFERENCE21="C-2", GROUP_ID="2", SEGMENT1="102", SEGMENT3="41000", SEGMENT4="110"
    )
    pod.load(packed(company))
    assert pod.import_group("2") == "WARNING"
    assert set(pod.statuses("2").values()) == {"EU02"}
    pod.control("suspense", enabled=True)
    assert pod.import_group("2") == "SUCCEEDED"
    assert pod.statuses("2") == {}


def test_corrected_set_up_lets_the_held_group_through(pod: RunningPod) -> None:
    pod.control("segments/Cost%20Center/120", enabled=False)
    pod.load(packed(pair("3.00", SEGMENT4="120")))
    assert pod.import_group("1") == "WARNING"
    rows = {row["LINE_KEY"]: row for row in pod.readback("1")}
    assert rows["K-1"]["STATUS"] == "EF04"
    assert "(SEGMENT=Cost Center)" in rows["K-1"]["STATUS_DESCRIPTION"]
    assert "(VALUE=120)" in rows["K-1"]["STATUS_DESCRIPTION"]
    pod.control("segments/Cost%20Center/120", enabled=True)
    assert pod.import_group("1") == "SUCCEEDED"
    assert pod.summary()["groups"]["1"]["lines"] == 2


def test_value_disabled_after_the_combination_exists_is_a_disabled_combination(pod: RunningPod) -> None:
    pod.load(packed(pair("3.00", SEGMENT4="120")))
    assert pod.import_group("1") == "SUCCEEDED"
    pod.control("segments/Cost%20Center/120", enabled=False)
    pod.load(packed(pair("3.00", GROUP_ID="2", SEGMENT4="120")))
    assert pod.import_group("2") == "WARNING"
    assert set(pod.statuses("2").values()) == {"EF03"}


@pytest.mark.parametrize(
    ("group", "source"),
    [("999", "athenaCollector"), ("1", "athenacollector"), ("1", "Unknown")],
)
def test_mismatch_succeeds_and_picks_up_nothing(pod: RunningPod, group: str, source: str) -> None:
    pod.load(packed(pair("1.00")))
    assert pod.import_group(group, source) == "SUCCEEDED"
    newest = max(int(row["REQUESTID"]) for row in pod.tree(str(pod_last(pod))))
    assert "Total: 0 group id(s)" in pod.log(str(newest))
    assert set(pod.statuses("1").values()) == {"NEW"}


def pod_last(pod: RunningPod) -> int:
    """Newest root request."""
    items = pod.client.get("/ess/rest/scheduler/v1/requests", params={"q": "parentRequestId eq 0"}).json()[
        "items"
    ]
    return int(items[0]["requestId"])


def test_all_takes_every_group_on_its_own(pod: RunningPod) -> None:
    pod.load(packed([*pair("1.00", "A"), *pair("2.00", "B", GROUP_ID="2", SEGMENT3="99999")]))
    assert pod.import_group("ALL") == "WARNING"
    groups = pod.summary()["groups"]
    assert (groups["1"]["batches"], groups["2"]["batches"]) == (1, 0)


def test_access_set_must_hold_the_ledger(pod: RunningPod) -> None:
    pod.load(packed(pair("1.00")))
    assert pod.import_group("1", ledger="300000000000002") == "ERROR"
    assert "doesn't contain the ledger" in pod.log(str(pod_last(pod)))


def test_resend_loads_twice(pod: RunningPod) -> None:
    for _ in range(2):
        pod.load(packed(pair("1.00")))
    pod.import_group("1")
    assert [row["LINE_KEY"] for row in pod.readback("1")] == ["K-1", "K-2", "K-1", "K-2"]


def test_source_without_import_references_loses_the_keys(pod: RunningPod) -> None:
    pod.load(packed(pair("1.00", USER_JE_SOURCE_NAME="Plain")))
    assert pod.import_group("1", "Plain") == "SUCCEEDED"
    assert [row["LINE_KEY"] for row in pod.readback("1")] == ["", ""]


def test_execution_report_names_lines_and_lists_every_code(pod: RunningPod) -> None:
    bad(pod, SEGMENT3="99999")
    root = pod_last(pod)
    files = pod.files(str(root))
    child = pod.tree(str(root))[0]["CHILD"][0]["REQUESTID"]
    assert f"Import Journals: Child job request_id: {child} has been submitted." in files[f"{root}.log"]
    assert "SHRD0079: Number of records inserted into the gl_je_lines table: 0." in files[f"{child}.log"]
    before, _, legend = files[f"{child}.txt"].partition("===== Error Key =====")
    assert "EF04 | athenaCollector | 2026-01-30 | USD | 10 |  | 101.10.99999.000.000.000" in before
    assert "EC08" not in before
    assert "EC08" in legend


def test_foreign_currency_is_accounted_at_the_given_rate(calm_pod: RunningPod) -> None:
    group = str(next(_groups))
    rate = {
        "CURRENCY_CODE": "EUR",
        "USER_CURRENCY_CONVERSION_TYPE": "User",
        "CURRENCY_CONVERSION_DATE": "2026/01/30",
        "CURRENCY_CONVERSION_RATE": "1.105",
    }
    calm_pod.load(packed(pair("10.01", GROUP_ID=group, **rate)))
    assert calm_pod.import_group(group) == "SUCCEEDED"
    assert calm_pod.readback(group)[0]["ENTERED_DR"] == "10.01"
    assert calm_pod.summary()["groups"][group]["total_dr"] == "11.06"


def test_summary_journals_merge_lines_and_lose_their_keys(calm_pod: RunningPod) -> None:
    group = str(next(_groups))
    calm_pod.load(packed([*pair("1.00", "A", GROUP_ID=group), *pair("2.00", "B", GROUP_ID=group)]))
    arguments = f"300000000000009,athenaCollector,300000000000001,{group},N,Y,N"
    assert calm_pod.wait(calm_pod.submit(LEDGER, "JournalImportLauncher", arguments)) == "SUCCEEDED"
    rows = calm_pod.readback(group)
    assert [(row["LINE_KEY"], row["ENTERED_DR"], row["ENTERED_CR"]) for row in rows] == [
        ("", "3", ""),
        ("", "", "3"),
    ]


def test_account_errors_cannot_go_to_suspense(calm_pod: RunningPod) -> None:
    arguments = "300000000000009,athenaCollector,300000000000001,1,Y,N,N"
    assert calm_pod.wait(calm_pod.submit(LEDGER, "JournalImportLauncher", arguments)) == "ERROR"
