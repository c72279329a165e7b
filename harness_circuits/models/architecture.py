"""Where a model's parts are: TransformerLens' architecture adapters applied to a HuggingFace model.

TransformerLens knows, for over a hundred architectures, what the norms, projections, attention
and MLP of a block are called. We take these names from its adapters and leave the model itself
untouched: HuggingFace's own modules do the arithmetic (`layer.py`). What the adapters do not say is
said here: which fused projections are laid out head by head, and MLPs that are no module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from harness_circuits.errors import UnsupportedModelError

# MLPs whose parts lie loose in the block: what runs one after the other, from norm to residual.
_LOOSE_MLPS = {"OPTForCausalLM": ("fc1", "activation_fn", "fc2")}
# Position biases that grow with the distance of places in the sequence, and so not with positions.
_ALIBI = ("bloom", "mpt")


@dataclass(frozen=True)
class Names:
    """What one architecture calls the parts of a block; None for a part it does not have.

    Attributes:
        projections: Query, key and value projection, or one that is all three.
        interleaved: Whether a fused projection has query, key and value group by group of heads
            that share a key, and not all queries first.
        mlp: One module, or several that run one after the other.
        mlp_out: The projection from its hidden units; None where there is no single one (experts).
    """

    norm_before_attention: str | None
    attention: str
    projections: tuple[str, ...]
    out: str
    norm_after_attention: str | None
    norm_before_mlp: str | None
    mlp: tuple[str, ...]
    mlp_out: str | None
    norm_after_mlp: str | None
    interleaved: bool


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
    scale = getattr(config, "residual_multiplier", None)
    if scale not in (None, 1):
        raise UnsupportedModelError(
            f"{name} cannot be used: it scales what its blocks add to the residual stream "
            f"(residual_multiplier={scale}), so that the stream is no sum of node outputs."
        )
    if getattr(config, "alibi", False) or getattr(config, "model_type", "") in _ALIBI:
        raise UnsupportedModelError(
            f"{name} cannot be used: its attention is biased by the distance of places in the "
            "sequence (ALiBi), where answers side by side behind a prompt need positions of their own."
        )


def component(model: nn.Module, components: dict[str, Any], part: str) -> nn.Module:
    """The model's module for one entry of the component map."""
    return model.get_submodule(str(components[part].name))


def _names(architecture: str, model: PreTrainedModel, parts: dict[str, Any]) -> Names:
    inner = parts["attn"].submodules
    fused = "qkv" in inner
    wanted = ("qkv",) if fused else ("q", "k", "v")
    if any(part not in inner for part in (*wanted, "o")):
        raise UnsupportedModelError(
            f"{architecture} cannot be used: its attention has no separate query, key, value and "
            f"output projections (TransformerLens lists {sorted(inner)})."
        )
    mlp = _LOOSE_MLPS.get(architecture) or (parts["mlp"].name,)
    if None in mlp or parts["attn"].name is None:
        raise UnsupportedModelError(
            f"{architecture} cannot be used: its MLP or attention is not a module of its own that "
            "could be run alone."
        )
    projections = tuple(str(inner[part].name) for part in wanted)

    def name_of(part: str) -> str | None:
        return str(parts[part].name) if part in parts else None

    return Names(
        norm_before_attention=_norm_before_attention(model, name_of("ln1")),
        attention=str(parts["attn"].name),
        projections=projections,
        out=str(inner["o"].name),
        norm_after_attention=name_of("ln1_post"),
        norm_before_mlp=name_of("ln2"),
        mlp=tuple(map(str, mlp)),
        mlp_out=_mlp_out(parts["mlp"]),
        norm_after_mlp=name_of("ln2_post"),
        interleaved=fused and _interleaved(model),
    )


def _mlp_out(mlp: Any) -> str | None:
    out = mlp.submodules.get("out")
    return None if out is None else ".".join(filter(None, (mlp.name, out.name)))


def _norm_before_attention(model: PreTrainedModel, listed: str | None) -> str | None:
    """The name TransformerLens lists, but for Falcon's newer blocks with one norm (Falcon 2)."""
    one = getattr(model.config, "num_ln_in_parallel_attn", None) == 1
    return "input_layernorm" if listed == "ln_attn" and one else listed


def _interleaved(model: PreTrainedModel) -> bool:
    config: Any = model.config
    if config.model_type == "falcon":
        return bool(config.new_decoder_architecture or not config.multi_query)
    stacked = config.model_type == "phi3"
    return not stacked and not any(isinstance(module, Conv1D) for module in model.modules())
