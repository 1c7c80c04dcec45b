"""The one way out over HTTP, and the only importer of the HTTP library (decision 31).

What every call gets: explicit timeouts, no redirects, the bearer token for its own host only, one
`X-Request-Id`, a permit of the shared rate limit. Reads are repeated on passing faults inside a time budget;
a call that may change something is sent once, and a lost answer is `OutcomeUnknown`, never a second POST.
Nothing raised here carries a token, a secret, a query value or a number out of a path.
"""

import functools
import json as jsonlib
import logging
import random
import re
import ssl
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from pyrate_limiter import Rate, RateItem, SQLiteBucket

from athena_fusion.clock import Clock

_log = logging.getLogger(__name__)

_DAY = 86_400.0
_READ, _SNIPPET = 4096, 120  # characters of an error body that are looked at, and shown
_LOOK_FIRST = (
    "Whether it took effect is unknown; it was not repeated. Wait until it has settled, then look at the "
    "other side before sending again."
)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PASSING = frozenset({502, 503, 504})
_QUOTA_TEXT = re.compile(r"developer over (qps|rate)|quota exceeded", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"
    r"|eyJ[\w-]+\.[\w.-]+"
    r"|(access_token|client_secret|client_assertion|assertion|password)[\"']?\s*[=:]\s*[\"']?[^\"'&\s<]+"
)
_LONG_NUMBER = re.compile(r"\d{4,}")
_VERSION_SEGMENT = re.compile(r"v\d+|r\d|oauth2|\d+(\.\d+)+", re.IGNORECASE)


class HttpError(Exception):
    """A call that did not do its work.

    `request_id` is the `X-Request-Id` to quote to the other side's support; `retry_after` the seconds the
    server asked for; `passing` says that the fault is of a kind that goes away by itself.
    """

    def __init__(
        self, message: str, request_id: str = "", *, retry_after: float | None = None, passing: bool = False
    ) -> None:
        super().__init__(message)
        self.request_id, self.retry_after, self.passing = request_id, retry_after, passing


class Refused(HttpError):
    """The server understood and said no: nothing was done. `title` and `detail` are its own words."""

    def __init__(self, message: str, request_id: str, *, status: int, title: str, detail: str) -> None:
        super().__init__(message, request_id)
        self.status, self.title, self.detail = status, title, detail


class Unauthorized(HttpError):
    """401 with a fresh token as well: the registration or its user lacks access. Nothing was done."""


class QuotaExceeded(HttpError):
    """429, or 403 with quota text: nothing was done."""


class Unavailable(HttpError):
    """No usable answer to a read after all repeats, or no connection at all: nothing was changed."""


class OutcomeUnknown(HttpError):
    """A write was sent and its effect is unknown. Never repeat it: let it settle, then look what is there."""


class NotJson(HttpError):
    """An answer that should be JSON is something else (a login page, a gateway's text)."""


class ForeignHost(HttpError):
    """A URL outside the client's own host, or plain HTTP beyond loopback: the token was not sent there."""


class TokenProvider(Protocol):
    """Where bearer tokens come from (`athena_fusion.trust.tokens`)."""

    def token(self) -> str:
        """A token believed to be valid."""
        ...

    def discard(self, token: str) -> None:
        """Forget `token` if it is still the current one: the server refused it."""
        ...


@dataclass(frozen=True)
class Timeouts:
    """Seconds for connecting, for each read and write, and for a free connection of the pool."""

    connect: float = 5.0
    read: float = 60.0
    write: float = 60.0
    pool: float = 10.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long one read is repeated, and how many repeats a whole run may need.

    `total` bounds one call with all its repeats (seconds). A run whose repeats exceed `share` of its calls
    (and `floor`) stops repeating: the other side is down and more calls do not help it.
    """

    attempts: int = 6
    total: float = 120.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    share: float = 0.10
    floor: int = 20

    def pause(self, failures: int) -> float:
        """Seconds before the next try: 1, 2, 4 ... with up to a quarter of jitter."""
        step = min(self.longest_pause, self.first_pause * 2.0 ** (failures - 1))
        return float(step * random.uniform(1.0, 1.25))  # noqa: S311 - spreads callers, protects nothing


class Limiter:
    """At most `per_second` permits in any second, shared by all processes that name the same file."""

    def __init__(self, path: Path, name: str, per_second: int, clock: Clock) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"a limiter's name is a lower-case word, not {name!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._name, self._clock = name, clock
        self._bucket = SQLiteBucket.init_from_file(
            [Rate(per_second, 1000)], table=f"permits_{name}", db_path=str(path), use_file_lock=True
        )
        # Permits live for a second: waiting for the disk to keep them through a power cut would cost more calls.
        self._bucket.conn.execute("PRAGMA synchronous=OFF")
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Take one permit, waiting for it."""
        while True:
            # A sleep per refusal, outside the lock, lets other threads of this process be served meanwhile.
            with self._lock:
                now = int(self._clock.now().timestamp() * 1000)
                item = RateItem(self._name, now)
                if self._bucket.put(item):
                    self._bucket.leak(now)
                    return
                wait = self._bucket.waiting(item)
            assert isinstance(wait, int)
            self._clock.sleep(max(wait, 1) / 1000)

    def close(self) -> None:
        """Release the file."""
        self._bucket.conn.close()


