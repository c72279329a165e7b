"""Prompts with spans, a reference that has gates at them, and circuits over them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from helpers.reference import Reference
from helpers.reference_cases import PAIRS, exact_case
from jaxtyping import Int

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.circuits.spans import Spans
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.tokenise import TokenPair

LOGIT_DIFF = METRICS.get("logit_diff")
LABELS = (
    ("rest0", "A", "B", "rest1", "rest1", "END"),
    ("rest0", "B", "A", "A", "rest1", "END"),
    ("A", "rest0", "rest0", "B", "END", "END"),
)
SPANNED = [replace(p, spans=labels) for p, labels in zip(PAIRS, LABELS, strict=True)]
SPANS = Spans.of(LABELS)


def one_batch(pairs: list[TokenPair] = SPANNED, spans: Spans = SPANS) -> Batch:
    """All pairs in one batch, no prefix shared."""
    (batch,) = make_batches(pairs, len(pairs), share_prefix=False, spans=spans)
    return batch


@contextmanager
def spanned_case(name: str) -> Iterator[tuple[CircuitModel, Reference]]:
    """A model, and its reference with gates per span."""
    with exact_case(name) as case:
        reference = copy.copy(case.reference)
        reference.spans = one_batch().clean.spans
        yield case.model, reference


def random_circuits(space: ScoreSpace, n: int = 2) -> list[Circuit]:
    """Circuits of about half of all units."""
    generator = np.random.default_rng(0)
    return [Circuit(space, space.real & (generator.random(space.shape) < 0.5)) for _ in range(n)]


def without_one(space: ScoreSpace, units: Int[np.ndarray, "n"], n: int) -> list[Circuit]:
    """Circuits that each lack one of some units."""
    circuits = []
    for unit in np.random.default_rng(1).choice(units, n, replace=False):
        kept = space.real.copy()
        kept.flat[unit] = False
        circuits.append(Circuit(space, kept))
    return circuits
