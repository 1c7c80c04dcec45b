"""Signed manifests: what a stage read, what it made, what it checked, chained by digest.

A manifest is an in-toto Statement v1 in RFC 8785 bytes, with a detached JWS beside it. It never changes; a
correction is a new manifest with the next attempt number that names the one it replaces. The store is the truth,
`manifest_index` a projection of it.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import rfc8785
from sqlalchemy import delete, insert, select

from athena_fusion.clock import Clock, iso_z
from athena_fusion.storage.artifacts import ArtifactError, ArtifactStore, check_path, sha256_hex
from athena_fusion.storage.database import Database
from athena_fusion.storage.schema import manifest_index
from athena_fusion.trust.audit import AuditLog
from athena_fusion.trust.keys import KeyRing, KeySet, SignatureRefused
from athena_fusion.trust.rowset import RowSet

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://athena-fusion.dev/manifest/v1"
MANIFEST_TYP = "athena-fusion-manifest+jws"
MANIFEST_CTY = "application/vnd.in-toto+json"

STAGES = ("extract", "reconcile", "transform", "package", "submit", "readback", "pack")
DAY_UNIT = "_day"
"""The unit of manifests that speak of a whole day: the pack, and the day's reconciliation."""

CARRIED = "pack"
"""The subject's bytes travel in the evidence pack."""
REFERENCE = "reference"
"""The subject stays in the store (raw extracts, rows about patients); the pack holds its digest only."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AMOUNT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_MEDIA_TYPE = re.compile(r"[a-z0-9]+/[a-z0-9.+-]+")
_FILE = re.compile(
    r"evidence/\d{4}-\d{2}-\d{2}/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/manifests/\d{2}-[a-z]+\.a\d+\.json"
)
# Who and when, as opposed to what: a repeated run that says the same keeps the manifest that stands.
_CIRCUMSTANCES = ("createdAt", "runId", "software")


class ManifestError(Exception):
    """A manifest that cannot be written or is not what it should be; nothing was signed."""


class ManifestConflict(ManifestError):
    """Another statement already stands under the same stage and attempt."""


class ChainBroken(Exception):
    """A link of the chain is missing, changed or not signed by a trusted key; the message names it."""


@dataclass(frozen=True)
class Subject:
    """A file that a manifest speaks for: its store path, SHA-256 (hex), bytes, media type and rows if it has any.

    A pack manifest alone names its files from the pack's root instead. `carried` says whether the bytes travel in
    the evidence pack; by default they do not.
    """

    name: str
    sha256: str
    size: int
    media_type: str
    rows: int | None = None
    carried: str = REFERENCE


@dataclass(frozen=True)
class ManifestRef:
    """A manifest by its store path and the SHA-256 of its bytes."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Control:
    """A check that was made: both figures as text, and whether they agree."""

    id: str
    expected: str
    actual: str
    ok: bool


@dataclass(frozen=True)
class Manifest:
    """A verified manifest. `body` is the whole predicate, for fields without an attribute here."""

    ref: ManifestRef
    stage: str
    flow: str
    unit: str
    business_date: date
    attempt: int
    created_at: datetime
    subjects: tuple[Subject, ...]
    prev: tuple[ManifestRef, ...]
    row_count: int
    sums: Mapping[str, str]
    controls: tuple[Control, ...]
    key_id: str
    body: Mapping[str, object]

    @property
    def passed(self) -> bool:
        """Whether every control agreed."""
        return all(control.ok for control in self.controls)

    @property
    def rowset_sha256(self) -> str | None:
        """The digest of the row set, if the stage has one."""
        rowset = self.body.get("rowset")
        return str(rowset["sha256"]) if isinstance(rowset, Mapping) else None


