"""One measurement in a process of its own: prints JSON on its last line."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.cases import CASES
from benchmarks.end_to_end import end_to_end
from benchmarks.measure import interleaved, machine, peak_above
from benchmarks.outside import LLAMA, outside
from benchmarks.stages import Workload, batch_facts


def times(case: str, repeats: int, device: str, dtype: str) -> dict[str, Any]:
    """Floors and our stages of one case, in turn, and the time outside the passes."""
    work = Workload(CASES[case], None, device, dtype)
    stages = {**work.floors(), **work.discovery(), **work.curves()}
    graph = work.model.graph
    return {
        "graph": {**graph.to_dict(), "n_edges": graph.n_edges},
        **batch_facts(work.batches),
        "stages": interleaved(stages, repeats, work.model.device),
        "outside": outside(graph),
    }


def peak(case: str, stage: str, max_memory: int | None, device: str, dtype: str) -> dict[str, Any]:
    """Peak memory of one stage above the loaded model."""
    work = Workload(CASES[case], max_memory, device, dtype)
    work.model.forward(work.batches[0].clean)  # what any run of the model loads and allocates
    if stage.startswith("curve"):
        stages = work.curves(random=True)
    else:
        stages = {**work.floors(), **work.discovery()}
    return {
        **batch_facts(work.batches),
        "max_memory": max_memory,
        **peak_above(stages[stage], work.model.device),
    }


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request of `benchmarks.run`."""
    kind = request.pop("kind")
    if kind == "times":
        return times(**request)
    if kind == "peak":
        return peak(**request)
    if kind == "llama":
        return {"n_edges": LLAMA.n_edges, "outside": outside(LLAMA)}
    if kind == "end to end":
        return end_to_end()
    return machine()


if __name__ == "__main__":
    answer = main(json.loads(sys.argv[1]))
    print(json.dumps(answer))
