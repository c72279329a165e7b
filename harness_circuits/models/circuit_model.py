"""A causal language model together with its graph, ready for `harness_circuits.passes`."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness_circuits.circuits.scores import HIDDEN_UNITS, Level
from harness_circuits.errors import OptionError, UnsupportedModelError, shown
from harness_circuits.models.architecture import Names, component, read_architecture
from harness_circuits.models.hidden_check import check_hidden
from harness_circuits.models.inputs import Inputs
from harness_circuits.models.layer import Layer
from harness_circuits.models.norms import read_norm
from harness_circuits.models.positions import look_up
from harness_circuits.models.prefix import Prefix, run_prefix
from harness_circuits.models.read_graph import KvHeads, read_graph
from harness_circuits.models.refusal import refusing_what_does_not_fit
from harness_circuits.models.slot import LayerFunction, Slot
from harness_circuits.models.text_reader import TextReader, context_length
from harness_circuits.models.windows import cut_masks, has_table, near, seeing

__all__ = ["CircuitModel", "Inputs", "KvHeads", "LayerFunction"]


class CircuitModel:
    """A model, its graph, and one entry point for every pass: `forward`.

    Attributes:
        hf: The HuggingFace model, frozen and in eval mode, otherwise unchanged.
        reader: How it reads text, or None where only token ids are used.
        graph: Nodes and edges.
        layers: Its blocks, taken apart.
        name: What the user called it.
        counts: How many passes of each kind have run.
        keeps_hidden: Whether runs that keep the outputs of all nodes keep MLPs' hidden units too.
    """

    def __init__(
        self,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | TextReader | None = None,
        *,
        kv_heads: KvHeads = "ungrouped",
        name: str = "",
    ) -> None:
        """Take a model apart. `loading.take_apart` also checks that the parts add up to it.

        Args:
            hf: A decoder-only model; it is frozen and put into eval mode.
            tokenizer: Its tokenizer, or a reader, which says how it is used.
            kv_heads: With grouped-query attention, `ungrouped` gives every query head key and
                value inputs of its own (as EAP-IG and MIB do), `grouped` keeps the model's.
            name: What messages and provenance call the model.

        Raises:
            UnsupportedModelError: The model has no decomposition we can patch.
        """
        if kv_heads not in ("ungrouped", "grouped"):
            raise OptionError(f"kv_heads is 'ungrouped' or 'grouped', got {shown(kv_heads)}.")
        if hasattr(hf, "peft_config") or getattr(hf, "_hf_peft_config_loaded", False):
            raise UnsupportedModelError(
                f"{name or type(hf).__name__} has adapters: merge them first (merge_and_unload of "
                'PEFT), or give peft="merge" to hc.load_model, which merges a copy.'
            )
        components, names = read_architecture(hf)
        self.hf = hf.eval().requires_grad_(False)
        self.reader = None if tokenizer is None else TextReader.of(tokenizer).within(hf.config)
        self.name = name or type(hf).__name__
        self.counts: Counter[str] = Counter()
        self._told: list[Callable[[], None]] = []
        self.keeps_hidden = False
        self._checked_hidden = False
        with refusing_what_does_not_fit(f"{self.name} ({type(hf).__name__})"):
            self._take_apart(components, names, kv_heads)
        self._check_length()

    def __repr__(self) -> str:
        """Name and size, as `CircuitModel(gpt2, 12 layers, 12 heads each, 32,491 edges)`."""
        graph = self.graph
        size = f"{graph.n_layers} layers, {graph.n_heads} heads each, {graph.n_edges:,} edges"
        return f"CircuitModel({self.name}, {size})"

    def _check_length(self) -> None:
        """Refuse a `max_length` beyond the positions that a model has learned."""
        asked = None if self.reader is None else self.reader.max_length
        learned = context_length(self.hf.config)
        if self.position_table is not None and asked and learned and asked > learned:
            raise OptionError(
                f"max_length={asked}: {self.name} has learned {learned} positions, and no more."
            )

    def _take_apart(self, components: dict[str, Any], names: Names, kv_heads: KvHeads) -> None:
        hf = self.hf
        self._blocks_name = str(components["blocks"].name)
        self.graph = read_graph(hf, kv_heads, components, names, list(self._block_list()))
        self.layers = [
            Layer(block, names, self.graph, f"{self._blocks_name}.{index}")
            for index, block in enumerate(self._block_list())
        ]
        attentions = [block.get_submodule(names.attention) for block in self._block_list()]
        self._local = {i: module for i, module in enumerate(attentions) if has_table(module)}
        last = component(hf, components, "ln_final")
        self.final_norm = read_norm(last, self.graph.d_model, "final", self.layers[-1].w_o)
        self.position_table = (
            component(hf, components, "pos_embed") if "pos_embed" in components else None
        )

    def at(self, level: Level) -> CircuitModel:
        """The same model, for runs at a level: `mlp-neuron` looks into its MLPs.

        Raises:
            UnsupportedModelError: It has no hidden units that could be told apart.
        """
        wanted = level == HIDDEN_UNITS
        if wanted == self.keeps_hidden:
            return self
        if not self._checked_hidden:
            check_hidden(self.layers, self.graph, self.name)
            self._checked_hidden = True
        other = copy.copy(self)
        other.keeps_hidden = wanted
        return other

    @property
    def finest(self) -> CircuitModel:
        """The same model, whose runs keep all that any level could ask for."""
        try:
            return self.at(HIDDEN_UNITS)
        except UnsupportedModelError:
            return self

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer, or None where only token ids are used."""
        return None if self.reader is None else self.reader.tokenizer

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
        assert not inputs.padded, "prompts of different lengths are run behind what they share"
        self.counts["forward"] += 1
        self.counts["tokens"] += inputs.ids.numel()
        arguments: dict[str, Any] = {"input_ids": inputs.ids.to(self.device), "use_cache": False}
        if inputs.positions is not None:
            arguments["position_ids"] = inputs.positions.to(self.device)
        seen = None
        if inputs.mask is not None:
            config, positions = self.hf.config.get_text_config(), arguments["position_ids"]
            keys = inputs.key_positions(self.device)
            mask = inputs.mask.to(self.device, self.dtype)
            arguments["attention_mask"] = cut_masks(config, mask, positions, keys)
            seen = near(keys, keys, config.window_size) if self._local else None
        if inputs.prefix is not None:
            arguments["past_key_values"] = inputs.prefix
        with self._local_tables(seen), self.blocks_replaced(function, seen):
            # A list, as the last residual may lie on another device than a tensor of indices.
            logits: Tensor = self.hf(**arguments, logits_to_keep=inputs.reads.tolist()).logits
        for tell in self._told:
            tell()
        return logits.to(self.device)

    @contextmanager
    def tells(self, listener: Callable[[], None]) -> Iterator[None]:
        """Within this context, a listener is called after every pass."""
        self._told.append(listener)
        try:
            yield
        finally:
            self._told.remove(listener)

    def prefix(self, ids: Int[Tensor, "batch pos"]) -> Prefix:
        """Run prompts' first tokens, for runs of what comes behind them."""
        self.counts["prefix"] += 1
        self.counts["tokens"] += ids.numel()
        return run_prefix(self.hf, ids.to(self.device))

    @contextmanager
    def blocks_replaced(
        self, function: LayerFunction | None, seen: Tensor | None = None
    ) -> Iterator[None]:
        """Within this context, a call of a block goes to `function(layer, hidden, arguments)`.

        The hidden states come on the model's device, the arguments on the block's; among them is
        `seen`, the table of local attentions in place of their own.
        """
        if function is None:
            yield
            return
        blocks = self._block_list()
        parent, _, attribute = self._blocks_name.rpartition(".")
        owner = self.hf.get_submodule(parent)
        slots = [
            Slot(
                index,
                layer,
                block,
                function,
                self.device,
                seen=seen if index in self._local else None,
                in_tuple=self._blocks_give_tuples,
            )
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
        return look_up(self.position_table, positions.to(like.device)).to(like)

    @contextmanager
    def _local_tables(self, seen: Tensor | None) -> Iterator[None]:
        with ExitStack() as stack:
            for attention in self._local.values():
                stack.enter_context(seeing(attention, seen))
            yield

    @cached_property
    def _blocks_give_tuples(self) -> bool:
        """Whether the model takes a block's output out of a tuple, as GPT-Neo and Falcon do."""
        given: list[Any] = []
        hook = self._block_list()[0].register_forward_hook(lambda *call: given.append(call[2]))
        try:
            with torch.no_grad():
                self.hf(torch.zeros((1, 1), dtype=torch.long, device=self.device), use_cache=False)
        finally:
            hook.remove()
        return isinstance(given[0], tuple)

    def _block_list(self) -> nn.ModuleList:
        blocks = self.hf.get_submodule(self._blocks_name)
        assert isinstance(blocks, nn.ModuleList)
        return blocks
