"""Scores over the units of a graph, at one of four levels, and what each level's units are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from harness_circuits.circuits.display import frame, scores_html, unit_columns
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.span_paths import units_on_paths
from harness_circuits.circuits.spans import Spans
from harness_circuits.circuits.unit_names import crossing_name, index_of
from harness_circuits.errors import MismatchError, NumericalError, OptionError, shown

if TYPE_CHECKING:
    import pandas as pd

    from harness_circuits.circuits.circuit import Circuit

Level = Literal["edge", "node", "neuron", "mlp-neuron"]
LEVELS: tuple[Level, ...] = get_args(Level)
HIDDEN_UNITS: Level = "mlp-neuron"  # whose units are no parts of the residual stream
GRAPH_LEVELS = tuple(level for level in LEVELS if level != HIDDEN_UNITS)


@dataclass(frozen=True)
class ScoreSpace:
    """The units that can be kept or removed: a graph at one level.

    Attributes:
        graph: The model's graph.
        level: `edge` has units [src, dst], `node` [src], `neuron` [src, model]: the coordinates of
            nodes' outputs; `mlp-neuron` [layer, d_mlp]: the hidden units of MLPs, beside which
            everything else is always kept.
        spans: Where in prompts the units are, which makes edges [span, src, dst]; None for units
            that are the same at all tokens. Crossing edges are [query span, n_src + key span, dst].
        shape: Shape of an array with one entry per unit.
    """

    graph: Graph
    level: Level = "edge"
    spans: Spans | None = None
    shape: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise OptionError(f"Unknown level {shown(self.level)}. Known: {', '.join(LEVELS)}.")
        if self.spans is not None and self.level != "edge":
            raise OptionError(f"Circuits over positions are of edges, not of {self.level}s.")
        graph = self.graph
        if self.level == HIDDEN_UNITS and graph.d_mlp is None:
            raise OptionError(
                f"level={HIDDEN_UNITS} needs MLPs with hidden units that can be told apart, and "
                f"this graph has none: {graph}."
            )
        shapes = {
            "edge": (graph.n_src, graph.n_dst),
            "node": (graph.n_src,),
            "neuron": (graph.n_src, graph.d_model),
            HIDDEN_UNITS: (graph.n_layers, graph.d_mlp or 0),
        }
        shape = shapes[self.level]
        if self.spans is not None:
            further = len(self.spans) if self.spans.crossing else 0
            shape = (len(self.spans), graph.n_src + further, graph.n_dst)
        object.__setattr__(self, "shape", shape)

    @property
    def crossing(self) -> bool:
        """Whether crossing edges are units."""
        return self.spans is not None and self.spans.crossing

    @property
    def everywhere(self) -> ScoreSpace:
        """The same units without spans."""
        return replace(self, spans=None)

    @cached_property
    def real(self) -> Bool[np.ndarray, "*units"]:
        """True for units that exist: with spans, where a path leads to logits that are read."""
        if self.spans is not None:
            return units_on_paths(self.graph, self.spans)
        return self.graph.edge_mask if self.level == "edge" else np.ones(self.shape, dtype=bool)

    @property
    def n_units(self) -> int:
        """Number of units that exist."""
        if self.spans is not None:
            return int(self.real.sum())
        return self.graph.n_edges if self.level == "edge" else int(np.prod(self.shape))

    def n_at(self, size: float, *, published: bool = False) -> int:
        """Number of units at a size, a fraction of all units: rounded down, and at least 1.

        Args:
            size: The fraction.
            published: As MIB's code has it, which may be none at all, and one less where the
                product lies just below a whole number (0.29 of 100 is 28).

        Raises:
            OptionError: The size is not in (0, 1].

        >>> space = ScoreSpace(Graph(n_layers=2, n_heads=4, n_kv_heads=4, d_model=8))
        >>> space.n_units, space.n_at(0.05)
        (110, 5)
        """
        if not 0 < size <= 1:
            raise OptionError(f"A circuit size is a fraction in (0, 1], got {shown(size)}.")
        return int(size * self.n_units) if published else max(1, int(size * self.n_units + 1e-9))

    def unit_name(self, *at: int) -> str:
        """Name of the unit at an index.

        `a0.h1->m0`, `a0.h1`, `a0.h1[5]` for its neuron 5, or `m0.h[5]` for hidden unit 5; with spans
        `a0.h1->m0@S2`, and `a0.h1<v>@S1->S2` for a crossing edge from key span to query span.
        """
        if self.spans is not None:
            if at[1] >= self.graph.n_src:
                return crossing_name(self, *at)
            return f"{self.graph.edge_name(*at[1:])}@{self.spans.names[at[0]]}"
        if self.level == "edge":
            return self.graph.edge_name(*at)
        if self.level == HIDDEN_UNITS:
            return f"m{at[0]}.h[{at[1]}]"
        name = self.graph.source_names[at[0]]
        return name if self.level == "node" else f"{name}[{at[1]}]"

    def unit_index(self, name: str) -> tuple[int, ...]:
        """Index of a unit by the name that `unit_name` gives it.

        Raises:
            UnknownNameError: There is no such unit at this level.

        >>> ScoreSpace(Graph(n_layers=1, n_heads=2, n_kv_heads=2, d_model=8)).unit_index("input->m0")
        (0, 6)
        """
        return index_of(self, name)

    def ranked(self, values: Float[np.ndarray, "*units"]) -> Int[np.ndarray, "unit"]:
        """Flat indices of all units by some values, highest first; ties keep the indices' order."""
        units = np.flatnonzero(self.real)
        return units[np.argsort(-values.ravel()[units], kind="stable")]

    @property
    def scored_sources(self) -> slice:
        """The sources that units stand for, in the order of the units' first axis."""
        return self.graph.mlp_sources if self.level == HIDDEN_UNITS else slice(None)

    def shares(self, kept: Bool[np.ndarray, "*units"]) -> Float[np.ndarray, "src"]:
        """Which share of each source a circuit keeps; of edges, whether any leaves the source."""
        kept = kept if self.spans is None else np.asarray(self.edges_in(kept).any(axis=0))
        shares, rows = np.ones(self.graph.n_src), kept.reshape(len(kept), -1)
        shares[self.scored_sources] = rows.any(1) if self.level == "edge" else rows.mean(1)
        return shares

    def edges_in(self, units: np.ndarray) -> np.ndarray:
        """Those of an array [..., span, row, dst] that are edges and no crossing edges, as a view."""
        return units[..., : self.graph.n_src, :]

    def units_of(self, sources: Bool[np.ndarray, "src"]) -> Bool[np.ndarray, "*units"]:
        """The units that belong to some sources; edges belong to the source that they leave."""
        mine = sources[self.scored_sources]
        further = len(self.shape) - 1 - (self.spans is not None)
        whole = mine.reshape(-1, *[1] * further) & self.real
        return np.asarray(whole)