class ManifestBook:
    """Signs, finds and verifies the manifests of one store."""

    def __init__(
        self,
        store: ArtifactStore,
        database: Database,
        keys: KeyRing,
        audit: AuditLog,
        clock: Clock,
        software: Mapping[str, str],
    ) -> None:
        self._store = store
        self._database = database
        self._keys = keys
        self._audit = audit
        self._clock = clock
        self._software = dict(software)

    def sign(  # noqa: PLR0913 - the fields of one statement, all by name
        self,
        *,
        stage: str,
        flow: str,
        unit: str,
        business_date: date,
        run_id: str,
        attempt: int,
        subjects: Sequence[Subject],
        prev: Sequence[ManifestRef],
        row_count: int,
        sums: Mapping[str, str],
        rowset: RowSet | None = None,
        source: Mapping[str, str | int] | None = None,
        target: Mapping[str, str | int] | None = None,
        controls: Sequence[Control] = (),
    ) -> ManifestRef:
        """Sign one statement and return its reference.

        The same statement again returns the manifest that stands; another one raises `ManifestConflict`. From the
        second attempt on, the manifest replaced is added to `prev`. The signing is in the audit log first:
        `AuditUnavailable` means that nothing was signed.
        """
        path = manifest_path(stage, flow, unit, business_date, attempt)
        links = {link.sha256: link for link in prev}
        replaced = self.latest(stage=stage, flow=flow, unit=unit, business_date=business_date, before=attempt)
        if replaced is not None:
            links.setdefault(replaced.sha256, replaced)
        if not links and stage not in ("extract", "pack") and unit != DAY_UNIT:
            raise ManifestError(f"{path}: only a first stage has no predecessor; nothing was signed")
        key = self._keys.active("manifest")
        predicate: dict[str, object] = {
            "stage": stage,
            "flow": flow,
            "unit": unit,
            "businessDate": business_date.isoformat(),
            "runId": run_id,
            "attempt": attempt,
            "createdAt": iso_z(self._clock.now()),
            "software": self._software,
            "prev": [{"name": link.path, "digest": {"sha256": link.sha256}} for link in links.values()],
            "rowCount": row_count,
            "sums": _checked_sums(path, sums),
            "controls": [
                {"id": c.id, "expected": c.expected, "actual": c.actual, "ok": c.ok} for c in controls
            ],
        }
        if rowset is not None:
            predicate["rowset"] = _rowset_json(rowset)
        for name, system in (("source", source), ("target", target)):
            if system is not None:
                predicate[name] = _checked_system(path, name, system)
        body = _serialise(path, predicate, subjects)

        standing = self._standing(path, body)
        if standing is not None:
            return standing
        ref = ManifestRef(path, sha256_hex(body))
        self._audit.append("manifest.sign", "ok", path=path, sha256=ref.sha256, kid=key.public.kid)
        signature = key.sign(body, typ=MANIFEST_TYP, cty=MANIFEST_CTY)
        # The index row is inserted first: it keeps a second writer of the same path waiting until we are done.
        # The signature is written before the body, so that a body always has one.
        with self._database.begin() as connection:
            connection.execute(delete(manifest_index).where(manifest_index.c.path == path))
            connection.execute(insert(manifest_index).values(_index_row(ref, predicate)))
            if self._store.exists(path):
                raise ManifestConflict(
                    f"{path} was signed by another run at the same moment; nothing was changed"
                )
            self._store.write_bytes(f"{path}.jws", signature)
            self._store.write_bytes(path, body, immutable=True)
        return ref

    def latest(
        self, *, stage: str, flow: str, unit: str, business_date: date, before: int | None = None
    ) -> ManifestRef | None:
        """The manifest with the highest attempt (below `before`), or None."""
        index = manifest_index.c
        query = select(index.path, index.sha256).where(
            index.stage == stage,
            index.flow == flow,
            index.unit == unit,
            index.business_date == business_date.isoformat(),
        )
        if before is not None:
            query = query.where(index.attempt < before)
        with self._database.begin() as connection:
            row = connection.execute(query.order_by(index.attempt.desc()).limit(1)).one_or_none()
        return ManifestRef(row.path, row.sha256) if row is not None else None

    def latest_per_day(
        self, *, stage: str, flow: str, unit: str, since: date, until: date
    ) -> list[ManifestRef]:
        """The highest attempt of every business date in [since, until], oldest first."""
        index = manifest_index.c
        query = (
            select(index.path, index.sha256, index.business_date)
            .where(
                index.stage == stage,
                index.flow == flow,
                index.unit == unit,
                index.business_date.between(since.isoformat(), until.isoformat()),
            )
            .order_by(index.business_date, index.attempt)
        )
        with self._database.begin() as connection:
            newest = {row.business_date: row for row in connection.execute(query)}
        return [ManifestRef(row.path, row.sha256) for row in newest.values()]

    def next_attempt(self, *, stage: str, flow: str, unit: str, business_date: date) -> int:
        """One more than the highest attempt that was signed."""
        last = self.latest(stage=stage, flow=flow, unit=unit, business_date=business_date)
        return 1 if last is None else int(last.path.rsplit(".a", 1)[1].removesuffix(".json")) + 1

    def read(self, ref: ManifestRef) -> Manifest:
        """The manifest, with digest, signature and key window checked. Raises `ChainBroken`."""
        return self._read(ref, self._keys.public())

    def verify_chain(self, ref: ManifestRef, *, external: Collection[str] = ()) -> list[Manifest]:
        """All manifests that `ref` rests on, predecessors first and `ref` last. Raises `ChainBroken`.

        A pack is a closed book: the manifests before an earlier pack are not opened again. Nor are those whose
        digest is in `external`.
        """
        keys = self._keys.public()
        done: dict[str, Manifest] = {}
        waiting = [ref]
        while waiting:
            current = waiting[-1]
            if current.sha256 in done:
                waiting.pop()
                continue
            manifest = self._read(current, keys)
            closed = manifest.stage == "pack" and current.sha256 != ref.sha256
            missing = (
                [] if closed else [link for link in manifest.prev if link.sha256 not in {*done, *external}]
            )
            if missing:  # a digest cannot lie before itself, so this ends
                waiting.extend(missing)
            else:
                done[current.sha256] = manifest
                waiting.pop()
        return list(done.values())

    def signature(self, ref: ManifestRef) -> bytes:
        """The signature file of a manifest."""
        return self._store.read_bytes(f"{ref.path}.jws")

    def raw(self, ref: ManifestRef) -> bytes:
        """The manifest file."""
        return self._store.read_bytes(ref.path)

    def rebuild_index(self) -> int:
        """Make `manifest_index` anew from the store; the number of manifests found.

        Raises `ChainBroken` at the first manifest that does not verify, leaving the index as it was.
        """
        keys = self._keys.public()
        rows = []
        for path in self._store.list("evidence"):
            if _FILE.fullmatch(path):
                ref = ManifestRef(path, sha256_hex(self._store.read_bytes(path)))
                rows.append(_index_row(ref, self._read(ref, keys).body))
        with self._database.begin() as connection:
            connection.execute(delete(manifest_index))
            if rows:
                connection.execute(insert(manifest_index), rows)
        return len(rows)

    def _read(self, ref: ManifestRef, keys: KeySet) -> Manifest:
        try:
            body = self._store.read_bytes(ref.path)
            signature = self._store.read_bytes(f"{ref.path}.jws")
        except ArtifactError as error:
            raise ChainBroken(f"manifest {ref.path} cannot be read: {error}") from None
        if sha256_hex(body) != ref.sha256:
            raise ChainBroken(f"manifest {ref.path} is not the one that was referred to ({ref.sha256[:12]})")
        try:
            manifest = verify_manifest(ref.path, body, signature, keys)
        except (SignatureRefused, ManifestError) as error:
            raise ChainBroken(f"manifest {ref.path}: {error}") from None
        expected = manifest_path(
            manifest.stage, manifest.flow, manifest.unit, manifest.business_date, manifest.attempt
        )
        if expected != ref.path:
            raise ChainBroken(f"manifest {ref.path} says it is {expected}")
        return manifest

    def _standing(self, path: str, body: bytes) -> ManifestRef | None:
        if not self._store.exists(path):
            return None
        existing = self._store.read_bytes(path)
        ref = ManifestRef(path, sha256_hex(existing))
        manifest = self.read(ref)
        with self._database.begin() as connection:  # a crash may have lost the row
            connection.execute(delete(manifest_index).where(manifest_index.c.path == path))
            connection.execute(insert(manifest_index).values(_index_row(ref, manifest.body)))
        if _content(existing) != _content(body):
            raise ManifestConflict(
                f"{path} is already signed and says something else; nothing was signed. "
                "A correction takes the next attempt number"
            )
        return ref


