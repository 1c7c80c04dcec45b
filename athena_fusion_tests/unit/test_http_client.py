"""What one call gets and what each kind of answer becomes."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest

from athena_fusion.clock import ManualClock, SystemClock
from athena_fusion.http import (
    ForeignHost,
    HttpClient,
    HttpError,
    NotJson,
    OutcomeUnknown,
    QuotaExceeded,
    Refused,
    RetryPolicy,
    TokenProvider,
    Unauthorized,
    Unavailable,
    redact_path,
    scrub,
)

START = datetime(2026, 9, 16, 6, 0, tzinfo=UTC)
CANARY = "canary-token-51f0"


class Tokens:
    """Hands out numbered tokens and remembers which were discarded."""

    def __init__(self) -> None:
        self.number, self.discarded = 1, list[str]()

    def token(self) -> str:
        return f"{CANARY}-{self.number}"

    def discard(self, token: str) -> None:
        self.discarded.append(token)
        if token == self.token():
            self.number += 1


class Server:
    """Answers from a list (the last one for ever) and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | type[httpx.RequestError]) -> None:
        self.answers, self.seen = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, type):
            raise answer(f"Illegal header value {CANARY}", request=request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def answer(status: int, body: object = None, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, str):
        return httpx.Response(status, headers=names, text=body)
    return httpx.Response(status, headers=names, json={} if body is None else body)


@contextmanager
def client(
    server: Callable[[httpx.Request], httpx.Response],
    clock: ManualClock | None = None,
    tokens: TokenProvider | None = None,
    retry: RetryPolicy | None = None,
) -> Iterator[HttpClient]:
    with HttpClient(
        "https://api.example.test",
        clock=clock or ManualClock(START),
        tokens=tokens,
        retry=retry,
        transport=httpx.MockTransport(server),
    ) as made:
        yield made


def seconds(clock: ManualClock) -> float:
    return (clock.now() - START).total_seconds()


def test_call_carries_token_and_request_id_and_keeps_decimals_exact() -> None:
    server = Server(httpx.Response(200, content=b'{"amount": 9.10, "n": 3}'))
    with client(server, tokens=Tokens()) as http:
        response = http.get("/v1/195900/ping", {"limit": "1"})
    assert response.json() == {"amount": Decimal("9.10"), "n": 3}
    sent = server.seen[0]
    assert sent.headers["authorization"] == f"Bearer {CANARY}-1"
    assert sent.headers["x-request-id"] == response.request_id
    assert str(sent.url) == "https://api.example.test/v1/195900/ping?limit=1"


def test_query_in_the_path_is_sent_as_written() -> None:
    server = Server(answer(200))
    with client(server) as http:
        http.get("/x?finder=ESSJobStatusRF;requestId=12")
    assert server.seen[0].url.query == b"finder=ESSJobStatusRF;requestId=12"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_read_is_repeated_on_passing_faults(status: int) -> None:
    clock, server = ManualClock(START), Server(answer(status), answer(status), answer(200, {"ok": 1}))
    with client(server, clock) as http:
        assert http.get("/x").json() == {"ok": 1}
    assert len(server.seen) == 3
    assert 3.0 <= seconds(clock) <= 3.75  # 1 s and 2 s, each with up to a quarter of jitter
    assert len({request.headers["x-request-id"] for request in server.seen}) == 1


@pytest.mark.parametrize("fault", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_read_is_repeated_when_the_connection_fails(fault: type[httpx.RequestError]) -> None:
    server = Server(fault, answer(200))
    with client(server) as http:
        http.get("/x")
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [400, 404, 409, 500, 501, 302])
def test_read_is_not_repeated_on_lasting_faults(status: int) -> None:
    server = Server(answer(status))
    with client(server) as http, pytest.raises(HttpError):
        http.get("/x")
    assert len(server.seen) == 1


def test_retry_after_in_seconds_and_as_date() -> None:
    clock = ManualClock(START)
    server = Server(
        answer(429, Retry_After="7"),
        answer(503, Retry_After="Wed, 16 Sep 2026 06:00:20 GMT"),
        answer(200),
    )
    with client(server, clock) as http:
        http.get("/x")
    assert seconds(clock) == pytest.approx(20)


def test_retry_after_beyond_the_budget_is_not_waited_for() -> None:
    clock, server = ManualClock(START), Server(answer(429, Retry_After="3600"))
    with client(server, clock) as http, pytest.raises(QuotaExceeded) as caught:
        http.get("/x")
    assert (len(server.seen), seconds(clock), caught.value.retry_after) == (1, 0, 3600)


@pytest.mark.parametrize("text", ["", "soon", "-5", "99999999999999999999", "Wed, 99 Sep 2026"])
def test_unreadable_retry_after_falls_back_to_our_own_pause(text: str) -> None:
    clock, server = ManualClock(START), Server(answer(429, Retry_After=text), answer(200))
    with client(server, clock) as http:
        http.get("/x")
    assert 1.0 <= seconds(clock) <= 1.25


@pytest.mark.parametrize("body", ["<h1>Developer Over Qps</h1>", "<h1>Developer Over Rate</h1>"])
def test_403_with_quota_text_counts_as_429(body: str) -> None:
    server = Server(answer(403, body), answer(200))
    with client(server) as http:
        http.get("/x")
    assert len(server.seen) == 2


def test_403_without_quota_text_is_a_refusal() -> None:
    with client(Server(answer(403, {"error": "no such practice"}))) as http, pytest.raises(Refused) as caught:
        http.get("/x")
    assert (caught.value.status, caught.value.title) == (403, "no such practice")


def test_one_call_ends_inside_its_time_budget() -> None:
    clock, server = ManualClock(START), Server(answer(503))
    policy = RetryPolicy(attempts=1000)
    with client(server, clock, retry=policy) as http, pytest.raises(Unavailable):
        http.get("/x")
    assert 30 < seconds(clock) <= 120


def test_a_run_stops_repeating_when_its_budget_of_repeats_is_used_up() -> None:
    server = Server(answer(503))
    with client(server, retry=RetryPolicy(attempts=3, share=0.1, floor=4)) as http:
        for _ in range(2):  # two repeats each
            with pytest.raises(Unavailable):
                http.get("/x")
        with pytest.raises(Unavailable) as caught:
            http.get("/x")
    assert len(server.seen) == 7
    assert "10% of this run's calls" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ReadTimeout,
        httpx.RemoteProtocolError,
        httpx.ReadError,
        httpx.WriteError,
        answer(500),
        answer(503),
    ],
)
def test_write_without_a_clear_answer_is_unknown_and_never_sent_twice(
    fault: httpx.Response | type[httpx.RequestError],
) -> None:
    server = Server(fault)
    with client(server) as http, pytest.raises(OutcomeUnknown) as caught:
        http.post("/x", json={})
    assert len(server.seen) == 1
    assert "not repeated" in str(caught.value)


