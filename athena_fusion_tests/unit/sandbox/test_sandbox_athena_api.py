"""The athenaOne API: tokens, quota, expiry, paging, wandering types, refusals and armed faults."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.types import ASGIApp

from athena_fusion.sandbox.athenaone.app import create_athenaone_app
from athena_fusion.sandbox.athenaone.tokens import V1_SCOPE, ApiClient, TokenSettings
from athena_fusion.sandbox.control import BusinessDays
from athena_fusion.sandbox.ledger import Ledger
from athena_fusion.sandbox.world import World

BASIC = ("athena-fusion-rcm", "s3cret")
ASK = {"grant_type": "client_credentials", "scope": V1_SCOPE}
KEY = RSAKey.generate_key(2048)


class InProcess(httpx.BaseTransport):
    """Calls an ASGI application without a socket."""

    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def call() -> httpx.Response:
            answer = await self._inner.handle_async_request(request)
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

        return asyncio.run(call())


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 9, 16, 6, 0, 20, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def api(time: Time, tmp_path: Path) -> Iterator[httpx.Client]:
    world, ledger = World(), Ledger(tmp_path / "ledger.db")
    clients = (
        ApiClient(BASIC[0], BASIC[1]),
        ApiClient("signer", None, public_key=KEY.as_pem(private=False).decode()),
        ApiClient("reader", "r", scopes=frozenset({"system/Patient.rs"})),
    )
    app = create_athenaone_app(
        world,
        ledger,
        clock=time,
        token_settings=TokenSettings(clients, lifetime_seconds=600, quota_per_minute=3),
        days=BusinessDays(world, ledger, tmp_path / "dataview", lines_per_entity=20),
    )
    with httpx.Client(transport=InProcess(app), base_url="http://testserver") as client:
        yield client


def token(api: httpx.Client) -> str:
    answer = api.post("/oauth2/v1/token", data=ASK, auth=BASIC)
    assert answer.status_code == 200
    return str(answer.json()["access_token"])


def get(api: httpx.Client, path: str, bearer: str | None = None) -> httpx.Response:
    return api.get(f"/v1/195900{path}", headers={"Authorization": f"Bearer {bearer or token(api)}"})


def arm(api: httpx.Client, **fault: Any) -> None:
    assert api.post("/sandbox/faults", json=fault).status_code == 200


def test_a_token_names_its_scope_and_lifetime(api: httpx.Client) -> None:
    answer = api.post("/oauth2/v1/token", data=ASK, auth=BASIC).json()

    assert answer["token_type"] == "Bearer"
    assert (answer["expires_in"], answer["scope"]) == (600, V1_SCOPE)


@pytest.mark.parametrize("auth", [("athena-fusion-rcm", "wrong"), ("nobody", "s3cret"), ("signer", "")])
def test_a_wrong_client_gets_no_token(api: httpx.Client, auth: tuple[str, str]) -> None:
    answer = api.post("/oauth2/v1/token", data=ASK, auth=auth)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_credentials_in_the_body_are_not_taken(api: httpx.Client) -> None:
    body = ASK | {"client_id": BASIC[0], "client_secret": BASIC[1]}

    assert api.post("/oauth2/v1/token", data=body).status_code == 401


@pytest.mark.parametrize("scope", ["", f"{V1_SCOPE} system/Patient.rs"])
def test_one_scope_that_is_not_granted_fails_the_whole_request(api: httpx.Client, scope: str) -> None:
    answer = api.post("/oauth2/v1/token", data=ASK | {"scope": scope}, auth=BASIC)

    assert answer.status_code == 400
    assert answer.json()["error_description"] == "Invalid Scope"


def test_the_token_quota_holds_until_the_top_of_the_next_minute(api: httpx.Client, time: Time) -> None:
    for _ in range(3):
        token(api)
    time.now += timedelta(seconds=39)
    over = api.post("/oauth2/v1/token", data=ASK, auth=BASIC)
    assert (over.status_code, over.text) == (429, "Quota Exceeded")

    time.now += timedelta(seconds=1)
    token(api)


def test_a_token_expires(api: httpx.Client, time: Time) -> None:
    bearer = token(api)
    time.now += timedelta(seconds=599)
    assert get(api, "/ping", bearer).status_code == 200

    time.now += timedelta(seconds=1)
    answer = get(api, "/ping", bearer)
    assert (answer.status_code, answer.text) == (401, "Developer Inactive")


def signed(time: Time, **changes: Any) -> dict[str, str]:
    now = int(time.now.timestamp())
    claims = {
        "iss": "signer",
        "sub": "signer",
        "aud": "http://testserver/oauth2/v1/token",
        "exp": now + 60,
        "jti": "one",
    }
    assertion = jwt.encode({"alg": "RS256"}, claims | changes, KEY)
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return ASK | {"client_assertion_type": kind, "client_assertion": assertion}


def test_a_signed_assertion_gets_a_token_once(api: httpx.Client, time: Time) -> None:
    assert api.post("/oauth2/v1/token", data=signed(time)).status_code == 200
    assert api.post("/oauth2/v1/token", data=signed(time)).status_code == 401


@pytest.mark.parametrize(
    "wrong", [{"aud": "https://elsewhere"}, {"exp": 1}, {"exp": 9_999_999_999}, {"sub": "x"}, {"jti": None}]
)
def test_an_assertion_that_does_not_fit_is_refused(
    api: httpx.Client, time: Time, wrong: dict[str, Any]
) -> None:
    assert api.post("/oauth2/v1/token", data=signed(time, **wrong)).status_code == 401


def test_a_call_without_bearer_is_inactive(api: httpx.Client) -> None:
    answer = api.get("/v1/195900/ping")

    assert (answer.status_code, answer.text) == (401, "Developer Inactive")


def test_another_practice_and_another_scope_are_forbidden(api: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {token(api)}"}
    assert api.get("/v1/1/ping", headers=headers).status_code == 403

    answer = api.post("/oauth2/v1/token", data=ASK | {"scope": "system/Patient.rs"}, auth=("reader", "r"))
    assert get(api, "/ping", answer.json()["access_token"]).status_code == 403


@pytest.mark.parametrize("path", ["/v1/195900/charges", "/nowhere", "/oauth2/v1/token"])
def test_the_gateway_does_not_know_other_paths(api: httpx.Client, path: str) -> None:
    answer = api.get(path)

    assert (answer.status_code, answer.text) == (404, "Service not registered with API gateway.")
    assert answer.headers["content-type"] == "application/json"


def test_practice_information(api: httpx.Client) -> None:
    answer = get(api, "/practiceinfo").json()

    assert (answer["totalcount"], answer["practiceinfo"][0]["practiceid"]) == (1, "195900")


def test_hidden_departments_are_listed_on_request_only(api: httpx.Client) -> None:
    bearer = token(api)

    shown = get(api, "/departments", bearer).json()
    every = get(api, "/departments?showalldepartments=true", bearer).json()
    assert [d["departmentid"] for d in shown["departments"]] == ["1011", "1021", "1031"]
    assert (every["totalcount"], len(every["departments"])) == (6, 6)
    assert "next" not in every
    assert "previous" not in every


def test_pages_link_to_each_other_relatively_and_keep_the_query(api: httpx.Client) -> None:
    bearer = token(api)
    page = get(api, "/departments?showalldepartments=true&limit=4", bearer).json()
    assert len(page["departments"]) == 4
    assert page["next"].startswith("/v1/195900/departments?")

    last = api.get(page["next"], headers={"Authorization": f"Bearer {bearer}"}).json()
    assert [d["departmentid"] for d in last["departments"]] == ["1031", "1032"]
    assert "next" not in last
    assert "offset=0" in last["previous"]


@pytest.mark.parametrize(
    "query", ["limit=many", "limit=0", "limit=5001", "offset=-1", "showalldepartments=maybe"]
)
def test_a_bad_query_value_is_refused(api: httpx.Client, query: str) -> None:
    answer = get(api, f"/departments?{query}")

    assert (answer.status_code, answer.json()["error"]) == (400, "The data provided is invalid.")


def test_single_reads_answer_with_an_array_of_one(api: httpx.Client) -> None:
    bearer = token(api)

    (department,) = get(api, "/departments/1012", bearer).json()
    assert (department["departmentid"], department["providergroupid"]) == ("1012", "1010")
    assert get(api, "/departments/1099", bearer).status_code == 404


def test_types_wander_and_empty_values_are_left_out(api: httpx.Client) -> None:
    providers = get(api, "/providers").json()["providers"]

    specialties = {type(p["specialtyid"]) for p in providers}
    assert specialties == {str, int}
    assert all(type(p["providerid"]) is int and type(p["npi"]) is int for p in providers)
    assert any("firstname" not in p for p in providers)


def test_one_person_has_one_canonical_provider_id(api: httpx.Client) -> None:
    bearer = token(api)
    providers = {
        p["providerid"]: p for p in get(api, "/providers?showallproviderids=true", bearer).json()["providers"]
    }

    assert 10104 not in providers
    assert providers[10101]["otherprovideridlist"] == ["10104"]
    (twin,) = get(api, "/providers/10104", bearer).json()
    assert twin["providerid"] == 10101


def test_a_deleted_provider_is_read_on_request_only(api: httpx.Client) -> None:
    bearer = token(api)

    assert get(api, "/providers/10106", bearer).status_code == 404
    assert get(api, "/providers/10106?showdeletedproviders=true", bearer).status_code == 200


def test_the_caller_may_name_the_request(api: httpx.Client) -> None:
    answer = api.get("/v1/195900/ping", headers={"X-Request-Id": "r-1"})

    assert answer.headers["X-Request-Id"] == "r-1"
    assert api.get("/v1/195900/ping").headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ({"kind": "429"}, 429, "Quota Exceeded"),
        ({"kind": "429", "retry_after": 7}, 429, "Quota Exceeded"),
        ({"kind": "403_qps"}, 403, "<h1>Developer Over Qps</h1>"),
        ({"kind": "503"}, 503, "<html>"),
        ({"kind": "html"}, 200, "<html>"),
        ({"kind": "early_401"}, 401, "Developer Inactive"),
    ],
)
def test_an_armed_fault_hits_as_often_as_said(
    api: httpx.Client, fault: dict[str, Any], status: int, text: str
) -> None:
    bearer = token(api)
    arm(api, operation="ping", times=2, **fault)

    assert get(api, "/practiceinfo", bearer).status_code == 200
    for _ in range(2):
        answer = get(api, "/ping", bearer)
        assert answer.status_code == status
        assert text in answer.text
        assert answer.headers.get("Retry-After") == (
            str(fault["retry_after"]) if "retry_after" in fault else None
        )
    assert get(api, "/ping", bearer).json() == {"pong": True}


def test_faults_are_listed_and_cleared(api: httpx.Client) -> None:
    arm(api, operation="token", kind="503", times=5)
    assert api.get("/sandbox/faults").json()["armed"][0]["kind"] == "503"
    assert api.post("/oauth2/v1/token", data=ASK, auth=BASIC).status_code == 503

    assert api.delete("/sandbox/faults").json() == {"armed": []}
    token(api)


def test_all_tokens_can_be_made_to_expire(api: httpx.Client) -> None:
    bearer = token(api)

    assert api.post("/sandbox/faults", json={"kind": "expire_tokens"}).json() == {"expired": 1}
    assert get(api, "/ping", bearer).status_code == 401


@pytest.mark.parametrize(
    "body", [{"kind": "rain"}, {"kind": "503", "operation": "claims"}, {"kind": "503", "times": "x"}, []]
)
def test_a_fault_that_is_not_known_is_refused(api: httpx.Client, body: Any) -> None:
    assert api.post("/sandbox/faults", json=body).status_code == 400


def test_closing_a_day_delivers_once(api: httpx.Client, tmp_path: Path) -> None:
    first = api.post("/sandbox/close-day", json={"date": "2026-09-15"}).json()
    again = api.post("/sandbox/close-day", json={"date": "2026-09-15"}).json()

    assert first["as_of"] == "2026-09-16T05:30:00Z"
    assert (tmp_path / "dataview" / first["delivery"] / "control.csv").exists()
    assert first["rows"] > 24
    assert again == first | {"rows": 0}
    assert api.get("/sandbox/days").json() == {"days": ["2026-09-15"]}


def test_a_day_out_of_order_and_a_bad_body_are_refused(api: httpx.Client) -> None:
    api.post("/sandbox/close-day", json={"date": "2026-09-16"})

    assert api.post("/sandbox/close-day", json={"date": "2026-09-15"}).status_code == 409
    assert api.post("/sandbox/close-day", json={"day": "2026-09-17"}).status_code == 400
    assert api.post("/sandbox/close-day", content=b"not json").status_code == 400


def test_a_data_view_fault_spoils_the_next_delivery_and_again_mends_it(
    api: httpx.Client, tmp_path: Path
) -> None:
    arm(api, kind="missing_report")
    folder = tmp_path / "dataview" / "20260916T053000Z"

    api.post("/sandbox/close-day", json={"date": "2026-09-15"})
    assert not (folder / "activity_by_post_date.csv").exists()
    api.post("/sandbox/close-day", json={"date": "2026-09-15", "again": True})
    assert (folder / "activity_by_post_date.csv").exists()
