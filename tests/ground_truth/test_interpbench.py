"""InterpBench's files: read as data, converted exactly, and refused where they cannot be."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.interpbench_files import (
    CONFIG,
    EDGES,
    OUR_EDGES,
    as_object,
    logits,
    weights,
    write_case,
)
from helpers.tiny_tasks import evaluate, values
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError, TaskDataError, UnsupportedModelError
from harness_circuits.evaluation.agreement import agreement
from harness_circuits.ground_truth.folder import truth_files
from harness_circuits.ground_truth.inert_pickle import Made, Named, read_inert
from harness_circuits.ground_truth.interpbench import read_config, read_edges
from harness_circuits.ground_truth.interpbench_folder import converted_case
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.loading.load import load_model
from harness_circuits.machine.cache import CACHE_VARIABLE

IDS = torch.randint(6, (3, 7), generator=torch.Generator().manual_seed(5))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner)
    ),
)
PAIRS = [
    {"clean": f"t1 t{a} t3", "corrupted": f"t1 t{b} t3", "choices": ["o0", "o1"]}
    | {"correct": [0], "incorrect": [1]}
    for a in range(6)
    for b in range(6)
    if a != b
]


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(6))
@settings(max_examples=30)
@given(value=PLAIN)
def test_plain_values_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, value: Any, protocol: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.pkl"
    assert read_inert(save(path, pickle.dumps(value, protocol=protocol))) == value


class Touch:
    """Pickles as a call that makes a file, if anything unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_what_would_run_is_only_noted(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    evil = pickle.dumps([Touch(made), torch.float32], protocol=protocol)
    call, dtype = read_inert(save(tmp_path / "evil.pkl", evil))
    early = protocol < 4  # those find a method by a call of getattr
    assert isinstance(call, Made) and call.call == ("" if early else "pathlib.Path.touch")
    assert dtype == Named("torch.float32")
    assert not made.exists()
    pickle.loads(evil)
    assert made.exists(), "the pickle would have run something"


def test_what_is_no_pickle_of_values_is_refused(tmp_path: Path) -> None:
    for content, message in (
        (b"no pickle", "is not a pickle that can be read as data"),
        (pickle.dumps(EDGES)[:-9], "is not a pickle that can be read as data"),
        (b"cos\nsystem\n(S'true'\nibuiltins\nlist\n.", "opcode INST is none"),
        (b"P1\n.", "opcode PERSID is none"),
        (b"(.", "is not a pickle"),
        (b"]]N\x86b.", "a state for what is no object"),
        (b"", "is empty"),
        (b"N" * (1 << 20) + b"..", "was not read"),
    ):
        with pytest.raises(CircuitFileError, match=message):
            read_inert(save(tmp_path / "x.pkl", content))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"act_fn": "relu", "use_attn_scale": False},
        {"normalization_type": "LNPre", "d_vocab_out": 6},
        {"normalization_type": "LN"},
        {"d_model": 10},  # heads wider together than the stream
        {"d_head": 1, "d_model": 7},
    ],
    ids=str,
)
def test_a_converted_model_has_the_originals_logits(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder, config = write_case(tmp_path / "case", **changes)
    wanted = logits(config, weights(config), IDS)
    model = load_model(str(folder), device="cpu", dtype="float64")
    with torch.no_grad():
        got = model.hf(IDS).logits
    own = config["d_vocab_out"] != config["d_vocab"]
    first = config["d_vocab"] if own else 0
    answers = got[..., first : first + config["d_vocab_out"]]
    torch.testing.assert_close(answers, wanted, atol=2e-5, rtol=0)  # weights are float32's
    others = torch.ones(got.shape[-1]).bool()
    others[first : first + config["d_vocab_out"]] = False
    assert (got[..., others] == -1e4).all()
    assert wanted.std() > 0.1


def test_every_form_of_the_configuration_is_read(tmp_path: Path) -> None:
    folder, _ = write_case(tmp_path / "case")
    wanted = read_config(folder)
    for protocol in (2, 4):
        (folder / "ll_model_cfg.pkl").write_bytes(as_object(CONFIG, protocol))
        assert read_config(folder) == wanted
    (folder / "ll_model_cfg.pkl").write_bytes(b"damaged")
    (folder / "ll_config.json").write_text(json.dumps({**CONFIG, "dtype": "torch.float32"}))
    assert read_config(folder) == wanted
    (folder / "ll_config.json").unlink()
    (folder / "ll_model_cfg.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(CircuitFileError, match=r"Write them as JSON to ll_model_cfg\.json beside"):
        read_config(folder)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"attention_dir": "bidirectional"},
            UnsupportedModelError,
            "attention_dir='bidirectional'",
        ),
        ({"act_fn": "solu_ln"}, UnsupportedModelError, "act_fn='solu_ln' cannot be run here"),
        ({"attn_only": True}, UnsupportedModelError, "attn_only=True cannot be run here"),
        ({"d_vocab_out": 1}, UnsupportedModelError, "a regression"),
        ({"normalization_type": "LN", "d_model": 10}, UnsupportedModelError, "with layer norms"),
        ({"n_layers": "2"}, CircuitFileError, "n_layers must be a positive whole number, got '2'"),
        ({"d_mlp": None}, CircuitFileError, "d_mlp must be a positive whole number, got None"),
        ({"attn_scale": "x"}, CircuitFileError, "attn_scale and eps must be numbers"),
    ],
    ids=str,
)
def test_what_cannot_be_computed_is_refused(
    tmp_path: Path, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    folder, _ = write_case(tmp_path / "case")
    (folder / "ll_model_cfg.pkl").write_bytes(pickle.dumps({**CONFIG, **changes}))
    with pytest.raises(kind, match=message):
        converted_case(folder)


def test_weights_are_checked_and_never_unpickled(tmp_path: Path) -> None:
    folder, _ = write_case(tmp_path / "case")
    torch.save({"embed.W_E": torch.zeros(5, 12)}, folder / "ll_model.pth")
    with pytest.raises(CircuitFileError, match=r"embed\.W_E is of shape \(5, 12\).*\(6, 12\)"):
        converted_case(folder)
    torch.save({}, folder / "ll_model.pth")
    with pytest.raises(CircuitFileError, match=r"embed\.W_E is missing"):
        converted_case(folder)
    torch.save([torch.zeros(2)], folder / "ll_model.pth")
    with pytest.raises(CircuitFileError, match="more than tensors by name"):
        converted_case(folder)
    torch.save({"x": Touch(tmp_path / "made")}, folder / "ll_model.pth")
    with pytest.raises(CircuitFileError, match="cannot be read as tensors"):
        converted_case(folder)
    assert not (tmp_path / "made").exists()


def graph() -> Graph:
    return Graph(n_layers=2, n_heads=4, n_kv_heads=4, d_model=24)


def test_edges_become_ours(tmp_path: Path) -> None:
    folder, _ = write_case(tmp_path / "case")
    assert np.array_equal(
        read_edges(folder, graph()).kept, Circuit.of_edges(graph(), OUR_EDGES).kept
    )
    write_case(tmp_path / "all", edges=[("blocks.0.attn.hook_result", "blocks.1.hook_resid_post")])
    every = [f"a0.h{head}->logits" for head in range(4)]
    found = read_edges(tmp_path / "all", graph())
    assert np.array_equal(found.kept, Circuit.of_edges(graph(), every).kept)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ({"a": 1}, "no list of edges"),
        ([("a",)], r"\('a',\) is no pair of hook names"),
        ([("hook_embed", 3)], "no pair of hook names"),
        ([("hook_embed", "blocks.0.hook_resid_post")], "no edge here is hook_embed -> blocks.0"),
        ([("blocks.0.mlp", "blocks.1.hook_mlp_in")], "no edge here is"),
        ([("hook_embed", "blocks.9.hook_mlp_in")], "m9"),
        ([("blocks.1.hook_mlp_out", "blocks.0.hook_mlp_in")], "does not come before"),
        ([("hook_pos_embed", "blocks.0.hook_mlp_in")], "no edge between two nodes"),
    ],
    ids=str,
)
def test_edges_that_are_none_are_refused(tmp_path: Path, edges: Any, message: str) -> None:
    folder, _ = write_case(tmp_path / "case", edges=edges)
    with pytest.raises(CircuitFileError, match=message):
        read_edges(folder, graph())


