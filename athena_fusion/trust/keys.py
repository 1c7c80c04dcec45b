"""Signing keys: their files, life cycle, published key set, and the signatures made with them.

One folder holds one file per key (`<purpose>.<kid>.json`, mode 0600). A key is `next` (published, not used),
`active` (signs), `retired` or `revoked`; retired and revoked keys keep only their public half, for as long as
evidence signed with them is kept. `kid` is the RFC 7638 thumbprint. All signatures are ES256, JWS flattened JSON
with detached payload (RFC 7515 appendix F).
"""

import base64
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import FlattenedJSONSerialization

from athena_fusion.clock import Clock, SystemClock, iso_z

Purpose = Literal["manifest", "audit", "oauth"]
State = Literal["next", "active", "retired", "revoked"]

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
ALGORITHM = "ES256"
PUBLISH_BEFORE_USE = timedelta(days=7)
# Windows are wider than the switch by this much: a signature under way, or made by a host whose clock differs a
# little, stays verifiable. Nothing new can be signed in it, because the private half is erased at the switch.
SLACK = timedelta(minutes=5)

_PUBLIC_MEMBERS = ("kty", "crv", "x", "y")


class KeyProblem(Exception):
    """A key operation that cannot be done; nothing was changed."""


class SignatureRefused(Exception):
    """A signature that does not prove what it claims; the message says why."""


@dataclass(frozen=True)
class PublicKey:
    """The public half of a key and the time in which its signatures count."""

    kid: str
    purpose: Purpose
    state: State
    members: Mapping[str, str] = field(repr=False)
    created_at: datetime
    not_before: datetime | None = None
    not_after: datetime | None = None
    revoked_at: datetime | None = None

    def jwk(self) -> dict[str, str]:
        """The JWK with `af_` metadata, as it stands in `jwks.json`."""
        times = {
            "af_created_at": self.created_at,
            "af_not_before": self.not_before,
            "af_not_after": self.not_after,
            "af_revoked_at": self.revoked_at,
        }
        return {
            **self.members,
            "kid": self.kid,
            "use": "sig",
            "alg": ALGORITHM,
            "af_purpose": self.purpose,
            "af_state": self.state,
            **{name: iso_z(instant) for name, instant in times.items() if instant},
        }

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> "PublicKey":
        """Read a published JWK; `KeyProblem` if it is not one of ours or its `kid` is not its thumbprint."""
        try:
            members = {name: str(jwk[name]) for name in _PUBLIC_MEMBERS}
            kid = ECKey.import_key(dict(members)).thumbprint()
            purpose, state = str(jwk["af_purpose"]), str(jwk["af_state"])
            created_at = _instant(jwk["af_created_at"])
            times = [_optional(jwk.get(f"af_{name}")) for name in ("not_before", "not_after", "revoked_at")]
        except (KeyError, ValueError, TypeError, JoseError) as error:
            raise KeyProblem(
                f"not a published key of this product ({type(error).__name__}: {error})"
            ) from None
        if members["crv"] != "P-256" or jwk.get("kid") != kid:
            raise KeyProblem(f"key {jwk.get('kid')!r} is not the P-256 key that its kid names")
        if purpose not in PURPOSES or state not in get_args(State):
            raise KeyProblem(f"key {kid} has unknown purpose {purpose!r} or state {state!r}")
        return cls(kid, purpose, state, members, created_at, *times)  # type: ignore[arg-type] # checked above

    def check_time(self, created_at: datetime) -> None:
        """`SignatureRefused` unless a thing created then may carry this key's signature."""
        if self.not_before is None:
            raise SignatureRefused(f"key {self.kid} was never put to use")
        if created_at < self.not_before or (self.not_after and created_at > self.not_after):
            raise SignatureRefused(f"created {iso_z(created_at)}, outside the window of key {self.kid}")
        if self.revoked_at and created_at >= self.revoked_at:
            raise SignatureRefused(f"created after key {self.kid} was revoked at {iso_z(self.revoked_at)}")


