"""What a method that learns masks has to say of itself: what is learned, and how masks come from it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Learner(ABC):
    """What is learned.

    Attributes:
        optimiser: What changes the parameters, all of them in float64 on the CPU.
        clip: Largest norm of the gradient of all parameters together; None for no bound.
        draws: Masks of one step, each with a run of its own, whose losses are averaged.
    """

    optimiser: torch.optim.Optimizer
    clip: float | None = None
    draws: int = 1

    @abstractmethod
    def draw(self, step: int, random: np.random.Generator) -> Float[Tensor, "unit"]:
        """A mask in [0, 1] for every unit that exists, differentiable in the parameters."""

    def penalty(self, step: int, mask: Float[Tensor, "unit"]) -> Tensor | None:
        """What is added to the loss for a mask that was drawn."""
        return None

    @abstractmethod
    def ranking(self) -> Float[Tensor, "unit"]:
        """The order that was learned: higher is kept longer."""
