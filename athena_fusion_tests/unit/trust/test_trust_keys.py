"""Keys live and die by the rules, and a signature proves exactly one thing."""

import json
import stat
from datetime import UTC, datetime, timedelta

import pytest
from joserfc.jwk import ECKey

from athena_fusion.clock import ManualClock
from athena_fusion.trust.keys import (
    KeyProblem,
    KeyRing,
    KeySet,
    PublicKey,
    SignatureRefused,
    verify_signature,
)

START = datetime(2026, 9, 1, tzinfo=UTC)
HEADER = {"typ": "test+jws", "cty": "text/plain"}

# RFC 7515 A.3 public key, and a manifest signed with it by another implementation.
VECTOR_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
VECTOR_KID = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture
def ring(tmp_path, clock):
    return KeyRing(tmp_path / "keys", clock)


def states(ring):
    return {key.kid: key.state for key in ring.all()}


def test_nothing_is_made_silently(ring):
    with pytest.raises(KeyProblem, match="no active manifest key"):
        ring.active("manifest")
    assert ring.all() == []
    assert ring.jwks() == {"keys": []}


def test_ensure_makes_one_key_once(ring):
    first = ring.ensure("manifest")
    assert ring.ensure("manifest") == first
    assert states(ring) == {first.kid: "active"}
    assert ring.active("manifest").public == first


def test_files_are_for_the_owner_only(ring):
    ring.ensure("audit")
    assert {stat.S_IMODE(path.stat().st_mode) for path in ring.folder.glob("*.json")} == {0o600}
    assert stat.S_IMODE(ring.folder.stat().st_mode) == 0o700


def test_kid_is_the_rfc7638_thumbprint():
    assert ECKey.import_key(dict(VECTOR_KEY)).thumbprint() == VECTOR_KID


def test_a_new_key_waits_seven_days_before_it_replaces_another(ring, clock):
    old = ring.ensure("manifest")
    new = ring.new("manifest")
    with pytest.raises(KeyProblem, match="published until 2026-09-08"):
        ring.promote(new.kid)
    clock.sleep(timedelta(days=7).total_seconds())
    ring.promote(new.kid)
    assert states(ring) == {old.kid: "retired", new.kid: "active"}
    assert ring.active("manifest").public.kid == new.kid


def test_an_emergency_may_promote_early_and_only_next_keys_are_promoted(ring):
    ring.ensure("manifest")
    new = ring.new("manifest")
    ring.promote(new.kid, early=True)
    with pytest.raises(KeyProblem, match="is active"):
        ring.promote(new.kid)


def test_private_halves_are_erased_and_never_exported(ring):
    old = ring.ensure("manifest")
    ring.promote(ring.new("manifest").kid, early=True)
    stored = {path.name.split(".")[1]: json.loads(path.read_text()) for path in ring.folder.glob("*.json")}
    assert [("d" in jwk) for kid, jwk in stored.items() if kid == old.kid] == [False]
    assert sum("d" in jwk for jwk in stored.values()) == 1
    assert len(ring.jwks()["keys"]) == 2
    assert all("d" not in jwk for jwk in ring.jwks()["keys"])
    assert "d" not in json.loads(json.dumps(ring.jwks()))
    assert str(ring.active("manifest").private.as_dict(private=True)["d"]) not in repr(
        ring.active("manifest")
    )


def test_purposes_have_their_own_keys(ring):
    keys = {purpose: ring.ensure(purpose).kid for purpose in ("manifest", "audit", "oauth")}
    assert len(set(keys.values())) == 3
    assert {key["kid"] for key in ring.jwks(["manifest", "audit"])["keys"]} == {
        keys["manifest"],
        keys["audit"],
    }


def test_windows_follow_the_switch(ring, clock):
    old = ring.ensure("manifest")
    clock.sleep(timedelta(days=10).total_seconds())
    new = ring.new("manifest")
    with pytest.raises(SignatureRefused, match="never put to use"):
        new.check_time(clock.now())
    ring.promote(new.kid, early=True)
    old, new = (next(k for k in ring.all() if k.kid == kid) for kid in (old.kid, new.kid))
    hour = timedelta(hours=1)
    old.check_time(clock.now() - hour)
    new.check_time(clock.now() + hour)
    with pytest.raises(SignatureRefused, match="outside the window"):
        old.check_time(clock.now() + hour)
    with pytest.raises(SignatureRefused, match="outside the window"):
        new.check_time(clock.now() - hour)


def test_a_revoked_key_refuses_what_came_later(ring, clock):
    key = ring.ensure("manifest")
    clock.sleep(3600)
    revoked = ring.revoke(key.kid)
    assert revoked.state == "revoked"
    revoked.check_time(clock.now() - timedelta(seconds=1))
    with pytest.raises(SignatureRefused, match="revoked"):
        revoked.check_time(clock.now())
    with pytest.raises(KeyProblem):
        ring.active("manifest")
    assert ring.revoke(key.kid).revoked_at == revoked.revoked_at


def test_unknown_keys_are_named(ring):
    with pytest.raises(KeyProblem, match="no key nope"):
        ring.retire("nope")


def test_published_keys_come_back_as_they_went(ring):
    ring.ensure("manifest")
    ring.revoke(ring.ensure("audit").kid)
    published = KeySet.from_json(json.dumps(ring.jwks(), indent=2).encode())
    assert list(published) == ring.all()


