"""A case of InterpBench (Gupta et al. 2024, arXiv 2407.14494) as its folder on the hub holds it.

    ll_model.pth        weights of a TransformerLens HookedTransformer
    ll_model_cfg.pkl    its configuration: a dictionary, or an object; or a JSON file of the same
                        keys, ll_model_cfg.json or ll_config.json, which is then taken
    edges.pkl           the true circuit: pairs of hook names, such as
                        ("blocks.0.attn.hook_result[2]", "blocks.1.hook_q_input[0]")

Pickles are read as data (`inert_pickle`), the weights by `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import json
import math
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import CircuitFileError, UnsupportedModelError, shown
from harness_circuits.formats.checks import NOTE_BYTES, check_file
from harness_circuits.ground_truth.inert_pickle import Made, read_inert

WEIGHTS_FILE, EDGES_FILE, PICKLED_CONFIG = "ll_model.pth", "edges.pkl", "ll_model_cfg.pkl"
JSON_CONFIGS = ("ll_model_cfg.json", "ll_config.json")
ACTIVATIONS = ("relu", "gelu", "gelu_new", "silu")
NORMS = (None, "LN", "LNPre")
MAX_WEIGHT_BYTES = 2 << 30
# What a block of GPT-2 has no counterpart for.
UNSUPPORTED = (
    "attn_only",
    "parallel_attn_mlp",
    "gated_mlp",
    "use_local_attn",
    "scale_attn_by_inverse_layer_idx",
    "final_rms",
    "post_embedding_ln",
    "use_normalization_before_and_after",
)


@dataclass(frozen=True)
class CaseConfig:
    """What a case's configuration says of its model.

    Attributes:
        d_vocab: Tokens it reads.
        d_vocab_out: Classes it answers with; the same tokens if there are as many.
        normalization: None (models made from Tracr programs), `LN`, or `LNPre`, a norm without
            weights.
        scale: What attention scores are divided by.
    """

    n_layers: int
    n_heads: int
    d_head: int
    d_model: int
    d_mlp: int
    n_ctx: int
    d_vocab: int
    d_vocab_out: int
    act_fn: str
    normalization: str | None
    eps: float
    scale: float

    @property
    def own_outputs(self) -> bool:
        """Whether the answers are other symbols than the tokens."""
        return self.d_vocab_out != self.d_vocab


def is_case(folder: Path) -> bool:
    """Whether a folder holds a case as InterpBench has them."""
    return (folder / WEIGHTS_FILE).is_file() and not (folder / "config.json").is_file()


def config_file(folder: Path) -> Path:
    """The file with the configuration: a JSON file if there is one."""
    names = [name for name in JSON_CONFIGS if (folder / name).is_file()]
    return folder / (names[0] if names else PICKLED_CONFIG)


def read_config(folder: Path) -> CaseConfig:
    """The configuration of a case.

    Raises:
        CircuitFileError: It is missing or malformed.
        UnsupportedModelError: It describes what no decoder here can compute.
    """
    path = config_file(folder)
    if path.suffix == ".json":
        check_file(path, NOTE_BYTES)
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise CircuitFileError(f"{path} is not JSON: {error}.") from error
    else:
        found = read_inert(path)
        found = found.state if isinstance(found, Made) else found
    if not isinstance(found, Mapping):
        raise CircuitFileError(
            f"{path} does not hold the settings of a model. Write them as JSON to "
            f"{JSON_CONFIGS[0]} beside it: n_layers, n_heads, d_model, and so on."
        )
    _check_supported(path, found)
    return _config(path, found)


def _config(path: Path, found: Mapping[str, Any]) -> CaseConfig:
    names = ("n_layers", "n_heads", "d_head", "d_model", "d_mlp", "n_ctx", "d_vocab")
    sizes = {name: _size(path, name, found.get(name)) for name in names}
    answers = found.get("d_vocab_out", -1)
    d_vocab_out = sizes["d_vocab"] if answers == -1 else _size(path, "d_vocab_out", answers)
    if d_vocab_out == 1:
        raise UnsupportedModelError(
            f"{path}: the model puts out one number (a regression); tasks here compare answers."
        )
    scale, eps = found.get("attn_scale", -1.0), found.get("eps", 1e-5)
    if not isinstance(scale, (int, float)) or not isinstance(eps, (int, float)):
        raise CircuitFileError(f"{path}: attn_scale and eps must be numbers.")
    own = float(scale) if scale > 0 else math.sqrt(sizes["d_head"])
    return CaseConfig(
        **sizes,
        d_vocab_out=d_vocab_out,
        act_fn=str(found.get("act_fn")),
        normalization=found.get("normalization_type", "LN"),
        eps=float(eps),
        scale=own if found.get("use_attn_scale", True) else 1.0,
    )


def _size(path: Path, name: str, value: Any) -> int:
    if type(value) is not int or not 0 < value < 1 << 20:
        raise CircuitFileError(
            f"{path}: {name} must be a positive whole number, got {shown(value, 80)}."
        )
    return value


def _check_supported(path: Path, found: Mapping[str, Any]) -> None:
    """Refuse what cannot be computed, by the setting's name."""
    wanted: dict[str, tuple[Any, ...]] = {
        "attention_dir": ("causal",),
        "positional_embedding_type": ("standard",),
        "act_fn": ACTIVATIONS,
        "normalization_type": NORMS,
        **{key: (False, None) for key in UNSUPPORTED},
    }
    defaults = {"attention_dir": "causal", "positional_embedding_type": "standard"}
    defaults["normalization_type"] = "LN"
    for key, known in wanted.items():
        value = found.get(key, defaults.get(key))
        if value not in known:
            raise UnsupportedModelError(
                f"{path}: a model with {key}={shown(value, 60)} cannot be run here; supported are "
                f"{', '.join(map(str, known))}."
            )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The state dict of a case's model.

    Raises:
        CircuitFileError: It is missing, too large, or holds more than tensors by name.
    """
    path = folder / WEIGHTS_FILE
    check_file(path, MAX_WEIGHT_BYTES)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CircuitFileError(
            f"{path} cannot be read as tensors: {reason[0][:120]} Where you trust it, save its state "
            "dict, and nothing else, with torch.save."
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise CircuitFileError(f"{path} holds more than tensors by name, which a state dict is.")
    return {str(name): value.float() for name, value in found.items()}


_SOURCE = re.compile(r"blocks\.(\d+)\.(hook_mlp_out|attn\.hook_result(?:\[(\d+)\])?)")
_TARGET = re.compile(r"blocks\.(\d+)\.(hook_mlp_in|hook_resid_post|hook_([qkv])_input\[(\d+)\])")
_INSIDE = re.compile(r"blocks\.(\d+)\.(?:attn\.hook_[qkv]\[\d+\]|hook_mlp_in|hook_[qkv]_input.*)")


def read_edges(folder: Path, graph: Graph) -> Circuit:
    """The true circuit of a case, over our edges.

    Edges inside a node (a head's query input to its query) and those of the position embedding,
    which belongs to no node here, have no counterpart and are passed over.

    Raises:
        CircuitFileError: It is missing, no list of pairs of names, or names what the model lacks.
    """
    path = folder / EDGES_FILE
    found = read_inert(path)
    if not isinstance(found, (list, tuple, set)):
        raise CircuitFileError(f"{path} holds no list of edges.")
    names: set[str] = set()
    for edge in found:
        if not _is_edge(edge):
            raise CircuitFileError(f"{path}: {shown(edge, 100)} is no pair of hook names.")
        names.update(_ours(path, edge[0], edge[1], graph))
    if not names:
        raise CircuitFileError(f"{path} has no edge between two nodes.")
    try:
        return Circuit.of_edges(graph, sorted(names))
    except LookupError as error:
        raise CircuitFileError(f"{path}: {error}") from error


def _is_edge(edge: Any) -> bool:
    return isinstance(edge, (list, tuple)) and len(edge) == 2 and all(type(x) is str for x in edge)


def _ours(path: Path, source: str, target: str, graph: Graph) -> Iterator[str]:
    """Our names of an edge; none if it has no counterpart."""
    if source == "hook_pos_embed" or _INSIDE.fullmatch(source):
        return
    start, end = _SOURCE.fullmatch(source), _TARGET.fullmatch(target)
    last = f"blocks.{graph.n_layers - 1}.hook_resid_post"
    known = start is not None or source == "hook_embed"
    if not known or end is None or (end[2] == "hook_resid_post" and target != last):
        raise CircuitFileError(f"{path}: no edge here is {source} -> {target}.")
    heads = range(graph.n_heads) if start is None or start[3] is None else [int(start[3])]
    if start is None:
        sources = ["input"]
    elif start[2] == "hook_mlp_out":
        sources = [f"m{start[1]}"]
    else:
        sources = [f"a{start[1]}.h{head}" for head in heads]
    if target == last:
        wanted = "logits"
    else:
        wanted = f"m{end[1]}" if end[3] is None else f"a{end[1]}.h{end[4]}<{end[3]}>"
    yield from (f"{name}->{wanted}" for name in sources)
