"""Hand-written models: what they do, what their weights say, what each method finds in them."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from helpers.environments import ROOT
from helpers.tiny_tasks import evaluate, values
from helpers.truths import model, scores, truth
from lm_eval.models.huggingface import HFLM

from harness_circuits.attribution import METHODS
from harness_circuits.evaluation.agreement import agreement
from harness_circuits.ground_truth import GROUND_TRUTH, ground_truth_folder
from harness_circuits.ground_truth.folder import tokenizer
from harness_circuits.ground_truth.models import ID
from harness_circuits.ground_truth.prompts import LETTERS, VOCABULARY
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.machine.cache import CACHE_VARIABLE

sys.path.insert(0, str(ROOT))
from benchmarks import ground_truth as table

NAMES = tuple(GROUND_TRUTH)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
    model.cache_clear()
    scores.cache_clear()


def score(name: str, method: str, edge: str) -> float:
    return float(scores(name, method).values[model(name).graph.edge_index(edge)])


def measures(name: str, method: str) -> dict[str, float]:
    return agreement(scores(name, method), truth(name))


def logits(name: str, prompts: list[tuple[str, ...]]) -> torch.Tensor:
    """The last logits of prompts of one length, from the HuggingFace model."""
    encode = tokenizer().encode
    with torch.no_grad():
        return model(name).hf(torch.tensor([encode(" ".join(p)) for p in prompts])).logits[:, -1]


@pytest.mark.parametrize("name", NAMES)
def test_models_do_their_task_exactly(name: str) -> None:
    generator, by_length = random.Random(1), {}
    for _ in range(1500):
        words, _, right, _ = GROUND_TRUTH[name].example(generator)
        assert right == GROUND_TRUTH[name].answer(words)
        by_length.setdefault(len(words), []).append(words)
    values = {"induction": 1.0, "reverse": 1.0, "backup": 1.0, "inhibition": 0.5}
    for prompts in by_length.values():
        got = logits(name, prompts)
        for row, words in zip(got, prompts, strict=True):
            answer = GROUND_TRUTH[name].answer(words)
            if name == "fraction":
                expected = torch.zeros(len(VOCABULARY))
                expected[ID["more"]], expected[ID["less"]] = words.count("x"), 5.0
            else:
                expected = torch.zeros(len(VOCABULARY))
                expected[ID[answer]] = values[name]
            torch.testing.assert_close(row, expected, atol=1e-5, rtol=0)


def test_induction_on_every_pattern_of_three_letters() -> None:
    prompts = [(a, b, c, q) for a in "abc" for b in "def" for c in LETTERS[6:] for q in (a, b)]
    best = logits("induction", prompts).argmax(-1).tolist()
    assert [VOCABULARY[i] for i in best] == [GROUND_TRUTH["induction"].answer(p) for p in prompts]


@pytest.mark.parametrize("name", NAMES)
def test_exact_patching_finds_the_whole_circuit(name: str) -> None:
    found = table.measures(name, "edge", ["exact"], 40)["exact"]
    assert found == {"auroc": 1.0, "auprc": 1.0, "recall@true_size": 1.0}


def test_the_documentation_has_what_its_command_finds() -> None:
    text = (ROOT / "docs" / "ground_truth.md").read_text()
    assert "\n    python -m benchmarks.ground_truth\n" in text
    for line in table.tables("edge", 200, ["exact"]):
        assert line in text
    # Rounding orders EAP's least scores, in its own way on every machine.
    found = [table.measures(name, "edge", ["EAP"], 200)["EAP"] for name in NAMES]
    for measure, title in table.MEASURES.items():
        row = re.search(r"^\| EAP \| (.*) \|$", text.partition(title)[2], re.MULTILINE)
        assert row is not None
        cells = [float(cell) for cell in row[1].split(" | ")]
        assert [one[measure] for one in found] == pytest.approx(cells, abs=0.02)
    methods = table.methods_at("edge")
    assert methods[0] == "exact" and set(methods) == set(METHODS)
    assert all(text.count(f"\n| {method} |") == len(table.MEASURES) for method in methods)


@pytest.mark.parametrize("name", ["fraction", "inhibition"])
def test_gradients_are_exact_where_the_model_is_linear(name: str) -> None:
    linear = np.ones(truth(name).kept.shape, dtype=bool)
    if name == "fraction":
        linear[model(name).graph.edge_index("input->m0")] = False
    for method in ("EAP", "EAP-IG-inputs"):
        got, expected = scores(name, method).values, scores(name, "exact").values
        np.testing.assert_allclose(got[linear], expected[linear], atol=2e-5)
        assert measures(name, method)["auroc"] == 1


def test_a_silent_neuron_hides_half_of_the_effect_from_eap() -> None:
    """The neuron for `x` has a gradient where the word is `x`, and none where it might become one."""
    assert 0 < score("fraction", "EAP", "input->m0") < 0.9 * score("fraction", "exact", "input->m0")


def test_the_inhibiting_heads_edges_are_negative() -> None:
    for method in ("exact", "EAP", "EAP-IG-inputs"):
        assert score("inhibition", method, "a1.h0->logits") == pytest.approx(-0.5 * 2, abs=1e-4)
        assert score("inhibition", method, "a0.h0->a1.h0<v>") == pytest.approx(-1, abs=1e-4)
        assert score("inhibition", method, "a0.h0->logits") == pytest.approx(2, abs=1e-4)


def test_saturated_attention_hides_queries_and_keys_from_eap_but_not_from_eap_ig() -> None:
    """At the clean prompt attention is one-hot, so that its gradient is nothing."""
    for edge in ("input->a1.h0<q>", "a0.h0->a1.h0<k>", "input->a0.h0<v>"):
        assert abs(score("induction", "EAP", edge)) < 1e-6
        assert score("induction", "exact", edge) > 0.1
    assert score("induction", "EAP", "input->a1.h0<v>") > 0.1
    assert measures("induction", "EAP")["recall@true_size"] < 1
    assert measures("induction", "EAP-IG-inputs")["auroc"] == 1


def test_a_step_that_is_a_threshold_hides_from_few_integration_steps() -> None:
    """In `reverse` a mark moves only when attention flips, half way: EAP-IG underrates its edges."""
    for edge in ("input->a0.h0<k>", "a0.h0->m0"):
        assert score("reverse", "exact", edge) > 0.1
        assert abs(score("reverse", "EAP", edge)) < 1e-6
        assert abs(score("reverse", "EAP-IG-inputs", edge)) < 1e-6
    assert measures("reverse", "EAP")["auroc"] < measures("reverse", "EAP-IG-inputs")["auroc"] < 1


def test_a_backup_head_hides_the_primary_heads_input_from_exact_patching() -> None:
    """Corrupting what head 0.0 reads silences it; head 1.0 then does its work, and nothing is lost."""
    assert score("backup", "exact", "input->a0.h0<v>") == pytest.approx(0, abs=1e-5)
    assert score("backup", "EAP", "input->a0.h0<v>") == pytest.approx(1, abs=1e-4)
    assert score("backup", "exact", "a0.h0->logits") == pytest.approx(1, abs=1e-4)
    assert measures("backup", "exact")["recall@true_size"] < 1


def test_the_backup_heads_own_edges_are_missed_by_exact_and_eap() -> None:
    for edge in ("input->a1.h0<v>", "a1.h0->logits"):
        for method in ("exact", "EAP"):
            assert score("backup", method, edge) == pytest.approx(0, abs=1e-6)
    assert measures("backup", "EAP")["recall@true_size"] < 1


def test_eap_ig_sees_the_backup_head_read_but_not_what_it_writes() -> None:
    """Integration silences head 0.0 half way, but the backup writes nothing in either run."""
    assert score("backup", "EAP-IG-inputs", "input->a1.h0<v>") > 0.1
    assert score("backup", "EAP-IG-inputs", "a1.h0->logits") == pytest.approx(0, abs=1e-6)


def test_the_backup_takes_over_when_its_trigger_is_removed() -> None:
    """Without the edge that tells it to rest, the backup adds its answer to the primary head's."""
    assert score("backup", "exact", "a0.h0->a1.h0<q>") == pytest.approx(-1, abs=1e-4)
    assert float(scores("backup", "exact", "node").values[1]) == pytest.approx(0, abs=1e-5)


def test_the_task_reports_agreement_under_lm_eval() -> None:
    task = "ground_truth_circuit"
    lm = CircuitLM(
        pretrained="ground-truth:induction", n_discovery=20, sizes="0.1:1", bootstrap_iters=20
    )
    metadata = {
        "pretrained": "ground-truth:induction",
        "n_train": 20,
        "n_validation": 0,
        "n_test": 9,
    }
    results = evaluate(lm, [task], metadata=metadata)
    found = values(results, task)
    assert found["acc"] == found["auroc"] == found["auprc"] == found["recall@true_size"] == 1
    assert results["higher_is_better"][task]["auroc"] is True
    assert found["faithfulness@1"] == pytest.approx(1, abs=1e-5)
    folder = str(ground_truth_folder("induction"))
    plain = HFLM(pretrained=folder, dtype="float32", device="cpu")
    given = {**metadata, "pretrained": folder}
    behaviour = values(evaluate(plain, [task], metadata=given), task)
    assert behaviour["acc"] == 1
    assert behaviour["loglikelihood_diff"] == pytest.approx(found["loglikelihood_diff"], abs=1e-4)
