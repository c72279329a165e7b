"""What a cell will roughly cost, for `--dry-run` and the time that is left.

A forward pass costs 2 floating-point operations per parameter and token, a backward pass twice that
(Kaplan et al. 2020, arXiv 2001.08361), those that read logits where logits are read alone; how many
passes a method makes, its own file says.
The unit is operations; seconds follow from results of the same model that are there, or else from
the speed of a matrix product on this machine, and what a cell takes whatever its pairs comes on top.
Prompts count from where those of a batch differ, as what they share is run once.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness_circuits.ablation.retrained import retraining_passes
from harness_circuits.attribution import METHODS
from harness_circuits.attribution.learning.options import STEP_PASSES
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import CircuitError
from harness_circuits.loading.load import resolve
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.selection import SELECTORS
from harness_circuits.settings import Settings
from harness_circuits.sweep.job import PlannedCell
from harness_circuits.sweep.tasks import TaskFacts

CHARACTERS_PER_TOKEN = 4  # of documents that are no pairs
# What starting the passes over a batch takes, in tokens of a forward pass (measured).
PER_BATCH = 100
PER_STEP = {"edge": 160}  # the same of a learning step's passes, beside what starting a batch takes
LEARNING, OTHER_LEARNING = {"edge": 1.0}, 0.75  # of the passes that such steps take, by level
CIRCUIT = {"edge": 1.1}  # passes that the run of a circuit takes as long as (docs/performance.md)
OTHER_CIRCUIT = 0.3  # the same of nodes and neurons: what is left out is not run
START = 6.0  # seconds that a process takes before its first cell, and a model to be loaded
CELL, PER_EDGE, PER_PARAMETER = 0.1, 1e-5, 1e-8  # seconds of a cell beside its passes
EFFICIENCY = 0.38  # share of a matrix product's speed that small batches reach


@dataclass(frozen=True)
class ModelSize:
    """What costs depend on.

    Attributes:
        n_parameters: All parameters.
        graph: The graph.
        n_embeddings: Those that tokens are looked up in, or logits read by.
        n_vocabulary: Those that logits are read by, at read positions alone.
    """

    n_parameters: int
    graph: Graph
    n_embeddings: int = 0
    n_vocabulary: int = 0

    def operations(self, tokens: float, reads: float) -> float:
        """What a forward pass takes."""
        return 2.0 * ((self.n_parameters - self.n_embeddings) * tokens + self.n_vocabulary * reads)


def model_size(arguments: dict[str, Any]) -> ModelSize | None:
    """Size of a model from its configuration alone; None where it does not say, or has no graph."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from harness_circuits.models.read_graph import graph_of

    source = resolve(arguments.get("pretrained"))[0]
    revision = str(arguments.get("revision", "main"))
    trusted = bool(arguments.get("trust_remote_code", False))
    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=trusted)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trusted)
        graph = graph_of(model, arguments.get("kv_heads") or "ungrouped")
        ends = [model.get_input_embeddings(), model.get_output_embeddings()]
        looked_up = {id(end.weight): end.weight.numel() for end in ends if end is not None}
        every = {id(parameter): parameter.numel() for parameter in model.parameters()}
        vocabulary = 0 if ends[1] is None else ends[1].weight.numel()
    except (CircuitError, AttributeError, OSError, ValueError, TypeError, RuntimeError):
        return None
    return ModelSize(sum(every.values()), graph, sum(looked_up.values()), vocabulary)


def cell_cost(settings: Settings, size: ModelSize, task: TaskFacts) -> float:
    """Floating-point operations of a cell, roughly."""
    n_training = min(task.n_training, settings.n_discovery or task.n_training)
    circuits = len(settings.rankings) * len(settings.sizes) * (1 + settings.null_circuits)
    space = ScoreSpace(size.graph, settings.level)  # type: ignore[arg-type]
    method = METHODS.get(settings.method)
    options = settings.chosen_method_options()
    circuit = CIRCUIT.get(settings.level, OTHER_CIRCUIT)
    in_all, level = method.passes_in_all(space, options), settings.level
    steps = in_all / options["pairs_per_step"] / STEP_PASSES if method.learned else 0.0
    in_all *= LEARNING.get(level, OTHER_LEARNING) if method.learned else 1.0
    passes = n_training * method.passes(space, options) + in_all
    passes += circuit * trial_runs(settings, n_training)
    if settings.retrain_steps:
        passes += circuits * retraining_passes(settings.retrain_steps, n_training)
    shares = settings.ablation == "patching"
    training = split_work(
        settings, task, task.training, n_training, shares and not method.whole_prompts
    )
    evaluation = split_work(settings, task, task.evaluation, task.n_evaluation, shares)
    started = steps * PER_STEP.get(level, 0)
    cost = training.of(size, passes, started) if passes else 0.0
    return cost + evaluation.of(size, task.n_evaluation * (2 + circuit * circuits))


