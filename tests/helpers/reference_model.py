"""An independent reference in float64: a transformer in which every edge has a gate.

Nothing here uses `harness_circuits`. The arithmetic of each architecture is written out from the
weights of its HuggingFace modules (only embeddings, MLPs and the unembedding are called as they
are), and every destination v gets an input of its own:

    input of v = terms of no node + sum over u of  current_u + g_uv (replacement_u - current_u)

Where heads pass a post-norm, it is applied to the mixture of the heads, for every destination anew.
Sources are ordered input, then per layer its heads and its MLP; destinations per layer the queries,
keys and values of its heads and its MLP, then the logits. A gate is 0 for kept and 1 for replaced;
gates have the shape of the level: edge [src, dst], node [src], neuron [src, model]. With `spans`, the
span of every token, an edge has a gate per span: [span, src, dst]; and `run` takes gates of crossing
edges [query span, key span, dst], which say whether a block of a head's attention has the query, key or
value that the destination has where everything is replaced.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers.reference_attention import blocks, crossed_heads, heads
from helpers.reference_layers import LayerReader, ReferenceLayer
from torch import Tensor
from transformers import PreTrainedModel


@contextlib.contextmanager
def exact_float64() -> Iterator[None]:
    """Make transformers work in float64 where it hard-codes float32 (norms, softmax, rotary)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "float32", torch.float64)
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        yield


_BASE = {
    "gpt2": "transformer",
    "gptj": "transformer",
    "gpt_neo": "transformer",
    "falcon": "transformer",
    "gpt_neox": "gpt_neox",
    "opt": "model.decoder",
}
_FINAL = {
    **dict.fromkeys(("gpt2", "gptj", "gpt_neo", "falcon"), "ln_f"),
    **dict.fromkeys(("gpt_neox", "opt"), "final_layer_norm"),
    "phi": "final_layernorm",
}

FORMULAS = ("patching", "zero", "mean", "mean-positional")  # ablations that `replacement` knows


