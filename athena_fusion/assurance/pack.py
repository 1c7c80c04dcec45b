"""Builds the evidence pack of a business day: one folder and one ZIP that prove the day without us.

The pack holds every signed manifest of the day with the payloads that may travel, what was reconciled and decided,
a checkpoint of the audit log, the public keys, and the scripts that verify all of it. Its own manifest names every
file and the head of every chain; the digest of that manifest is the head to be published elsewhere.
"""

import io
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import BinaryIO, cast

import rfc8785

from athena_fusion.assurance import archive, summary
from athena_fusion.assurance.archive import PACK_FLOW, pack_path, payload_path, write_zip
from athena_fusion.clock import Clock
from athena_fusion.storage.artifacts import ArtifactStore, sha256_hex
from athena_fusion.trust.audit import AuditLog
from athena_fusion.trust.keys import KeyRing, PublicKey
from athena_fusion.trust.manifest import (
    CARRIED,
    DAY_UNIT,
    Control,
    Manifest,
    ManifestBook,
    ManifestRef,
    Subject,
)

_MEDIA_TYPES = {
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "jws": "application/jose+json",
    "parquet": "application/vnd.apache.parquet",
    "sh": "application/x-sh",
    "txt": "text/plain",
    "zip": "application/zip",
}


class PackError(Exception):
    """The pack cannot be built; no pack manifest was signed."""


@dataclass(frozen=True)
class PackEntry:
    """The head of one unit's chain in one flow; without a head, `note` says why it is missing.

    A unit with several heads has several entries.
    """

    unit: str
    flow: str
    head: ManifestRef | None
    note: str = ""


@dataclass(frozen=True)
class PackResult:
    """A built pack: store paths of its folder and ZIP, the ZIP's SHA-256, and its manifest."""

    business_date: date
    attempt: int
    folder: str
    path: str
    sha256: str
    manifest: ManifestRef

    @property
    def head_sha256(self) -> str:
        """The digest to publish outside the store."""
        return self.manifest.sha256

    @property
    def file_name(self) -> str:
        """The ZIP's name without folders."""
        return self.path.rsplit("/", 1)[1]


def latest_pack(book: ManifestBook, business_date: date) -> ManifestRef | None:
    """The manifest of the newest pack of a day."""
    return book.latest(stage="pack", flow=PACK_FLOW, unit=DAY_UNIT, business_date=business_date)


def build_pack(  # noqa: PLR0913 - everything a pack is made of, all by name
    *,
    store: ArtifactStore,
    book: ManifestBook,
    keys: KeyRing,
    audit: AuditLog,
    clock: Clock,
    business_date: date,
    run_id: str,
    entries: Sequence[PackEntry],
    reconciliation: Mapping[str, object],
    decisions: Sequence[Mapping[str, object]],
    external: Sequence[ManifestRef] = (),
    previous_pack: ManifestRef | None = None,
) -> PackResult:
    """Build and sign the pack of `business_date`; one that already says the same is returned instead.

    The chains are walked and verified from the heads of `entries`. Predecessors of other days, those in `external`,
    yesterday's pack and a replaced pack are declared external. `reconciliation` and `decisions` are JSON values
    without floats and without anything about a patient. Raises `ChainBroken`, `PackError`, `AuditUnavailable`.
    """
    manifests = _walk(book, business_date, entries, {ref.sha256 for ref in external})
    links = {entry.head.sha256: entry.head for entry in entries if entry.head}
    if previous_pack is not None:
        book.read(previous_pack)
        links[previous_pack.sha256] = previous_pack
    documents = {
        archive.RECONCILIATION: _json({"businessDate": business_date.isoformat(), **reconciliation}),
        archive.DECISIONS: _json({"businessDate": business_date.isoformat(), "decisions": list(decisions)}),
    }
    controls = _controls(entries, manifests)
    replaced = latest_pack(book, business_date)
    if replaced is not None:
        standing = book.read(replaced)
        if _says_the_same(book, standing, links, documents, controls):
            return _finish(store, book, standing)

    attempt = book.next_attempt(stage="pack", flow=PACK_FLOW, unit=DAY_UNIT, business_date=business_date)
    folder = _Writer(store, _folder(business_date, attempt))
    for manifest in manifests:
        _add_manifest(folder, store, book, manifest)
    for name, data in documents.items():
        folder.add(name, data)
    decisions_signature = keys.active("manifest").sign(
        documents[archive.DECISIONS], typ=archive.DECISIONS_TYP, cty=archive.DECISIONS_CTY
    )
    folder.add(f"{archive.DECISIONS}.jws", decisions_signature)
    folder.add(archive.EXTERNAL, _json(_external(manifests, previous_pack, replaced)))
    checkpoint = audit.checkpoint()
    folder.add(archive.CHECKPOINT, checkpoint.body)
    folder.add(f"{archive.CHECKPOINT}.jws", checkpoint.jws)
    public = [key for key in keys.all() if key.purpose in ("manifest", "audit")]
    folder.add(archive.JWKS, _json(keys.jwks(["manifest", "audit"])))
    for script in archive.VERIFIERS:
        folder.add(script, (resources.files(__package__) / "verifiers" / script).read_bytes())
    folder.add(archive.README, _readme(business_date, attempt, public).encode())
    missing = [(entry.unit, entry.flow, entry.note) for entry in entries if entry.head is None]
    page = summary.render(business_date, attempt, clock.now(), manifests, missing, reconciliation, decisions)
    folder.add(archive.SUMMARY, page.encode())
    sums = "".join(f"{s.sha256}  {s.name}\n" for s in sorted(folder.subjects, key=lambda s: s.name))
    folder.add(archive.SUMS, sums.encode())

    ref = book.sign(
        stage="pack",
        flow=PACK_FLOW,
        unit=DAY_UNIT,
        business_date=business_date,
        run_id=run_id,
        attempt=attempt,
        subjects=folder.subjects,
        prev=list(links.values()),
        row_count=len(manifests),
        sums={},
        controls=controls,
    )
    return _finish(store, book, book.read(ref))


