"""What every stage of the nightly flow hands back: a signed manifest and the findings a person reads.

Orchestration turns it into asset metadata and checks; the command line prints it. No PHI in any field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from athena_fusion.trust.manifest import ManifestRef


@dataclass(frozen=True)
class CheckOutcome:
    """One control of a stage: both numbers, their difference, and whether later stages may go on.

    `left`, `right` and `difference` are texts for people (amounts with two decimals, or counts).
    A blocking outcome that is not ok stops this entity's night, and no other's.
    """

    name: str
    ok: bool
    blocking: bool
    left: str
    right: str
    difference: str
    summary: str


@dataclass(frozen=True)
class StageResult:
    """A finished stage: its manifest, row count, sums by name (decimal text), checks and a preview."""

    stage: str
    unit: str
    manifest: ManifestRef
    rows: int
    sums: Mapping[str, str]
    checks: Sequence[CheckOutcome]
    preview: Sequence[Mapping[str, str]] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def blocked_by(self) -> list[CheckOutcome]:
        """The failed checks that protect money."""
        return [check for check in self.checks if check.blocking and not check.ok]
