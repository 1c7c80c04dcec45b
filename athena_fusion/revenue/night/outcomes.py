"""Many tie-out figures folded into one check that a person can read."""

from collections.abc import Sequence

from athena_fusion.accounting.controls import Control
from athena_fusion.money import cents_display
from athena_fusion.revenue.stage import CheckOutcome


def summarise(
    name: str,
    controls: Sequence[Control],
    *,
    blocking: bool = True,
    empty: str = "nothing to compare",
    explained: str = "",
) -> CheckOutcome:
    """One outcome over all figures: both sums of the cents, how many figures agree, and the first that does not.

    `explained` names what accounts for the differences (rows in quarantine); the outcome is then ok and says so.
    """
    bad = [control for control in controls if not control.ok]
    left = sum(c.left or 0 for c in controls if c.unit == "cents")
    right = sum(c.right or 0 for c in controls if c.unit == "cents")
    if not bad:
        said = f"{len(controls)} of {len(controls)} figures agree" if controls else empty
    else:
        first = bad[0]
        said = (
            f"{len(controls) - len(bad)} of {len(controls)} figures agree; {first.scope}: {_figures(first)}"
        )
        if explained:
            said += f"; explained by {explained}"
    return CheckOutcome(
        name=name,
        ok=not bad or bool(explained),
        blocking=blocking,
        left=cents_display(left),
        right=cents_display(right),
        difference=cents_display(left - right),
        summary=said,
    )


def _figures(control: Control) -> str:
    if control.left is None or control.right is None:
        return f"unproven, {control.note or 'one side is missing'}"
    if control.unit == "rows":
        return f"{control.left} rows against {control.right}"
    difference = cents_display(control.left - control.right)
    return f"{cents_display(control.left)} against {cents_display(control.right)}, difference {difference}"
