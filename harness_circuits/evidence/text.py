"""Evidence as lines of text: tables with sizes across, or a circuit per line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness_circuits.circuits.sizes import size_name


def row(name: str, cells: Sequence[str]) -> str:
    """A name, then a cell per size."""
    return f"{name:<28}" + "".join(f" {cell:>7}" for cell in cells)


def curve_lines(title: str, curve: Mapping[str, Any], *, header: bool) -> list[str]:
    """Faithfulness and both ends of its interval, sizes across."""
    lines = [row("size", [size_name(size) for size in curve["sizes"]])] if header else []
    lines.append(row(f"f {title}", [f"{f:z.2f}" for f in curve["faithfulness"]]))
    if curve["ci95_low"][0] is not None:
        for name, end in (("from", "low"), ("to", "high")):
            lines.append(row(f"  95%: {name}", [f"{x:z.2f}" for x in curve[f"ci95_{end}"]]))
    return lines


def share(one: Mapping[str, Any], name: str) -> str:
    """A share of something counted with its interval: `12% [8%, 17%]`."""
    ends = one["ci95_low"], one["ci95_high"]
    text = f"{one[name]:.0%}"
    return text if None in ends else f"{text} [{ends[0]:.0%}, {ends[1]:.0%}]"


def interval(value: float, low: float | None, high: float | None, digits: int = 2) -> str:
    """A number with its interval: `0.12 [0.05, 0.31]`."""
    if low is None or high is None:
        return f"{value:z.{digits}f}"
    return f"{value:z.{digits}f} [{low:z.{digits}f}, {high:z.{digits}f}]"


def named_interval(one: Mapping[str, Any], name: str, digits: int = 2) -> str:
    """A number with its interval, from `name`, `name_ci95_low` and `name_ci95_high`."""
    return interval(one[name], one[f"{name}_ci95_low"], one[f"{name}_ci95_high"], digits)
