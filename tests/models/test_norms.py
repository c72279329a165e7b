"""Norms are read off their modules, or refused."""

from __future__ import annotations

import pytest
import torch
from transformers.models.cohere.modeling_cohere import CohereLayerNorm
from transformers.models.olmo.modeling_olmo import OlmoLayerNorm

from harness_circuits.errors import UnsupportedModelError
from harness_circuits.models.norms import read_norm


def test_a_norm_of_another_form_is_refused() -> None:
    class Cubed(torch.nn.LayerNorm):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) ** 3

    with pytest.raises(
        UnsupportedModelError, match=r"The norm here \(Cubed\) is neither a LayerNorm"
    ):
        read_norm(Cubed(8), 8, "here")
    with pytest.raises(UnsupportedModelError, match=r"\(LayerNorm\) has no weight of width 8"):
        read_norm(torch.nn.LayerNorm(9), 8, "here")


@pytest.mark.parametrize(
    "norm",
    [
        torch.nn.LayerNorm(8, elementwise_affine=False),
        torch.nn.LayerNorm(8, bias=False, eps=0.1),
        torch.nn.RMSNorm(8, elementwise_affine=False, eps=1e-3),
        OlmoLayerNorm(8),
        CohereLayerNorm(8),
    ],
    ids=lambda norm: str(norm)[:40],
)
def test_norms_with_and_without_weights_are_read(norm: torch.nn.Module) -> None:
    read = read_norm(norm, 8, "here")
    x = torch.randn(3, 8)
    centred = x - x.mean(-1, keepdim=True) if read.centred else x
    torch.testing.assert_close(centred * read.inverse_scale(x) * read.gain, norm(x))
    assert read.centred == (not isinstance(norm, torch.nn.RMSNorm))