class _Writer:
    """Writes the pack's files below one store folder and remembers them as subjects."""

    def __init__(self, store: ArtifactStore, path: str) -> None:
        self._store = store
        self._path = path
        self.subjects: list[Subject] = []

    def add(self, name: str, data: bytes) -> None:
        artifact = self._store.write_bytes(f"{self._path}/{name}", data)
        media_type = _MEDIA_TYPES.get(name.rsplit(".", 1)[-1].lower(), "application/octet-stream")
        self.subjects.append(Subject(name, artifact.sha256, artifact.size, media_type, carried=CARRIED))


class _StoredFiles:
    """The signed files of a pack folder, each checked against its subject when it is read."""

    def __init__(self, store: ArtifactStore, folder: str, digests: Mapping[str, str]) -> None:
        self._store = store
        self._folder = folder
        self._digests = digests
        self._last: tuple[str, bytes] = ("", b"")

    def names(self) -> list[str]:
        return sorted(self._digests)

    def size(self, name: str) -> int:
        return len(self._read(name))

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self._read(name))

    def _read(self, name: str) -> bytes:
        if self._last[0] != name:
            data = self._store.read_bytes(f"{self._folder}/{name}")
            if sha256_hex(data) != self._digests[name]:
                raise PackError(
                    f"{self._folder}/{name} was changed after the pack was signed; no ZIP was made"
                )
            self._last = (name, data)
        return self._last[1]


def _folder(business_date: date, attempt: int) -> str:
    return f"evidence/{business_date.isoformat()}/pack/a{attempt}"


def _walk(
    book: ManifestBook, business_date: date, entries: Sequence[PackEntry], external: Collection[str]
) -> list[Manifest]:
    """The day's manifests behind all heads, predecessors first."""
    found: dict[str, Manifest] = {}
    for entry in entries:
        if entry.head is None:
            continue
        chain = book.verify_chain(entry.head, external=external)
        head = chain[-1]
        if (head.unit, head.flow, head.business_date) != (entry.unit, entry.flow, business_date):
            raise PackError(
                f"{entry.head.path} is not a head of unit {entry.unit}, flow {entry.flow} on {business_date}; "
                "no pack was signed"
            )
        for manifest in chain:
            if manifest.business_date == business_date and manifest.stage != "pack":
                found[manifest.ref.sha256] = manifest
    return list(found.values())


def _add_manifest(folder: _Writer, store: ArtifactStore, book: ManifestBook, manifest: Manifest) -> None:
    name = pack_path(manifest.ref.path)
    folder.add(name, book.raw(manifest.ref))
    folder.add(f"{name}.jws", book.signature(manifest.ref))
    known = {subject.name for subject in folder.subjects}
    for subject in manifest.subjects:
        payload = payload_path(name, subject.name)
        if subject.carried != CARRIED:
            continue
        data = store.read_bytes(subject.name)
        if sha256_hex(data) != subject.sha256:
            raise PackError(f"{subject.name} is not what {manifest.ref.path} signed; no pack was signed")
        if payload not in known:  # two stages may speak for the same file
            folder.add(payload, data)


