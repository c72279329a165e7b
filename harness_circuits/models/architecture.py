"""Where a model's parts are: TransformerLens' architecture adapters applied to a HuggingFace model.

TransformerLens knows, for over a hundred architectures, what the norms, projections, attention
and MLP of a block are called. We take these names from its adapters and leave the model itself
untouched: HuggingFace's own modules do the arithmetic. An attention module is split in three:
the projections before it (`Layer.project`), its core from query, key and value to the heads'
mixed values (`AttentionCore`), and the output projection.

A model may be spread over several devices (`device_map`). A block's weights and modules stay where
they are; what the methods of `Layer` are given may lie elsewhere, and what they return lies where
the argument did, so that passes work on the device of the embeddings (`CircuitModel.device`).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import UnsupportedModelError
from harness_circuits.models.attention_core import AttentionCore, PerHead
from harness_circuits.models.norms import Norm, read_norm


@dataclass(frozen=True)
class Names:
    """What one architecture calls the parts of a block; None for a part it does not have."""

    norm_before_attention: str | None
    attention: str
    projections: tuple[str, ...]
    out: str
    norm_after_attention: str | None
    norm_before_mlp: str | None
    mlp: str
    norm_after_mlp: str | None
    interleaved: bool


class Layer:
    """One transformer block, taken apart.

    Weights `w_q`, `w_k`, `w_v` [head, d_head, model] have the norm's gain folded in (see
    `Norm.fold`), `b_*` [head, d_head] its bias; key and value weights have one entry per kv head
    of the model. `w_o` is [head, d_head, model]. All lie on the block's `device`.
    """

    def __init__(self, block: nn.Module, names: Names, graph: Graph, where: str) -> None:
        """Read one block's parts."""
        self.graph = graph
        self.block_arguments = tuple(inspect.signature(block.forward).parameters)
        attention = getattr(block, names.attention)
        self.norm = _norm(block, names.norm_before_attention, graph, where)
        self.out: nn.Module = getattr(attention, names.out)
        self.device = _weight(self.out).device
        self.projections = [getattr(attention, name) for name in names.projections]
        self.interleaved = names.interleaved
        self.core = AttentionCore(
            attention,
            names.projections,
            names.out,
            graph,
            interleaved=names.interleaved,
            device=self.device,
        )
        self.post_attention = _norm(block, names.norm_after_attention, graph, where)
        self.pre_mlp = _part(block, names.norm_before_mlp)
        if self.pre_mlp is None and graph.parallel and self.norm is not None:
            self.pre_mlp = self.norm.module  # one norm for attention and MLP, as in Phi
        self.mlp: nn.Module = getattr(block, names.mlp)
        self.post_mlp = _part(block, names.norm_after_mlp)
        self.d_head = _weight(self.out).shape[1] // graph.n_heads
        self.w_o = _weight(self.out).T.reshape(graph.n_heads, self.d_head, graph.d_model)
        self.folded = self._fold()

    def project(self, x: Float[Tensor, "batch pos model"]) -> tuple[PerHead, PerHead, PerHead]:
        """Queries, keys and values of a residual input, each with one entry per query head."""
        y = x.to(self.device)
        y = y if self.norm is None else self.norm.module(y)
        outs = [projection(y).to(x.device) for projection in self.projections]
        if len(outs) == 3:
            q, k, v = (out.unflatten(-1, (-1, self.d_head)) for out in outs)
        elif self.interleaved:
            q, k, v = outs[0].unflatten(-1, (-1, 3, self.d_head)).unbind(-2)
        else:
            q, k, v = outs[0].unflatten(-1, (3, -1, self.d_head)).unbind(-3)
        return q, self.ungroup(k), self.ungroup(v)

    def ungroup(self, x: PerHead) -> PerHead:
        """Repeat each key or value head for the query heads that share it."""
        group = self.graph.n_heads // x.shape[2]
        return x if group == 1 else x.repeat_interleave(group, dim=2)

    def attention_sum(self, mixed: PerHead) -> Float[Tensor, "batch pos model"]:
        """The heads' results added up, with the output bias, before any post-norm."""
        out: Tensor = self.out(mixed.to(self.device).flatten(2))
        return out.to(mixed.device)

    def after_attention(self, x: Tensor) -> Tensor:
        """The attention's contribution to the residual stream: post-norm, where there is one."""
        if self.post_attention is None:
            return x
        after: Tensor = self.post_attention.module(x.to(self.device))
        return after.to(x.device)

    def mlp_out(self, x: Float[Tensor, "batch pos model"]) -> Float[Tensor, "batch pos model"]:
        """The MLP's contribution to the residual stream, norms included."""
        home, x = x.device, x.to(self.device)
        if self.pre_mlp is not None:
            x = self.pre_mlp(x)
        x = self.mlp(x)
        x = x if self.post_mlp is None else self.post_mlp(x)
        return x.to(home)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """Split a block's call into the hidden states and the arguments for its attention.

        The arguments come on the block's device: rotary tables, masks and positions.
        """
        bound = {**dict(zip(self.block_arguments, args, strict=False)), **kwargs}
        hidden = bound.pop("hidden_states")
        return hidden, {name: _moved(value, self.device) for name, value in bound.items()}

    def _fold(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Projection weights per kind [head, d_head, model], the norm's gain and bias folded in."""
        weights = [_weight(projection) for projection in self.projections]
        biases: list[Any] = [getattr(projection, "bias", None) for projection in self.projections]
        if len(weights) == 1:
            weights = self._unfuse(weights[0])
            biases = [None] * 3 if biases[0] is None else self._unfuse(biases[0].detach())
        folded = {}
        for kind, weight, bias in zip("qkv", weights, biases, strict=True):
            weight = weight.reshape(-1, self.d_head, self.graph.d_model)
            bias = None if bias is None else bias.detach().reshape(-1, self.d_head)
            folded[kind] = (weight, bias) if self.norm is None else self.norm.fold(weight, bias)
        return folded

    def _unfuse(self, fused: Tensor) -> list[Tensor]:
        shape = (-1, 3, self.d_head) if self.interleaved else (3, -1, self.d_head)
        parts = fused.reshape(*shape, *fused.shape[1:])
        return list(parts.unbind(1 if self.interleaved else 0))


def read_architecture(model: PreTrainedModel) -> tuple[dict[str, Any], Names]:
    """TransformerLens' component map of a model, and the names of a block's parts.

    Raises:
        UnsupportedModelError: TransformerLens does not know the architecture, or it is not made
            of the parts a circuit graph has.
    """
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf

    name = type(model).__name__
    _check_kind(name, model.config)
    try:
        config = build_bridge_config_from_hf(model.config, name, name, model.dtype)
        adapter = ArchitectureAdapterFactory.select_architecture_adapter(config)
        components = adapter.get_component_mapping()
    except Exception as error:
        raise UnsupportedModelError(
            f"{name} cannot be used: TransformerLens has no usable adapter for it ({error})."
        ) from error
    missing = [
        part for part in ("embed", "blocks", "ln_final", "unembed") if part not in components
    ]
    parts = getattr(components.get("blocks"), "submodules", {})
    missing += [part for part in ("attn", "mlp") if part not in parts]
    if missing:
        raise UnsupportedModelError(
            f"{name} cannot be used: it is not a decoder-only transformer with attention and an "
            f"MLP in every block (TransformerLens lists no {', '.join(missing)})."
        )
    return components, _names(name, model, parts)


def _check_kind(name: str, config: Any) -> None:
    """Refuse what TransformerLens knows too, but what is no sum of node outputs from end to end."""
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"{name} is an encoder-decoder model; circuits need a decoder-only one."
        )
    if getattr(config, "do_layer_norm_before", True) is False:
        raise UnsupportedModelError(
            f"{name} cannot be used: it normalises the residual stream itself after each block "
            "(post-LN, do_layer_norm_before=False), so that the stream is no sum of node outputs."
        )