def manifest_path(stage: str, flow: str, unit: str, business_date: date, attempt: int) -> str:
    """The store path of a manifest. Raises `ManifestError` for a stage, name or attempt that cannot be."""
    if stage not in STAGES:
        raise ManifestError(f"unknown stage {stage!r}; known are {', '.join(STAGES)}")
    if not _NAME.fullmatch(flow) or not _NAME.fullmatch(unit):
        raise ManifestError(f"flow {flow!r} or unit {unit!r} is not made of letters, digits, _ and -")
    if attempt < 1:
        raise ManifestError(f"attempt {attempt}: attempts count from 1")
    file = f"{STAGES.index(stage):02d}-{stage}.a{attempt}.json"
    return f"evidence/{business_date.isoformat()}/{unit}/{flow}/manifests/{file}"


def verify_manifest(path: str, body: bytes, signature: bytes, keys: KeySet) -> Manifest:
    """The manifest in `body`, once its signature and its key's window are proven over exactly these bytes.

    `path` becomes part of the reference only. Raises `SignatureRefused` or `ManifestError`.
    """
    key = keys.verify(body, signature, purpose="manifest", typ=MANIFEST_TYP, cty=MANIFEST_CTY)
    manifest = _parse(ManifestRef(path, sha256_hex(body)), body, key.kid)
    key.check_time(manifest.created_at)
    return manifest