def test_write_that_found_no_connection_was_certainly_not_done() -> None:
    server = Server(httpx.ConnectError)
    with client(server) as http, pytest.raises(Unavailable, match="nothing was sent"):
        http.post("/x", json={})
    assert len(server.seen) == 1


def test_write_over_quota_is_certainly_not_done_and_not_repeated() -> None:
    server = Server(answer(429))
    with client(server) as http, pytest.raises(QuotaExceeded):
        http.post("/x", json={})
    assert len(server.seen) == 1


def test_safe_post_is_repeated_like_a_read() -> None:
    server = Server(answer(503), answer(200))
    with client(server) as http:
        http.post("/x", content=b"<q/>", safe=True)
    assert len(server.seen) == 2


def test_handled_status_is_returned() -> None:
    with client(Server(answer(500, "<fault/>"))) as http:
        assert http.post("/x", content=b"", safe=True, handled={500}).text == "<fault/>"


def test_401_takes_a_fresh_token_once_also_for_a_write() -> None:
    server, tokens = Server(answer(401), answer(200)), Tokens()
    with client(server, tokens=tokens) as http:
        http.post("/x", json={"a": 1})
    assert [r.headers["authorization"][-1] for r in server.seen] == ["1", "2"]
    assert tokens.discarded == [f"{CANARY}-1"]


def test_second_401_ends_the_call() -> None:
    server = Server(answer(401))
    with client(server, tokens=Tokens()) as http, pytest.raises(Unauthorized, match="fresh token"):
        http.get("/x")
    assert len(server.seen) == 2


def test_redirect_is_not_followed() -> None:
    server = Server(answer(302, Location="https://elsewhere.test/login"))
    with client(server, tokens=Tokens()) as http, pytest.raises(Refused) as caught:
        http.get("/x")
    assert (len(server.seen), caught.value.status) == (1, 302)


@pytest.mark.parametrize(
    "url",
    ["https://evil.test/x", "//evil.test/x", "http://api.example.test/x", "https://api.example.test:8443/x"],
)
def test_token_never_leaves_for_another_host(url: str) -> None:
    server = Server(answer(200))
    with client(server, tokens=Tokens()) as http, pytest.raises(ForeignHost):
        http.get(url)
    assert server.seen == []


def test_full_url_of_the_own_host_is_accepted() -> None:
    server = Server(answer(200))
    with client(server) as http:
        http.get("https://api.example.test/x?offset=10")
    assert str(server.seen[0].url) == "https://api.example.test/x?offset=10"


@pytest.mark.parametrize(
    "base",
    ["http://api.example.test", "https://user:pass@api.example.test", "ftp://a.test", "api.example.test"],
)
def test_unsafe_base_url_makes_no_client(base: str) -> None:
    with pytest.raises(ForeignHost) as caught:
        HttpClient(base, clock=SystemClock())
    assert "pass" not in str(caught.value).replace("client", "")


