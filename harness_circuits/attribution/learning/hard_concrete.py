"""Hard-concrete gates (Louizos et al. 2018, arXiv 1712.01312): masks that are often exactly 0 or 1.

    s = sigmoid((ln u - ln(1 - u) + log_alpha) / BETA),        u uniform
    z = clamp((HIGH - LOW) s + LOW, 0, 1)

The probability that z is above 0 is sigmoid(log_alpha - BETA ln(-LOW / HIGH)).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

BETA, LOW, HIGH = 2 / 3, -0.1, 1.1
LEAST_U = 1e-6


def hard_concrete(
    log_alpha: Float[Tensor, "unit"], random: np.random.Generator
) -> Float[Tensor, "unit"]:
    """Draw a mask, differentiable in log_alpha where it is neither 0 nor 1."""
    u = torch.from_numpy(random.uniform(LEAST_U, 1 - LEAST_U, log_alpha.shape))
    s = ((u.log() - (1 - u).log() + log_alpha) / BETA).sigmoid()
    return (s * (HIGH - LOW) + LOW).clamp(0, 1)


def above_zero(log_alpha: Float[Tensor, "unit"]) -> Float[Tensor, "unit"]:
    """The probability that a gate is not 0.

    >>> float(above_zero(torch.tensor(-1.5986, dtype=torch.float64)).round(decimals=4))
    0.5
    """
    return (log_alpha - BETA * math.log(-LOW / HIGH)).sigmoid()


def log_alpha_of(probability: float) -> float:
    """The log_alpha of a gate that is not 0 with some probability."""
    return math.log(probability / (1 - probability)) + BETA * math.log(-LOW / HIGH)
