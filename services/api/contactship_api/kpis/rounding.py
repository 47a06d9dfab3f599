"""Exact quotients, rounded half up: 0.00005 becomes 0.0001. No float takes part before the last step."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

_TWO = Decimal("0.01")
_FOUR = Decimal("0.0001")


def _rounded(value: Fraction, to: Decimal) -> float:
    scaled = value / Fraction(to)
    # Counts are never negative, so half up is: add a half, drop the rest.
    return float((Decimal(int(scaled + Fraction(1, 2))) * to).quantize(to, ROUND_HALF_UP))


def rate(part: int, whole: int) -> float:
    """`part` ÷ `whole` to 4 places; 0 of nothing."""
    return _rounded(Fraction(part, whole), _FOUR) if whole else 0.0


def percentage(part: int, whole: int) -> float:
    """`part` of `whole` in percent, to 2 places; 0 of nothing."""
    return _rounded(Fraction(100 * part, whole), _TWO) if whole else 0.0


def average(total: int, count: int) -> float | None:
    """To 2 places; None of nothing."""
    return _rounded(Fraction(total, count), _TWO) if count else None