def _parse(ref: ManifestRef, body: bytes, kid: str) -> Manifest:
    try:
        statement = json.loads(body)
        predicate = statement["predicate"]
        if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise ManifestError("not a manifest of this version")
        return Manifest(
            ref=ref,
            stage=predicate["stage"],
            flow=predicate["flow"],
            unit=predicate["unit"],
            business_date=date.fromisoformat(predicate["businessDate"]),
            attempt=int(predicate["attempt"]),
            created_at=datetime.fromisoformat(predicate["createdAt"]),
            subjects=tuple(_parse_subject(item) for item in statement["subject"]),
            prev=tuple(ManifestRef(link["name"], link["digest"]["sha256"]) for link in predicate["prev"]),
            row_count=int(predicate["rowCount"]),
            sums=dict(predicate["sums"]),
            controls=tuple(
                Control(c["id"], c["expected"], c["actual"], c["ok"] is True) for c in predicate["controls"]
            ),
            key_id=kid,
            body=predicate,
        )
    except (ValueError, KeyError, TypeError, AttributeError, ArtifactError) as error:
        raise ManifestError(f"the manifest lacks what every manifest has ({type(error).__name__})") from None


def _parse_subject(item: Mapping[str, dict[str, str]]) -> Subject:
    notes: Mapping[str, object] = item["annotations"]
    rows = notes.get("rows")
    return Subject(
        check_path(str(item["name"])),
        item["digest"]["sha256"],
        int(str(notes["bytes"])),
        str(notes["mediaType"]),
        None if rows is None else int(str(rows)),
        str(notes["carried"]),
    )


def _serialise(path: str, predicate: Mapping[str, object], subjects: Sequence[Subject]) -> bytes:
    names = [subject.name for subject in subjects]
    if len(set(names)) != len(names):
        raise ManifestError(f"{path}: a subject is named twice; nothing was signed")
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [_subject_json(path, s) for s in sorted(subjects, key=lambda s: s.name)],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    try:
        return rfc8785.dumps(statement)  # type: ignore[arg-type] # built of JSON types above
    except rfc8785.CanonicalizationError as error:
        raise ManifestError(f"{path}: {error}; nothing was signed") from None


def _subject_json(path: str, subject: Subject) -> dict[str, object]:
    try:
        check_path(subject.name)
    except ArtifactError as error:
        raise ManifestError(f"{path}: {error}; nothing was signed") from None
    sound = (
        _SHA256.fullmatch(subject.sha256)
        and _MEDIA_TYPE.fullmatch(subject.media_type)
        and subject.carried in (CARRIED, REFERENCE)
    )
    if not sound:
        raise ManifestError(
            f"{path}: subject {subject.name} has a malformed digest, media type or carried note; nothing was signed"
        )
    notes: dict[str, object] = {
        "bytes": subject.size,
        "mediaType": subject.media_type,
        "carried": subject.carried,
    }
    if subject.rows is not None:
        notes["rows"] = subject.rows
    return {"name": subject.name, "digest": {"sha256": subject.sha256}, "annotations": notes}


def _rowset_json(rowset: RowSet) -> dict[str, object]:
    return {
        "spec": rowset.spec,
        "columns": [{"name": column.name, "kind": column.kind} for column in rowset.columns],
        "sha256": rowset.sha256,
        "count": rowset.count,
    }


def _checked_sums(path: str, sums: Mapping[str, object]) -> dict[str, object]:
    for name, amount in sums.items():
        if not isinstance(amount, str) or not _AMOUNT.fullmatch(amount):
            raise ManifestError(f"{path}: sum {name} is not a plain decimal text; nothing was signed")
    return dict(sums)


def _checked_system(path: str, name: str, system: Mapping[str, object]) -> dict[str, object]:
    # Flat on purpose: a verifier without a JSON parser finds "prev" and "subject" by their position.
    for key, value in system.items():
        if not isinstance(value, str | int):
            raise ManifestError(
                f"{path}: {name}.{key} is neither text nor a whole number; nothing was signed"
            )
    return dict(system)


def _index_row(ref: ManifestRef, predicate: Mapping[str, object]) -> dict[str, object]:
    return {
        "sha256": ref.sha256,
        "path": ref.path,
        "stage": predicate["stage"],
        "flow": predicate["flow"],
        "unit": predicate["unit"],
        "business_date": predicate["businessDate"],
        "attempt": predicate["attempt"],
        "created_at": predicate["createdAt"],
    }


def _content(body: bytes) -> dict[str, object]:
    statement: dict[str, object] = json.loads(body)
    predicate = statement["predicate"]
    assert isinstance(predicate, dict)
    what = {name: value for name, value in predicate.items() if name not in _CIRCUMSTANCES}
    return statement | {"predicate": what}
