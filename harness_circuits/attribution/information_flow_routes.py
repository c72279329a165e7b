"""Information flow routes (Ferrando and Voita 2024, arXiv 2403.00824).

One clean run, no gradients, no replacement: an edge matters as far as its source's output a_u lies
close to the destination's input x_v, relative to all other sources of v:

    proximity(u, v) = max(0, |x_v|_1 - |x_v - a_u|_1)
    score(u -> v)   = mean over examples and prompt positions of  proximity / its sum over u

Scores are never negative, and those into one destination add up to at most 1. Where no source is
close to the input (early layers, where the input may be mostly position embedding, which belongs
to no node) proximities are all zero and their shares undefined. EAP-IG's code gives NaN there; here
that position counts as a share of 0 for every source.

All head inputs of a layer read the same residual stream in the clean run, so that their columns
are equal. In post-norm models (Gemma 2 and 3, OLMo 2) `head_outputs=raw` takes heads before that
norm, as EAP-IG's code and MIB do, although this is not what the stream receives;
`head_outputs=normed` scales each head as the norm scales the heads' sum, so that the sources add up
to the stream. Elsewhere the two are the same. Tokens are worked through in chunks of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.options import Option
from harness_circuits.options.kinds import Choice
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.contract import Delta, fill, tokens_per_chunk
from harness_circuits.passes.native import OUTPUTS, Tapped, outputs_of, record

HEAD_OUTPUTS = ("raw", "normed")


def information_flow_routes(job: Job, *, head_outputs: str) -> Scores:
    """Score by the share of each source in the input of each destination, on clean prompts.

    Args:
        job: Model and data; the metric and the ablation play no part.
        head_outputs: In post-norm models, whether heads are taken before the norm (`raw`) or as
            scaled by it (`normed`).

    Raises:
        OptionError: `head_outputs` is neither.
    """
    sums = job.sums()
    for batch in job.watched("discovery", sums):
        _add_batch(job.model, batch, sums.total, normed=head_outputs == "normed")
    return job.scores(sums)


def _add_batch(
    model: CircuitModel, batch: Batch, total: Float[Tensor, "src dst"], *, normed: bool
) -> None:
    """Add one batch's sums over examples."""
    points = (*OUTPUTS, "mlp_in", "final", "attention")
    seen, _ = record(model, batch.clean.unread(), points)
    outputs = outputs_of(model, batch.clean, seen)

    def flat(x: Tensor) -> Tensor:
        """Prompt tokens: appended answer tokens are no part of the prompt."""
        return x[:, : batch.n_prompt].to(model.sum_dtype).flatten(0, 1)

    parts = Delta(
        flat(outputs.embedded),
        [flat(mixed) for mixed in outputs.mixed],
        [flat(mlp) for mlp in outputs.mlp],
    )
    graph, n_tokens = model.graph, parts.embedded.shape[0]
    step = tokens_per_chunk(model, n_tokens, 2 * graph.n_src)
    cropped = {layer: x[:, : batch.n_prompt] for layer, x in seen["attention"].items()}
    attention = cropped if normed else None
    for first in range(0, n_tokens, step):
        tokens = slice(first, min(first + step, n_tokens))
        rows = parts.embedded.new_empty((graph.n_src, tokens.stop - first, graph.d_model))
        fill(model, parts, tokens, rows, attention, post_norm="frozen" if normed else "skipped")
        for columns, visible, x in _inputs(model, seen):
            share = _shares(flat(x)[tokens], rows[:visible]).sum(1, keepdim=True)
            total[:visible, columns] += (share / batch.n_prompt).to(total.dtype)


def _inputs(model: CircuitModel, seen: Tapped) -> Iterator[tuple[slice, int, Tensor]]:
    """Distinct inputs: the columns that read them, how many sources these see, the input."""
    graph = model.graph
    for layer in range(graph.n_layers):
        columns, mlp = graph.attention_slice(layer), graph.mlp_destination(layer)
        yield columns, int(graph.n_visible[columns.start]), seen["block_in"][layer]
        yield slice(mlp, mlp + 1), int(graph.n_visible[mlp]), seen["mlp_in"][layer]
    yield slice(graph.n_dst - 1, graph.n_dst), graph.n_src, seen["final"][graph.n_layers - 1]


def _shares(
    x: Float[Tensor, "token model"], outputs: Float[Tensor, "src token model"]
) -> Float[Tensor, "src token"]:
    """Proximity of every output to the input, as shares that add up to 1, or to 0 if all are 0."""
    far = torch.linalg.vector_norm(x - outputs, ord=1, dim=-1)
    near = (torch.linalg.vector_norm(x, ord=1, dim=-1) - far).clamp(min=0)
    sums = near.sum(0)
    share: Tensor = near / sums.where(sums > 0, 1)
    return share


METHODS.register("information-flow-routes", also=("IFR", "IFRs"))(
    Method(
        function=information_flow_routes,
        options={
            "head_outputs": Option(Choice(HEAD_OUTPUTS), "raw", "head outputs in post-norm models")
        },
        levels=("edge",),
        gradients=False,
        whole_prompts=True,
        passes=lambda space, options: 1,
        source="Ferrando and Voita 2024, arXiv 2403.00824",
    )
)
