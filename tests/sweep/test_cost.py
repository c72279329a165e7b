"""What a cell costs: the model's size from its configuration, and operations from passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.tiny_models import CONFIGS, random_hf

from harness_circuits.circuits.graph import Graph
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.settings import Settings
from harness_circuits.sweep.cost import ModelSize, cell_cost, model_size
from harness_circuits.sweep.tasks import TaskFacts

SIZE = ModelSize(1000, Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8))
TASK = TaskFacts(n_training=6, n_evaluation=4, characters=40.0, fingerprint="")


@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_graph_is_that_of_the_model_without_its_weights(
    architecture: str, tmp_path: Path
) -> None:
    hf = random_hf(architecture)
    hf.config.save_pretrained(tmp_path)
    for kv_heads in ("ungrouped", "grouped"):
        size = model_size({"pretrained": str(tmp_path), "kv_heads": kv_heads})
        assert size is not None
        assert size.n_parameters == sum(parameter.numel() for parameter in hf.parameters())
        assert size.graph == CircuitModel(hf, kv_heads=kv_heads).graph


def test_what_is_no_model_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    assert model_size({"pretrained": str(tmp_path)}) is None


def test_operations_are_two_per_parameter_and_token_of_every_pass() -> None:
    """EAP takes four passes per training pair; a clean, a corrupted run and the circuits follow."""
    settings = Settings(method="EAP", sizes=(0.5, 1.0), ranking="absolute")

    def operations(n_training: int, circuits: float) -> float:
        return pytest.approx(2 * 1000 * 10 * (n_training * 4 + 4 * (2 + circuits)))

    assert cell_cost(settings, SIZE, TASK) == operations(6, 2 * 1.1)
    assert cell_cost(replace(settings, n_discovery=3), SIZE, TASK) == operations(3, 2 * 1.1)
    assert cell_cost(replace(settings, null_circuits=2), SIZE, TASK) == operations(6, 6 * 1.1)
    assert cell_cost(replace(settings, level="node"), SIZE, TASK) == operations(6, 2 * 0.3)


def test_what_prompts_share_is_run_once_where_units_are_patched() -> None:
    settings, half = Settings(method="EAP"), replace(TASK, behind=0.5)
    assert cell_cost(settings, SIZE, half) == pytest.approx(cell_cost(settings, SIZE, TASK) / 2)
    zero = replace(settings, ablation="zero")
    assert cell_cost(zero, SIZE, half) == cell_cost(zero, SIZE, TASK)
