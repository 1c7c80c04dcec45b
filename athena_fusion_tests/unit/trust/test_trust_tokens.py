"""One token for all: single flight, expiry, revocation, quota, refusals, and a secret that never shows."""

import base64
import json
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwk, jwt

from athena_fusion.clock import ManualClock
from athena_fusion.http import HttpClient, HttpError, Unavailable
from athena_fusion.trust.secrets import SecretRef
from athena_fusion.trust.tokens import (
    ScopeMissing,
    SigningKey,
    TokenCache,
    TokenClient,
    TokenError,
    TokenQuota,
    TokenRefused,
    TokenSource,
)

START = datetime(2026, 9, 16, 6, 0, 20, tzinfo=UTC)
SECRET = "canary+secret%9d1"
URL = "https://auth.example.test/oauth2/v1/token"
SCOPE = "athena/service/Athenanet.MDP.*"


class Audit:
    def __init__(self) -> None:
        self.events = list[tuple[str, str, dict[str, str]]]()

    def append(self, type: str, outcome: str, /, **detail: str) -> int:
        self.events.append((type, outcome, detail))
        return len(self.events)


class Endpoint:
    """A token endpoint: numbered tokens, or whatever `answers` says first."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers, self.seen = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.answers:
            return self.answers.pop(0)
        body = {"access_token": f"canary-token-{len(self.seen)}", "token_type": "Bearer", "expires_in": 3600}
        return httpx.Response(200, json={**body, "scope": SCOPE})

    def form(self, number: int = -1) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.seen[number].content.decode()).items()}


class World:
    """A token source with everything around it in reach."""

    def __init__(self, folder: Path, endpoint: Endpoint, client: TokenClient) -> None:
        self.clock, self.audit, self.endpoint = ManualClock(START), Audit(), endpoint
        self.cache, self.client = TokenCache(folder / "tokens.db"), client
        self.http = HttpClient(
            "https://auth.example.test", clock=self.clock, transport=httpx.MockTransport(endpoint)
        )
        self.source = self.another()

    def another(self, **changes: object) -> TokenSource:
        """A second source, as another process would have: same cache, no memory."""
        client = replace(self.client, **changes)  # type: ignore[arg-type]
        return TokenSource(client, self.cache, clock=self.clock, audit=self.audit, http=self.http)

    def seconds(self) -> float:
        return (self.clock.now() - START).total_seconds()


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> SecretRef:
    monkeypatch.setenv("TOKEN_TEST_SECRET", SECRET)
    return SecretRef.parse("env:TOKEN_TEST_SECRET")


@pytest.fixture
def make(tmp_path: Path, secret: SecretRef) -> Iterator[Callable[..., World]]:
    made = list[World]()

    def build(*answers: httpx.Response, **client: object) -> World:
        settings: dict[str, object] = {"secret": secret, **client}
        registration = TokenClient("athenaone", URL, "rcm", frozenset({SCOPE}), **settings)  # type: ignore[arg-type]
        made.append(World(tmp_path, Endpoint(*answers), registration))
        return made[-1]

    yield build
    for world in made:
        world.source.close()


def pem_file(folder: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> SecretRef:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(text)
    return SecretRef.parse(f"file:{folder / 'key.pem'}")


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_client_credentials_with_basic(make: Callable[..., World]) -> None:
    world = make()
    assert world.source.token() == "canary-token-1"
    request = world.endpoint.seen[0]
    assert (request.method, str(request.url)) == ("POST", URL)
    assert request.headers["content-type"].startswith("application/x-www-form-urlencoded")
    proof = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
    assert proof == f"rcm:{SECRET}"
    assert world.endpoint.form() == {"grant_type": "client_credentials", "scope": SCOPE}


def test_basic_form_encoded_where_the_provider_asks(make: Callable[..., World]) -> None:
    world = make(form_encoded=True)
    world.source.token()
    proof = base64.b64decode(world.endpoint.seen[0].headers["authorization"].removeprefix("Basic ")).decode()
    assert proof == "rcm:canary%2Bsecret%259d1"


def test_private_key_jwt_is_fresh_and_short_lived(
    make: Callable[..., World], tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    key = SigningKey(pem_file(tmp_path, rsa_key), "RS384", "kid-1", x5t="thumb")
    world = make(secret=None, key=key)
    first = world.source.token()
    world.source.discard(first)
    assert world.source.token() != first
    public = jwk.RSAKey.import_key(
        rsa_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    claims = []
    for number in (0, 1):
        form = world.endpoint.form(number)
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        token = jwt.decode(form["client_assertion"], public, algorithms=["RS384"])
        assert token.header == {"alg": "RS384", "typ": "JWT", "kid": "kid-1", "x5t": "thumb"}
        claims.append(token.claims)
        assert "authorization" not in world.endpoint.seen[number].headers
    assert claims[0]["iss"] == claims[0]["sub"] == "rcm"
    assert claims[0]["aud"] == URL
    assert claims[0]["exp"] - claims[0]["iat"] <= 240
    assert claims[0]["jti"] != claims[1]["jti"]


def test_private_key_jwt_with_an_elliptic_curve_key(make: Callable[..., World], tmp_path: Path) -> None:
    key = SigningKey(pem_file(tmp_path, ec.generate_private_key(ec.SECP384R1())), "ES384", "kid-2")
    world = make(secret=None, key=key)
    assert world.source.token() == "canary-token-1"


def test_user_assertion_of_fusion(
    make: Callable[..., World], tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    world = make(key=SigningKey(pem_file(tmp_path, rsa_key), "RS256", "cert-1"), user="INTEGRATION.USER")
    world.source.token()
    form = world.endpoint.form()
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    payload = form["assertion"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["iss"], claims["sub"]) == ("rcm", "INTEGRATION.USER")
    assert claims["aud"] == "https://identity.oraclecloud.com/"
    assert world.endpoint.seen[0].headers["authorization"].startswith("Basic ")


def test_a_client_without_proof_of_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a secret or a key"):
        TokenClient("athenaone", URL, "rcm", frozenset({SCOPE}))


def test_authlib_module_headers_stay_clean(make: Callable[..., World]) -> None:
    from authlib.oauth2 import client as authlib_client

    make().source.token()
    assert "Authorization" not in authlib_client.DEFAULT_HEADERS


def test_token_is_reused_until_shortly_before_its_end(make: Callable[..., World]) -> None:
    world = make()
    assert {world.source.token() for _ in range(3)} == {"canary-token-1"}
    assert world.another().token() == "canary-token-1"
    world.clock.sleep(3600 - 300 - 0.05 * 3600 - 1)
    assert world.source.token() == "canary-token-1"
    world.clock.sleep(0.05 * 3600 + 1)
    assert world.source.token() == "canary-token-2"
    assert len(world.endpoint.seen) == 2


@pytest.mark.parametrize(("given", "usable"), [(60, 45), ("60", 45), (None, 220)])
def test_lifetime_as_number_as_text_and_absent(
    make: Callable[..., World], given: object, usable: float
) -> None:
    body = {"access_token": "canary-token-0"} | ({} if given is None else {"expires_in": given})
    world = make(httpx.Response(200, json=body))
    world.source.token()
    world.clock.sleep(usable)
    assert world.source.token() == "canary-token-0"
    world.clock.sleep(80)
    assert world.source.token() == "canary-token-2"


@pytest.mark.parametrize("given", ["soon", 0, -1, [], {}])
def test_lifetime_that_is_no_time_is_refused(make: Callable[..., World], given: object) -> None:
    world = make(httpx.Response(200, json={"access_token": "canary-token-0", "expires_in": given}))
    with pytest.raises(TokenError, match="expires_in"):
        world.source.token()


def test_different_scopes_clients_and_users_never_share(make: Callable[..., World]) -> None:
    world = make()
    world.endpoint.answers = [
        httpx.Response(200, json={"access_token": f"t{n}", "expires_in": 99}) for n in range(3)
    ]
    tokens = [
        world.source.token(),
        world.another(scopes=frozenset({"other"})).token(),
        world.another(client_id="readback").token(),
    ]
    assert tokens == ["t0", "t1", "t2"]


def test_revoked_token_is_dropped_everywhere_but_only_if_still_current(make: Callable[..., World]) -> None:
    world = make()
    other = world.another()
    old = world.source.token()
    assert other.token() == old
    world.source.discard(old)
    fresh = world.source.token()
    other.discard(old)  # the other process learns later that the old one is dead
    assert other.token() == fresh == "canary-token-2"
    assert len(world.endpoint.seen) == 2


def test_429_waits_for_the_full_minute_in_every_process(make: Callable[..., World]) -> None:
    world = make(httpx.Response(429, text="Quota Exceeded"))
    assert world.source.token() == "canary-token-2"
    assert 40 <= world.seconds() <= 42  # started at :20, opens at the full minute


def test_pause_is_shared(make: Callable[..., World]) -> None:
    world = make(*[httpx.Response(429)] * 4)
    with pytest.raises(TokenQuota):
        world.source.token()
    asked, waited = len(world.endpoint.seen), world.seconds()
    assert (asked, waited > 180) == (4, True)
    with world.cache.exclusive() as rows:
        rows.set_pause(f"{URL} rcm", world.clock.now().timestamp() + 30)
    world.another().token()
    assert world.seconds() >= waited + 30
    assert len(world.endpoint.seen) == asked + 1


def test_old_token_serves_while_the_endpoint_is_down_or_full(make: Callable[..., World]) -> None:
    world = make()
    world.source.token()
    world.clock.sleep(3400)  # due for a refresh, still valid
    world.endpoint.answers = [httpx.Response(503)] * 20 + [httpx.Response(429)]
    assert world.source.token() == "canary-token-1"
    asked = len(world.endpoint.seen)
    assert world.source.token() == "canary-token-1"  # not asked again at once
    assert len(world.endpoint.seen) == asked


def test_endpoint_down_without_a_token_is_an_error(make: Callable[..., World]) -> None:
    world = make(*[httpx.Response(503)] * 20)
    with pytest.raises(Unavailable):
        world.source.token()


def test_missing_scope_is_named_and_the_token_not_kept(make: Callable[..., World]) -> None:
    world = make(
        httpx.Response(200, json={"access_token": "x", "expires_in": 9, "scope": "system/Patient.read"})
    )
    with pytest.raises(ScopeMissing, match=r"Athenanet\.MDP"):
        world.source.token()
    assert world.source.token() == "canary-token-2"
    assert world.audit.events[0][0] == "token.refuse"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "invalid_scope", "error_description": 'scope "x" is not configured'}),
        (401, {"error": "invalid_client", "error_description": f"secret {SECRET} is wrong"}),
        (403, {"error": "access_denied", "error_description": "Policy evaluation failed"}),
        (200, {"error": "invalid_grant"}),
    ],
)
def test_refusal_is_typed(make: Callable[..., World], status: int, body: dict[str, str]) -> None:
    world = make(httpx.Response(status, json=body))
    with pytest.raises(TokenRefused) as caught:
        world.source.token()
    assert caught.value.code == body["error"]
    assert SECRET not in str(caught.value)
    assert world.audit.events == [
        (
            "token.refuse",
            "8",
            {"provider": "athenaone", "client": "rcm", "scope": SCOPE, "reason": "TokenRefused"},
        )
    ]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html=f"<html>{SECRET} Sign in</html>"),
        httpx.Response(401, text="Developer Inactive"),
        httpx.Response(200, json=["token"]),
        httpx.Response(200, json={"token_type": "Bearer", "expires_in": 10}),
        httpx.Response(200, json={"access_token": "x", "token_type": "mac", "expires_in": 10}),
    ],
)
def test_answers_that_hold_no_token(make: Callable[..., World], answer: httpx.Response) -> None:
    with pytest.raises(TokenError) as caught:
        make(answer).source.token()
    assert SECRET not in str(caught.value)


def test_audit_names_the_token_by_fingerprint_only(make: Callable[..., World]) -> None:
    world = make()
    world.source.token()
    world.source.token()
    (event,) = world.audit.events
    assert event[:2] == ("token.issue", "0")
    assert len(event[2]["fingerprint"]) == 16
    assert "canary" not in repr(event)


def test_no_audit_no_token(make: Callable[..., World]) -> None:
    world = make()

    class Broken(Audit):
        def append(self, type: str, outcome: str, /, **detail: str) -> int:
            raise OSError("audit log is full")

    source = TokenSource(world.client, world.cache, clock=world.clock, audit=Broken(), http=world.http)
    with pytest.raises(OSError, match="audit log is full"):
        source.token()
    assert world.source.token() == "canary-token-2"  # the unrecorded one was thrown away


def test_canary_in_no_log_repr_exception_or_file(
    make: Callable[..., World], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = make(httpx.Response(400, json={"error": "x", "error_description": SECRET}))
    with pytest.raises(HttpError) as caught:
        world.source.token()
    world.source.token()
    shown = [repr(caught.value), str(caught.value), repr(world.source), repr(world.source.__dict__["_held"])]
    shown += [repr(world.client), caplog.text, repr(world.audit.events)]
    for text in shown:
        assert "canary" not in text
    for file in tmp_path.iterdir():
        assert b"canary" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_key_file_open_to_others_is_refused(make: Callable[..., World], tmp_path: Path) -> None:
    world = make()
    world.source.token()
    (tmp_path / "tokens.db.key").chmod(0o644)
    with pytest.raises(TokenError, match="readable by others"):
        world.another().token()


@pytest.mark.parametrize("damage", ["key", "row"])
def test_unreadable_cache_row_is_fetched_anew(
    make: Callable[..., World], tmp_path: Path, damage: str
) -> None:
    world = make()
    world.source.token()
    if damage == "key":
        (tmp_path / "tokens.db.key").write_bytes(b"short")
    else:
        connection = sqlite3.connect(tmp_path / "tokens.db")
        connection.execute("UPDATE token SET sealed = zeroblob(60)")
        connection.commit()
        connection.close()
    assert world.another().token() == "canary-token-2"
    assert world.another().token() == "canary-token-2"


def test_row_cannot_be_moved_to_another_purpose(make: Callable[..., World], tmp_path: Path) -> None:
    world = make()
    world.source.token()
    other = world.another(client_id="readback")
    connection = sqlite3.connect(tmp_path / "tokens.db")
    purpose = replace(world.client, client_id="readback").purpose
    connection.execute("INSERT INTO token SELECT ?, sealed, refresh_at, expires_at FROM token", (purpose,))
    connection.commit()
    connection.close()
    assert other.token() == "canary-token-2"


def test_file_that_is_no_cache_is_a_clear_error(make: Callable[..., World], tmp_path: Path) -> None:
    (tmp_path / "tokens.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(TokenError, match=r"tokens\.db cannot be used"):
        make().source.token()


# --- Real threads and processes against a real socket ---------------------------------------------------------


@contextmanager
def token_server(lifetime: float) -> Iterator[tuple[str, list[float]]]:
    """A slow token endpoint; the second value grows by one instant per request."""
    asked = list[float]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(time.time())
            time.sleep(0.1)
            body = json.dumps({"access_token": f"t{len(asked)}", "expires_in": lifetime}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/oauth2/v1/token", asked
    server.shutdown()
    thread.join()
    server.server_close()


WORKER = """
import sys, threading
from pathlib import Path
from athena_fusion.clock import SystemClock
from athena_fusion.trust.secrets import SecretRef
from athena_fusion.trust.tokens import TokenCache, TokenClient, TokenSource

class Audit:
    def append(self, type, outcome, /, **detail):
        return 0

client = TokenClient("p", sys.argv[1], "rcm", frozenset({"s"}), secret=SecretRef.parse("env:TOKEN_TEST_SECRET"))
source = TokenSource(client, TokenCache(Path(sys.argv[2])), clock=SystemClock(), audit=Audit())
seen = []
threads = [threading.Thread(target=lambda: seen.append(source.token())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*seen)
"""


def test_many_threads_and_processes_make_one_token_request(tmp_path: Path, secret: SecretRef) -> None:
    with token_server(3600) as (url, asked):
        workers = [
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", WORKER, url, str(tmp_path / "tokens.db")],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        seen = [word for worker in workers for word in worker.communicate(timeout=60)[0].split()]
    assert seen == ["t1"] * 24
    assert len(asked) == 1