def redact_path(path: str) -> str:
    """A path fit for messages and logs: no query, and every segment with a digit masked as `{id}`.

    Kept are API versions and the practice id after athenaNet's `/v1/`; claim, patient and request numbers go.
    """
    segments = urlsplit(path).path.split("/")
    shown = []
    for position, segment in enumerate(segments):
        is_practice = segments[:2] == ["", "v1"] and position == 2
        keep = not any(map(str.isdigit, segment)) or is_practice or _VERSION_SEGMENT.fullmatch(segment)
        shown.append(segment if keep else "{id}")
    return "/".join(shown)


def scrub(text: str, private: Iterable[str] = ()) -> str:
    """`text` on one line without the values in `private`, credentials of any usual form and long numbers."""
    for value in sorted(filter(None, private), key=len, reverse=True):
        # A short value (a limit of 10, a patient number) is masked as a whole word only.
        edge = ("", "") if len(value) >= 8 else (r"(?<!\w)", r"(?!\w)")
        text = re.sub(f"{edge[0]}{re.escape(value)}{edge[1]}", "***", text)
    text = _SECRET_TEXT.sub("***", text)
    return " ".join(_LONG_NUMBER.sub("####", text).split())


@dataclass(frozen=True)
class Response:
    """An accepted answer. Header names are lower case; content is decoded from any transfer encoding."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    label: str
    request_id: str
    private: tuple[str, ...] = field(repr=False, default=())

    @property
    def text(self) -> str:
        """The body as UTF-8, undecodable bytes replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The parsed body; fractions are `Decimal`, never float. Raises `NotJson`."""
        try:
            return jsonlib.loads(self.content, parse_float=Decimal, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "no content type")
        raise NotJson(
            f"{self.label} answered {self.status} with {kind} instead of JSON: "
            f"{scrub(self.text[:_READ], self.private)[:_SNIPPET]!r}. Check the base URL and who answers there.",
            self.request_id,
        )


@dataclass(frozen=True)
class _Call:
    """One request as the caller means it."""

    method: str
    url: str
    label: str
    request_id: str
    write: bool
    headers: Mapping[str, str]
    handled: frozenset[int] = frozenset()
    params: Mapping[str, str] | None = None
    json: Any = None
    form: Mapping[str, str] | None = None
    content: bytes | None = None

    def private(self, token: str | None) -> tuple[str, ...]:
        """Values of this call that an error text must not repeat (a server may echo them)."""
        values = [*(self.params or {}).values(), *(self.form or {}).values()]
        values += [text.split()[-1] for name, text in self.headers.items() if name == "Authorization"]
        segments = [part for part in urlsplit(self.url).path.split("/") if any(map(str.isdigit, part))]
        return (*values, *segments, *((token,) if token else ()))


@dataclass(frozen=True)
class _Lost:
    """No complete answer. `sent` is false when not even a connection was made."""

    sent: bool
    what: str


@functools.cache
def _tls() -> ssl.SSLContext:
    """One context per process: reading the certificate authorities takes longer than a call."""
    return httpx.create_ssl_context()


class HttpClient:
    """Calls to one host. Thread-safe; close it, or use it as a context manager."""

    def __init__(
        self,
        base_url: str,
        *,
        tokens: TokenProvider | None = None,
        limiter: Limiter | None = None,
        clock: Clock,
        timeout: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        local = parts.hostname in _LOOPBACK
        if not parts.hostname or parts.username or parts.query or parts.scheme not in ("http", "https"):
            raise ForeignHost(
                "a base URL is scheme, host and path only, without credentials; no client was made"
            )
        if parts.scheme == "http" and not local:
            raise ForeignHost(f"{parts.hostname} must be called over https; no client was made")
        self.base_url = base_url.rstrip("/")
        self._origin = (parts.scheme, parts.netloc)
        self._tokens, self._limiter, self._clock = tokens, limiter, clock
        self._timeout, self._retry = timeout or Timeouts(), retry or RetryPolicy()
        self._lock = threading.Lock()
        self._calls = self._repeats = 0
        self._client = httpx.Client(
            transport=transport,
            follow_redirects=False,
            headers={"User-Agent": "athena-fusion", "Accept": "application/json"},
            verify=_tls(),
            trust_env=not local,  # a company proxy cannot reach our loopback
            # Shorter than servers keep idle connections: one closed under a write would be an unknown outcome.
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=2.0),
        )

    def __repr__(self) -> str:
        return f"HttpClient({self.base_url!r})"

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def get(
        self, path: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Read `path` (below the base URL, or a full URL of the same host). Repeats passing faults."""
        return self._repeat(self._prepare("GET", path, write=False, params=params, headers=headers))

    def post(
        self,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        safe: bool = False,
        handled: Collection[int] = (),
    ) -> Response:
        """Send one body. `safe` says that the call only reads, so that it may be repeated like a GET.

        Statuses in `handled` are returned instead of raised (a SOAP fault travels in a 500).
        Raises `OutcomeUnknown` when a call that may have changed something has no answer.
        """
        call = self._prepare(
            "POST",
            path,
            write=not safe,
            headers=headers,
            handled=frozenset(handled),
            json=json,
            form=form,
            content=content,
        )
        return self._repeat(call) if safe else self._once(call, self._retry.total)

    def _prepare(
        self, method: str, path: str, *, write: bool, headers: Mapping[str, str] | None, **rest: Any
    ) -> _Call:
        url = self._url(path)
        label = f"{method} {self._origin[1]}{redact_path(urlsplit(url).path)}"
        with self._lock:
            self._calls += 1
        return _Call(method, url, label, str(uuid4()), write, headers or {}, **rest)

    def _url(self, path: str) -> str:
        parts = urlsplit(path)
        if not parts.scheme and not parts.netloc:
            return f"{self.base_url}/{path.lstrip('/')}"
        if (parts.scheme, parts.netloc) != self._origin:
            raise ForeignHost(
                f"a link points to {parts.hostname}, not to {self._origin[1]}: it was not followed and no "
                "token was sent. If the host is right, it needs a client of its own."
            )
        return path

    def _repeat(self, call: _Call) -> Response:
        """Send a read until it succeeds, fails for good, or a budget is used up."""
        deadline = self._clock.now() + timedelta(seconds=self._retry.total)
        failures = 0
        while True:
            left = (deadline - self._clock.now()).total_seconds()
            try:
                return self._once(call, max(left, 0.1))
            except HttpError as error:
                failures += 1
                pause = self._retry.pause(failures) if error.retry_after is None else error.retry_after
                left = (deadline - self._clock.now()).total_seconds()
                if not error.passing:
                    raise
                if failures >= self._retry.attempts or pause >= left:
                    error.add_note(f"tried {failures} time(s) within {self._retry.total:.0f} s")
                    raise
                if not self._may_repeat():
                    error.add_note(
                        f"not repeated: repeats exceed {self._retry.share:.0%} of this run's calls to "
                        f"{self._origin[1]}; stop the run and look at that system first"
                    )
                    raise
                _log.warning("%s; repeated in %.1f s (request %s)", error, pause, call.request_id)
            self._clock.sleep(pause)

    def _may_repeat(self) -> bool:
        with self._lock:
            if self._repeats >= max(self._retry.floor, self._retry.share * self._calls):
                return False
            self._repeats += 1
            return True

    def _once(self, call: _Call, seconds: float) -> Response:
        """One exchange; a 401 proves that nothing was done, so it is repeated once with a fresh token."""
        token = self._tokens.token() if self._tokens else None
        answer = self._exchange(call, token, seconds)
        if self._tokens and token and isinstance(answer, Response) and answer.status == 401:
            self._tokens.discard(token)
            token = self._tokens.token()
            answer = self._exchange(call, token, seconds)
        if isinstance(answer, _Lost):
            raise _lost_answer(call, answer)
        if 200 <= answer.status < 300 or answer.status in call.handled:
            return answer
        raise _bad_answer(call, answer, self._clock.now())

    def _exchange(self, call: _Call, token: str | None, seconds: float) -> Response | _Lost:
        if self._limiter:
            self._limiter.acquire()
        headers = {**call.headers, "X-Request-Id": call.request_id}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        limits = self._timeout
        try:
            got = self._client.request(
                call.method,
                call.url,
                params=call.params,
                json=call.json,
                data=call.form,
                content=call.content,
                headers=headers,
                timeout=httpx.Timeout(
                    connect=limits.connect,
                    read=min(limits.read, seconds),
                    write=limits.write,
                    pool=limits.pool,
                ),
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            lost = _Lost(sent=False, what=type(error).__name__)
        except httpx.RequestError as error:
            lost = _Lost(sent=True, what=type(error).__name__)
        else:
            names = {name.lower(): value for name, value in got.headers.items()}
            return Response(
                got.status_code, names, got.content, call.label, call.request_id, call.private(token)
            )
        # Returned, not raised, so that no library exception (it can quote a header) hangs on ours as context.
        return lost


def _lost_answer(call: _Call, lost: _Lost) -> HttpError:
    if not lost.sent:
        text = f"{call.label}: no connection ({lost.what}); nothing was sent"
        return Unavailable(text, call.request_id, passing=True)
    if call.write:
        return OutcomeUnknown(
            f"{call.label} was sent but its answer was lost ({lost.what}). {_LOOK_FIRST}", call.request_id
        )
    return Unavailable(f"{call.label}: the answer was lost ({lost.what})", call.request_id, passing=True)


def _bad_answer(call: _Call, answer: Response, now: datetime) -> HttpError:
    status, rid = answer.status, call.request_id
    title, detail = _words(answer)
    said = f"{status} {title}".strip() + (f": {detail}" if detail else "")
    retry_after = _retry_after(answer.headers.get("retry-after", ""), now)
    if status == 401:
        return Unauthorized(
            f"{call.label} was refused with a fresh token ({said}). Nothing was done. "
            "Check the client's registration, its scopes and its user.",
            rid,
        )
    if status == 429 or (status == 403 and _QUOTA_TEXT.search(answer.text)):
        text = f"{call.label} is over its quota ({said}). Nothing was done."
        return QuotaExceeded(text, rid, retry_after=retry_after, passing=True)
    if status >= 500 and call.write:
        return OutcomeUnknown(f"{call.label} failed on the server ({said}). {_LOOK_FIRST}", rid)
    if status >= 500:
        text = f"{call.label} failed on the server ({said})"
        return Unavailable(text, rid, retry_after=retry_after, passing=status in _PASSING)
    text = f"{call.label} was refused ({said}). Nothing was done."
    return Refused(text, rid, status=status, title=title, detail=detail)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _retry_after(text: str, now: datetime) -> float | None:
    """Seconds of a `Retry-After` header, a number or an HTTP date; None when absent or unreadable."""
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return min(float(text), _DAY)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max((when - now).total_seconds(), 0.0), _DAY)


