"""How many pairs go into one pass, or texts into one call, so that memory stays within a bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import psutil
import torch

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.hidden import mlp_width
from harness_circuits.pairs.answer_tree import answer_tree
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.passes.contract import CHUNK_BYTES
from harness_circuits.passes.crossing_scores import bytes_per_row

SHARE_OF_FREE = 0.25
SHARE_USED = 0.8  # of the bound: the rest is what allocators lose and hold back
MOST_TOKENS = 4096  # larger passes gain nothing on a CPU
PATCHED_TOKENS = 4096  # of one pass of `exact` and of AtP-star's QK fix


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a method holds beside what every run with gradients does.

    Attributes:
        runs: Runs with gradients per batch whose norm corrections are kept together, as scores of
            edges need. (Models with post-norms keep one at a time, and are not told apart.)
        patched: Units are patched one by one, `PATCHED_TOKENS` a pass whatever the batch.
        crossing: Crossing edges between spans are units.
        more: What else it keeps: each gives, for a model, bytes per token and bytes whatever the
            batch.
        fixed: Bytes whatever the batch and the model.
    """

    runs: int = 1
    patched: bool = False
    crossing: bool = False
    more: tuple[Callable[[CircuitModel], tuple[int, int]], ...] = ()
    fixed: int = 0

    @staticmethod
    def of_all(several: Iterable[Needs]) -> Needs:
        """What methods that run one after the other need."""
        found = list(several)
        return Needs(
            runs=max(needs.runs for needs in found),
            patched=any(needs.patched for needs in found),
            crossing=any(needs.crossing for needs in found),
            more=tuple(dict.fromkeys(one for needs in found for one in needs.more)),
            fixed=max(needs.fixed for needs in found),
        )


NOTHING_MORE = Needs()