@pytest.mark.parametrize(
    ("body", "title", "words"),
    [
        (
            {
                "title": "Bad Request",
                "status": "400",
                "o:errorDetails": [{"detail": 'Invalid attribute "requestId"', "o:errorCode": "27520"}],
            },
            "Bad Request",
            'Invalid attribute "requestId"',
        ),
        (
            {"error": "Additional fields are required.", "missingfields": ["firstname", "dob"]},
            "Additional fields are required.",
            "missingfields: firstname, dob",
        ),
        (
            {"error": "The data provided is invalid.", "detailedmessage": "Expecting format date"},
            "The data provided is invalid.",
            "Expecting format date",
        ),
        (
            {
                "resourceType": "OperationOutcome",
                "issue": [{"details": "Invalid scope", "code": "forbidden"}],
            },
            "OperationOutcome",
            "Invalid scope",
        ),
        ("Service not registered with API gateway.", "", "text/plain; charset=utf-8: Service not registered"),
        ([1, 2], "", ""),
        ({"o:errorDetails": "odd", "issue": {"a": 1}, "fields": "odd"}, "", ""),
    ],
)
def test_error_bodies_are_read(body: object, title: str, words: str) -> None:
    with client(Server(answer(400, body))) as http, pytest.raises(Refused) as caught:
        http.get("/x")
    assert caught.value.title == title
    assert words in caught.value.detail


def test_html_instead_of_json_is_named_with_its_first_words() -> None:
    page = "<html>Sign in</html>"
    server = Server(httpx.Response(200, html=page))
    with client(server) as http, pytest.raises(NotJson, match=r"text/html.*Sign in") as caught:
        http.get("/x").json()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"NaN", b"[" * 100_000])
def test_broken_json_is_one_typed_error(body: bytes) -> None:
    with client(Server(httpx.Response(200, content=body))) as http, pytest.raises(NotJson):
        http.get("/x").json()


def test_errors_carry_no_token_no_query_value_and_no_path_number() -> None:
    echo = f"{CANARY}-1 patient Smith 04/01/1970 claim 5569 Bearer {CANARY}-1 ssn 123456789"
    server = Server(answer(400, {"error": echo, "detailedmessage": echo}))
    with client(server, tokens=Tokens()) as http, pytest.raises(Refused) as caught:
        http.get("/v1/195900/claims/5569/claimtransactions", {"lastname": "Smith", "dob": "04/01/1970"})
    text = f"{caught.value!s} {caught.value!r} {caught.value.detail} {caught.value.title}"
    for secret in (CANARY, "Smith", "04/01/1970", "5569", "123456789"):
        assert secret not in text
    assert "/v1/195900/claims/{id}/claimtransactions" in text


def test_library_exceptions_do_not_hang_on_ours() -> None:
    with (
        client(Server(httpx.LocalProtocolError), tokens=Tokens()) as http,
        pytest.raises(HttpError) as caught,
    ):
        http.post("/x", json={})
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/195900/claims/5569/claimtransactions?patientid=3", "/v1/195900/claims/{id}/claimtransactions"),
        ("/fhir/r4/Patient/a-195900.E-12", "/fhir/r4/Patient/{id}"),
        (
            "/fscmRestApi/resources/11.13.18.05/erpintegrations",
            "/fscmRestApi/resources/11.13.18.05/erpintegrations",
        ),
        ("/ess/rest/scheduler/v1/requests/9763072", "/ess/rest/scheduler/v1/requests/{id}"),
        ("https://h.test/v1/195900/patients/980", "/v1/195900/patients/{id}"),
    ],
)
def test_redact_path(path: str, shown: str) -> None:
    assert redact_path(path) == shown


def test_scrub_masks_credentials_of_any_usual_form() -> None:
    text = 'Basic aWQ6c2VjcmV0 {"client_secret": "s3cr3t+x"} assertion=abc.def&x=1 eyJhbGciOi.eyJpc3Mi.c2ln\nPIN 10'
    clean = scrub(text, ["10"])
    for secret in ("aWQ6c2VjcmV0", "s3cr3t", "abc.def", "eyJpc3Mi", "10"):
        assert secret not in clean
    assert "\n" not in clean


def test_a_cut_body_over_a_real_socket_is_lost_not_half_read() -> None:
    """A server that promises 100 bytes and sends 5: a write is unknown, nothing is stored."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345")

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with HttpClient(url, clock=SystemClock()) as http, pytest.raises(OutcomeUnknown):
        http.post("/x", json={})
    thread.join()
    listener.close()


def test_repr_shows_the_host_only() -> None:
    with client(Server(answer(200)), tokens=Tokens()) as http:
        assert repr(http) == "HttpClient('https://api.example.test')"
        assert "Smith" not in repr(http.get("/x", {"q": "Smith"}))
