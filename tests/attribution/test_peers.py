"""Our scores are those of TransformerLens' own patching, an independent implementation."""

from __future__ import annotations

import sys

import torch
from helpers.environments import ROOT

sys.path.insert(0, str(ROOT))
from benchmarks.cases import CASES
from benchmarks.peers import Peers, compared


def test_attribution_and_activation_patching_have_transformer_lens_numbers() -> None:
    differences = compared(Peers(CASES["peers-small"], torch.float64))
    activation = differences.pop("activation patching")
    assert len(differences) == 2
    assert max(differences.values()) < 1e-12  # of the largest score
    assert activation < 1e-5  # TransformerLens puts these results into float32