def pairs_per_pass(
    model: CircuitModel,
    pairs: Sequence[TokenPair],
    max_memory: int | None,
    sharing: int = 1,
    needs: Needs = NOTHING_MORE,
) -> int:
    """Largest number of pairs whose passes fit the bound.

    Args:
        model: The model.
        pairs: All pairs that will be run.
        max_memory: Bytes beside the model; by default a quarter of what is free.
        sharing: Processes that divide what is free among them.
        needs: What the method holds.

    Raises:
        OptionError: Not even one pair fits.
    """
    longest = max(len(pair.clean) + len(answer_tree(pair.answers).tokens) for pair in pairs)
    bound = memory_bound(model, max_memory, sharing)
    per_pair = longest * bytes_per_token(model, longest, needs.runs)
    contracted = longest * _contracted(model)
    fixed = PATCHED_TOKENS * patched_bytes_per_token(model, longest) if needs.patched else 0
    fixed += needs.fixed
    if needs.crossing:
        per_pair += longest * _crossing(model)
        fixed += max(CHUNK_BYTES, bytes_per_row(model, longest))
    for more in needs.more:
        per_token, whatever = more(model)
        per_pair += longest * per_token
        fixed += whatever
    room = int(bound * SHARE_USED) - fixed
    # The contraction takes as much as its tokens need, or a full chunk.
    n = max(room // (per_pair + contracted), (room - CHUNK_BYTES) // per_pair)
    if n < 1:
        raise OptionError(
            f"One pair of {longest} tokens needs about {(fixed + per_pair) / 2**30:.2f} GiB beside the "
            f"model, max_memory allows {bound / 2**30:.2f} GiB. Raise max_memory, or use shorter prompts."
        )
    return max(1, min(n, MOST_TOKENS // longest))


def scores_bytes(space: ScoreSpace) -> int:
    """What score sums and scores over spans hold, in float64; without spans they are not counted."""
    return 0 if space.spans is None else 3 * 8 * math.prod(space.shape)


def memory_bound(model: CircuitModel, max_memory: int | None, sharing: int = 1) -> int:
    """Bytes that passes may use beside the model; arguments as in `pairs_per_pass`."""
    if max_memory is not None:
        return max_memory
    return int(free_memory(model.device) * SHARE_OF_FREE / sharing)


def rows_per_call(model: CircuitModel, circuit: Circuit, length: int, bound: int) -> int:
    """Largest number of texts that an installed circuit runs at once within the bound.

    Args:
        model: The model.
        circuit: The circuit.
        length: Tokens of each text, padding included.
        bound: Bytes beside the model.

    Raises:
        OptionError: Not even one text fits.
    """
    per_text = length * installed_bytes_per_token(model, circuit)
    n = int(bound * SHARE_USED) // per_text
    if n < 1:
        raise OptionError(
            f"One text of {length} tokens needs about {per_text / 2**30:.2f} GiB beside the model when "
            f"it runs on this circuit, max_memory allows {bound / 2**30:.2f} GiB. Raise max_memory, or "
            "use shorter texts (fewer few-shot examples, or max_length=)."
        )
    return n


def installed_bytes_per_token(model: CircuitModel, circuit: Circuit) -> int:
    """Estimated peak use per token of a call of a model in which a circuit is installed.

    An edge circuit holds one residual-sized difference per kept source, and twice the inputs of a
    block's destinations, and in post-norm models what norms mix heads from; all hold the key/value cache,
    an MLP's activations and the logits.
    """
    graph = model.graph
    config = model.hf.config.get_text_config()
    kept = int(circuit.edges.any(axis=1).sum()) if circuit.space.level == "edge" else 0
    residuals = kept + 2 * graph.destinations_per_layer + 12
    residuals += _post_norm_terms(model) * min(kept + graph.n_layers, graph.n_src - 1)
    cache = 2 * graph.n_layers * graph.n_heads * model.layers[0].d_head
    other = 4 * _mlp_width(model) + int(config.vocab_size)
    return _bytes(model) * (graph.d_model * residuals + cache + other)


def bytes_per_token(model: CircuitModel, length: int, runs: int = NOTHING_MORE.runs) -> int:
    """Estimated peak use per token of one discovery or evaluation pass.

    Evaluation holds one residual-sized difference per source and one input per destination of a
    block, beside the ablated stream, and in post-norm models what norms mix heads from. Discovery
    holds what autograd keeps per block, and a residual per block and run, in the dtype of sums, which
    was seen to cost twice its size. At level `mlp-neuron` both hold hidden units.
    """
    graph = model.graph
    mlp = _mlp_width(model)
    vocabulary = int(model.hf.config.get_text_config().vocab_size)
    terms = _post_norm_terms(model) * (graph.n_src - 1)
    evaluation = graph.d_model * (graph.n_src + terms + 3 * graph.n_heads + 12 * graph.n_layers)
    attention = 3 * graph.n_heads * length
    discovery = graph.n_layers * (22 * _width(model) + 5 * mlp + attention)
    corrections = graph.n_layers * 2 * runs * graph.d_model * _sum_bytes(model)
    most = max(_bytes(model) * evaluation, _bytes(model) * discovery + corrections)
    most += _hidden_bytes(model)
    return most + _bytes(model) * (2 * vocabulary // length)


def _post_norm_terms(model: CircuitModel) -> int:
    """How often edge circuits of post-norm models hold heads' differences more: in what norms mix."""
    return int(model.layers[0].post_attention is not None)


def patched_bytes_per_token(model: CircuitModel, length: int) -> int:
    """Estimated peak use per token of a pass without gradients in which units are patched."""
    graph = model.graph
    return _bytes(model) * (32 * _width(model) + 3 * graph.n_heads * length)


def _crossing(model: CircuitModel) -> int:
    """Bytes per token of what the scores of crossing edges keep of all layers.

    Gradients at heads' mixed values and their sums, what attention reads in the clean run, and the
    run in which everything is replaced.
    """
    graph = model.graph
    heads = graph.n_heads * model.layers[0].d_head * (_bytes(model) + _sum_bytes(model))
    return graph.n_layers * (heads + 5 * graph.d_model * _bytes(model))


def _contracted(model: CircuitModel) -> int:
    """Bytes per token of the contraction's operands."""
    rows = model.graph.n_src + model.graph.destinations_per_layer
    return rows * model.graph.d_model * _sum_bytes(model)


def _width(model: CircuitModel) -> int:
    """The residual stream's width, or that of all heads together where they are wider."""
    return max(model.graph.d_model, model.graph.n_heads * model.layers[0].d_head)


def _mlp_width(model: CircuitModel) -> int:
    graph = model.graph
    return graph.d_mlp or mlp_width(model.hf.config.get_text_config(), graph.d_model)


def _hidden_bytes(model: CircuitModel) -> int:
    """Bytes per token of hidden units: replaced, clean, their differences and gradients."""
    if not model.keeps_hidden:
        return 0
    width = 3 * _bytes(model) + _sum_bytes(model)
    return model.graph.n_layers * _mlp_width(model) * width


def _bytes(model: CircuitModel) -> int:
    """Bytes of one number of the residual stream."""
    return torch.finfo(model.dtype).bits // 8


def _sum_bytes(model: CircuitModel) -> int:
    """Bytes of one number of score sums."""
    return torch.finfo(model.sum_dtype).bits // 8


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