def test_a_case_runs_as_a_task(tmp_path: Path) -> None:
    folder, _ = write_case(tmp_path / "case")
    with pytest.raises(TaskDataError, match=r"InterpBench without pairs: put pairs\.jsonl beside"):
        truth_files(folder)
    rows = "".join(json.dumps(row) + "\n" for row in PAIRS)
    (folder / "pairs.jsonl").write_text(rows)
    lm = CircuitLM(pretrained=str(folder), sizes="0.1:1", bootstrap_iters=20, method="exact")
    task, metadata = "ground_truth_circuit", {"pretrained": str(folder)}
    found = values(evaluate(lm, [task], metadata=metadata), task)
    assert found["faithfulness@1"] == pytest.approx(1, abs=1e-4)
    assert 0 <= found["auroc"] <= 1
    (folder / "pairs.jsonl").write_text(rows.replace("t1 t0", "t1 a", 1))
    with pytest.raises(TaskDataError, match=r"line \d+: the model has no token for 'a'"):
        evaluate(lm, [task], metadata=metadata)


def test_words_can_be_given_and_are_checked(tmp_path: Path) -> None:
    folder, _ = write_case(tmp_path / "case")
    words = {"input": ["BOS", "PAD", *"abcd"], "output": ["A", "B", "C"]}
    (folder / "vocabulary.json").write_text(json.dumps(words))
    tokenizer = load_model(str(folder), device="cpu").tokenizer
    assert tokenizer.encode("BOS a b C") == [0, 2, 3, 8]
    for wrong in ({**words, "output": ["A", "B"]}, {**words, "output": ["a", "B", "C"]}):
        (folder / "vocabulary.json").write_text(json.dumps(wrong))
        with pytest.raises(CircuitFileError, match="6 input tokens and 3 answers of their own"):
            converted_case(folder)
    (folder / "vocabulary.json").write_text("[")
    with pytest.raises(CircuitFileError, match="is not JSON of the form"):
        converted_case(folder)


def test_whole_heads_count_once_with_their_largest_score() -> None:
    space = ScoreSpace(graph(), "edge")
    truth = Circuit.of_edges(graph(), ["input->a0.h1<q>"])
    shares = np.zeros(space.shape)
    shares[graph().edge_index("input->a0.h1<v>")] = -1.0
    apart = agreement(Scores(space, shares), truth)
    whole = agreement(Scores(space, shares), truth, whole_heads=True)
    assert apart["auroc"] < 0.6 and apart["recall@true_size"] < 0.1
    assert whole == {"auroc": 1.0, "auprc": 1.0, "recall@true_size": 1.0}
