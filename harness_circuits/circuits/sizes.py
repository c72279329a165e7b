"""Sizes of circuits, as fractions of all units: how they are written, and which there can be."""

from __future__ import annotations

import numbers
import re
from typing import Any

from harness_circuits.errors import OptionError, shown

MIB_SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SMALLEST = 1e-9  # no graph has as many units
MOST_SIZES = 1000


def parse_sizes(value: Any) -> tuple[float, ...]:
    """Read sizes from a list, a number, or a string such as `0.01:0.1:1`.

    Raises:
        OptionError: An entry is not a number.

    >>> parse_sizes("0.01:0.1:1")
    (0.01, 0.1, 1.0)
    """
    try:
        parts = re.split(r"[\s:;+/]+", value.strip()) if isinstance(value, str) else value
        parts = [parts] if isinstance(parts, numbers.Real) else list(parts)
        return tuple(_number(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        raise OptionError(
            f"sizes are fractions such as sizes=0.01:0.1:1, got {shown(value)}."
        ) from None


def _number(part: Any) -> float:
    plain = part.isascii() and "_" not in part if isinstance(part, str) else True
    if isinstance(part, bool) or not plain or not isinstance(part, (str, numbers.Real)):
        raise ValueError
    return float(part)


def check_sizes(sizes: tuple[float, ...]) -> None:
    """Raise `OptionError` unless sizes are ascending fractions from 1e-9 to 1.

    >>> check_sizes((0.1, 0.05))
    Traceback (most recent call last):
    harness_circuits.errors.OptionError: sizes have to ascend without repetition, got [0.1, 0.05].
    """
    if not sizes:
        raise OptionError("sizes is empty; give fractions in (0, 1], for example sizes=0.01:0.1:1.")
    for size in sizes:
        if not isinstance(size, (int, float)) or not 0 < size <= 1:
            raise OptionError(f"sizes are fractions in (0, 1], got {shown(size)}.")
        if size < SMALLEST:
            raise OptionError(f"sizes are at least {SMALLEST:g}, got {shown(size)}.")
    if list(sizes) != sorted(set(sizes)):
        raise OptionError(f"sizes have to ascend without repetition, got {shown(list(sizes))}.")
    if len(sizes) > MOST_SIZES:
        raise OptionError(f"sizes are at most {MOST_SIZES}, got {len(sizes)}: each is evaluated.")


def size_name(size: float) -> str:
    """A size as it stands in metric names.

    >>> size_name(0.05), size_name(1.0)
    ('0.05', '1')
    """
    return f"{size:.12g}"
