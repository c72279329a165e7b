"""What a cell costs: the model's size from its configuration, and operations from passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_models import CONFIGS, random_hf
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model
from torch import nn

from harness_circuits.circuits.graph import Graph
from harness_circuits.experiment import Experiment
from harness_circuits.loading.load import load_model
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair, pairs_from_docs
from harness_circuits.pairs.tokenise import tokenise_pair
from harness_circuits.settings import Settings
from harness_circuits.sweep.cost import PER_BATCH, ModelSize, cell_cost, model_size, split_work
from harness_circuits.sweep.tasks import TaskFacts

SIZE = ModelSize(1000, Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8))
TASK = TaskFacts(n_training=6, n_evaluation=4, characters=40.0, fingerprint="")
START = PER_BATCH * 2 * 1000  # operations of starting a batch of passes of the model


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
        reader = hf.get_output_embeddings().weight
        tied = reader is hf.get_input_embeddings().weight
        assert size.n_vocabulary == reader.numel()
        assert size.n_embeddings == reader.numel() * (1 if tied else 2)


def test_what_is_no_model_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    assert model_size({"pretrained": str(tmp_path)}) is None


def test_operations_are_two_per_parameter_and_token_of_every_pass() -> None:
    """EAP takes four passes per training pair; a clean, a corrupted run and the circuits follow."""
    settings = Settings(method="EAP", sizes=(0.5, 1.0), ranking="absolute")

    def operations(n_training: int, circuits: float) -> float:
        passes = n_training * 4 + 4 * (2 + circuits)
        return pytest.approx(2 * 1000 * 10 * passes + 2 * START)

    assert cell_cost(settings, SIZE, TASK) == operations(6, 2 * 1.1)
    assert cell_cost(replace(settings, n_discovery=3), SIZE, TASK) == operations(3, 2 * 1.1)
    assert cell_cost(replace(settings, null_circuits=2), SIZE, TASK) == operations(6, 6 * 1.1)
    assert cell_cost(replace(settings, level="node"), SIZE, TASK) == operations(6, 2 * 0.3)


def test_the_vocabulary_counts_where_logits_are_read(loaded: CircuitModel) -> None:
    """One read per pair here, and nothing for looking tokens up."""
    (known, _), plain = facts(loaded, 12), ModelSize(1000, loaded.graph)
    settings = Settings(method="EAP", sizes=(0.5,), ranking="absolute")
    bodiless = replace(plain, n_embeddings=1000, n_vocabulary=7)
    passes = 12 * 4 + 12 * (2 + 1.1)
    assert cell_cost(settings, bodiless, known) == pytest.approx(2 * 7 * passes)
    with_body = replace(plain, n_embeddings=400, n_vocabulary=7)
    body = cell_cost(settings, replace(plain, n_parameters=600), known)
    assert cell_cost(settings, with_body, known) == pytest.approx(body + 2 * 7 * passes)


def test_learning_costs_by_the_step_and_by_its_pairs(loaded: CircuitModel) -> None:
    (known, _), size = facts(loaded, 12), ModelSize(1000, loaded.graph)

    def cost(**options: int) -> float:
        chosen = Settings.from_arguments({"method": "MAttr", "objective": "match", **options})
        return cell_cost(chosen, size, known)

    base = cost(steps=10, pairs_per_step=4)
    more_steps, more_pairs = cost(steps=20, pairs_per_step=4), cost(steps=10, pairs_per_step=8)
    assert base < more_pairs < more_steps


@contextmanager
def counted_tokens(model: CircuitModel) -> Iterator[list[float]]:
    """Tokens that go through the blocks, a backward pass counted twice, over the number of blocks."""
    found, blocks = [0.0], [one for one in model.hf.modules() if type(one).__name__.endswith("MLP")]

    def forward(module: nn.Module, given: Any, output: Any) -> None:
        found[0] += output[..., 0].numel() / len(blocks)

    def backward(module: nn.Module, inwards: Any, outwards: Any) -> None:
        found[0] += 2 * outwards[0][..., 0].numel() / len(blocks)

    hooks = [block.register_forward_hook(forward) for block in blocks]
    hooks += [block.register_full_backward_hook(backward) for block in blocks]
    yield found
    for hook in hooks:
        hook.remove()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> CircuitModel:
    return load_model(str(save_tiny_model(tmp_path_factory.mktemp("model"), "llama")), device="cpu")


def facts(model: CircuitModel, n: int) -> tuple[TaskFacts, list[Pair]]:
    pairs = pairs_from_docs(documents(0, n), "tiny")
    read = [tokenise_pair(model.reader, pair, at, "tiny") for at, pair in enumerate(pairs)]
    return TaskFacts("", n, n, 40.0, "logit_diff", read, read), pairs


METHODS_OF_PASSES = [
    *("EAP", "EAP-IG-inputs", "EAP-IG-circuits", "CEAP", "RelP", "GIM", "clean-corrupted"),
    *("EAP-IG-activations", "information-flow-routes", "exact", "EAP-GP"),
]


@pytest.mark.parametrize("method", METHODS_OF_PASSES)
def test_the_work_of_discovery_is_foretold_within_a_factor_of_two(
    loaded: CircuitModel, method: str
) -> None:
    level = "node" if method == "exact" else "edge"
    settings = Settings.from_arguments({"method": method, "level": level, "bootstrap_iters": 0})
    (known, pairs), size = facts(loaded, 12), ModelSize(1, loaded.graph)
    with counted_tokens(loaded) as run:
        Experiment(loaded, settings, pairs, pairs).discovery.scores()
    rest = cell_cost(replace(settings, method="random", method_options={}), size, known) / 2
    shares = method not in ("EAP-GP", "information-flow-routes")
    started = PER_BATCH * split_work(settings, known, known.training, 12, shares).batches
    found = cell_cost(settings, size, known) / 2 - rest - started
    assert run[0] / 2 <= found <= run[0] * 2


def test_the_work_of_evaluation_is_foretold_within_a_factor_of_two(loaded: CircuitModel) -> None:
    sizes = (0.3, 0.5, 0.7, 0.9)
    settings = Settings(method="random", sizes=sizes, ranking="absolute", bootstrap_iters=0)
    (known, pairs), size = facts(loaded, 12), ModelSize(1, loaded.graph)
    with counted_tokens(loaded) as run:
        Experiment(loaded, settings, pairs, pairs).run()
    started = PER_BATCH * split_work(settings, known, known.evaluation, 12, True).batches
    found = cell_cost(settings, size, known) / 2 - started
    assert run[0] / 2 <= found <= run[0] * 2
