"""Amounts as the pod stores and shows them: decimal text without trailing zeros."""

from collections.abc import Iterable
from decimal import Decimal

ZERO = Decimal(0)


def plain(amount: Decimal) -> str:
    """`1500.50` -> `1500.5`, `20.00` -> `20`: numbers leave an Oracle table without trailing zeros."""
    return "0" if amount == 0 else format(amount.normalize(), "f")


def stored(text: str | None) -> Decimal:
    """A stored amount; an empty side counts as zero."""
    return Decimal(text) if text else ZERO


def total(texts: Iterable[str | None]) -> Decimal:
    """Sum of stored amounts."""
    return sum((Decimal(text) for text in texts if text), ZERO)
