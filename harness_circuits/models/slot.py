"""What stands in for a block of a HuggingFace model while a pass runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from harness_circuits.models.layer import Layer
from harness_circuits.models.windows import SEEN

LayerFunction = Callable[[int, Tensor, dict[str, Any]], Tensor]


class Slot(nn.Module):
    """Stands in for one block while a pass runs, and hands its call to the pass."""

    def __init__(
        self,
        index: int,
        layer: Layer,
        block: nn.Module,
        function: LayerFunction,
        device: torch.device,
        *,
        seen: Tensor | None = None,
        in_tuple: bool = False,
    ) -> None:
        """Stand in for a block.

        Args:
            index: Its number.
            layer: It, taken apart.
            block: It.
            function: The pass.
            device: Where the pass works.
            seen: Another table for a local attention (see `windows`).
            in_tuple: Whether the model takes a block's output out of a tuple.
        """
        super().__init__()
        self.index = index
        self.more = {} if seen is None else {SEEN: seen.to(layer.device)}
        self.in_tuple = in_tuple
        self.function = function
        self.device = device
        self.__dict__["layer"] = layer  # plain attributes: no parameters of this module
        self.__dict__["block"] = block

    def forward(self, *args: Any, **kwargs: Any) -> Tensor | tuple[Tensor, None]:
        """Hand the call over."""
        hidden, arguments = self.__dict__["layer"].bind(args, kwargs)
        out = self.function(self.index, hidden.to(self.device), arguments | self.more)
        return (out, None) if self.in_tuple else out

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # such as `attention_type`, which a model may read off its blocks
            return getattr(self.__dict__["block"], name)
