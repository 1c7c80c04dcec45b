"""Exact money: `Decimal` at the edges, integer cents inside frames, never a float."""

import re
from decimal import Decimal

_PLAIN = re.compile(r"[+-]?\d+(\.\d+)?|[+-]?\.\d+")


class MoneyError(ValueError):
    """Text that is not an exact amount of at most two decimals."""


def parse_cents(text: str) -> int:
    """Integer cents of a plain decimal text such as `-25.15`, `9.1` or `189`.

    Raises `MoneyError` for exponents, thousands separators, blanks and a third non-zero decimal:
    rounding is a decision, and it is never taken here.
    """
    raw = text.strip()
    if not _PLAIN.fullmatch(raw):
        raise MoneyError(f"{text!r} is not a plain decimal amount")
    cents = Decimal(raw) * 100
    if cents != cents.to_integral_value():
        raise MoneyError(f"{text!r} has more than two decimals; amounts are never rounded")
    return int(cents)


def cents_text(cents: int) -> str:
    """Fixed two-decimal text for files: `-25.15`, no separators."""
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}{whole}.{rest:02d}"


def cents_display(cents: int) -> str:
    """Text for people: thousands separators and a true minus sign, `−1,234.50`."""
    sign = "\u2212" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}{whole:,}.{rest:02d}"
