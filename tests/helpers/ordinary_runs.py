"""Ordinary tasks on a model in which a circuit stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness_circuits.harness.lm import CircuitLM

TEXTS = (
    "When Mary and John went to the store",
    "The war lasted from the year",
    "one two three red blue green",
    "The cat and dogs was in",
)


def lm(folder: Path, circuit: str, **arguments: Any) -> CircuitLM:
    options = {"ablation": "zero", "device": "cpu", **arguments}
    return CircuitLM(
        pretrained=str(folder / "model"), circuit=str(folder / f"{circuit}.safetensors"), **options
    )
