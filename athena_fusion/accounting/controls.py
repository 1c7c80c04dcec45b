"""One tie-out figure: two numbers that must be equal, and whether they are."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["cents", "rows"]
Status = Literal["ok", "different", "unproven"]


@dataclass(frozen=True)
class Control:
    """A tie-out (T1 to T14) of one scope.

    `left` and `right` are integer cents or row counts. A side that nobody could supply is `None`: the control is
    then `unproven`, which is never a pass. `note` says in words what is missing or what to look at.
    """

    id: str
    scope: str
    left: int | None
    right: int | None
    unit: Unit = "cents"
    note: str = ""

    @property
    def difference(self) -> int | None:
        if self.left is None or self.right is None:
            return None
        return self.left - self.right

    @property
    def status(self) -> Status:
        if self.difference is None:
            return "unproven"
        return "different" if self.difference else "ok"

    @property
    def ok(self) -> bool:
        return self.status == "ok"