class KeySet:
    """Public keys that a verifier trusts."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = {key.kid: key for key in keys}

    @classmethod
    def from_json(cls, data: bytes) -> "KeySet":
        """The key set of a `jwks.json`. Raises `KeyProblem`."""
        try:
            document = json.loads(data)
            return cls([PublicKey.from_jwk(jwk) for jwk in document["keys"]])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KeyProblem(f"not a key set ({type(error).__name__})") from None

    def __iter__(self) -> Iterator[PublicKey]:
        return iter(self._keys.values())

    def verify(self, payload: bytes, signature: bytes, *, purpose: Purpose, typ: str, cty: str) -> PublicKey:
        """The key that signed exactly these payload bytes with exactly this header.

        Raises `SignatureRefused`. The caller goes on with `PublicKey.check_time`.
        """
        kid = _signature_kid(signature, typ=typ, cty=cty)
        key = self._keys.get(kid)
        if key is None:
            raise SignatureRefused(f"signed by key {kid}, which is not in the trusted key set")
        if key.purpose != purpose:
            raise SignatureRefused(f"signed by key {kid} of purpose {key.purpose}, not {purpose}")
        verify_signature(payload, signature, ECKey.import_key(dict(key.members)))
        return key


class SigningKey:
    """An active private key."""

    def __init__(self, public: PublicKey, private: ECKey) -> None:
        self.public = public
        self.private = private

    def sign(self, payload: bytes, *, typ: str, cty: str) -> bytes:
        """The signature file for `payload`."""
        protected = _header(self.public.kid, typ=typ, cty=cty)
        signed = jws.serialize_json({"protected": protected}, payload, self.private, algorithms=[ALGORITHM])
        return _compact({"signature": signed["signature"], "protected": signed["protected"]})

    def __repr__(self) -> str:
        return f"SigningKey({self.public.kid}, private half not shown)"


class KeyRing:
    """The keys in one folder. Every change is atomic and serialised between processes."""

    def __init__(self, folder: str | Path, clock: Clock | None = None) -> None:
        self.folder = Path(folder)
        self._clock = clock or SystemClock()

    def all(self) -> list[PublicKey]:
        """All keys, by purpose and age."""
        keys = [PublicKey.from_jwk(_load(path)) for path in self.folder.glob("*.json")]
        return sorted(keys, key=lambda key: (key.purpose, key.created_at, key.kid))

    def public(self) -> KeySet:
        """The key set for verification."""
        return KeySet(self.all())

    def active(self, purpose: Purpose) -> SigningKey:
        """The key that signs for `purpose`; `KeyProblem` if there is none (it is never made silently)."""
        found = self._active(purpose)
        if found is None:
            raise KeyProblem(
                f"no active {purpose} key; nothing was signed. "
                f"Make one: athena-fusion keys new {purpose}, then keys promote"
            )
        jwk = _load(self._path(found))
        return SigningKey(found, ECKey.import_key({name: jwk[name] for name in (*_PUBLIC_MEMBERS, "d")}))

    def ensure(self, purpose: Purpose) -> PublicKey:
        """The active key, made now if there is none: for first set-up only."""
        with self._lock():
            return self._active(purpose) or self._promote(self._new(purpose))

    def new(self, purpose: Purpose) -> PublicKey:
        """A `next` key: publish it with `jwks()`, use it after `promote`."""
        with self._lock():
            return self._new(purpose)

    def promote(self, kid: str, *, early: bool = False) -> PublicKey:
        """Make a `next` key the active one and retire its predecessor.

        A key that replaces another must have been published for seven days, unless `early`.
        """
        with self._lock():
            key = self._find(kid)
            if key.state != "next":
                raise KeyProblem(f"key {kid} is {key.state}; only a next key can be promoted")
            ready = key.created_at + PUBLISH_BEFORE_USE
            if self._active(key.purpose) and self._clock.now() < ready and not early:
                raise KeyProblem(
                    f"key {kid} is published until {iso_z(ready)} before use; nothing was changed"
                )
            return self._promote(key)

    def retire(self, kid: str) -> PublicKey:
        """End a key's use and erase its private half; what it signed stays valid."""
        with self._lock():
            return self._retire(self._find(kid))

    def revoke(self, kid: str) -> PublicKey:
        """Declare a key compromised from now on: later signatures are refused."""
        with self._lock():
            key = self._find(kid)
            if key.state == "revoked":
                return key
            return self._store(key, state="revoked", revoked_at=self._clock.now())

    def jwks(self, purposes: Iterable[Purpose] = PURPOSES) -> dict[str, list[dict[str, str]]]:
        """The public key set, for `jwks.json`. Keys are never removed from it."""
        wanted = set(purposes)
        return {"keys": [key.jwk() for key in self.all() if key.purpose in wanted]}

    def _find(self, kid: str) -> PublicKey:
        for key in self.all():
            if key.kid == kid:
                return key
        raise KeyProblem(f"no key {kid} in {self.folder}")

    def _active(self, purpose: Purpose) -> PublicKey | None:
        found = [key for key in self.all() if key.purpose == purpose and key.state == "active"]
        # A crash between the two writes of a promotion leaves two: the newer one is meant.
        return max(found, key=lambda key: key.not_before or key.created_at, default=None)

    def _new(self, purpose: Purpose) -> PublicKey:
        if purpose not in PURPOSES:
            raise KeyProblem(f"unknown purpose {purpose!r}; known are {', '.join(PURPOSES)}")
        private = ECKey.generate_key("P-256").as_dict(private=True)
        members = {name: str(private[name]) for name in _PUBLIC_MEMBERS}
        kid = ECKey.import_key(dict(members)).thumbprint()
        key = PublicKey(kid, purpose, "next", members, self._clock.now())
        self._write(key, str(private["d"]))
        return key

    def _promote(self, key: PublicKey) -> PublicKey:
        replaced = [old for old in self.all() if old.purpose == key.purpose and old.state == "active"]
        promoted = self._store(key, state="active", not_before=self._clock.now() - SLACK)
        for old in replaced:
            self._retire(old)
        return promoted

    def _retire(self, key: PublicKey) -> PublicKey:
        if key.state in ("retired", "revoked"):
            return key
        return self._store(key, state="retired", not_after=self._clock.now() + SLACK)

    def _store(
        self,
        key: PublicKey,
        *,
        state: State,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        revoked_at: datetime | None = None,
    ) -> PublicKey:
        changed = PublicKey(
            key.kid,
            key.purpose,
            state,
            key.members,
            key.created_at,
            not_before or key.not_before,
            not_after or key.not_after,
            revoked_at or key.revoked_at,
        )
        private = _load(self._path(key)).get("d") if state in ("next", "active") else None
        self._write(changed, private)
        return changed

    def _path(self, key: PublicKey) -> Path:
        return self.folder / f"{key.purpose}.{key.kid}.json"

    def _write(self, key: PublicKey, private: str | None) -> None:
        jwk = key.jwk() | ({"d": private} if private else {})
        path = self._path(key)
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(jwk, handle, indent=1)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


