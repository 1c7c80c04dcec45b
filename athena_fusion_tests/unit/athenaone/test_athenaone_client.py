"""athenaNet answers as they come: paged, drifting, with wandering types."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from athena_fusion.athenaone.client import AthenaError, AthenaOne, Department
from athena_fusion.clock import ManualClock
from athena_fusion.http import HttpClient, Unavailable

START = datetime(2026, 9, 16, 6, 0, tzinfo=UTC)


class Api:
    """Answers by path; keeps the queries it was asked."""

    def __init__(self, answer: Callable[[str, dict[str, str]], Any]) -> None:
        self.answer, self.asked = answer, list[dict[str, str]]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = {key: values[0] for key, values in parse_qs(request.url.query.decode()).items()}
        self.asked.append(query)
        answer = self.answer(request.url.path, query)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


@contextmanager
def athena(answer: Callable[[str, dict[str, str]], Any]) -> Iterator[tuple[AthenaOne, Api]]:
    api = Api(answer)
    transport = httpx.MockTransport(api)
    with HttpClient("https://api.test", clock=ManualClock(START), transport=transport) as http:
        yield AthenaOne(http, "195900"), api


def pages(rows: list[dict[str, Any]], size: int, plural: str = "departments") -> Callable[..., Any]:
    def answer(path: str, query: dict[str, str]) -> Any:
        offset = int(query["offset"])
        page: dict[str, Any] = {plural: rows[offset : offset + size], "totalcount": str(len(rows))}
        if offset + size < len(rows):
            page["next"] = f"{path}?limit={size}&offset={offset + size}"
        return page

    return answer


def test_ping_accepts_pong_as_text_and_as_flag() -> None:
    for pong in ("true", True):
        with athena(lambda *_, pong=pong: {"pong": pong}) as (one, api):
            one.ping()
        assert len(api.asked) == 1


@pytest.mark.parametrize("status", [403, 404])
def test_ping_of_a_practice_not_granted(status: int) -> None:
    with (
        athena(lambda *_: httpx.Response(status, json={"error": "No access"})) as (one, _),
        pytest.raises(AthenaError, match="practice 195900 is not granted"),
    ):
        one.ping()


def test_ping_without_pong() -> None:
    with athena(lambda *_: {}) as (one, _), pytest.raises(AthenaError, match="pong"):
        one.ping()


def test_ping_passes_other_faults_on() -> None:
    with athena(lambda *_: httpx.Response(500)) as (one, _), pytest.raises(Unavailable):
        one.ping()


def test_departments_over_pages_with_wandering_types() -> None:
    rows = [
        {"departmentid": 1012, "name": "B", "servicedepartment": "false", "surprise": {"x": 1}},
        {
            "departmentid": "1011",
            "name": "A",
            "providergroupid": 7,
            "providergroupname": "Group",
            "timezonename": "US/Eastern",
            "servicedepartment": True,
        },
        {"departmentid": "21"},
    ]
    with athena(pages(rows, 2)) as (one, api):
        found = one.departments()
    assert found[1] == Department("1011", "A", "7", "Group", "US/Eastern", service=True)
    assert [department.id for department in found] == ["21", "1011", "1012"]
    assert [department.service for department in found] == [True, True, False]
    assert [query["offset"] for query in api.asked] == ["0", "2"]
    assert {query["showalldepartments"] for query in api.asked} == {"true"}


def test_one_department_out_of_a_one_element_array() -> None:
    with athena(lambda *_: [{"departmentid": 3, "name": "C"}]) as (one, _):
        assert one.department("3").name == "C"


def test_providers() -> None:
    row = {
        "providerid": 86,
        "npi": 1245319599,
        "firstname": "Ada",
        "entitytype": "Person",
        "specialtyid": "026",
    }
    with athena(pages([row], 5, "providers")) as (one, _):
        (provider,) = one.providers()
    assert (provider.id, provider.npi, provider.entity_type) == ("86", "1245319599", "Person")


def test_drifting_count_is_read_again_and_then_tolerated() -> None:
    reading = 0

    def answer(_: str, query: dict[str, str]) -> Any:
        nonlocal reading
        reading += 1
        rows = [{"departmentid": str(n)} for n in range(3 if reading > 1 else 2)]
        return {"departments": rows, "totalcount": 3}

    with athena(answer) as (one, api):
        assert len(one.departments()) == 3
    assert len(api.asked) == 2

    with athena(lambda *_: {"departments": [{"departmentid": "1"}], "totalcount": 9}) as (one, api):
        assert len(one.departments()) == 1
    assert len(api.asked) == 3


def test_row_that_moved_to_the_next_page_counts_once() -> None:
    def answer(_: str, query: dict[str, str]) -> Any:
        first = {"departments": [{"departmentid": "1"}, {"departmentid": "2"}], "totalcount": 3}
        second = {"departments": [{"departmentid": "2"}, {"departmentid": "3"}], "totalcount": 3}
        return second if query["offset"] == "2" else {**first, "next": "/x?offset=2"}

    with athena(answer) as (one, _):
        assert [department.id for department in one.departments()] == ["1", "2", "3"]


def test_empty_last_page_ends_the_list() -> None:
    def answer(_: str, query: dict[str, str]) -> Any:
        rows = [{"departmentid": "1"}] if query["offset"] == "0" else []
        return {"departments": rows, "totalcount": 1, "next": f"/x?offset={int(query['offset']) + 1}"}

    with athena(answer) as (one, api):
        assert len(one.departments()) == 1
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"departments": [{"departmentid": "1"}], "next": "https://evil.test/x?offset=2"}, "next link"),
        ({"departments": [{"departmentid": "1"}], "next": "//evil.test/x?offset=2"}, "next link"),
        ({"departments": [{"departmentid": "1"}], "next": "/x?limit=2"}, "next link"),
        ({"departments": [{"departmentid": "1"}], "next": "/x?offset=0"}, "do not advance"),
        ({"departments": {"1": {}}}, "no list"),
        ({"departments": ["1"]}, "not one object"),
        ({"departments": [{"name": "x"}]}, "no departmentid"),
        ([], "not one object"),
        ([{}, {}], "not one object"),
        ("text", "not one object"),
    ],
)
def test_answers_that_cannot_be_trusted(answer: Any, words: str) -> None:
    with athena(lambda *_: answer) as (one, _), pytest.raises(AthenaError, match=words):
        one.departments()


@pytest.mark.parametrize("practice", ["", "1/../2", "abc"])
def test_practice_id_is_digits(practice: str) -> None:
    with HttpClient("https://api.test", clock=ManualClock(START)) as http, pytest.raises(AthenaError):
        AthenaOne(http, practice)
