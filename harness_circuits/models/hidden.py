"""The hidden units of an MLP: what its last projection reads.

A hidden unit is act(gate) * up in a gated MLP and act(pre) in a plain one; unit i adds its value times
row i of the last projection to the MLP's output, whose bias belongs to no unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness_circuits.models.projections import weight_of

Hidden = Float[Tensor, "batch pos hidden"]
HiddenTap = Callable[[Hidden], Hidden]


@contextmanager
def hidden_tapped(
    out: nn.Module | None, tap: HiddenTap | None, home: torch.device
) -> Iterator[None]:
    """Within this context an MLP goes on with what a function makes of its hidden units.

    Args:
        out: The MLP's last projection.
        tap: From hidden units to hidden units, on the device `home`; None leaves the MLP alone.
        home: Where the pass works, which may be another device than the projection's.
    """
    if tap is None:
        yield
        return
    assert out is not None

    def hook(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        found = tap(inputs[0].to(home))
        return (found.to(inputs[0].device), *inputs[1:])

    handle = out.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def mlp_projection(block: nn.Module, name: str | None) -> nn.Module | None:
    """The last projection of a block's MLP; None where it has no single one."""
    try:
        return None if name is None else block.get_submodule(name)
    except AttributeError:  # an adapter's name for a part of experts
        return None


def common_hidden_width(blocks: Iterable[nn.Module], name: str | None, d_model: int) -> int | None:
    """Hidden units of every MLP; None where there are none, or not the same number everywhere."""
    widths = {hidden_width(mlp_projection(block, name), d_model) for block in blocks}
    return widths.pop() if len(widths) == 1 else None


def hidden_width(out: nn.Module | None, d_model: int) -> int | None:
    """How many hidden units a last projection reads; None if it is none to the residual stream."""
    weight = getattr(out, "weight", None)
    if out is None or not isinstance(weight, Tensor) or weight.ndim != 2:
        return None
    rows, columns = weight_of(out).shape
    return columns if rows == d_model else None


def mlp_width(config: Any, d_model: int) -> int:
    """About how many hidden units each MLP has, by a model's configuration."""
    found = (getattr(config, name, None) for name in ("intermediate_size", "ffn_dim", "n_inner"))
    return next((int(width) for width in found if width), 4 * d_model)