def component(model: nn.Module, components: dict[str, Any], part: str) -> nn.Module:
    """The model's module for one entry of the component map."""
    return model.get_submodule(str(components[part].name))


def _names(architecture: str, model: nn.Module, parts: dict[str, Any]) -> Names:
    inner = parts["attn"].submodules
    fused = "qkv" in inner
    wanted = ("qkv",) if fused else ("q", "k", "v")
    if any(part not in inner for part in (*wanted, "o")):
        raise UnsupportedModelError(
            f"{architecture} cannot be used: its attention has no separate query, key, value and "
            f"output projections (TransformerLens lists {sorted(inner)})."
        )
    if parts["mlp"].name is None or parts["attn"].name is None:
        raise UnsupportedModelError(
            f"{architecture} cannot be used: its MLP or attention is not a module of its own that "
            "could be run alone."
        )
    projections = tuple(str(inner[part].name) for part in wanted)

    def name_of(part: str) -> str | None:
        return str(parts[part].name) if part in parts else None

    return Names(
        norm_before_attention=name_of("ln1"),
        attention=str(parts["attn"].name),
        projections=projections,
        out=str(inner["o"].name),
        norm_after_attention=name_of("ln1_post"),
        norm_before_mlp=name_of("ln2"),
        mlp=str(parts["mlp"].name),
        norm_after_mlp=name_of("ln2_post"),
        interleaved=fused and not any(isinstance(module, Conv1D) for module in model.modules()),
    )


def _moved(value: Any, device: torch.device) -> Any:
    """A block's argument on a device; caches and what else is no tensor are left alone."""
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) in (tuple, list):
        return type(value)(_moved(part, device) for part in value)
    return value


def _part(block: nn.Module, name: str | None) -> nn.Module | None:
    return None if name is None else getattr(block, name)


def _norm(block: nn.Module, name: str | None, graph: Graph, where: str) -> Norm | None:
    return (
        None if name is None else read_norm(getattr(block, name), graph.d_model, f"{where}.{name}")
    )


def _weight(projection: nn.Module) -> Float[Tensor, "out in"]:
    weight = projection.weight
    assert isinstance(weight, Tensor)
    return weight.detach().T if isinstance(projection, Conv1D) else weight.detach()
