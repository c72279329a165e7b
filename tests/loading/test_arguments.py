"""Arguments of the loader, by their kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.gguf_files import write_tiny_gguf

from harness_circuits.errors import OptionError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.loading.load import check_dtype, load_model, resolve


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder, made from a GGUF file by `load_model` itself."""
    path = write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    return Path(resolve(str(path))[0])


@pytest.mark.parametrize(
    "word", ["no", "off", "n", "f", "null", "never", "disabled", "0", 0, "yes"]
)
def test_only_true_and_false_say_whether_a_models_code_runs(tmp_path: Path, word: Any) -> None:
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    with pytest.raises(OptionError, match=r"^trust_remote_code is true or false, got "):
        load_model(str(tmp_path), trust_remote_code=word)
    with pytest.raises(OptionError, match=r"^trust_remote_code is true or false, got "):
        CircuitLM(pretrained=str(tmp_path), trust_remote_code=word)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dtype": "float8"},
            "dtype is one of auto, float32, float64, bfloat16, float16, got 'float8'.",
        ),
        ({"kv_heads": "shared"}, "Unknown kv_heads 'shared'. Known: ungrouped, grouped."),
    ],
)
def test_bad_options_are_refused(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        load_model(str(folder), **options)
    assert str(error.value) == message


def test_dtypes_have_torchs_names_too() -> None:
    assert check_dtype("torch.bfloat16") == check_dtype(torch.bfloat16) == torch.bfloat16
    assert check_dtype("auto") == torch.float32
