"""A Hugging Face model taken apart into the nodes of the graph; it knows no passes."""

from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.inputs import Inputs
from harness_circuits.models.layer import Layer
from harness_circuits.models.text_reader import TextReader

__all__ = ["CircuitModel", "Inputs", "Layer", "TextReader"]
