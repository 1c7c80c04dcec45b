"""The money gate: no package leaves without a verified chain and passed controls, whoever asks (decision 23)."""

from datetime import date

from athena_fusion.delivery.package import Package
from athena_fusion.storage.artifacts import ArtifactError, ArtifactStore, sha256_hex
from athena_fusion.trust.manifest import ChainBroken, Manifest, ManifestBook


class GateRefused(Exception):
    """A package that must not be sent. `control` names what failed."""

    def __init__(self, package: Package, control: str, why: str) -> None:
        super().__init__(f"{package.intent.key}: {why} ({control}). Nothing was sent to Fusion.")
        self.package, self.control = package, control


def admit(package: Package, book: ManifestBook, store: ArtifactStore) -> bytes:
    """The ZIP bytes of `package` when it may leave; else `GateRefused`.

    It may leave when its manifest chain verifies back to the first stage, every control of every manifest
    in it passed (and there is one), and the stored bytes are the ones that were signed. Of a manifest that was
    replaced by a later attempt in the same chain only the replacement counts.
    """
    try:
        chain = book.verify_chain(package.manifest)
    except ChainBroken as error:
        raise GateRefused(package, "manifest chain", str(error)) from error
    head = next((manifest for manifest in chain if manifest.ref == package.manifest), None)
    if head is None:
        raise GateRefused(package, "manifest chain", "the chain does not hold the package manifest")
    _check_identity(package, head)
    standing = {_place(manifest): manifest for manifest in sorted(chain, key=lambda m: m.attempt)}.values()
    controls = [(manifest, control) for manifest in standing for control in manifest.controls]
    if not controls:
        raise GateRefused(
            package, "controls", "no stage of the chain carries a control, so nothing is proven"
        )
    for manifest, control in controls:
        if not control.ok:
            why = (
                f"control {control.id} of stage {manifest.stage} failed: "
                f"expected {control.expected}, actual {control.actual}"
            )
            raise GateRefused(package, control.id, why)
    return _signed_bytes(package, head, store)


def _place(manifest: Manifest) -> tuple[str, str, str, date]:
    return manifest.stage, manifest.flow, manifest.unit, manifest.business_date


def _check_identity(package: Package, head: Manifest) -> None:
    intent = package.intent
    if (signed := _place(head)) != ("package", intent.flow, intent.entity, intent.batch_date):
        raise GateRefused(
            package, "manifest identity", f"the manifest speaks of {'/'.join(map(str, signed))}"
        )


def _signed_bytes(package: Package, head: Manifest, store: ArtifactStore) -> bytes:
    signed = next((subject for subject in head.subjects if subject.name == package.path), None)
    if signed is None:
        raise GateRefused(package, "signed subject", f"{package.path} is no subject of the manifest")
    try:
        content = store.read_bytes(package.path)
    except ArtifactError as error:
        raise GateRefused(package, "signed subject", str(error)) from error
    if not sha256_hex(content) == signed.sha256 == package.sha256:
        raise GateRefused(package, "signed subject", f"the bytes at {package.path} are not the signed ones")
    return content
