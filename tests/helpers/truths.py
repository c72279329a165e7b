"""Hand-written models with their true circuits."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores
from harness_circuits.discovery import Discovery, Setup
from harness_circuits.formats import load_circuit_file
from harness_circuits.ground_truth import GROUND_TRUTH, TRUTH_FILE, ground_truth_folder
from harness_circuits.ground_truth.prompts import silent_example
from harness_circuits.loading.load import load_model
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.settings import Settings


@cache
def model(name: str) -> CircuitModel:
    return load_model(f"ground-truth:{name}", device="cpu")


def truth(name: str) -> Circuit:
    found = load_circuit_file(ground_truth_folder(name) / TRUTH_FILE, model(name).graph)
    assert isinstance(found, Circuit)
    return found


@cache
def scores(name: str, method: str, level: str = "edge") -> Scores:
    chosen = GROUND_TRUTH[name]
    if name == "backup":  # one kind of its pairs, where the backup head hides
        chosen = replace(chosen, example=silent_example)
    pairs = pairs_from_docs(chosen.documents(40), name)
    settings = Settings(method=method, level=level, sizes=(1.0,), bootstrap_iters=10)
    return Discovery.on(Setup(model(name), settings), pairs).scores()
