"""What replaces the output of a node outside the circuit: the registry, one file per ablation.

Where an ablation replaces outputs by means, they are taken over the clean training prompts by
default: the distribution the task metric is measured on, and what EAP-IG's intervention data are in
its examples. `mean_over=corrupted` takes the corrupted ones, which lack the task's information (as
the IOI paper does with its ABC prompts).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from harness_circuits.circuits.scores import HIDDEN_UNITS
from harness_circuits.errors import OptionError, shown
from harness_circuits.machine.ranks import ALONE, Ranks
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, whole_batches
from harness_circuits.passes.native import Outputs
from harness_circuits.passes.run_identity import run_identity
from harness_circuits.registry import Registry

Side = Literal["clean", "corrupted"]


class Ablation(Protocol):
    """Gives the replacement outputs for a batch."""

    @property
    def name(self) -> str:
        """What it is registered as."""

    def replacement(self, model: CircuitModel, batch: Batch) -> Outputs:
        """What replaces every source's output on this batch; batch size 1 where it is the same."""


@dataclass(frozen=True)
class Training:
    """What an ablation may take means over.

    Attributes:
        model: The model.
        batches: Training pairs.
        side: Which side of the pairs.
        ranks: The processes that share the batches.
        folder: Where constants that are learned are kept, and read again; None to keep none.
        retrain_steps: Steps that they are learned anew by for each circuit that is evaluated.
    """

    model: CircuitModel
    batches: Sequence[Batch]
    side: Side = "clean"
    ranks: Ranks = ALONE
    folder: Path | None = None
    retrain_steps: int = 0

    def file(self, facts: Mapping[str, Any], *more: bytes) -> Path | None:
        """Where constants are kept that some facts, the model and the pairs decide."""
        if self.folder is None or self.ranks.size > 1:
            return None
        identity = run_identity(self.model, self.batches, {"side": self.side, **facts}, *more)
        return self.folder / f"constants-{identity}.safetensors"


@dataclass(frozen=True, kw_only=True)
class AblationKind:
    """One ablation.

    Attributes:
        make: Makes it, running training pairs if it needs their means.
        constant: What replaces outputs at every position of any text, of batch and position size 1,
            from the model and a function that takes means over calibration texts; None for what
            needs pairs, and so cannot be used with tasks that have none.
        needs_training: Whether training pairs are run to make it.
        why_pairs: What it needs of pairs, for messages, where `constant` is None.
        follows_corrupted: Whether replaced outputs are the clean ones until the prompts differ.
        hidden: Whether it says what replaces hidden units of MLPs, as `level=mlp-neuron` needs.
        learned: Whether what it puts in the place of outputs is learned, and can be anew per circuit.
        description: One line for documentation.
    """

    make: Callable[[Training], Ablation]
    constant: Callable[[CircuitModel, Callable[[], Outputs]], Outputs] | None = None
    needs_training: bool = False
    why_pairs: str = ""
    follows_corrupted: bool = False
    hidden: bool = True
    learned: bool = False
    description: str


ABLATIONS: Registry[AblationKind] = Registry("ablation")


def make_ablation(
    name: str,
    model: CircuitModel,
    training: Sequence[Batch],
    mean_over: str = "clean",
    ranks: Ranks = ALONE,
    *,
    folder: Path | None = None,
    retrain_steps: int = 0,
) -> Ablation:
    """Make an ablation, running the training prompts if it needs their means.

    Args:
        name: One of `ABLATIONS`.
        model: The model.
        training: Batches of the training split.
        mean_over: Which side of the pairs means are taken over.
        ranks: The processes that share the batches.
        folder: Where constants that are learned are kept, and read again; None to keep none.
        retrain_steps: Steps that they are learned anew by for each circuit that is evaluated.

    Raises:
        OptionError: Unknown side.
        UnknownNameError: Unknown name.
        TaskDataError: There are no training pairs, and it is made from them.
    """
    check_ablation(name, mean_over)
    side: Side = "clean" if mean_over == "clean" else "corrupted"
    facts = side, ranks, folder, retrain_steps
    return ABLATIONS.get(name).make(Training(model, whole_batches(training), *facts))


def check_ablation(name: str, mean_over: str = "clean") -> None:
    """Raise `UnknownNameError` for an unknown ablation, `OptionError` for an unknown side."""
    ABLATIONS.get(name)
    if mean_over not in get_args(Side):
        raise OptionError(f"mean_over is 'clean' or 'corrupted', got {shown(mean_over)}.")


def check_replaces(name: str, level: str) -> None:
    """Raise `OptionError` unless an ablation says what replaces the units of a level."""
    if level == HIDDEN_UNITS and not ABLATIONS.get(name).hidden:
        able = [other for other in ABLATIONS if ABLATIONS.get(other).hidden]
        raise OptionError(
            f"ablation={name} says nothing of hidden units of MLPs, which level={level} replaces. "
            f"Those that do: {', '.join(able)}."
        )
