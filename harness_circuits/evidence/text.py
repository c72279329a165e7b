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


def interval(value: float, low: float | None, high: float | None) -> str:
    """A number with its interval: `0.12 [0.05, 0.31]`."""
    return (
        f"{value:z.2f}"
        if low is None or high is None
        else f"{value:z.2f} [{low:z.2f}, {high:z.2f}]"
    )
