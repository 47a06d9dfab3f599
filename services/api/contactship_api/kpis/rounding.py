"""Quotients of counts, rounded half up: 0.00005 becomes 0.0001. All of it is integers but for the last step, which
only moves the point: Python divides two integers to the nearest float there is."""


def _half_up(part: int, whole: int, scale: int) -> float:
    return (2 * part * scale + whole) // (2 * whole) / scale


def rate(part: int, whole: int) -> float:
    """`part` ÷ `whole` to 4 places; 0 of nothing."""
    return _half_up(part, whole, 10_000) if whole else 0.0


def percentage(part: int, whole: int) -> float:
    """`part` of `whole` in percent, to 2 places; 0 of nothing."""
    return _half_up(100 * part, whole, 100) if whole else 0.0


def average(total: int, count: int) -> float | None:
    """To 2 places; None of nothing."""
    return _half_up(total, count, 100) if count else None
