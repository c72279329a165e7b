"""What is found and kept: graph, scores, circuits, rankings and sizes. No model, no torch."""

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import LEVELS, Level, Scores, ScoreSpace
from harness_circuits.circuits.sizes import MIB_SIZES, check_sizes, parse_sizes, size_name

__all__ = [
    "LEVELS",
    "MIB_SIZES",
    "Circuit",
    "Graph",
    "Level",
    "Ranking",
    "Samples",
    "ScoreSpace",
    "Scores",
    "check_sizes",
    "parse_sizes",
    "size_name",
]