@dataclass(frozen=True)
class Scores:
    """One score per unit. Positive: corrupting the unit lowers the metric.

    Attributes:
        space: Graph and level.
        values: Float array of the space's shape, zero where no unit exists. The scale is the
            estimated loss of metric per example.
        provenance: Method, options, model, data: anything that says where the values come from.
        samples: Score sums per group of discovery examples, where they were kept.
        circuit: A circuit that the scores' file marks beside them (`in_graph`), which is written
            with them and plays no other part.
        standard_errors: Of each score, where the method estimates them; not negative.

    >>> space = ScoreSpace(Graph(n_layers=1, n_heads=2, n_kv_heads=2, d_model=8), "node")
    >>> scores = Scores(space, np.array([0.1, 0.9, 0.0, -0.4]))
    >>> {space.unit_name(at): float(value) for at, value in enumerate(scores.values)}
    {'input': 0.1, 'a0.h0': 0.9, 'a0.h1': 0.0, 'm0': -0.4}
    """

    space: ScoreSpace
    values: Float[np.ndarray, "*units"]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    samples: Samples | None = None
    circuit: Circuit | None = None
    standard_errors: Float[np.ndarray, "*units"] | None = None

    def __post_init__(self) -> None:
        if self.values.shape != self.space.shape:
            raise MismatchError(
                f"Scores of shape {self.values.shape} do not fit a graph whose {self.space.level} "
                f"scores have shape {self.space.shape}."
            )
        if self.samples is not None and self.samples.sums.shape[1:] != self.space.shape:
            raise MismatchError(
                f"Samples of shape {self.samples.sums.shape[1:]} do not fit scores of shape "
                f"{self.space.shape}."
            )
        errors = self.standard_errors
        if errors is not None and errors.shape != self.space.shape:
            raise MismatchError(
                f"Standard errors of shape {errors.shape} do not fit scores of shape "
                f"{self.space.shape}."
            )
        bad = ~np.isfinite(self.values) & self.space.real
        if bad.any():
            count, first = int(bad.sum()), self.space.unit_name(*np.argwhere(bad)[0])
            raise NumericalError(
                f"{count} of {self.space.n_units} {self.space.level} scores are not finite, "
                f"the first of {first}. "
                "Check the model's dtype (float16 overflows easily; use float32 or bfloat16)."
            )

    def everywhere(self) -> Scores:
        """The scores of edges without spans: sums over these, as the method alone gives them."""
        if self.space.spans is None:
            return self
        samples = self.samples
        if samples is not None:
            samples = Samples(self.space.edges_in(samples.sums).sum(axis=1), samples.sizes)
        values = self.space.edges_in(self.values).sum(axis=0)
        return Scores(self.space.everywhere, values, self.provenance, samples)

    def describe(self, **facts: Any) -> Scores:
        """Return the same scores with more provenance."""
        return replace(self, provenance={**self.provenance, **facts})

    def __getitem__(self, unit: str) -> float:
        """The score of a unit by its name: `a9.h6->logits`, `a9.h6`, or `a9.h6[5]` for its neuron 5.

        Raises:
            UnknownNameError: There is no such unit at this level.
        """
        return float(self.values[self.space.unit_index(unit)])

    def __repr__(self) -> str:
        return f"Scores({self.headline})"

    def _repr_html_(self) -> str:
        return scores_html(self)

    @property
    def headline(self) -> str:
        """Level, number of units, method and largest score, in a line."""
        ((at, score),) = self.strongest(1)
        method = self.provenance.get("method")
        said = f", {shown(method)[1:-1]}" if isinstance(method, str) else ""
        largest = f"largest {self.space.unit_name(*at)} {score:+.3g}"
        return f"{self.space.level}, {self.space.n_units:,} units{said}, {largest}"

    def to_frame(self) -> pd.DataFrame:
        """All units with their scores as a pandas DataFrame, in the order of the graph."""
        return self._frame(np.argwhere(self.space.real))

    def top(self, n: int = 10) -> pd.DataFrame:
        """The n units with the largest absolute scores as a pandas DataFrame, the largest first."""
        return self._frame(np.array([at for at, _ in self.strongest(n)]))

    def _frame(self, places: np.ndarray) -> pd.DataFrame:
        columns = unit_columns(self.space, places)
        names = [self.space.unit_name(*at) for at in places]
        return frame({**columns, "score": self.values[tuple(places.T)]}, names)

    def by_node(self) -> Scores:
        """Scores of the nodes: sums over the edges that leave each, or over its units; else 0.

        Of gradient methods these are the nodes' own scores, as what a node's output changes is the sum
        of what its edges change; of others, sums.

        >>> graph = Graph(n_layers=1, n_heads=1, n_kv_heads=1, d_model=8)
        >>> ones = Scores(ScoreSpace(graph), graph.edge_mask * 1.0)  # of input, a0.h0, m0
        >>> ones.by_node().values.tolist()
        [5.0, 2.0, 1.0]
        """
        nodes = ScoreSpace(self.space.graph, "node")
        values = np.zeros(nodes.shape)
        units = np.where(self.space.real, self.values, 0.0)
        units = units if self.space.spans is None else self.space.edges_in(units).sum(axis=0)
        values[self.space.scored_sources] = units.reshape(len(units), -1).sum(axis=1)
        return Scores(nodes, values, self.provenance)

    def strongest(self, n: int) -> list[tuple[tuple[int, ...], float]]:
        """The n units with the largest absolute scores: their indices and scores, the largest first."""
        first = self.space.ranked(np.abs(self.values))[:n]
        places = zip(*np.unravel_index(first, self.values.shape), strict=True)
        return [(tuple(map(int, at)), float(self.values[at])) for at in places]