@dataclass(frozen=True)
class Work:
    """What passes over some pairs run.

    Attributes:
        tokens: Tokens of a pair in a pass, on average.
        reads: Positions that logits are read at, per pair.
        batches: How many batches there are.
    """

    tokens: float
    reads: float
    batches: int

    def of(self, size: ModelSize, passes: float, more: float = 0.0) -> float:
        """Operations of passes over single pairs, with what starting those of a batch takes.

        Args:
            size: The model's.
            passes: How many.
            more: What else starting takes, in tokens.
        """
        tokens = self.tokens * passes + PER_BATCH * self.batches + more
        return size.operations(tokens, self.reads * passes)


def split_work(
    settings: Settings, task: TaskFacts, pairs: Sequence[TokenPair] | None, n: int, shares: bool
) -> Work:
    """The work of a pass over the first n pairs, in the batches that a run makes of them.

    Args:
        settings: The cell's.
        task: Its task.
        pairs: A split of it; None where documents are no pairs.
        n: How many of the split.
        shares: Whether what the prompts of a batch share is run once.
    """
    if pairs is None or not n:
        return Work(max(1.0, task.characters / CHARACTERS_PER_TOKEN), 1.0, 1)
    metric = METRICS.get(settings.metric or settings.metric_in_force(task.metric))
    batches = make_batches(pairs[:n], n, whole_answers=metric.whole_answers, share_prefix=shares)
    tokens = sum(len(one.clean.ids) * (one.clean.ids.shape[1] - one.shared) for one in batches)
    reads = sum(len(one.clean.ids) * len(one.clean.reads) for one in batches)
    return Work(tokens / n, reads / n, len(batches))


def cell_overhead(size: ModelSize) -> float:
    """Seconds that a cell takes beside its passes: its task, its model's graph, its files."""
    return CELL + PER_EDGE * size.graph.n_edges + PER_PARAMETER * size.n_parameters


def trial_runs(settings: Settings, n_training: int) -> int:
    """Runs of circuits on training pairs that the selector makes, at most."""
    trials, options = SELECTORS.get(settings.selection).trials, settings.chosen_selection_options()
    if trials is None:
        return 0
    n_circuits = len(settings.rankings) * len(settings.sizes)
    return trials(options) * n_circuits * min(n_training, int(options["fit_pairs"]))


def operations_per_second() -> float:
    """Speed of a matrix product on this machine: the fastest within a fifth of a second.

    The fastest, since what other programs take of the machine just now says little of hours.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.ones(512, 512, device=device)
    a @ a
    started, least = time.perf_counter(), math.inf
    while (now := time.perf_counter()) - started < 0.2:
        float((a @ a)[0, 0])
        least = min(least, time.perf_counter() - now)
    return 2 * 512**3 / least


def measured_speed(root: Path, jobs: Iterable[PlannedCell]) -> dict[str, float]:
    """Operations per second that finished jobs reached, by model."""
    spent: dict[str, list[float]] = {}
    for job in jobs:
        try:
            data = json.loads((root / job.file).read_text(encoding="utf-8"))
            runs = data["config"]["circuit"]["tasks"].values()
            seconds = sum(run["discovery_seconds"] + run["evaluation_seconds"] for run in runs)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if job.cost and seconds > 0:
            spent.setdefault(job.cell.value("model").label, []).append(job.cost / seconds)
    return {model: sum(speeds) / len(speeds) for model, speeds in spent.items()}


def estimated_seconds(job: PlannedCell, measured: dict[str, float], speed: float) -> float | None:
    """How long a job will take; None where nothing is known about its model."""
    rate = measured.get(job.cell.value("model").label, speed * EFFICIENCY)
    return job.overhead + job.cost / rate if job.cost else None
