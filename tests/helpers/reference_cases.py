"""A tiny model beside its brute-force reference, and the same prompts for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from helpers.reference import Reference, exact_float64
from helpers.reference_model import FORMULAS
from helpers.tiny_models import ARCHITECTURES, GROUPED_ARCHITECTURES, tiny_model, token_pairs
from torch import Tensor

from harness_circuits.ablation import ABLATIONS, Ablation, make_ablation
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.tokenise import TokenPair

CASES = [f"{name}-ungrouped" for name in ARCHITECTURES]
CASES += [f"{name}-grouped" for name in GROUPED_ARCHITECTURES]

BY_HAND = [name for name in ABLATIONS if name in FORMULAS]  # what the reference can replace too

PAIRS = token_pairs(3, 6)
TRAINING = token_pairs(5, 6, seed=8)


def clean(pairs: list[TokenPair]) -> Tensor:
    """Clean token ids [batch, pos]."""
    return torch.tensor([pair.clean for pair in pairs])


def corrupted(pairs: list[TokenPair]) -> Tensor:
    """Corrupted token ids [batch, pos]."""
    return torch.tensor([pair.corrupted for pair in pairs])


def answers(pairs: list[TokenPair]) -> Tensor:
    """Right and wrong token [batch, 2]."""
    return torch.tensor([[pair.answers[0][0], pair.answers[1][0]] for pair in pairs])


@dataclass(frozen=True)
class Case:
    """A model and its reference; `batch` holds `PAIRS`, means are taken over `TRAINING`."""

    model: CircuitModel
    reference: Reference
    batch: Batch

    def ablation(self, name: str) -> Ablation:
        """The package's ablation."""
        return make_ablation(name, self.model, make_batches(TRAINING, 2))  # type: ignore[arg-type]

    def replacement(self, name: str) -> Tensor:
        """The reference's source outputs for it."""
        return self.reference.replacement(name, corrupted(PAIRS), clean(TRAINING))

    def brute_force(
        self, function: Callable[..., Tensor], level: str, ablation: str, **how: Any
    ) -> np.ndarray:
        """What one of the reference's functions finds on `PAIRS` under an ablation."""
        replacement = self.replacement(ablation)
        prompts = clean(PAIRS), corrupted(PAIRS), answers(PAIRS)
        return function(level, self.reference, *prompts, replacement=replacement, **how).numpy()


@cache
def _case(name: str) -> Case:
    architecture, kv_heads = name.split("-")
    model = tiny_model(architecture, kv_heads=kv_heads)
    return Case(model, Reference(model.hf, kv_heads), make_batches(PAIRS, len(PAIRS))[0])


@contextmanager
def exact_case(name: str) -> Iterator[Case]:
    """A case, with transformers working in float64 throughout."""
    case = _case(name)
    with exact_float64():
        yield case
