"""A causal language model together with its graph, ready for `harness_circuits.passes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import OptionError, UnsupportedModelError
from harness_circuits.models.architecture import Layer, Names, component, read_architecture
from harness_circuits.models.norms import read_norm
from harness_circuits.models.prefix import Prefix, run_prefix
from harness_circuits.models.refusal import refusing_what_does_not_fit

KvHeads = Literal["ungrouped", "grouped"]
LayerFunction = Callable[[int, Tensor, dict[str, Any]], Tensor]


@dataclass(frozen=True)
class Inputs:
    """What one forward pass reads.

    Attributes:
        ids: Token ids; all rows have the same length, so that nothing is padded.
        reads: Positions whose logits are wanted.
        positions: Position ids where they are not 0, 1, 2, ...
        mask: Additive attention mask [batch, 1, pos, key] where it is not the causal one.
        prefix: What has been run already of each prompt; the ids are those behind it, and
            positions are given.
    """

    ids: Int[Tensor, "batch pos"]
    reads: Int[Tensor, "read"]
    positions: Int[Tensor, "batch pos"] | None = None
    mask: Float[Tensor, "batch 1 pos key"] | None = None
    prefix: Prefix | None = None

    def __post_init__(self) -> None:
        assert self.ids.ndim == 2 and self.reads.ndim == 1
        assert self.prefix is None or self.positions is not None

    def repeated(self, times: int) -> Inputs:
        """The same rows, a number of times one after the other."""
        positions = None if self.positions is None else self.positions.repeat(times, 1)
        mask = None if self.mask is None else self.mask.repeat(times, 1, 1, 1)
        return Inputs(self.ids.repeat(times, 1), self.reads, positions, mask, self.prefix)


class _Slot(nn.Module):
    """Stands in for one block while a pass runs, and hands its call to the pass."""

    def __init__(
        self,
        index: int,
        layer: Layer,
        block: nn.Module,
        function: LayerFunction,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.index = index
        self.function = function
        self.device = device
        self.__dict__["layer"] = layer  # plain attributes: no parameters of this module
        self.__dict__["block"] = block

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        hidden, arguments = self.__dict__["layer"].bind(args, kwargs)
        return self.function(self.index, hidden.to(self.device), arguments)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # such as `attention_type`, which a model may read off its blocks
            return getattr(self.__dict__["block"], name)


class CircuitModel:
    """A model, its graph, and one entry point for every pass: `forward`.

    Attributes:
        hf: The HuggingFace model, frozen and in eval mode, otherwise unchanged.
        tokenizer: Its tokenizer, or None where only token ids are used.
        graph: Nodes and edges.
        layers: Its blocks, taken apart.
        name: What the user called it.
        counts: How many passes of each kind have run.
    """

    def __init__(
        self,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        kv_heads: KvHeads = "ungrouped",
        name: str = "",
    ) -> None:
        """Take a model apart. `loading.take_apart` also checks that the parts add up to it.

        Args:
            hf: A decoder-only model; it is frozen and put into eval mode.
            tokenizer: Its tokenizer.
            kv_heads: With grouped-query attention, `ungrouped` gives every query head key and
                value inputs of its own (as EAP-IG and MIB do), `grouped` keeps the model's.
            name: What messages and provenance call the model.

        Raises:
            UnsupportedModelError: The model has no decomposition we can patch.
        """
        if kv_heads not in ("ungrouped", "grouped"):
            raise OptionError(f"kv_heads is 'ungrouped' or 'grouped', got {kv_heads!r}.")
        components, names = read_architecture(hf)
        self.hf = hf.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name or type(hf).__name__
        self.counts: Counter[str] = Counter()
        with refusing_what_does_not_fit(f"{self.name} ({type(hf).__name__})"):
            self._take_apart(components, names, kv_heads)

    def _take_apart(self, components: dict[str, Any], names: Names, kv_heads: KvHeads) -> None:
        hf = self.hf
        self._blocks_name = str(components["blocks"].name)
        self.graph = _graph(hf, kv_heads, components)
        self.layers = [
            Layer(block, names, self.graph, f"{self._blocks_name}.{index}")
            for index, block in enumerate(self._block_list())
        ]
        self.final_norm = read_norm(
            component(hf, components, "ln_final"), self.graph.d_model, "final"
        )
        self.position_table = (
            component(hf, components, "pos_embed") if "pos_embed" in components else None
        )

    @property
    def device(self) -> torch.device:
        """Where the embeddings are: token ids, logits and all that passes work out are there."""
        device: torch.device = self.hf.get_input_embeddings().weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the residual stream."""
        return self.hf.dtype

    @property
    def sum_dtype(self) -> torch.dtype:
        """The dtype scores and metrics are summed in: at least float32."""
        return torch.promote_types(self.dtype, torch.float32)

    def forward(
        self, inputs: Inputs, function: LayerFunction | None = None
    ) -> Float[Tensor, "batch read vocab"]:
        """Logits at the read positions, with every block replaced by `function` if there is one.

        HuggingFace's own forward drives the run: embeddings, masks, rotary tables, final norm,
        unembedding and soft caps are the model's.
        """
        self.counts["forward"] += 1
        self.counts["tokens"] += inputs.ids.numel()
        arguments: dict[str, Any] = {"input_ids": inputs.ids.to(self.device), "use_cache": False}
        if inputs.positions is not None:
            arguments["position_ids"] = inputs.positions.to(self.device)
        if inputs.mask is not None:
            arguments["attention_mask"] = self._masks(inputs)
        if inputs.prefix is not None:
            arguments["past_key_values"] = inputs.prefix
        with self.blocks_replaced(function):
            # A list, as the last residual may lie on another device than a tensor of indices.
            logits: Tensor = self.hf(**arguments, logits_to_keep=inputs.reads.tolist()).logits
        return logits.to(self.device)

    def prefix(self, ids: Int[Tensor, "batch pos"]) -> Prefix:
        """Run prompts' first tokens, for runs of what comes behind them."""
        self.counts["prefix"] += 1
        self.counts["tokens"] += ids.numel()
        return run_prefix(self.hf, ids.to(self.device))

    def _masks(self, inputs: Inputs) -> Tensor | dict[str, Tensor]:
        """The inputs' attention mask, cut to the sliding window in the layers that have one.

        HuggingFace takes a 4D mask as it is, and adds no window. A model that mixes kinds of
        layers takes one mask per kind.
        """
        assert inputs.mask is not None
        config = self.hf.config.get_text_config()
        full = inputs.mask.to(self.device, self.dtype)
        window = getattr(config, "sliding_window", None)
        kinds = set(getattr(config, "layer_types", None) or ())
        if window is None or kinds == {"full_attention"}:
            return full
        assert inputs.positions is not None
        positions = inputs.positions.to(self.device)
        keys = positions
        if inputs.prefix is not None:
            before = torch.arange(inputs.prefix.n_tokens, device=self.device)
            keys = torch.cat([before.expand(len(positions), -1), positions], dim=1)
        far = positions[:, None, :, None] - keys[:, None, None, :] >= int(window)
        cut = full.masked_fill(far, torch.finfo(self.dtype).min)
        if len(kinds) < 2:
            return cut
        return {kind: cut if kind == "sliding_attention" else full for kind in kinds}

    @contextmanager
    def blocks_replaced(self, function: LayerFunction | None) -> Iterator[None]:
        """Within this context, a call of a block goes to `function(layer, hidden, arguments)`.

        The hidden states come on the model's device, the arguments on the block's.
        """
        if function is None:
            yield
            return
        blocks = self._block_list()
        parent, _, attribute = self._blocks_name.rpartition(".")
        owner = self.hf.get_submodule(parent)
        slots = [
            _Slot(index, layer, block, function, self.device)
            for index, (layer, block) in enumerate(zip(self.layers, blocks, strict=True))
        ]
        setattr(owner, attribute, nn.ModuleList(slots).eval())
        try:
            yield
        finally:
            setattr(owner, attribute, blocks)

    def position_embedding(self, inputs: Inputs, like: Tensor) -> Tensor:
        """Learned position embeddings, which belong to no node; zero for models without them."""
        if self.position_table is None:
            return like.new_zeros(())
        positions = inputs.positions
        if positions is None:
            positions = torch.arange(inputs.ids.shape[1], device=like.device)[None]
        table: Tensor = self.position_table(positions.to(like.device))
        return table.to(like)

    def _block_list(self) -> nn.ModuleList:
        blocks = self.hf.get_submodule(self._blocks_name)
        assert isinstance(blocks, nn.ModuleList)
        return blocks


def _graph(hf: PreTrainedModel, kv_heads: KvHeads, components: dict[str, Any]) -> Graph:
    from transformer_lens.model_bridge.generalized_components import ParallelBlockBridge

    config = hf.config.get_text_config()
    name = type(hf).__name__
    try:
        n_layers = int(config.num_hidden_layers)
        n_heads = int(config.num_attention_heads)
        d_model = int(config.hidden_size)
    except (AttributeError, TypeError) as error:
        raise UnsupportedModelError(f"{name} cannot be used: {error}.") from error
    n_kv_heads = int(getattr(config, "num_key_value_heads", None) or n_heads)
    return Graph(
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads if kv_heads == "grouped" else n_heads,
        d_model=d_model,
        parallel=isinstance(components["blocks"], ParallelBlockBridge),
    )