def _words(answer: Response) -> tuple[str, str]:
    """What the server says, as (title, detail), out of the error bodies we know; scrubbed and shortened."""
    title, details = "", list[object]()
    try:
        body = jsonlib.loads(answer.content)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        # ADF: title and o:errorDetails; athenaNet v1: error, detailedmessage, missingfields; OAuth: error,
        # error_description; FHIR: issue[].details as plain text.
        title = str(body.get("title") or body.get("error") or body.get("resourceType") or "")
        details = [body.get(key) for key in ("detailedmessage", "error_description", "detail")]
        for key in ("missingfields", "fields"):
            names = body.get(key)
            details.append(
                f"{key}: {', '.join(map(str, names))}" if isinstance(names, list) and names else None
            )
        for key, inner in (("o:errorDetails", "detail"), ("issue", "details")):
            items = body.get(key)
            items = items if isinstance(items, list) else []
            details += [item.get(inner) for item in items[:5] if isinstance(item, dict)]
    elif answer.content:
        kind = answer.headers.get("content-type", "no content type")
        details = [f"{kind}: {answer.text[:_READ]}"]
    detail = "; ".join(str(part) for part in details if part)
    # Scrubbed before it is cut, so that no half of a secret is left at the cut.
    return (
        scrub(title[:_READ], answer.private)[:_SNIPPET],
        scrub(detail[:_READ], answer.private)[: 3 * _SNIPPET],
    )