class _Sizes(jws.JWSRegistry):
    """The library refuses payloads above 128 KB, which the pack of a dozen billing entities exceeds."""

    max_payload_length = 128 << 20


def verify_signature(payload: bytes, signature: bytes, key: ECKey) -> None:
    """`SignatureRefused` unless the detached JWS in `signature` is `key`'s over exactly `payload`."""
    try:
        parts = json.loads(signature)
        attached: FlattenedJSONSerialization = {
            "payload": _b64url(payload),
            "protected": parts["protected"],
            "signature": parts["signature"],
        }
        jws.deserialize_json(attached, key, registry=_Sizes(algorithms=[ALGORITHM]))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SignatureRefused(f"the signature does not match the bytes ({type(error).__name__})") from None


def _signature_kid(signature: bytes, *, typ: str, cty: str) -> str:
    """The `kid` of a signature file, if the file and its header have exactly the one allowed form."""
    try:
        parts = json.loads(signature)
        header = json.loads(_unb64url(parts["protected"]))
        kid = header["kid"]
        expected = {
            "signature": _b64url(_unb64url(parts["signature"])),
            "protected": _b64url(_unb64url(parts["protected"])),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise SignatureRefused(f"not a signature file ({type(error).__name__})") from None
    # One form only: no second algorithm, no unprotected header, no spare bits in the encoding.
    if (
        not isinstance(kid, str)
        or header != _header(kid, typ=typ, cty=cty)
        or signature != _compact(expected)
    ):
        raise SignatureRefused("the signature file or its header has another form than the one allowed")
    return kid


def _header(kid: str, *, typ: str, cty: str) -> dict[str, str]:
    return {"alg": ALGORITHM, "kid": kid, "typ": typ, "cty": cty}


def _compact(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64url(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _load(path: Path) -> dict[str, str]:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def _instant(value: object) -> datetime:
    instant = datetime.fromisoformat(str(value))
    if instant.tzinfo is None:
        raise ValueError("an instant without zone")
    return instant


def _optional(value: object) -> datetime | None:
    return None if value is None else _instant(value)
