"""The pod's identity domain: client credentials and JWT user assertions in, bearer tokens out.

Real time governs tokens. Tokens are kept by digest, so that a restarted pod still knows them.
"""

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from athena_fusion.sandbox.fusion.pod import Pod
from athena_fusion.sandbox.fusion.setup import Client, User

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SKEW = 60.0  # seconds a client's clock may run ahead


class OAuthError(Exception):
    """An RFC 6749 error answer."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.status = status


_Refuse = Callable[[str], OAuthError]


class IdentityDomain:
    """Token endpoint and bearer check."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    def token(self, request: Request, body: bytes) -> Response:
        """POST /oauth2/v1/token."""
        try:
            media_type = request.headers.get("content-type", "").split(";")[0].strip()
            if media_type != "application/x-www-form-urlencoded":
                raise OAuthError("invalid_request", "The body must be form encoded.")
            pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
            form = dict(pairs)
            if len(form) != len(pairs):
                raise OAuthError("invalid_request", "A parameter is given twice.")
            token_url = str(request.url.replace(query=""))
            client = self._client(request.headers.get("authorization"), form, token_url)
            user = self._subject(client, form, token_url)
            if form.get("scope", "") not in client.scopes:
                raise OAuthError("invalid_scope", "The client has no such scope.")
        except OAuthError as error:
            headers = {"WWW-Authenticate": "Basic"} if error.status == 401 else {}
            return JSONResponse(
                {"error": error.error, "error_description": str(error)}, error.status, headers
            )
        answer = {
            "access_token": self._issue(client, user),
            "token_type": "Bearer",
            "expires_in": self._pod.setup.token_seconds,
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    def user_of(self, authorization: str | None) -> User | None:
        """The Fusion user behind a bearer header; None where the call must get 401."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        row = self._pod.database.row("SELECT * FROM oauth_tokens WHERE digest = ?", _digest(token.strip()))
        if row is None or row["expires"] <= self._pod.real() or row["user"] is None:
            return None
        return self._pod.user(row["user"])

    def expire_all(self) -> int:
        """Make every token invalid; how many there were."""
        with self._pod.database.transaction() as connection:
            return connection.execute("DELETE FROM oauth_tokens").rowcount

    def _issue(self, client: Client, user: str | None) -> str:
        token = secrets.token_urlsafe(32)
        now = self._pod.real()
        with self._pod.database.transaction() as connection:
            connection.execute("DELETE FROM oauth_tokens WHERE expires < ?", (now,))
            connection.execute(
                "INSERT INTO oauth_tokens VALUES (?, ?, ?, ?)",
                (_digest(token), client.id, user, now + self._pod.setup.token_seconds),
            )
        return token

    def _client(self, authorization: str | None, form: Mapping[str, str], token_url: str) -> Client:
        if "client_assertion" in form:
            if form.get("client_assertion_type") != CLIENT_ASSERTION:
                raise OAuthError("invalid_client", "Unknown client assertion type.", 401)
            client, claims = self._assertion(form["client_assertion"], token_url, "invalid_client", 401)
            if claims.get("sub") != client.id:
                raise OAuthError("invalid_client", "A client assertion's subject is the client.", 401)
            return client
        scheme, _, value = (authorization or "").partition(" ")
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = secret = ""
        client_found = self._pod.client(name)
        if scheme.lower() != "basic" or client_found is None or client_found.secret is None:
            raise OAuthError("invalid_client", "Client authentication failed.", 401)
        if not secrets.compare_digest(secret.encode(), client_found.secret.encode()):
            raise OAuthError("invalid_client", "Client authentication failed.", 401)
        return client_found

    def _subject(self, client: Client, form: Mapping[str, str], token_url: str) -> str | None:
        grant = form.get("grant_type")
        if grant == "client_credentials":
            return client.user
        if grant != JWT_BEARER:
            raise OAuthError("unsupported_grant_type", f"The grant type {grant} is not supported.")
        issuer, claims = self._assertion(form.get("assertion", ""), token_url, "invalid_grant", 400)
        subject = claims.get("sub")
        if issuer.id != client.id:
            raise OAuthError("invalid_grant", "The assertion was issued by another client.")
        if not isinstance(subject, str) or self._pod.user(subject) is None:
            raise OAuthError("invalid_grant", "The assertion's subject is not a user.")
        return subject

    def _assertion(
        self, assertion: str, token_url: str, error: str, status: int
    ) -> tuple[Client, dict[str, object]]:
        """Verify an RS256 assertion of a known client: signature, key mark, audience, times, single use."""

        def refuse(reason: str) -> OAuthError:
            return OAuthError(error, f"The assertion is not valid: {reason}.", status)

        client = self._pod.client(_unverified_issuer(assertion))
        if client is None or client.certificate is None:
            raise refuse("unknown issuer or no certificate uploaded")
        try:
            token = jwt.decode(assertion, _public_key(client.certificate), algorithms=["RS256"])
        except (JoseError, ValueError) as problem:
            raise refuse("signature or format") from problem
        for mark, expected in (("x5t", client.x5t), ("kid", client.kid)):
            if expected is not None and token.header.get(mark) not in {expected, None}:
                raise refuse(f"header {mark}")
        if (client.x5t or client.kid) and not (token.header.get("x5t") or token.header.get("kid")):
            raise refuse("header x5t or kid missing")
        claims: dict[str, object] = dict(token.claims)
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if not {self._pod.setup.assertion_audience, token_url} & {str(each) for each in audiences}:
            raise refuse("audience")
        self._check_times(claims, refuse)
        self._use_once(client, claims, refuse)
        return client, claims

    def _check_times(self, claims: Mapping[str, object], refuse: _Refuse) -> None:
        now = self._pod.real()
        issued, expires = claims.get("iat"), claims.get("exp")
        if not isinstance(expires, int) or expires <= now:
            raise refuse("expired")
        if not isinstance(issued, int) or issued > now + _SKEW:
            raise refuse("issued in the future")

    def _use_once(self, client: Client, claims: Mapping[str, object], refuse: _Refuse) -> None:
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise refuse("jti missing")
        with self._pod.database.transaction() as connection:
            connection.execute("DELETE FROM oauth_assertions WHERE expires < ?", (self._pod.real(),))
            used = connection.execute(
                "INSERT OR IGNORE INTO oauth_assertions VALUES (?, ?, ?)", (client.id, jti, claims["exp"])
            ).rowcount
        if not used:
            raise refuse("used before")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _unverified_issuer(assertion: str) -> str:
    """The issuer an assertion names, only to find the key to verify it with."""
    try:
        payload = assertion.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["iss"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""


def _public_key(pem: str) -> RSAKey:
    if "BEGIN CERTIFICATE" not in pem:
        return RSAKey.import_key(pem)
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    return RSAKey.import_key(
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
