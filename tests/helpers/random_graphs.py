"""Hypothesis strategies: small graphs, score spaces, scores and circuits."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import LEVELS, Scores, ScoreSpace


@st.composite
def graphs(draw: st.DrawFn, max_layers: int = 3) -> Graph:
    """Graphs with and without grouped key/value heads, sequential and parallel."""
    n_kv_heads, group = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2), (1, 3), (2, 2)]))
    return Graph(
        n_layers=draw(st.integers(1, max_layers)),
        n_heads=n_kv_heads * group,
        n_kv_heads=n_kv_heads,
        d_model=draw(st.integers(1, 5)),
        parallel=draw(st.booleans()),
        d_mlp=draw(st.integers(1, 5)),
    )


@st.composite
def spaces(draw: st.DrawFn, levels: tuple[str, ...] = LEVELS, max_layers: int = 3) -> ScoreSpace:
    return ScoreSpace(draw(graphs(max_layers)), draw(st.sampled_from(levels)))  # type: ignore[arg-type]


@st.composite
def scores(draw: st.DrawFn, levels: tuple[str, ...] = LEVELS) -> Scores:
    """Scores, about half of them with many ties."""
    space = draw(spaces(levels))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = generator.standard_normal(space.shape)
    if draw(st.booleans()):
        values = np.round(values)
    return Scores(space, np.where(space.real, values, 0.0))


@st.composite
def circuits(draw: st.DrawFn, levels: tuple[str, ...] = LEVELS, max_layers: int = 3) -> Circuit:
    """Circuits of any density."""
    space = draw(spaces(levels, max_layers))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0]))
    return Circuit(space, (generator.random(space.shape) < density) & space.real)
