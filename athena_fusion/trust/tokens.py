"""Bearer tokens: one per client and set of scopes, fetched once for all threads and processes.

athenahealth allows five new tokens a minute in preview, so a token is never fetched twice: an in-process copy,
then a small SQLite file of its own whose write lock is held during the exchange (never the state database). The
token is encrypted there; it is never in a log, a `repr`, an exception or an audit event.
"""

import base64
import hashlib
import os
import random
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

from authlib.oauth2.client import OAuth2Client
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwk, jwt

from athena_fusion.clock import Clock
from athena_fusion.http import HttpClient, HttpError, Response, scrub
from athena_fusion.trust.secrets import SecretRef

_ASSERTION_SECONDS = 240  # SMART servers refuse more than five minutes
_UNSTATED_LIFETIME = 300  # an answer without expires_in: fetch again soon rather than never
_LAST_SECONDS = 10  # a token this close to its end is not used any more
_OUTAGE_PAUSE = 30.0  # the old token serves this long before a failing endpoint is asked again
_LOCK_SECONDS = 180.0
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# Authlib ships no types; its client is used for one exchange at a time and never holds a token for us.
_oauth2_client: Any = OAuth2Client


class TokenError(HttpError):
    """No token, so the call that needed it was not sent."""


class TokenRefused(TokenError):
    """The authorization server said no; `code` is its OAuth error code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ScopeMissing(TokenError):
    """The token was granted without a scope that the work needs."""


class TokenQuota(TokenError):
    """The token endpoint kept answering 429 through several full minutes."""


class Audit(Protocol):
    """The part of the audit log used here; an append that fails must raise, so that no token is used."""

    def append(self, type: str, outcome: str, **detail: str) -> int:
        """Record one event."""
        ...


@dataclass(frozen=True)
class SigningKey:
    """A private key (PEM by reference) registered with the provider as `kid` (and certificate `x5t`)."""

    pem: SecretRef
    alg: str
    kid: str
    x5t: str | None = None


@dataclass(frozen=True)
class TokenClient:
    """One registration at an authorization server, for one purpose.

    With a `secret` the client proves itself by HTTP Basic, else by `private_key_jwt` with `key`. With a `user`
    the grant is the JWT user assertion of Oracle identity domains (signed with `key`), else client credentials.
    `form_encoded` encodes id and secret before Basic as RFC 6749 2.3.1 asks; many servers expect them plain.
    """

    provider: str
    token_url: str
    client_id: str
    scopes: frozenset[str]
    secret: SecretRef | None = None
    key: SigningKey | None = None
    user: str | None = None
    audience: str = "https://identity.oraclecloud.com/"
    form_encoded: bool = False

    def __post_init__(self) -> None:
        if self.key is None and (self.secret is None or self.user is not None):
            raise ValueError(
                f"{self.provider}: a token client needs a secret or a key, a user assertion a key"
            )

    @property
    def purpose(self) -> str:
        """Cache key: equal registrations share a token, others never do."""
        parts = (self.token_url, self.client_id, self.user or "", *sorted(self.scopes))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class _Held(NamedTuple):
    """A token with its times in epoch seconds."""

    token: str
    refresh_at: float
    expires_at: float

    def __repr__(self) -> str:
        return f"_Held(expires_at={self.expires_at})"


class TokenCache:
    """Encrypted tokens in a SQLite file; the AES key lies beside it, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key_path = path.with_name(path.name + ".key")

    @contextmanager
    def exclusive(self) -> Iterator["_Rows"]:
        """The cache under its write lock: at most one holder over all processes."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self._path, timeout=_LOCK_SECONDS, isolation_level=None)
        try:
            self._begin(connection)
            yield _Rows(connection, AESGCM(self._key()))
            connection.execute("COMMIT")
        finally:
            connection.close()  # rolls back what was not committed

    def _begin(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS token (purpose TEXT PRIMARY KEY, sealed BLOB NOT NULL,"
                " refresh_at REAL NOT NULL, expires_at REAL NOT NULL)"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS pause (client TEXT PRIMARY KEY, until REAL NOT NULL)"
            )
        except sqlite3.Error as error:
            raise TokenError(
                f"the token cache {self._path.name} cannot be used ({error}); no token was fetched. If no other "
                "process holds it, delete it: it is filled again."
            ) from None

    def _key(self) -> bytes:
        """The AES key; made on first use, under the write lock, so that all processes agree on it."""
        if self._key_path.exists():
            if self._key_path.stat().st_mode & 0o077:
                raise TokenError(
                    f"{self._key_path.name} is readable by others; no token was read. "
                    "Run chmod 600 on it and replace the client's secret if others may have read it."
                )
            if len(key := self._key_path.read_bytes()) == 32:
                return key
        key = AESGCM.generate_key(256)
        fresh = self._key_path.with_name(self._key_path.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        fresh.replace(self._key_path)
        return key


class _Rows:
    """Rows of the cache while its lock is held."""

    def __init__(self, connection: sqlite3.Connection, cipher: AESGCM) -> None:
        self._connection, self._cipher = connection, cipher

    def get(self, purpose: str) -> _Held | None:
        row = self._connection.execute(
            "SELECT sealed, refresh_at, expires_at FROM token WHERE purpose = ?", (purpose,)
        ).fetchone()
        if row is None:
            return None
        try:
            token = self._cipher.decrypt(row[0][:12], row[0][12:], purpose.encode())
        except InvalidTag:  # another key, or someone edited the file: as if nothing were cached
            return None
        return _Held(token.decode(), row[1], row[2])

    def put(self, purpose: str, held: _Held) -> None:
        nonce = secrets.token_bytes(12)
        sealed = nonce + self._cipher.encrypt(nonce, held.token.encode(), purpose.encode())
        self._connection.execute(
            "INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?)",
            (purpose, sealed, held.refresh_at, held.expires_at),
        )

    def drop(self, purpose: str) -> None:
        self._connection.execute("DELETE FROM token WHERE purpose = ?", (purpose,))

    def pause(self, client: str) -> float:
        row = self._connection.execute("SELECT until FROM pause WHERE client = ?", (client,)).fetchone()
        return float(row[0]) if row else 0.0

    def set_pause(self, client: str, until: float) -> None:
        self._connection.execute("INSERT OR REPLACE INTO pause VALUES (?, ?)", (client, until))


class _EndpointFull(Exception):
    """429 of the token endpoint."""


class TokenSource:
    """The current token of one `TokenClient`; a `TokenProvider` for `HttpClient`."""

    def __init__(
        self,
        client: TokenClient,
        cache: TokenCache,
        *,
        clock: Clock,
        audit: Audit,
        http: HttpClient | None = None,
    ) -> None:
        self._client, self._cache, self._clock, self._audit = client, cache, clock, audit
        parts = urlsplit(client.token_url)
        self._http = http or HttpClient(f"{parts.scheme}://{parts.netloc}", clock=clock)
        self._quota_key = f"{client.token_url} {client.client_id}"
        self._lock = threading.Lock()
        self._held: _Held | None = None

    def __repr__(self) -> str:
        return f"TokenSource({self._client.provider!r}, {sorted(self._client.scopes)})"

    def close(self) -> None:
        """Close the connections to the token endpoint."""
        self._http.close()

    def token(self) -> str:
        """A valid token: the cached one, or a new one fetched by exactly one caller of all processes.

        Raises `TokenError` (also for a granted scope that falls short) and what the endpoint's faults raise.
        """
        held = self._held
        if held and self._now() < held.refresh_at:
            return held.token
        with self._lock:
            if not (self._held and self._now() < self._held.refresh_at):
                self._held = self._shared()
            return self._held.token

    def discard(self, token: str) -> None:
        """Drop `token` everywhere, if it is still the one in use: a server answered 401 to it."""
        with self._lock:
            if self._held and self._held.token == token:
                self._held = None
            with self._cache.exclusive() as rows:
                row = rows.get(self._client.purpose)
                if row and row.token == token:
                    rows.drop(self._client.purpose)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _shared(self) -> _Held:
        """The token of the shared cache, refreshed by this process if it comes first."""
        purpose = self._client.purpose
        for _ in range(4):
            with self._cache.exclusive() as rows:
                row, now = rows.get(purpose), self._now()
                if row and now < row.refresh_at:
                    return row
                usable = row if row and now < row.expires_at - _LAST_SECONDS else None
                until = rows.pause(self._quota_key)
                if until <= now:
                    try:
                        issued = self._exchange()
                    except _EndpointFull:
                        # The quota opens at the full minute; the pause is written down for all processes.
                        until = (now // 60 + 1) * 60 + 1
                        rows.set_pause(self._quota_key, until)
                    except HttpError:
                        if usable:
                            return usable._replace(refresh_at=self._now() + _OUTAGE_PAUSE)
                        raise
                    else:
                        rows.put(purpose, issued)
                        return issued
            if usable:
                return usable._replace(refresh_at=until)
            self._clock.sleep(max(until - self._now(), 0.0))
        raise TokenQuota(
            f"{self._client.provider}: the token endpoint is over its quota of new tokens minute after minute; "
            "no call was sent. Another program uses the same client id: give each its own."
        )

    def _exchange(self) -> _Held:
        """One request to the token endpoint, recorded in the audit log before anyone may use its result."""
        client, scope = self._client, " ".join(sorted(self._client.scopes))
        body = {"scope": scope}
        if client.user is not None:
            body["assertion"] = self._assertion(client.user, client.audience)
        try:
            # Authlib reads no clock of ours and would judge expiry by its own: only the answer's fields are used.
            answer: Mapping[str, Any] = _oauth2_client(
                _Session(self._http, client),
                client_id=client.client_id,
                token_endpoint_auth_method=self._authenticate,
            ).fetch_token(
                client.token_url,
                grant_type=_JWT_BEARER if client.user is not None else "client_credentials",
                **body,
            )
            held = self._judge(answer)
        except TokenError as error:
            self._record("token.refuse", "8", reason=type(error).__name__)
            raise
        self._record(
            "token.issue",
            "0",
            fingerprint=hashlib.sha256(held.token.encode()).hexdigest()[:16],
            seconds=str(round(held.expires_at - self._now())),
        )
        return held

    def _record(self, event: str, outcome: str, **detail: str) -> None:
        client = self._client
        scope = " ".join(sorted(client.scopes))
        self._audit.append(
            event, outcome, provider=client.provider, client=client.client_id, scope=scope, **detail
        )

    def _judge(self, answer: Mapping[str, Any]) -> _Held:
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise TokenError(f"{self._client.provider}: the token endpoint answered without access_token")
        if str(answer.get("token_type", "Bearer")).lower() != "bearer":
            raise TokenError(
                f"{self._client.provider}: the token endpoint issued a token that is not a bearer"
            )
        granted = answer.get("scope")  # absent means: as asked (RFC 6749 5.1)
        if granted is not None and (missing := self._client.scopes - set(str(granted).split())):
            raise ScopeMissing(
                f"{self._client.provider}: the token was granted without {', '.join(sorted(missing))}. "
                "Nothing was called. Have the scope added to the client's registration."
            )
        now, lifetime = self._now(), float(answer["expires_in"])
        early = min(300.0, 0.2 * lifetime) + random.uniform(0.0, 0.05 * lifetime)  # noqa: S311 - spreads refreshes
        return _Held(token, now + lifetime - early, now + lifetime)

    def _authenticate(
        self, _auth: object, _method: str, uri: str, headers: dict[str, str], body: str
    ) -> tuple[str, dict[str, str], str]:
        """Client authentication in the form Authlib calls it; both kinds are read afresh for each exchange."""
        client = self._client
        if client.secret is not None:
            pair = (client.client_id, client.secret.reveal())
            name, secret = map(quote_plus, pair) if client.form_encoded else pair
            proof = base64.b64encode(f"{name}:{secret}".encode()).decode()
            return uri, {**headers, "Authorization": f"Basic {proof}"}, body
        extra = {
            "client_id": client.client_id,
            "client_assertion_type": _CLIENT_ASSERTION,
            "client_assertion": self._assertion(client.client_id, client.token_url),
        }
        return uri, headers, f"{body}&{urlencode(extra)}"

    def _assertion(self, subject: str, audience: str) -> str:
        """A signed statement of who asks: new `jti` each time, valid for four minutes."""
        key = self._client.key
        assert key is not None
        now = int(self._now())
        header = {"alg": key.alg, "typ": "JWT", "kid": key.kid} | ({"x5t": key.x5t} if key.x5t else {})
        claims = {
            "iss": self._client.client_id,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "exp": now + _ASSERTION_SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
        private = jwk.import_key(key.pem.reveal(), "EC" if key.alg.startswith("ES") else "RSA")
        return jwt.encode(header, claims, private, algorithms=[key.alg])


class _Session:
    """The one POST that Authlib needs of a session, over our own client."""

    def __init__(self, http: HttpClient, client: TokenClient) -> None:
        self._http, self._client = http, client

    def post(self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> "_Answer":
        # A copy: Authlib hands out one module-wide dict of headers, and the secret goes into it.
        _, signed, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        answer = self._http.post(
            url, content=body.encode(), headers=signed, safe=True, handled=(400, 401, 403, 429)
        )
        if answer.status == 429:
            raise _EndpointFull
        return _Answer(self._fields(answer))

    def _fields(self, answer: Response) -> dict[str, Any]:
        provider = self._client.provider
        try:
            fields = answer.json()
        except HttpError as error:
            secret = self._client.secret.reveal() if self._client.secret else ""
            raise TokenError(f"{provider}: no token. {scrub(str(error), [secret])}") from None
        if not isinstance(fields, dict):
            raise TokenError(f"{provider}: the token endpoint answered {answer.status} with no JSON object")
        if answer.status >= 400 or "error" in fields:
            secret = self._client.secret.reveal() if self._client.secret else ""
            code = scrub(str(fields.get("error", answer.status)), [secret])
            words = scrub(str(fields.get("error_description", "")), [secret])
            raise TokenRefused(
                f"{provider} refused a token for client {self._client.client_id} ({code}: {words}). Nothing was "
                "called. Check id, secret or key, grant type and scopes of the registration.",
                code,
            )
        try:
            fields["expires_in"] = int(fields.get("expires_in", _UNSTATED_LIFETIME))
        except (TypeError, ValueError):
            fields["expires_in"] = 0
        if fields["expires_in"] <= 0:
            raise TokenError(f"{provider}: the token endpoint gave an expires_in that is not a time")
        return fields


@dataclass(frozen=True)
class _Answer:
    """What Authlib reads of a response."""

    fields: dict[str, Any] = field(repr=False)
    status_code: int = 200

    def json(self) -> dict[str, Any]:
        return self.fields
