"""Files of what replaces outputs: means over texts, constants that were learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from harness_circuits.errors import CircuitFileError
from harness_circuits.machine.files import write_atomically
from harness_circuits.passes.native import Outputs


def stored(path: Path | None, device: torch.device, make: Callable[[], Outputs]) -> Outputs:
    """What a file holds; where there is none, it is made, and kept there.

    Args:
        path: The file; None to keep none.
        device: Where tensors go.
        make: Makes them.

    Raises:
        CircuitFileError: The file is damaged.
    """
    if path is None:
        return make()
    if path.is_file():
        try:
            return _outputs(load_file(path, device=str(device)))
        except (SafetensorError, KeyError) as error:
            raise CircuitFileError(f"{path} is damaged: remove it to have it made anew.") from error
    made = make()
    tensors = {name: x.detach().cpu().contiguous() for name, x in _named(made).items()}
    write_atomically(path, save(tensors))
    return made


def _named(outputs: Outputs) -> dict[str, Tensor]:
    return {
        "embedded": outputs.embedded,
        **{f"mixed.{i}": x for i, x in enumerate(outputs.mixed)},
        **{f"mlp.{i}": x for i, x in enumerate(outputs.mlp)},
        **{f"hidden.{i}": x for i, x in enumerate(outputs.hidden or ())},
    }


def _outputs(named: dict[str, Tensor]) -> Outputs:
    def layers(kind: str) -> list[Tensor]:
        n = sum(name.startswith(f"{kind}.") for name in named)
        return [named[f"{kind}.{layer}"] for layer in range(n)]

    return Outputs(named["embedded"], layers("mixed"), layers("mlp"), layers("hidden") or None)
