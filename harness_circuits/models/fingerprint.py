"""What tells the weights of one loaded model from those of another."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

READ_AT_ENDS = 1 << 14  # numbers at either end of each parameter that are read


def loaded_fingerprint(hf: Any) -> str:
    """A hash of a loaded model's parameters: names, shapes, dtypes, and values at both ends of each."""
    hashed = hashlib.sha256()
    for name, parameter in sorted(hf.named_parameters()):
        hashed.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode())
        flat = parameter.detach().reshape(-1)
        for part in (flat[:READ_AT_ENDS], flat[-READ_AT_ENDS:]):
            hashed.update(part.to("cpu", torch.float32).numpy().tobytes())
    return hashed.hexdigest()[:16]
