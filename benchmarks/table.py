"""Tables of what was measured, and the limits that continuous integration holds ratios to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.stages import STEPS

# Stage: forwards, forward-backwards and contractions of its floor.
FLOORS: Mapping[str, tuple[int, int, int]] = {
    "EAP": (1, 1, 1),
    "EAP-IG-inputs": (2, STEPS, 1),
    "curve, edges": (12, 0, 0),
    "curve, edges, both rankings": (12, 0, 0),
    "curve, nodes": (12, 0, 0),
}
# Targets of ratios: where nothing is shared, and where prompts share what those of the task do.
TARGETS: Mapping[str, tuple[float, ...]] = {
    "ioi": (0.6, 0.52, 0.52, 0.92, 1.3),
    "greater-than": (0.8, 0.72, 0.78, 1.4, 1.3),
    "": (1.5, 1.3, 1.6, 2.9, 1.3),
}
# Ratios above which `--quick --check` fails: 1.7 times the usual ones, so that a stage that takes
# twice its usual time is over its limit.
LIMITS: Mapping[str, float] = {
    "EAP": 2.0,
    "EAP-IG-inputs": 1.85,
    "curve, edges": 1.3,
    "curve, edges, both rankings": 2.0,
    "curve, nodes": 0.7,
}
MIB = 2**20


def ratios(times: Mapping[str, Any]) -> dict[str, float]:
    """CPU time of each stage over its floor."""
    stages = times["stages"]
    return {stage: stages[stage]["counts"] / floor(stages, stage) for stage in FLOORS}


def floor(stages: Mapping[str, Any], stage: str) -> float:
    """CPU seconds of the plain passes that a stage needs."""
    forwards, both, contractions = FLOORS[stage]
    unit = {name: stages[name]["counts"] for name in ("forward", "forward-backward", "contraction")}
    return float(
        forwards * unit["forward"]
        + both * unit["forward-backward"]
        + contractions * unit["contraction"]
    )


def time_table(case: str, times: Mapping[str, Any]) -> list[str]:
    """Floor, ours, ratio and target of every stage of a case."""
    graph, stages = times["graph"], times["stages"]
    lines = [
        f"{case}: {graph['n_layers']} layers, {graph['n_heads']} heads, width {graph['d_model']}, "
        f"{graph['n_edges']} edges; {times['pairs']} pairs of {times['tokens']} tokens in "
        f"{times['batches']} batch(es), {times['run_share']:.0%} of them behind a shared prefix. "
        f"Plain model: forward {stages['forward']['counts']:.3f} s, "
        f"forward and backward {stages['forward-backward']['counts']:.3f} s, contraction "
        f"{stages['contraction']['counts']:.3f} s (CPU time; of a GPU, wall time).",
        "",
        "| stage | floor, s | ours, s | ratio | target | wall, s |",
        "|---|---|---|---|---|---|",
    ]
    for stage, ratio in ratios(times).items():
        ours = stages[stage]
        target = dict(zip(FLOORS, TARGETS.get(case, TARGETS[""]), strict=True))[stage]
        lines.append(
            f"| {stage} | {floor(stages, stage):.2f} | {ours['counts']:.2f} | {ratio:.2f} | "
            f"{target} | {ours['wall']:.2f} |"
        )
    return [*lines, ""]


def outside_table(found: Mapping[str, Any]) -> list[str]:
    """Selection, bootstrap and JSON, for every case and for Llama-3.1-8B's graph."""
    lines = [
        "| outside the passes, CPU s | edges | selection, pruning | bootstrap | JSON | "
        "of discovery + curves |",
        "|---|---|---|---|---|---|",
    ]
    for case, times in found["times"].items():
        inside = sum(
            times["stages"][s]["counts"] for s in ("EAP-IG-inputs", "curve, edges, both rankings")
        )
        share = f"{sum(times['outside'].values()) / inside:.1%}"
        lines.append(_outside(case, times["graph"]["n_edges"], times["outside"], share))
    llama = found["llama"]
    return [*lines, _outside("Llama-3.1-8B's graph", llama["n_edges"], llama["outside"], ""), ""]


def _outside(name: str, n_edges: int, times: Mapping[str, float], share: str) -> str:
    cells = " | ".join(
        f"{times[part]:.3f}" for part in ("selection and pruning", "bootstrap", "JSON")
    )
    return f"| {name} | {n_edges} | {cells} | {share} |"


def memory_table(rows: list[dict[str, Any]]) -> list[str]:
    """Peak memory above the loaded model."""
    lines = [
        "| peak memory | stage | batches | peak, MiB | max_memory, MiB | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        bound = "default" if row["max_memory"] is None else f"{row['max_memory'] / MIB:.0f}"
        what = f"{row['pairs']} x {row['tokens']} in {row['batches']}"
        lines.append(
            f"| {row['case']} | {row['stage']} | {what} | {row['peak_bytes'] / MIB:.0f} | "
            f"{bound} | {row['cpu']:.1f} |"
        )
    return [*lines, ""]


def check(found: Mapping[str, Any]) -> list[str]:
    """What is far slower, or needs far more memory, than usual."""
    problems = [
        f"{case}: {stage} takes {ratio:.2f} times its floor; the limit is {LIMITS[stage]}."
        for case, times in found["times"].items()
        for stage, ratio in ratios(times).items()
        if ratio > LIMITS[stage]
    ]
    problems += [
        f"{row['case']}: {row['stage']} needs {row['peak_bytes'] / MIB:.0f} MiB; max_memory is "
        f"{row['max_memory'] / MIB:.0f} MiB."
        for row in found["memory"]
        if row["max_memory"] is not None and row["peak_bytes"] > row["max_memory"]
    ]
    spent = sum(found["llama"]["outside"].values())
    if spent > 10:
        problems.append(f"Llama-3.1-8B's graph: {spent:.1f} s outside the passes; the limit is 10.")
    return problems