def test_a_key_under_another_kid_is_refused(ring):
    jwk = ring.ensure("manifest").jwk() | {"kid": VECTOR_KID}
    with pytest.raises(KeyProblem, match="kid names"):
        PublicKey.from_jwk(jwk)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"keys":[{}]}', b'{"keys":[1]}', b"\xff"])
def test_a_file_that_is_no_key_set(data):
    with pytest.raises(KeyProblem):
        KeySet.from_json(data)


class TestSignatures:
    @pytest.fixture
    def signed(self, ring):
        ring.ensure("manifest")
        return ring.active("manifest").sign(b"payload", **HEADER)

    def verify(self, ring, signature, payload=b"payload", **changes):
        return ring.public().verify(payload, signature, **({"purpose": "manifest"} | HEADER | changes))

    def test_round_trip(self, ring, signed):
        assert self.verify(ring, signed).kid == ring.active("manifest").public.kid
        assert set(json.loads(signed)) == {"protected", "signature"}

    def test_every_changed_byte_of_payload_or_signature_is_refused(self, ring, signed):
        with pytest.raises(SignatureRefused):
            self.verify(ring, signed, b"payloae")
        for position in range(len(signed)):
            for flip in (1, 4, 32):
                changed = bytearray(signed)
                changed[position] ^= flip
                with pytest.raises(SignatureRefused):
                    self.verify(ring, bytes(changed))

    def test_spare_bits_of_the_encoding_do_not_make_a_second_signature(self, ring, signed):
        text = json.loads(signed)["signature"]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        twin = text[:-1] + alphabet[alphabet.index(text[-1]) + 1]
        with pytest.raises(SignatureRefused, match="another form"):
            self.verify(ring, signed.replace(text.encode(), twin.encode()))

    @pytest.mark.parametrize("change", [{"typ": "other+jws"}, {"cty": "text/html"}, {"purpose": "audit"}])
    def test_a_signature_counts_for_one_use_only(self, ring, signed, change):
        with pytest.raises(SignatureRefused):
            self.verify(ring, signed, **change)

    def test_a_key_that_is_not_trusted(self, ring, signed, tmp_path, clock):
        stranger = KeyRing(tmp_path / "stranger", clock)
        stranger.ensure("manifest")
        with pytest.raises(SignatureRefused, match="not in the trusted key set"):
            self.verify(stranger, signed)

    @pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384"])
    def test_other_algorithms_are_refused(self, ring, signed, algorithm):
        import base64

        kid = ring.active("manifest").public.kid
        header = json.dumps({"alg": algorithm, "kid": kid, **HEADER}, separators=(",", ":")).encode()
        protected = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
        forged = json.dumps(json.loads(signed) | {"protected": protected}, separators=(",", ":")).encode()
        with pytest.raises(SignatureRefused, match="another form"):
            self.verify(ring, forged)

    def test_a_signature_of_another_implementation(self):
        body = (
            b'{"_type":"https://in-toto.io/Statement/v1","predicate":{"prev":[],"rowCount":2,"stage":"extract",'
            b'"sums":{"amount":"1249.95"}},"predicateType":"https://athena-fusion.dev/manifest/v1","subject":[{'
            b'"digest":{"sha256":"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"},'
            b'"name":"payload/a.txt"}]}'
        )
        signature = (
            b'{"signature":"xIpGlf6m8n9ZVxRMnTjJdBQ-BKnk3AEtG49TAh8UGU1DzVMMZ7GXyoXmdB7M0XDAc4DPEzHOJc4WDK-nXeYXSQ",'
            b'"protected":"eyJhbGciOiJFUzI1NiIsImtpZCI6Im9LSXl3dkdVcFRWVHl4TVEzYndJSWVRVXVkZnJfQ2tMTWpDRTE5RUNELVUiLCJ0eXAi'
            b'OiJhdGhlbmEtZnVzaW9uLW1hbmlmZXN0K2p3cyIsImN0eSI6ImFwcGxpY2F0aW9uL3ZuZC5pbi10b3RvK2pzb24ifQ"}'
        )
        verify_signature(body, signature, ECKey.import_key(dict(VECTOR_KEY)))
        times = {"af_created_at": "2026-01-01T00:00:00Z", "af_not_before": "2026-01-01T00:00:00Z"}
        jwk = VECTOR_KEY | {"kid": VECTOR_KID, "af_purpose": "manifest", "af_state": "active"} | times
        trusted = KeySet([PublicKey.from_jwk(jwk)])
        uses = {
            "purpose": "manifest",
            "typ": "athena-fusion-manifest+jws",
            "cty": "application/vnd.in-toto+json",
        }
        assert trusted.verify(body, signature, **uses).kid == VECTOR_KID
        with pytest.raises(SignatureRefused):
            trusted.verify(body.replace(b"1249.95", b"1249.96"), signature, **uses)


def test_a_large_document_verifies_and_a_changed_one_does_not(ring):
    ring.ensure("manifest")
    payload = b"x" * 2_000_000  # the manifest of a pack names every file of every billing entity
    signature = ring.active("manifest").sign(payload, **HEADER)
    assert ring.public().verify(payload, signature, purpose="manifest", **HEADER).purpose == "manifest"
    with pytest.raises(SignatureRefused, match="does not match"):
        ring.public().verify(payload + b"x", signature, purpose="manifest", **HEADER)