def _external(
    manifests: Sequence[Manifest], previous_pack: ManifestRef | None, replaced: ManifestRef | None
) -> dict[str, object]:
    """What the pack rests on and does not hold."""
    here = {manifest.ref.sha256 for manifest in manifests}
    reasons = {
        link: "signed in another pack" for m in manifests for link in m.prev if link.sha256 not in here
    }
    if previous_pack is not None:
        reasons[previous_pack] = "the pack before this one"
    if replaced is not None:
        reasons[replaced] = "the pack that this one replaces"
    return {
        "manifests": [
            {"name": ref.path, "sha256": ref.sha256, "reason": reason}
            for ref, reason in sorted(reasons.items(), key=lambda item: item[0].path)
        ],
        "payloads": [
            {
                "name": subject.name,
                "sha256": subject.sha256,
                "bytes": subject.size,
                "manifest": pack_path(manifest.ref.path),
                "reason": "kept in the store of the operator",
            }
            for manifest in manifests
            for subject in manifest.subjects
            if subject.carried != CARRIED
        ],
    }


def _controls(entries: Sequence[PackEntry], manifests: Sequence[Manifest]) -> list[Control]:
    # Of a manifest that a later attempt replaced, the replacement counts.
    standing = {(m.stage, m.flow, m.unit): m for m in sorted(manifests, key=lambda m: m.attempt)}
    failed = sum(not control.ok for manifest in standing.values() for control in manifest.controls)
    return [
        Control("failed controls", "0", str(failed), ok=failed == 0),
        *(
            Control(
                f"unit {entry.unit} flow {entry.flow}", "a signed chain", entry.note or "nothing", ok=False
            )
            for entry in entries
            if entry.head is None
        ),
    ]


def _says_the_same(
    book: ManifestBook,
    standing: Manifest,
    links: Collection[str],
    documents: Mapping[str, bytes],
    controls: Sequence[Control],
) -> bool:
    replaced = book.latest(
        stage="pack",
        flow=PACK_FLOW,
        unit=DAY_UNIT,
        business_date=standing.business_date,
        before=standing.attempt,
    )
    stood = {link.sha256 for link in standing.prev} - ({replaced.sha256} if replaced else set())
    digests = {subject.name: subject.sha256 for subject in standing.subjects}
    return (
        stood == set(links)
        and standing.controls == tuple(controls)
        and all(digests.get(name) == sha256_hex(data) for name, data in documents.items())
    )


def _finish(store: ArtifactStore, book: ManifestBook, pack: Manifest) -> PackResult:
    """Put the signed manifest beside its files and make the ZIP; repeated after a crash it makes the same."""
    folder = _folder(pack.business_date, pack.attempt)
    name = pack_path(pack.ref.path)
    signature = book.signature(pack.ref)
    store.write_bytes(f"{folder}/{name}", book.raw(pack.ref))
    store.write_bytes(f"{folder}/{name}.jws", signature)
    digests = {subject.name: subject.sha256 for subject in pack.subjects}
    digests |= {name: pack.ref.sha256, f"{name}.jws": sha256_hex(signature)}
    with tempfile.TemporaryFile() as handle:
        write_zip(cast(BinaryIO, handle), _StoredFiles(store, folder, digests))
        handle.seek(0)
        file_name = f"athena-fusion-evidence-{pack.business_date.isoformat()}-a{pack.attempt}.zip"
        path = f"{folder.rsplit('/', 1)[0]}/{file_name}"
        artifact = store.write_bytes(path, handle.read(), immutable=True)
    return PackResult(pack.business_date, pack.attempt, folder, path, artifact.sha256, pack.ref)


def _json(document: object) -> bytes:
    _refuse_floats(document)
    try:
        return rfc8785.dumps(document)  # type: ignore[arg-type] # checked by rfc8785 itself
    except rfc8785.CanonicalizationError as error:
        raise PackError(f"not JSON: {error}; no pack was signed") from None


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise PackError("a float stands where an amount should be text; no pack was signed")
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)


def _readme(business_date: date, attempt: int, public: Sequence[PublicKey]) -> str:
    keys = "\n".join(f"  {key.purpose:<9} {key.kid}  {key.state}" for key in public)
    template = (resources.files(__package__) / "verifiers" / archive.README).read_text(encoding="utf-8")
    return template.format(business_date=business_date.isoformat(), attempt=attempt, keys=keys)
