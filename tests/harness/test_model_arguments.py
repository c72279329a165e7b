"""Options of --model_args that are no settings."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.environments import ROOT

from harness_circuits.errors import OptionError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.model_arguments import HARNESS, WITHOUT_PAIRS
from harness_circuits.harness.options import check_with_pairs, read_options, with_harness_flags

MISSING = "pretrained=/there/is/no/such/model"


def test_device_and_batch_size_may_stand_in_model_args() -> None:
    flags = {"batch_size": 1, "max_batch_size": None, "device": None}
    found = with_harness_flags({"device": "cpu", "batch_size": 8}, flags)
    assert found == {"device": "cpu", "batch_size": 8}
    assert read_options(found).settings.pairs_per_pass == 8
    assert with_harness_flags({}, {**flags, "batch_size": "4"}) == {"batch_size": "4"}
    assert with_harness_flags({"batch_size": 8}, {"batch_size": 1})["batch_size"] == 8
    for name, own, other in (("device", "cpu", "cuda"), ("batch_size", 8, "4")):
        with pytest.raises(OptionError, match=f"^{name} is .* in --model_args and .* in --{name}"):
            with_harness_flags({name: own}, {**flags, name: other})
    for make in (CircuitLM.create_from_arg_string, CircuitLM.create_from_arg_obj):
        text = f"{MISSING},device=cpu,batch_size=2"
        given: Any = (
            text
            if make.__name__.endswith("string")
            else dict(part.split("=") for part in text.split(","))
        )
        with pytest.raises(OptionError, match="no/such/model"):
            make(given, flags)


@pytest.mark.parametrize("name", WITHOUT_PAIRS)
def test_what_pairs_have_no_use_for_may_be_said_at_its_default(name: str) -> None:
    default = HARNESS[name].default
    if default is not None:
        check_with_pairs(read_options({name: default}), "ioi_circuit")


@pytest.mark.parametrize(
    "pretrained", [None, str(ROOT), "SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct-Q4_1"]
)
def test_a_revision_of_what_is_on_no_hub_is_refused(pretrained: str | None) -> None:
    with pytest.raises(OptionError, match=r"^revision='v2' is a version of a model on the hub"):
        read_options({"pretrained": pretrained, "revision": "v2"})
    read_options({"pretrained": "gpt2", "revision": "v2"})
