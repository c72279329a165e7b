"""Layer norms as `gain * (x - mean) / scale + bias`, read off any norm module and verified.

Attribution needs a norm's Jacobian, and circuit evaluation folds its gain into the projections
that follow. Both need gain, bias and epsilon as numbers, which architectures store differently
(Gemma adds one to its weight). `read_norm` tries the known forms on a probe and takes the one
that reproduces the module.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness_circuits.errors import UnsupportedModelError

UNSAID_EPS = 1e-5  # of norms that do not say theirs, such as OLMo's


@dataclass(frozen=True)
class Norm:
    """One normalisation of the residual stream.

    Attributes:
        module: The model's own module, used where nothing has to be taken apart.
        gain: Elementwise factor.
        bias: Elementwise shift, or None.
        eps: Added to the variance (or mean square).
        centred: LayerNorm; False for RMSNorm, which does not subtract the mean.
        wide_gain: The gain in float32 at least: one added to a weight in half precision takes digits.
    """

    module: nn.Module
    gain: Float[Tensor, "model"]
    bias: Float[Tensor, "model"] | None
    eps: float
    centred: bool
    wide_gain: Float[Tensor, "model"]

    def inverse_scale(self, x: Float[Tensor, "*b model"]) -> Float[Tensor, "*b 1"]:
        """1 / sqrt(variance + eps), or of the mean square; half precision is summed in float32."""
        width = x.shape[-1]
        dtype = torch.promote_types(x.dtype, torch.float32)
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=dtype).square() / width
        if self.centred:
            square = square - x.mean(-1, keepdim=True, dtype=dtype).square()
        return (square + self.eps).rsqrt()

    def fold(
        self, weight: Float[Tensor, "*h out model"], bias: Float[Tensor, "*h out"] | None
    ) -> tuple[Float[Tensor, "*h out model"], Float[Tensor, "*h out"] | None]:
        """Return W', b' with `W norm(x) + b = W' x * inverse_scale(x) + b'`."""
        if self.bias is not None:
            shift = weight @ self.bias.to(weight.device)
            bias = shift if bias is None else bias + shift
        weight = weight * self.gain.to(weight.device)
        if self.centred:
            weight = weight - weight.mean(-1, keepdim=True)
        return weight, bias


def read_norm(module: nn.Module, width: int, where: str, like: Tensor | None = None) -> Norm:
    """Describe a norm module.

    Args:
        module: The norm.
        width: Of what it normalises.
        where: What messages call it.
        like: Gives dtype and device of the gain of a norm without weights.

    Raises:
        UnsupportedModelError: No known form reproduces the module's output.
    """
    weight = getattr(module, "weight", None)
    if weight is None:
        weight = torch.ones(width) if like is None else like.new_ones(width)
    if not isinstance(weight, Tensor) or weight.shape != (width,):
        raise UnsupportedModelError(
            f"The norm {where} ({type(module).__name__}) has no weight of width {width}."
        )
    weight = weight.detach()
    given = (getattr(module, name, None) for name in ("eps", "variance_epsilon"))
    eps = next((float(value) for value in given if value is not None), UNSAID_EPS)
    bias = getattr(module, "bias", None)
    bias = None if bias is None else bias.detach()
    probe = torch.linspace(-1.7, 2.3, width, device=weight.device, dtype=weight.dtype).sin() + 0.3
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    for centred in (isinstance(module, nn.LayerNorm), True):
        for more in (0, 1):
            gain = wide + more
            norm = Norm(module, gain.to(weight.dtype), bias, eps, centred, gain)
            if _reproduces(norm, probe):
                return norm
    raise UnsupportedModelError(
        f"The norm {where} ({type(module).__name__}) is neither a LayerNorm nor an RMSNorm of a "
        "known form, so that its Jacobian is not known."
    )


def _reproduces(norm: Norm, probe: Float[Tensor, "model"]) -> bool:
    x = probe - probe.mean() if norm.centred else probe
    expected = x * norm.inverse_scale(probe).to(x.dtype) * norm.gain
    if norm.bias is not None:
        expected = expected + norm.bias
    with torch.no_grad():
        got = norm.module(probe[None, None])[0, 0]
    tolerance = 0.05 if probe.dtype in (torch.float16, torch.bfloat16) else 1e-4
    return bool(torch.allclose(got, expected.to(got.dtype), atol=tolerance, rtol=tolerance))
