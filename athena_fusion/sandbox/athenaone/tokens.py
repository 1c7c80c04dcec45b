"""athenaOne's token endpoint (two-legged): Basic or a signed client assertion, quota per minute, expiry.

Tokens live in memory: after a restart a client meets a 401 with a token it believes in, as it does now and then
with athenaOne itself.
"""

import base64
import binascii
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

V1_SCOPE = "athena/service/Athenanet.MDP.*"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_ASSERTION = 300  # seconds an assertion may be valid for


@dataclass(frozen=True)
class ApiClient:
    """An app of the developer portal. With `public_key` (PEM, RSA) it may sign assertions (RS256)."""

    id: str
    secret: str | None
    scopes: frozenset[str] = frozenset({V1_SCOPE})
    public_key: str | None = None


@dataclass(frozen=True)
class TokenSettings:
    """Who gets tokens, for how many seconds, and how many token requests a client may make per minute."""

    clients: tuple[ApiClient, ...]
    lifetime_seconds: int = 3600
    quota_per_minute: int = 50


@dataclass(frozen=True)
class _Grant:
    client_id: str
    scopes: frozenset[str]
    expires: datetime


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Tokens:
    """Issues and checks bearer tokens. `clock` tells the time that expiry and quota follow."""

    def __init__(self, settings: TokenSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clients = {client.id: client for client in settings.clients}
        self._clock = clock
        self._lock = threading.Lock()
        self._grants: dict[str, _Grant] = {}
        self._asked: dict[str, tuple[datetime, int]] = {}  # client -> minute, requests in it
        self._used: dict[str, int] = {}  # jti -> expiry

    async def endpoint(self, request: Request) -> Response:
        """POST /oauth2/v1/token"""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        try:
            client = self._client(request, form)
            self._count(client)
            if form.get("grant_type") != "client_credentials":
                raise _Refused(_error(400, "unsupported_grant_type", "The grant type is not supported."))
            scopes = frozenset(form.get("scope", "").split())
            if not scopes or not scopes <= client.scopes:
                raise _Refused(_error(400, "invalid_scope", "Invalid Scope"))
        except _Refused as refused:
            return refused.response
        token = secrets.token_urlsafe(32)
        lifetime = self._settings.lifetime_seconds
        with self._lock:
            expires = self._clock() + timedelta(seconds=lifetime)
            self._grants[token] = _Grant(client.id, scopes, expires)
        return JSONResponse(
            {
                "token_type": "Bearer",
                "expires_in": lifetime,
                "access_token": token,
                "scope": " ".join(sorted(scopes)),
            }
        )

    def scopes_of(self, authorization: str | None) -> frozenset[str] | None:
        """The scopes of a bearer header; None where the token is missing, unknown or expired."""
        scheme, _, token = (authorization or "").partition(" ")
        with self._lock:
            grant = self._grants.get(token.strip()) if scheme.lower() == "bearer" else None
            if grant is None or grant.expires <= self._clock():
                return None
        return grant.scopes

    def expire_all(self) -> int:
        """Make every token invalid; how many there were."""
        with self._lock:
            count = len(self._grants)
            self._grants.clear()
        return count

    def _count(self, client: ApiClient) -> None:
        """Over the quota everything is refused until the top of the next minute."""
        minute = self._clock().replace(second=0, microsecond=0)
        with self._lock:
            known, count = self._asked.get(client.id, (minute, 0))
            count = count + 1 if known == minute else 1
            self._asked[client.id] = (minute, count)
        if count > self._settings.quota_per_minute:
            raise _Refused(PlainTextResponse("Quota Exceeded", 429))

    def _client(self, request: Request, form: Mapping[str, str]) -> ApiClient:
        if "client_assertion" in form:
            return self._signed(form, str(request.url.replace(query="")))
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = secret = ""
        client = self._clients.get(name)
        if client is None or client.secret is None or scheme.lower() != "basic":
            raise _refuse_client()
        if not secrets.compare_digest(secret.encode(), client.secret.encode()):
            raise _refuse_client()
        return client

    def _signed(self, form: Mapping[str, str], token_url: str) -> ApiClient:
        """private_key_jwt: issuer = subject = client, our URL as audience, short-lived, used once."""
        assertion = form["client_assertion"]
        client = self._clients.get(_issuer(assertion))
        if form.get("client_assertion_type") != _CLIENT_ASSERTION or client is None or not client.public_key:
            raise _refuse_client()
        try:
            claims = jwt.decode(assertion, RSAKey.import_key(client.public_key), algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            raise _refuse_client() from None
        now = int(self._clock().timestamp())
        expires, identity = claims.get("exp"), claims.get("jti")
        audience = claims.get("aud")
        fits = claims.get("sub") == client.id and token_url in (
            audience if isinstance(audience, list) else [audience]
        )
        if not fits or not isinstance(expires, int) or not isinstance(identity, str):
            raise _refuse_client()
        with self._lock:
            self._used = {jti: end for jti, end in self._used.items() if end > now}
            if not now < expires <= now + _LONGEST_ASSERTION or identity in self._used:
                raise _refuse_client()
            self._used[identity] = expires
        return client


def _issuer(assertion: str) -> str:
    """The issuer an assertion names, only to find the key to verify it with."""
    try:
        payload = assertion.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""


def _error(status: int, error: str, description: str) -> JSONResponse:
    return JSONResponse({"error": error, "error_description": description}, status)


def _refuse_client() -> _Refused:
    return _Refused(_error(401, "invalid_client", "Client authentication failed."))
