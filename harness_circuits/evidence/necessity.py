r"""necessity: what the model does *without* the circuit.

The complement's faithfulness f(M \ C): the circuit's units are replaced and all others are kept. A
circuit that is needed leaves nothing: f(M \ C) near 0, and necessity 1 - f(M \ C) near 1. Of the whole
model necessity is 1, of the empty circuit 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.subject import Subject
from harness_circuits.evidence.table import CIRCUIT, Table, circuit_cells
from harness_circuits.evidence.text import curve_lines, interval


def necessity(subject: Subject) -> dict[str, Any]:
    """The complement's curve of every ranking: `faithfulness` with its interval, and 1 minus both."""
    curves = {}
    for ranking, circuits in subject.circuits.items():
        values = subject.values([circuit.complement() for circuit in circuits])
        columns = subject.interval_columns(values)
        curves[str(ranking)] = {
            "sizes": list(subject.sizes),
            **columns,
            "necessity": [1 - f for f in columns["faithfulness"]],
            "necessity_ci95_low": [None if x is None else 1 - x for x in columns["ci95_high"]],
            "necessity_ci95_high": [None if x is None else 1 - x for x in columns["ci95_low"]],
        }
    return {"curves": curves}


def _tables(found: Mapping[str, Any]) -> list[Table]:
    rows = []
    for name, curve in found["curves"].items():
        columns = (curve[column] for column in ("sizes", "faithfulness", "ci95_low", "ci95_high"))
        for size, f, low, high in zip(*columns, strict=True):
            needed = 1 - f, None if high is None else 1 - high, None if low is None else 1 - low
            about = circuit_cells({"ranking": name, "size": size})
            row = [interval(f, low, high, 3), interval(*needed, 3), _verdict(low, high)]
            rows.append([*about, *row])
    return [Table((*CIRCUIT, "f without it", "necessity", "what is left without it"), rows)]


def _verdict(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "not told: there is no interval"
    if low <= 0 <= high:
        return "nothing that can be told from nothing"
    return "something of the behaviour" if low > 0 else "less than in the corrupted run"


def _lines(found: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, curve in found["curves"].items():
        title = f"without, by {Ranking(name).symbol}"
        lines += curve_lines(title, curve, header=not lines)
    return lines


EVIDENCE.register("necessity")(
    Kind(
        function=necessity,
        lines=_lines,
        tables=_tables,
        cost=lambda plan: Cost(circuits=plan.points),
        positions=True,
        intervals="evaluation pairs",
        description="faithfulness of the model without the circuit, at every size",
        source="Wang et al. 2023, arXiv 2211.00593",
    )
)
