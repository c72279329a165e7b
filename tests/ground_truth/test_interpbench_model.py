"""InterpBench's models converted: the original's logits, in every form of its configuration."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.interpbench_files import (
    CONFIG,
    as_object,
    logits,
    weights,
    write_case,
)

from harness_circuits.errors import CircuitFileError, UnsupportedModelError
from harness_circuits.ground_truth.interpbench import read_config
from harness_circuits.ground_truth.interpbench_folder import converted_case
from harness_circuits.loading.load import load_model
from harness_circuits.machine.cache import CACHE_VARIABLE

IDS = torch.randint(6, (3, 7), generator=torch.Generator().manual_seed(5))


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


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
