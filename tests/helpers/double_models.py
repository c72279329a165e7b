"""Tiny models that compute in float64 throughout.

Hugging Face's RMS norms and eager softmax work in float32 whatever the model's dtype, so that two
ways to one number agree to 1e-7 at best. Here they keep the dtype they are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from helpers.tiny_models import random_hf
from torch import Tensor, nn

from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import CircuitModel


class DoubleNorm(nn.Module):
    """An RMS norm in its input's dtype."""

    def __init__(self, norm: nn.Module, *, plus_one: bool) -> None:
        super().__init__()
        self.weight = norm.weight
        self.eps = float(getattr(norm, "variance_epsilon", None) or norm.eps)  # type: ignore[arg-type]
        self.plus_one = plus_one

    def forward(self, x: Tensor) -> Tensor:
        gain = self.weight + 1 if self.plus_one else self.weight
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * gain


def double_model(architecture: str, **how: Any) -> CircuitModel:
    """A checked model in float64, RMS norms included."""
    hf = random_hf(architecture).double()
    for parent in list(hf.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__.endswith("RMSNorm"):
                plus_one = type(child).__name__.startswith("Gemma")
                setattr(parent, name, DoubleNorm(child, plus_one=plus_one))
    return take_apart(hf, **how)


@contextmanager
def double_softmax() -> Iterator[None]:
    """Within this context, softmax keeps its input's dtype where it is asked for float32."""
    softmax = nn.functional.softmax

    def kept(x: Tensor, *args: Any, dtype: torch.dtype | None = None, **how: Any) -> Tensor:
        return softmax(x, *args, dtype=None if dtype == torch.float32 else dtype, **how)

    with patch("torch.nn.functional.softmax", kept):
        yield
