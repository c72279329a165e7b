"""Models, batches and arrays of the parity folder."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from helpers.environments import ROOT
from transformers import AutoModelForCausalLM

from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.tokenise import TokenPair

FOLDER = ROOT.parent / "shared" / "parity"
ARCHITECTURES = ("gpt2", "llama", "gpt_neox", "gemma2")

needs_parity = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the parity fixtures ({FOLDER.name}/) are not on this machine"
)


@cache
def arrays(architecture: str) -> dict[str, np.ndarray]:
    """All arrays of a fixture."""
    with np.load(FOLDER / architecture / "fixture.npz") as file:
        return {name: file[name] for name in file.files}


@cache
def parity_model(architecture: str) -> CircuitModel:
    """The fixture's model in float32, as the reference ran it."""
    kernel = "eager" if architecture == "gemma2" else "sdpa"
    hf: Any = AutoModelForCausalLM.from_pretrained(
        FOLDER / architecture, attn_implementation=kernel, dtype=torch.float32
    )
    return take_apart(hf, name=architecture)


def parity_batches(architecture: str, size: int = 6) -> list[Batch]:
    """The fixture's pairs."""
    data = arrays(architecture)
    rows = zip(data["clean_tokens"], data["corrupted_tokens"], data["labels"], strict=True)
    pairs = [
        TokenPair(
            tuple(clean.tolist()),
            tuple(corrupted.tolist()),
            ((int(right),), (int(wrong),)),
            (0,),
            (1,),
            index,
        )
        for index, (clean, corrupted, (right, wrong)) in enumerate(rows)
    ]
    return make_batches(pairs, size)


def assert_parity(got: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    """Assert that two arrays differ by at most a share of the larger one's largest entry."""
    error = float(np.abs(got - expected).max() / np.abs(expected).max())
    assert error <= tolerance, f"relative error {error:.3g}"
