"""Offline verification of an evidence pack, folder or ZIP, with nothing but the pack and a trusted key set.

Every file must be named by the signed pack manifest with its digest; every manifest must be signed within its key's
window and follow from manifests of the pack or from ones declared external; every payload that travels must match.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from athena_fusion.assurance import archive
from athena_fusion.assurance.archive import PackFiles, PackRefused, open_pack, pack_path, payload_path
from athena_fusion.storage.artifacts import sha256_hex
from athena_fusion.trust.audit import Checkpoint, read_checkpoint
from athena_fusion.trust.keys import KeyProblem, KeySet, SignatureRefused
from athena_fusion.trust.manifest import (
    CARRIED,
    DAY_UNIT,
    Manifest,
    ManifestError,
    manifest_path,
    verify_manifest,
)

_PACK = re.compile(rf"{DAY_UNIT}/{archive.PACK_FLOW}/manifests/\d\d-pack\.a\d+\.json")
_MANIFEST = re.compile(r"[^/]+/[^/]+/manifests/[^/]+\.json")
_MAX_DOCUMENT = 64 << 20
_SLICE = 1 << 20


@dataclass(frozen=True)
class Finding:
    """What is wrong (or worth knowing), and with which file of the pack."""

    file: str
    reason: str


@dataclass(frozen=True)
class PackReport:
    """The result of a verification. `head` is the digest of the pack manifest, to compare with a published one.

    `trusted`: nothing was found, all signatures are by keys that came from outside the pack, and none of those keys
    was revoked since (unless the head is known to have been published).
    `units` lists each (unit, flow) with its last stage.
    """

    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...] = ()
    business_date: str = ""
    attempt: int = 0
    head: str = ""
    manifests: int = 0
    files: int = 0
    units: tuple[tuple[str, str, str], ...] = ()
    trusted: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify_pack(
    path: Path, trusted_jwks: Path | None = None, published_head: str | None = None
) -> PackReport:
    """Verify the pack at `path`.

    `trusted_jwks` is a key set received by another way than the pack; without it the pack's own is used, which shows
    only that the pack agrees with itself. `published_head` is the digest that was published outside: it exposes a
    pack that was replaced as a whole, and stands for a time stamp when a key was revoked later.
    """
    try:
        trusted = KeySet.from_json(trusted_jwks.read_bytes()) if trusted_jwks is not None else None
    except (OSError, KeyProblem) as error:
        return PackReport((Finding(str(trusted_jwks), f"the trusted key set cannot be used: {error}"),))
    try:
        with open_pack(path) as files:
            return verify_files(files, trusted, published_head)
    except PackRefused as error:
        return PackReport((Finding(error.file, error.reason),))


def verify_files(
    files: PackFiles, trusted: KeySet | None = None, published_head: str | None = None
) -> PackReport:
    """Verify a pack given as its files."""
    return _Verification(files, trusted, published_head).run()


class _Verification:
    def __init__(self, files: PackFiles, trusted: KeySet | None, published_head: str | None) -> None:
        self._files = files
        self._names = files.names()
        self._present = set(self._names)
        self._trusted = trusted
        self._published = published_head
        self._findings: dict[Finding, None] = {}
        self._notes: dict[Finding, None] = {}
        self._digests: dict[str, str] = {}

    def run(self) -> PackReport:
        keys = self._trusted if self._trusted is not None else self._own_keys()
        pack = None if keys is None else self._pack_manifest(keys)
        if keys is None or pack is None:
            return PackReport(tuple(self._findings), files=len(self._names))
        name = pack.ref.path
        if self._published is not None and self._published != pack.ref.sha256:
            self._find(name, "is not the pack whose head was published")
        self._check_inventory(pack)
        stages = {
            pack_name: m for pack_name in self._names if (m := self._stage_manifest(pack_name, pack, keys))
        }
        self._check_chain(pack, stages)
        self._check_statements(pack, keys)
        revoked = self._revoked_signers(keys, [pack, *stages.values()])
        doubtful_time = bool(revoked) and self._published != pack.ref.sha256
        if doubtful_time:
            self._note(
                name, f"key {', '.join(revoked)} was revoked later: the time of signing needs outside proof"
            )
        for control in pack.controls:
            if not control.ok:
                self._note(name, f"{control.id}: expected {control.expected}, found {control.actual}")
        units: dict[tuple[str, str], str] = {}
        for manifest in sorted(stages.values(), key=lambda m: m.ref.path.rsplit("/", 1)[1]):
            units[(manifest.unit, manifest.flow)] = manifest.stage
        return PackReport(
            findings=tuple(self._findings),
            notes=tuple(self._notes),
            business_date=pack.business_date.isoformat(),
            attempt=pack.attempt,
            head=pack.ref.sha256,
            manifests=len(stages) + 1,
            files=len(self._names),
            units=tuple((unit, flow, stage) for (unit, flow), stage in sorted(units.items())),
            trusted=not self._findings and self._trusted is not None and not doubtful_time,
        )

    def _pack_manifest(self, keys: KeySet) -> Manifest | None:
        candidates = sorted(
            {n.removesuffix(".jws") for n in self._names if _PACK.fullmatch(n.removesuffix(".jws"))}
        )
        if len(candidates) != 1:
            self._find(
                f"{DAY_UNIT}/{archive.PACK_FLOW}/manifests", f"{len(candidates)} pack manifests, not one"
            )
            return None
        (name,) = candidates
        return self._verified(name, keys)

    def _own_keys(self) -> KeySet | None:
        self._note(
            archive.JWKS, "the pack's own keys were used: compare their kid with one received another way"
        )
        data = self._document(archive.JWKS)
        try:
            return KeySet.from_json(data) if data is not None else None
        except KeyProblem as error:
            self._find(archive.JWKS, str(error))
            return None

    def _verified(self, name: str, keys: KeySet) -> Manifest | None:
        body, signature = self._document(name), self._document(f"{name}.jws")
        if body is None or signature is None:
            return None
        try:
            manifest = verify_manifest(name, body, signature, keys)
        except (SignatureRefused, ManifestError) as error:
            self._find(name, f"BAD SIGNATURE in {name}.jws: {error}")
            return None
        expected = manifest_path(
            manifest.stage, manifest.flow, manifest.unit, manifest.business_date, manifest.attempt
        )
        if pack_path(expected) != name:
            self._find(name, f"says it is {pack_path(expected)}")
        return manifest

    def _check_inventory(self, pack: Manifest) -> None:
        """Exactly the files that the pack manifest names, with exactly their bytes; and the list of sums says so."""
        own = {pack.ref.path, f"{pack.ref.path}.jws"}
        named = {subject.name: subject for subject in pack.subjects}
        for name in sorted(named.keys() - self._present):
            self._find(name, "MISSING: the pack manifest names it")
        for name in sorted(self._present - named.keys() - own):
            self._find(name, "UNEXPECTED: the pack manifest does not name it")
        for name in sorted(named.keys() & self._present):
            if self._digest(name) != named[name].sha256:
                self._find(name, "CHANGED: its bytes are not those that were signed")
        sums = "".join(f"{s.sha256}  {s.name}\n" for s in pack.subjects if s.name != archive.SUMS)
        if self._document(archive.SUMS) not in (sums.encode(), None):
            self._find(archive.SUMS, "does not list the files of the pack")

    def _stage_manifest(self, name: str, pack: Manifest, keys: KeySet) -> Manifest | None:
        if not _MANIFEST.fullmatch(name) or name == pack.ref.path:
            return None
        manifest = self._verified(name, keys)
        if manifest is None:
            return None
        if manifest.business_date != pack.business_date:
            self._find(name, f"belongs to {manifest.business_date.isoformat()}")
        for subject in manifest.subjects:
            if subject.carried != CARRIED:
                continue
            payload = payload_path(name, subject.name)
            if payload not in self._present:
                self._find(payload, f"MISSING: {name} carries it")
            elif self._digest(payload) != subject.sha256:
                self._find(payload, f"CHANGED: its bytes are not those that {name} signed")
        return manifest

    def _check_chain(self, pack: Manifest, stages: Mapping[str, Manifest]) -> None:
        known = {m.ref.sha256 for m in stages.values()} | self._external()
        used: set[str] = set()
        for manifest in (*stages.values(), pack):
            for link in manifest.prev:
                if link.sha256 not in known:
                    self._find(
                        pack_path(link.path) if link.path.count("/") > 1 else link.path,
                        f"BROKEN CHAIN: {manifest.ref.path} follows it, and it is neither here nor declared external",
                    )
                used.add(link.sha256)
        for name, manifest in stages.items():
            if manifest.ref.sha256 not in used:
                self._find(name, "BROKEN CHAIN: nothing in the pack follows it, nor does the pack manifest")

    def _external(self) -> set[str]:
        data = self._document(archive.EXTERNAL)
        try:
            return {str(item["sha256"]) for item in json.loads(data or b"")["manifests"]}
        except (ValueError, KeyError, TypeError):
            self._find(archive.EXTERNAL, "does not say which predecessors are external")
            return set()

    def _check_statements(self, pack: Manifest, keys: KeySet) -> None:
        """The audit checkpoint and the decisions have signatures of their own."""
        body, signature = self._document(archive.CHECKPOINT), self._document(f"{archive.CHECKPOINT}.jws")
        if body is not None and signature is not None:
            try:
                read_checkpoint(Checkpoint(json.loads(body)["seq"], body, signature), keys)
            except (SignatureRefused, ValueError, KeyError, TypeError) as error:
                self._find(archive.CHECKPOINT, f"BAD SIGNATURE: {error}")
        body, signature = self._document(archive.DECISIONS), self._document(f"{archive.DECISIONS}.jws")
        if body is not None and signature is not None:
            try:
                typ, cty = archive.DECISIONS_TYP, archive.DECISIONS_CTY
                keys.verify(body, signature, purpose="manifest", typ=typ, cty=cty).check_time(pack.created_at)
            except SignatureRefused as error:
                self._find(archive.DECISIONS, f"BAD SIGNATURE: {error}")

    @staticmethod
    def _revoked_signers(keys: KeySet, manifests: Sequence[Manifest]) -> list[str]:
        signers = {manifest.key_id for manifest in manifests}
        return [key.kid for key in keys if key.kid in signers and key.revoked_at]

    def _document(self, name: str) -> bytes | None:
        """A small file whole; a finding and None if it is absent or not small."""
        if name not in self._present:
            self._find(name, "MISSING")
            return None
        with self._files.open(name) as handle:
            data = handle.read(_MAX_DOCUMENT + 1)
        if len(data) > _MAX_DOCUMENT:
            self._find(name, "is larger than such a document can be")
            return None
        self._digests.setdefault(name, sha256_hex(data))
        return data

    def _digest(self, name: str) -> str:
        if name not in self._digests:
            digest = hashlib.sha256()
            with self._files.open(name) as handle:
                while block := handle.read(_SLICE):
                    digest.update(block)
            self._digests[name] = digest.hexdigest()
        return self._digests[name]

    def _find(self, file: str, reason: str) -> None:
        self._findings[Finding(file, reason)] = None

    def _note(self, file: str, reason: str) -> None:
        self._notes[Finding(file, reason)] = None
