"""Random circuits, and models that must be left as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.models.circuit_model import CircuitModel

DENSITIES = (0.05, 0.3, 0.8)


def random_circuits(model: CircuitModel, level: str, *, seed: int = 0) -> list[Circuit]:
    """Circuits of every density, not pruned: dead ends and sources without input included."""
    space = ScoreSpace(model.graph, level)  # type: ignore[arg-type]
    generator = np.random.default_rng(seed)
    draws = [generator.random(space.shape) < density for density in DENSITIES]
    for draw in draws:
        draw.flat[-1] = False  # never everything
    return [Circuit(space, draw & space.real) for draw in draws]


def failing(*_: Any) -> Tensor:
    raise RuntimeError("the metric fails")


def assert_untouched(model: CircuitModel, blocks: torch.nn.Module, members: list[Any]) -> None:
    assert model._block_list() is blocks
    assert list(blocks.children()) == members
    for name, parameter in model.hf.named_parameters():
        assert parameter.grad is None and not parameter.requires_grad, name
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules()]
    assert sum(hooks) == 0
