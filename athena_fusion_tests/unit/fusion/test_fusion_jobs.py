"""Job arguments, states and trees."""

import json

import pytest

from athena_fusion.fusion.jobs import (
    STATE_NAMES,
    TERMINAL,
    Job,
    JobTree,
    autopost_job,
    finished,
    import_job,
    load_job,
    parameter_list,
    purge_job,
    read_tree,
    worst,
)


def test_arguments_in_the_order_seen_on_pods() -> None:
    assert load_job("15", "42").arguments == ("15", "42", "N", "N")
    assert import_job("980", "athenaCollector", "971", "20260915001010101").arguments == (
        *("980", "athenaCollector", "971", "20260915001010101"),
        *("N", "N", "N"),
    )
    assert purge_job("15", "99").arguments == ("15", "#NULL", "99", "99", "#NULL", "ORA_FBDI", "USER")
    assert autopost_job("300000046990001").arguments == ("300000046990001",)


@pytest.mark.parametrize("group", ["ALL", "", "1234567890123456789", "12 3", "٣"])
def test_import_never_takes_more_than_one_group(group: str) -> None:
    with pytest.raises(ValueError, match="group id"):
        import_job("980", "s", "971", group)


def test_parameter_list() -> None:
    assert parameter_list(["a", "", "x, y", "#NULL"]) == 'a,#NULL,"x, y",#NULL'
    assert parameter_list([]) == ""


@pytest.mark.parametrize("value", ['say "x"', "a\nb", "a\r"])
def test_argument_that_would_shift_the_others(value: str) -> None:
    with pytest.raises(ValueError, match="job argument"):
        parameter_list(["a", value])


def test_states() -> None:
    assert (STATE_NAMES[1], STATE_NAMES[10], STATE_NAMES[12], STATE_NAMES[13], STATE_NAMES[19]) == (
        *("WAIT", "ERROR", "SUCCEEDED", "PAUSED"),
        "ERROR_MANUAL_RECOVERY",
    )
    assert {"PAUSED", "COMPLETED", "FINISHED", "", "NEW WORD"}.isdisjoint(TERMINAL)


def tree(*statuses: str) -> JobTree:
    children = tuple(Job(f"child {n}", "", str(n), status) for n, status in enumerate(statuses[1:]))
    return JobTree((Job("parent", "", "9", statuses[0], children),))


@pytest.mark.parametrize(
    ("statuses", "verdict", "done"),
    [
        (("SUCCEEDED", "SUCCEEDED"), "SUCCEEDED", True),
        (("SUCCEEDED", "WARNING"), "WARNING", True),
        (("SUCCEEDED", "ERROR", "WARNING"), "ERROR", True),
        (("SUCCEEDED", "PAUSED"), "PAUSED", False),
        (("SUCCEEDED", ""), "", False),
        (("WARNING", "RUNNING"), "RUNNING", False),
        (("RUNNING", "VALIDATION_FAILED"), "VALIDATION_FAILED", False),
        (("SUCCEEDED", "SOMETHING_NEW"), "SOMETHING_NEW", False),
    ],
)
def test_worst_of_a_tree(statuses: tuple[str, ...], verdict: str, done: bool) -> None:
    assert (worst(tree(*statuses)), finished(tree(*statuses))) == (verdict, done)


def test_empty_tree_is_not_finished() -> None:
    assert (worst(JobTree(())), finished(JobTree(()))) == ("", False)


def test_read_tree_takes_lists_and_single_objects() -> None:
    child = {"JOBNAME": "Load File to Interface", "REQUESTID": "3", "STATUS": "SUCCEEDED"}
    single = {"JOBNAME": "Load", "JOBPATH": "/p", "REQUESTID": 2, "STATUS": "succeeded", "CHILD": child}
    as_list = {**single, "CHILD": [child]}
    for form in ({"JOBS": single}, {"JOBS": [as_list]}):
        (job,) = read_tree(json.dumps(form)).jobs
        assert (job.request_id, job.definition, job.status) == ("2", "/p", "SUCCEEDED")
        assert [each.request_id for each in read_tree(form).walk()] == ["2", "3"]
    assert read_tree("").jobs == read_tree({"JOBS": None}).jobs == ()


def test_read_tree_refuses_endless_depth() -> None:
    node: dict[str, object] = {"JOBNAME": "x"}
    for _ in range(30):
        node = {"JOBNAME": "x", "CHILD": [node]}
    with pytest.raises(ValueError, match="no job"):
        read_tree({"JOBS": node})
