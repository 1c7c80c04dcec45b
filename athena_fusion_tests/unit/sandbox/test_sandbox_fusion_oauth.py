"""Identity domain: client credentials, assertions, scopes, expiry."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fusion_pod import ERP, RunningPod, northwind, running
from joserfc import jwt
from joserfc.jwk import RSAKey

from athena_fusion.sandbox.fusion.setup import FUSION_SCOPE, Client

TOKEN = "/oauth2/v1/token"
BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_key = RSAKey.generate_key(2048)
_other_key = RSAKey.generate_key(2048)


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPod]:
    setup = northwind()
    signer = Client("signer", None, None, certificate=_key.as_pem(private=False).decode(), x5t="thumb")
    with running(
        northwind(clients=(*setup.clients, signer)), tmp_path_factory.mktemp("pod") / "pod.db"
    ) as running_pod:
        yield running_pod


def assertion(key: RSAKey = _key, header: dict[str, str] | None = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": "signer",
        "sub": "FIN_INTEGRATION",
        "aud": "https://identity.oraclecloud.com/",
        "iat": now,
        "exp": now + 300,
        "jti": f"{time.time_ns()}",
        **changes,
    }
    return jwt.encode({"alg": "RS256", "x5t": "thumb", **(header or {})}, claims, key)


def ask(pod: RunningPod, **form: str) -> Any:
    return pod.client.post(
        TOKEN,
        data={
            "grant_type": BEARER_GRANT,
            "scope": FUSION_SCOPE,
            "client_assertion_type": CLIENT_ASSERTION,
            "client_assertion": assertion(sub="signer"),
            **form,
        },
    )


def call(pod: RunningPod, token: str | None) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return pod.client.get(ERP, params={"finder": "ESSJobStatusRF;requestId=1"}, headers=headers).status_code


def test_client_credentials(pod: RunningPod) -> None:
    assert call(pod, pod.sign_in("app")) == 200
    answer = pod.client.post(
        TOKEN, data={"grant_type": "client_credentials", "scope": FUSION_SCOPE}, auth=("app", "app-secret")
    )
    assert answer.json()["expires_in"] == 3600
    assert answer.headers["Cache-Control"] == "no-store"


def test_client_without_a_fusion_user_gets_a_token_that_opens_nothing(pod: RunningPod) -> None:
    assert call(pod, pod.sign_in("unmapped")) == 401


def test_calls_need_a_known_bearer(pod: RunningPod) -> None:
    assert call(pod, None) == 401
    assert call(pod, "made-up") == 401
    assert pod.client.get(ERP, auth=("app", "app-secret")).status_code == 401


@pytest.mark.parametrize(
    ("form", "auth", "status", "error"),
    [
        ({}, ("app", "wrong"), 401, "invalid_client"),
        ({}, ("nobody-knows", "x"), 401, "invalid_client"),
        ({}, None, 401, "invalid_client"),
        ({"scope": "all"}, ("app", "app-secret"), 400, "invalid_scope"),
        ({"scope": ""}, ("app", "app-secret"), 400, "invalid_scope"),
        ({"grant_type": "password"}, ("app", "app-secret"), 400, "unsupported_grant_type"),
    ],
)
def test_refused_token_requests(
    pod: RunningPod, form: dict[str, str], auth: tuple[str, str] | None, status: int, error: str
) -> None:
    data = {"grant_type": "client_credentials", "scope": FUSION_SCOPE, **form}
    answer = pod.client.post(TOKEN, data=data, auth=auth)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_body_must_be_a_form(pod: RunningPod) -> None:
    answer = pod.client.post(TOKEN, json={"grant_type": "client_credentials"}, auth=("app", "app-secret"))
    assert answer.json()["error"] == "invalid_request"


def test_user_assertion_acts_as_its_subject(pod: RunningPod) -> None:
    answer = ask(pod, assertion=assertion(sub="SECOND"))
    assert answer.status_code == 200, answer.text
    assert call(pod, answer.json()["access_token"]) == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": _other_key},
        {"header": {"x5t": "another"}},
        {"aud": "https://elsewhere/"},
        {"exp": 1_000_000_000},
        {"iat": 4_000_000_000},
        {"iss": "app"},
        {"sub": "NO_SUCH_USER"},
        {"jti": ""},
    ],
)
def test_wrong_user_assertions(pod: RunningPod, wrong: dict[str, Any]) -> None:
    answer = ask(pod, assertion=assertion(**wrong))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_assertion_is_good_for_one_use(pod: RunningPod) -> None:
    once = assertion()
    assert ask(pod, assertion=once).status_code == 200
    assert "used before" in ask(pod, assertion=once).json()["error_description"]


def test_client_assertion_must_be_about_the_client_itself(pod: RunningPod) -> None:
    answer = ask(pod, assertion=assertion(), client_assertion=assertion(sub="FIN_INTEGRATION"))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_tokens_expire_by_real_time_and_outlive_a_restart(tmp_path: Path) -> None:
    with running(northwind(token_seconds=1), tmp_path / "pod.db") as pod:
        pod.act_as("app")
        token = pod.client.headers["Authorization"].removeprefix("Bearer ")
    with running(northwind(), tmp_path / "pod.db") as pod:
        assert call(pod, token) == 200
        time.sleep(1.0)
        assert call(pod, token) == 401
