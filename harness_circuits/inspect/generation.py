"""Text that a circuit generates in the model's place, with log-probabilities of its tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from harness_circuits.harness.ordinary import OrdinaryTasks


@dataclass(frozen=True)
class How:
    """How text is generated; requests that agree in it can share a batch.

    Attributes:
        max_tokens: Tokens generated at most.
        temperature: 0 for the likeliest token at every step.
        top_p: Probability mass that is sampled from; None for all.
        top_k: Tokens that are sampled from; None for all.
        stop: Texts behind which generation ends.
        logprobs: How many alternatives each token's log-probability has beside it; None for no
            log-probabilities.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Those of `generate`."""
        if self.temperature == 0:
            # Said, because a model's own defaults warn where nothing is sampled.
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        chosen = {"top_p": self.top_p, "top_k": self.top_k}
        own = {name: value for name, value in chosen.items() if value is not None}
        return {"do_sample": True, "temperature": self.temperature, **own}


@dataclass(frozen=True)
class TokenLogProb:
    """A token, its natural log-probability, and the likeliest tokens in its place with theirs."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Generated:
    """What followed one prompt.

    Attributes:
        text: Without special tokens.
        input_tokens: Of the prompt, without padding.
        output_tokens: Generated, with the one that ended it.
        reason: `stop` at an end or a stop text, `max_tokens`, or `model_length`.
        logprobs: Of every generated token, if asked for.
        seconds: That the batch took.
    """

    text: str
    input_tokens: int
    output_tokens: int
    reason: Literal["stop", "max_tokens", "model_length"]
    logprobs: tuple[TokenLogProb, ...] = ()
    seconds: float = 0.0


class _StopTexts(StoppingCriteria):
    """Ends each row at the first of some texts, whatever tokens it is made of."""

    def __init__(self, tokenizer: Any, length: int, stop: Sequence[str]) -> None:
        self.tokenizer, self.length, self.stop = tokenizer, length, tuple(stop)

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        texts = self.tokenizer.batch_decode(input_ids[:, self.length :])
        ended = [any(stop in text for stop in self.stop) for text in texts]
        return torch.tensor(ended, device=input_ids.device)


def generate(ordinary: OrdinaryTasks, prompts: Sequence[str], how: How) -> list[Generated]:
    """Continue prompts with the circuit in use.

    Args:
        ordinary: The circuit and its model.
        prompts: Texts as the model is to read them.
        how: As above.

    Raises:
        CircuitError: There is no circuit, or it cannot be used.
    """
    started = time.perf_counter()
    model = ordinary.model
    assert model.reader is not None, "models are loaded with their tokenizers"
    encoded, limit = model.reader.encode_all(list(prompts)), model.reader.max_length
    fits = [at for at, ids in enumerate(encoded) if limit is None or len(ids) < limit]
    found = {
        at: Generated("", len(ids), 0, "model_length")
        for at, ids in enumerate(encoded)
        if at not in fits
    }
    with ordinary.in_use().installed(), torch.no_grad():
        while fits:
            length = max(len(encoded[at]) for at in fits)
            n = ordinary.rows_at_once(torch.empty((len(fits), length)))
            some, fits = fits[:n], fits[n:]
            rows = _rows(ordinary, [encoded[at] for at in some], how, started)
            found |= zip(some, rows, strict=True)
    return [found[at] for at in range(len(prompts))]


def _rows(
    ordinary: OrdinaryTasks, encoded: Sequence[Sequence[int]], how: How, started: float
) -> list[Generated]:
    """Continue some prompts in one run."""
    hf: Any = ordinary.model.hf
    tokenizer: Any = ordinary.model.tokenizer
    ends = _ends(hf)
    pad, length = ends[0] if ends else 0, max(map(len, encoded))
    ids = torch.tensor([[pad] * (length - len(row)) + list(row) for row in encoded])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in encoded])
    limit = ordinary.model.reader.max_length if ordinary.model.reader is not None else None
    most = how.max_tokens if limit is None else min(how.max_tokens, limit - length)
    stops = [_StopTexts(tokenizer, length, how.stop)] if how.stop else []
    output = hf.generate(
        input_ids=ids.to(ordinary.model.device),
        attention_mask=mask.to(ordinary.model.device),
        max_new_tokens=most,
        pad_token_id=pad,
        return_dict_in_generate=True,
        output_logits=how.logprobs is not None,
        stopping_criteria=StoppingCriteriaList(stops),
        **how.arguments(),
    )
    new = output.sequences[:, length:].cpu()
    found, seconds = [], time.perf_counter() - started
    for at, row in enumerate(new.tolist()):
        n, ended = _ended(row, tokenizer, ends, how.stop)
        text = str(tokenizer.decode(row[:n], skip_special_tokens=True))
        full: Literal["max_tokens", "model_length"]
        full = "max_tokens" if most == how.max_tokens else "model_length"
        logprobs: tuple[TokenLogProb, ...] = ()
        if how.logprobs is not None:
            logits = torch.stack([step[at] for step in output.logits[:n]])
            logprobs = _logprobs(logits, row[:n], how.logprobs, tokenizer)
        reason = "stop" if ended else full
        found.append(Generated(text, len(encoded[at]), n, reason, logprobs, seconds))
    return found


def _ends(hf: Any) -> list[int]:
    """The tokens that end a text."""
    own = hf.generation_config.eos_token_id
    own = hf.config.eos_token_id if own is None else own
    if own is None:
        return []
    return [int(token) for token in own] if isinstance(own, (list, tuple)) else [int(own)]


def _ended(
    row: Sequence[int], tokenizer: Any, ends: Sequence[int], stop: Sequence[str]
) -> tuple[int, bool]:
    """How many tokens of a row were generated, padding being none, and whether it came to an end."""
    first = next((at for at, token in enumerate(row) if token in ends), len(row))
    if any(text in str(tokenizer.decode(row[:first])) for text in stop):
        return first, True
    return (first + 1, True) if first < len(row) else (first, False)


def _logprobs(
    logits: Tensor, tokens: Sequence[int], n: int, tokenizer: Any
) -> tuple[TokenLogProb, ...]:
    """Log-probabilities of a row's tokens, from logits [step, vocabulary]."""
    all_of_them = torch.log_softmax(logits.double(), dim=-1)
    found = []
    for step, token in zip(all_of_them, tokens, strict=True):
        best, which = step.topk(n)
        pairs = zip(which.tolist(), best.tolist(), strict=True)
        top = tuple((str(tokenizer.decode([other])), value) for other, value in pairs)
        found.append(TokenLogProb(str(tokenizer.decode([token])), float(step[token]), top))
    return tuple(found)