class Reference:
    """A HuggingFace model with gates.

    Attributes:
        layers: Its blocks.
        n_heads: Query heads per block.
        n_kv: Key and value destinations per block, `n_heads` unless `kv_heads="grouped"`.
        n_src: Number of sources.
        n_dst: Number of destinations.
        reader: What reads a model's blocks.
    """

    reader: type[LayerReader] = LayerReader
    spans: Tensor | None = None  # [batch, pos]

    def __init__(self, hf: PreTrainedModel, kv_heads: str = "ungrouped") -> None:
        self.hf = copy.deepcopy(hf).double().eval().requires_grad_(False)
        self.config: Any = hf.config
        read = self.reader(self.config, kv_heads)
        self.kind, self.n_heads, self.n_kv = read.kind, read.n_heads, read.n_kv
        self.base: Any = self.hf.get_submodule(_BASE.get(self.kind, "model"))
        self.parallel = self.kind in ("phi", "gptj") or any(
            getattr(self.config, name, False) for name in ("use_parallel_residual", "parallel_attn")
        )
        blocks = self.base.h if _BASE.get(self.kind) == "transformer" else self.base.layers
        self.layers = [read.layer(block, index) for index, block in enumerate(blocks)]
        self.n_src = 1 + len(blocks) * (self.n_heads + 1)
        self.block_dst = self.n_heads + 2 * self.n_kv + 1
        self.n_dst = len(blocks) * self.block_dst + 1
        self.final_norm = read.norm(getattr(self.base, _FINAL.get(self.kind, "norm")))
        self.d_model = int(self.config.hidden_size)

    # ---- the run

    def embed(self, ids: Tensor) -> Tensor:
        """What the input node puts out, [batch, pos, model]."""
        out: Tensor = self.hf.get_input_embeddings()(ids)
        return out

    def _positions(self, n: int) -> Tensor:
        """What learned position embeddings add, [pos, model]; they belong to no node."""
        if self.kind in ("gpt2", "gpt_neo"):
            return self.base.wpe.weight[:n]
        if self.kind == "opt":
            return self.base.embed_positions.weight[2 : n + 2]
        return torch.zeros(n, self.d_model, dtype=torch.float64)

    def run(
        self,
        ids: Tensor,
        gates: Tensor | None = None,
        replacement: Tensor | None = None,
        *,
        delta: Tensor | None = None,
        embedded: Tensor | None = None,
        crossings: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits at the last position [batch, vocab] and source outputs [src, batch, pos, model].

        Args:
            ids: Prompts [batch, pos].
            gates: Gates of any level; None: all 0.
            replacement: What replaces each source's output, [src, batch or 1, pos or 1, model].
            delta: Instead of a replacement, what a gate of 1 adds to each source's output.
            embedded: The input node's output, where it is not that of the prompts.
            crossings: Gates of crossing edges; `replacement` says what is replaced by what.
        """
        if gates is None:
            gates, delta = self.gates("node"), torch.zeros(self.n_src, 1, 1, 1)
        gate = _Gates(self, gates, replacement, delta)
        x = self.embed(ids) if embedded is None else embedded
        constant = self._positions(ids.shape[1])[None].expand_as(x)
        current = [x]
        for index, layer in enumerate(self.layers):
            start = index * self.block_dst
            n_in = len(current)
            columns = range(start, start + self.block_dst - 1)
            inputs = self._inputs(current, constant, gate, columns)
            if crossings is None:
                current += self._heads(layer, inputs)
            else:
                ones = torch.ones(self.n_src, dtype=torch.float64)
                replaced = _Gates(self, ones, replacement, None)
                other = self._qkv(layer, self._inputs(current, constant, replaced, columns))
                assert self.spans is not None
                gates_of_blocks = blocks(crossings[:, :, columns.start : columns.stop], self)
                current += crossed_heads(layer, self._qkv(layer, inputs), other, gates_of_blocks)
            seen = current[:n_in] if self.parallel else current
            mlp = start + self.block_dst - 1
            current.append(
                layer.mlp(self._inputs(seen, constant, gate, range(mlp, mlp + 1))[:, :, 0])
            )
        last = self._inputs(current, constant, gate, range(self.n_dst - 1, self.n_dst))[:, -1, 0]
        logits = self.hf.get_output_embeddings()(self.final_norm(last))
        if self.kind == "gemma2" and (cap := self.config.final_logit_softcapping):
            logits = cap * torch.tanh(logits / cap)
        return logits, torch.stack(current)

    def _inputs(
        self, current: list[Tensor], constant: Tensor, gate: _Gates, columns: range
    ) -> Tensor:
        """Inputs of some destinations, [batch, pos, dst, model]."""
        mixed = [gate.mix(source, value, columns) for source, value in enumerate(current)]
        total = constant[:, :, None] + mixed[0]
        step = self.n_heads + 1
        for index, layer in enumerate(self.layers):
            heads = mixed[1 + index * step : index * step + step]
            if not heads:
                break
            attention = torch.stack(heads).sum(0)
            attention = attention if layer.b_o is None else attention + layer.b_o
            post = layer.post_attention
            total = total + (attention if post is None else post(attention))
            if len(mixed) > (index + 1) * step:
                total = total + mixed[(index + 1) * step]
        return total

    def _heads(self, layer: ReferenceLayer, inputs: Tensor) -> list[Tensor]:
        """Every head's output, [batch, pos, model], from the inputs of its query, key and value."""
        return heads(layer, *self._qkv(layer, inputs))

    def _qkv(self, layer: ReferenceLayer, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values as the softmax and the mixture take them."""
        normed = layer.norm(inputs)
        parts = torch.split(normed, [self.n_heads, self.n_kv, self.n_kv], dim=2)
        values = []
        for name, part in zip("qkv", parts, strict=True):
            weight, bias = layer.weights[name]
            out = torch.einsum("bphm,hdm->bphd", part, weight)
            out = out if bias is None else out + bias
            values.append(out if layer.clip is None else out.clamp(-layer.clip, layer.clip))
        q, k, v = values
        q, k = self._rotate(layer.norm_q(q)), self._rotate(layer.norm_k(k))
        k, v = (x.repeat_interleave(self.n_heads // self.n_kv, dim=2) for x in (k, v))
        return q, k, v

    def _rotate(self, x: Tensor) -> Tensor:
        """Rotary embedding of [batch, pos, head, d_head], or of its first part only."""
        if self.kind in ("gpt2", "gpt_neo", "opt"):
            return x
        if self.kind == "gptj":
            return self._rotate_neighbours(x)
        rotary = self.base.rotary_emb
        angles = torch.arange(x.shape[1])[:, None] * rotary.inv_freq.double()
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        cos, sin = (f(angles) * rotary.attention_scaling for f in (torch.cos, torch.sin))
        turned, rest = x[..., : angles.shape[-1]], x[..., angles.shape[-1] :]
        first, second = turned.chunk(2, dim=-1)
        return torch.cat((turned * cos + torch.cat((-second, first), dim=-1) * sin, rest), dim=-1)

    def _rotate_neighbours(self, x: Tensor) -> Tensor:
        """GPT-J turns numbers 0 and 1, 2 and 3, ... of a head into each other."""
        table = self.base.h[0].attn.embed_positions[: x.shape[1], None]  # rounded to float32
        sin, cos = table.chunk(2, dim=-1)
        turned, rest = x[..., : table.shape[-1]], x[..., table.shape[-1] :]
        even, odd = turned[..., ::2], turned[..., 1::2]
        both = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1)
        return torch.cat((both.flatten(-2), rest), dim=-1)

    # ---- replacements and gates

    def outputs(self, ids: Tensor) -> Tensor:
        """Source outputs of the model as it is, [src, batch, pos, model]."""
        with torch.no_grad():
            return self.run(ids)[1]

    def replacement(
        self, ablation: str, corrupted: Tensor, training: Tensor | None = None
    ) -> Tensor:
        """What an ablation puts in place of each source's output, [src, batch, pos, model].

        Args:
            ablation: One of `FORMULAS`.
            corrupted: Corrupted prompts.
            training: Prompts to take means over.
        """
        assert ablation in FORMULAS, f"the reference has no formula for {ablation}: give it one"
        if ablation == "patching":
            return self.outputs(corrupted)
        if ablation == "zero":
            return torch.zeros(self.n_src, *corrupted.shape, self.d_model, dtype=torch.float64)
        assert training is not None
        axes = (1, 2) if ablation == "mean" else (1,)
        mean = self.outputs(training).mean(axes, keepdim=True)
        return mean.expand(-1, *corrupted.shape, -1)

    def exists(self) -> Tensor:
        """Which edges exist, [src, dst]: the source has run when the destination reads."""
        result = torch.zeros(self.n_src, self.n_dst, dtype=torch.bool)
        step = self.n_heads + 1
        for index in range(len(self.layers)):
            block = slice(index * self.block_dst, (index + 1) * self.block_dst)
            result[: 1 + index * step, block] = True
            if not self.parallel:
                result[: 1 + index * step + self.n_heads, block.stop - 1] = True
        result[:, -1] = True
        return result

    def gates(self, level: str) -> Tensor:
        """Gates of a level, all 0."""
        edge: tuple[int, ...] = (self.n_src, self.n_dst)
        if self.spans is not None:
            edge = (int(self.spans.max()) + 1, *edge)
        shape = {"edge": edge, "node": (self.n_src,)}
        return torch.zeros(shape.get(level, (self.n_src, self.d_model)), dtype=torch.float64)


class _Gates:
    """Mixes a source's output for a range of destinations."""

    def __init__(
        self, reference: Reference, gates: Tensor, replacement: Tensor | None, delta: Tensor | None
    ) -> None:
        n_src, n_dst, d_model = reference.n_src, reference.n_dst, reference.d_model
        assert n_dst != d_model, "an edge's gates could not be told from a neuron's"
        views = {(n_src,): (..., None, None), (n_src, n_dst): (..., None)}
        views[n_src, d_model] = (slice(None), None)  # type: ignore[assignment]
        shape = (n_src, n_dst, d_model)
        self.replacement, self.delta = replacement, delta
        if gates.ndim == 3:
            self.gates = gates[reference.spans].movedim((2, 3), (0, 1))  # [src, dst, batch, pos]
        else:
            self.gates = gates[views[tuple(gates.shape)]].expand(shape)

    def mix(self, source: int, current: Tensor, columns: range) -> Tensor:
        """The source's mixture [batch, pos, dst, model]."""
        gate = self.gates[source, columns.start : columns.stop]
        if self.delta is not None:
            change = self.delta[source]
        else:
            assert self.replacement is not None
            change = self.replacement[source] - current
        if gate.ndim == 3:
            gate = gate.permute(1, 2, 0)[..., None]  # [batch, pos, dst, 1]
        return current[:, :, None] + gate * change[:, :, None]
