"""What the rows of a leaderboard open: curves, circuits, pairs and facts, as far as a page has room.

The page is one file, so that it can be sent and opened anywhere; browsers let no page of a folder read
the files beside it. So the circuits of all runs stand in it compressed, unpacked when the first row is
opened, and the more runs there are, the fewer edges and pairs of each.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness_circuits.errors import CircuitError
from harness_circuits.machine.outgoing import clean, without_folders
from harness_circuits.machine.packed import is_stored, pack
from harness_circuits.records.circuit_view import MOST_EDGES, CircuitView
from harness_circuits.records.examples import example_rows
from harness_circuits.records.results_file import EXAMPLES_FILE
from harness_circuits.report.circuit_page import curves_data, page_data
from harness_circuits.report.circuit_sources import folder_view
from harness_circuits.report.evidence_view import evidence_data
from harness_circuits.report.scoring import Entry
from harness_circuits.report.table import accuracy_text, flat, whole_model_texts

# Edges of one circuit, and pairs of each of its sizes, that a page shows: the first that fit into it.
STEPS = ((MOST_EDGES, 10), (100, 8), (70, 6), (50, 5), (35, 4), (25, 3), (15, 2))
TEXTS = ("clean", "corrupted", "correct", "incorrect")
SECONDS = ("discovery_seconds", "seconds")


@dataclass(frozen=True)
class Opened:
    """One run, as its row opens.

    Attributes:
        entry: The run.
        facts: What is told of it in words.
        view: Its circuits; None where there are none.
        rows: Values per example and texts of pairs; None where there are none.
        why_not: Why there is no view.
    """

    entry: Entry
    facts: Mapping[str, str]
    view: CircuitView | None = None
    rows: Sequence[Mapping[str, Any]] | None = None
    why_not: str = ""

    def data(self, most: int, n_pairs: int) -> dict[str, Any]:
        """What `circuit.js` shows, with so many edges of one circuit and pairs of each size."""
        run = self.entry.run
        if self.view is None:
            told = {"facts": self.facts, "why_not": self.why_not}
            return curves_data(run.curves) | told | evidence_data(run.evidence, run.curves)
        shown = self.view.strongest(most)
        data = page_data(shown, run.curves, self.rows, most, n_pairs) | {"facts": self.facts}
        return data | evidence_data(run.evidence, data.get("curves") and run.curves)


def opened(entry: Entry, without: Sequence[str] = ()) -> Opened:
    """Read what a run's row opens.

    Args:
        entry: The run.
        without: Columns that are not shown, nor told here.
    """
    facts = {
        name: without_folders(text)
        for name, text in _facts(entry, timed=not set(SECONDS) & set(without)).items()
    }
    try:
        if entry.examples is None:
            raise CircuitError(entry.why_not)
        view, file = folder_view(entry.examples.folder), entry.examples.folder / EXAMPLES_FILE
        rows = example_rows(file) if is_stored(file) else None  # an Inspect log has them itself
        found = Opened(entry, facts, view, rows)
        found.data(1, 1)  # whether it can be drawn
        return found
    except CircuitError as error:
        why_not = without_folders(str(error)).rstrip(".")
        return Opened(entry, facts, why_not=f"No drawing: {why_not}.")


def fitting(runs: Sequence[Opened], room: int, more: Sequence[Mapping[str, Any]] = ()) -> str:
    """The packed views of all runs, with as many edges and pairs as there is room for.

    Args:
        runs: Runs.
        room: Characters.
        more: Views that stand behind them as they are.
    """
    packed = ""
    for most, n_pairs in STEPS:
        packed = packed_views([*(run.data(most, n_pairs) for run in runs), *more])
        if len(packed) <= room:
            break
    return packed


def packed_views(views: Sequence[Mapping[str, Any]]) -> str:
    """Views as `circuit.js` unpacks them; texts of pairs that several runs share stand in it once."""
    texts: dict[tuple[Any, ...], int] = {}
    short = [_with_texts_elsewhere(view, texts) for view in views]
    named = [dict(zip(TEXTS, text, strict=True)) for text in texts]
    data = _cleaned({"texts": named, "views": short})
    return base64.b64encode(pack(json.dumps(data, separators=(",", ":")))).decode()


def _with_texts_elsewhere(
    view: Mapping[str, Any], texts: dict[tuple[Any, ...], int]
) -> dict[str, Any]:
    if "pairs" not in view:
        return dict(view)
    rows = []
    for row in view["pairs"]["rows"]:
        at = texts.setdefault(tuple(row.get(name) for name in TEXTS), len(texts))
        rows.append([at, row["full"], row["empty"], list(row["circuits"].values())])
    return {**view, "pairs": {**view["pairs"], "rows": rows}}


def _facts(entry: Entry, *, timed: bool) -> dict[str, str]:
    run = entry.run
    seconds = f"{run.discovery_seconds:.1f} discovery, {run.evaluation_seconds:.1f} evaluation"
    return {
        "task metric": run.metric,
        **({"whole model": accuracy_text(run)} if run.accuracy else {}),
        **whole_model_texts(run),
        "pairs": f"{run.n_discovery} for discovery, {run.n_evaluation} for evaluation",
        **({"seconds": seconds} if timed else {}),
        **flat({**run.model_details, **run.settings}),
        "file": run.file.as_posix(),
    }


def _cleaned(value: Any) -> Any:
    """Plain JSON with every text fit to be shown."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(name): _cleaned(item) for name, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, (list, tuple)) else value
