"""Options of all methods that learn masks, and the record of such a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness_circuits.attribution.learning.minibatches import KEPT_BYTES
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.options import Option
from harness_circuits.options.kinds import SEED, Choice, FilePath, Number, Whole
from harness_circuits.options.paths import read_path
from harness_circuits.passes.memory import Needs

OBJECTIVES = ("metric", "match", "kl")
MOST_STEPS = 1_000_000

# In passes of one pair: the corrupted and the masked run, and the way back. Where corrupted runs are
# kept they are made once.
STEP_PASSES = 4


@dataclass(frozen=True)
class Training:
    """How masks are learned.

    Attributes:
        steps: Changes of the parameters.
        learning_rate: That of the optimiser.
        pairs_per_step: Training pairs that each change is made by.
        objective: `metric`, `match` or `kl`.
        complement_weight: Weight of the complement's term.
        seed: Of the order of pairs, and of masks.
        checkpoint: Folder that what is learned is kept in.
    """

    steps: int
    learning_rate: float
    pairs_per_step: int
    objective: str
    complement_weight: float
    seed: int
    checkpoint: Path | None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Training:
        """Those among a method's options; a method's own are left alone."""
        folder = options["checkpoint"]
        return cls(
            options["steps"],
            options["learning_rate"],
            options["pairs_per_step"],
            options["objective"],
            options["complement_weight"],
            int(options["seed"]),
            None if folder is None else read_path(folder, "checkpoint", "a folder"),
        )


def learning_options(
    *, steps: int, learning_rate: float, pairs_per_step: int, objective: str
) -> dict[str, Option]:
    """The options that every method that learns masks has, with a method's defaults."""
    return {
        "steps": Option(Whole(1, MOST_STEPS), steps, "changes of the masks' parameters"),
        "learning_rate": Option(Number(0, 1000, above=True), learning_rate, "of the optimiser"),
        "pairs_per_step": Option(
            Whole(1, 100_000), pairs_per_step, "training pairs behind each change, of one batch"
        ),
        "objective": Option(
            Choice(OBJECTIVES),
            objective,
            "raise the circuit's metric, match the model's, or match its distribution (kl)",
        ),
        "complement_weight": Option(
            Number(0, 1e6), 0.0, "weight of: what is left out shall not tell the answers apart"
        ),
        "seed": Option(SEED, 0, "seed of masks and of the order of pairs; the run's by default"),
        "checkpoint": Option(
            FilePath("a folder"),
            None,
            "folder that keeps what is learned; the same run goes on from it",
            none=True,
            of_a_repetition=True,
        ),
    }


def mask_bytes(model: CircuitModel) -> tuple[int, int]:
    """Bytes per token and whatever the batch: what a masked run holds beside one with gradients.

    Per token, the differences of all sources and their gradients (of heads in post-norm models, what
    norms mix them from), and every destination's input, which norms keep for the way back; whatever the
    batch, the corrupted runs that are kept.
    """
    graph, wide = model.graph, torch.finfo(model.sum_dtype).bits // 8
    rows = graph.d_model * (2 * graph.n_src + 3 * graph.n_dst)
    return rows * wide, KEPT_BYTES


def learned_method(
    function: Callable[..., Scores],
    options: Mapping[str, Option],
    source: str,
    *,
    draws: Callable[[Mapping[str, Any]], int] = lambda options: 1,
    members: Callable[[Mapping[str, Any]], Sequence[str]] = lambda options: (),
    check: Callable[..., None] = lambda **options: None,
) -> Method:
    """The record of a method that learns masks.

    Args:
        function: (job, **options) to scores.
        options: All its options.
        source: The paper.
        draws: Masks per step, by its options.
        members: Methods that it runs first, by its options.
        check: What has to hold of its options together.
    """

    def in_all(space: ScoreSpace, options: Mapping[str, Any]) -> float:
        runs = 2 if options["complement_weight"] else 1
        pairs = options["steps"] * options["pairs_per_step"]
        return float(pairs * draws(options) * STEP_PASSES * runs)

    def first(options: Mapping[str, Any]) -> list[Method]:
        return [METHODS.get(name) for name in members(options)]

    def per_pair(space: ScoreSpace, options: Mapping[str, Any]) -> float:
        return 1 + sum(method.passes(space, method.defaults) for method in first(options))

    def needs(level: str, options: Mapping[str, Any]) -> Needs:
        others = [method.needs(level, method.defaults) for method in first(options)]
        return Needs.of_all([Needs(more=(mask_bytes,)), *others])

    return Method(
        function=function,
        options=options,
        check=check,
        samples=False,
        learned=True,
        passes=per_pair,
        passes_in_all=in_all,
        needs=needs,
        members=members,
        source=source,
    )
