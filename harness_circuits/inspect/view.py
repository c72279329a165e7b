"""How `inspect view` shows a circuit task: the curve on its page, and a column per circuit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inspect_ai.viewer import TaskSamplesColumn, TaskSamplesView, ViewerConfig

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name
from harness_circuits.records.pair_scores import OWN, circuit_value

CURVES = "faithfulness"  # of a log's metadata: what people read there
BAR, LONGEST = 20, 2.0  # characters of a bar at faithfulness 1, and where it is cut off
SHOWN = ("sampleStatus", "sampleId", "input", "target", "answer")
HIDDEN = ("tokens", "duration")


def curve_texts(curves: Mapping[str, Any]) -> dict[str, str]:
    """Curves as they are shown among a log's metadata: a table by ranking.

    Args:
        curves: As in `config.circuit.tasks.TASK.curves`.
    """
    return {f"by {Ranking(name).symbol}": _table(curve) for name, curve in curves.items()}


def _table(curve: Mapping[str, Any]) -> str:
    """A line per size, with a bar as long as faithfulness; the viewer keeps columns in line."""
    lines = [f"{'size':>6}  {'f':>6}  {'95% interval':>16}  {'edges':>8}  {'accuracy':>8}  f"]
    return "\n".join([*lines, *(_row(curve, at) for at in range(len(curve["sizes"])))])


def _row(curve: Mapping[str, Any], at: int) -> str:
    f, low, high = (curve[name][at] for name in ("faithfulness", "ci95_low", "ci95_high"))
    ends = "" if low is None else f"{low:.2f} to {high:.2f}"
    bar = "\u2588" * round(BAR * min(max(f, 0.0), LONGEST))
    return (
        f"{size_name(curve['sizes'][at]):>6}  {f:>6.2f}  {ends:>16}  {curve['edges'][at]:>8.0f}  "
        f"{curve['accuracy'][at]:>8.2f}  {bar}"
    ).rstrip()


def viewer(scorer: str, rankings: Sequence[Ranking], sizes: Sequence[float]) -> ViewerConfig:
    """The columns of the list of samples: the model, the empty circuit, a circuit of every size.

    Args:
        scorer: The scorer whose values are shown.
        rankings: Those that were evaluated; the first one's circuits are shown.
        sizes: Sizes of circuits.
    """
    names = [*OWN, *(circuit_value(rankings[0], size) for size in sizes)]
    rest = [circuit_value(ranking, size) for ranking in rankings[1:] for size in sizes]
    columns = [TaskSamplesColumn(id=name) for name in SHOWN]
    columns += [TaskSamplesColumn.score(scorer, name) for name in names]
    columns += [TaskSamplesColumn(id=name, visible=False) for name in HIDDEN]
    columns += [TaskSamplesColumn.score(scorer, name, visible=False) for name in rest]
    view = TaskSamplesView(name="circuits", columns=columns, multiline=False)
    return ViewerConfig(task_samples_view=view)
