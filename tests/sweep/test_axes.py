"""Values on the axes of a sweep: read from any way of writing them, and named in a few words."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness_circuits.errors import OptionError
from harness_circuits.loading.default_model import DISPLAY_NAME
from harness_circuits.settings import Settings
from harness_circuits.sweep.axes import AXES, BY_NAME, model_label, read_value, read_values


def test_a_plain_value_and_a_mapping_are_the_same() -> None:
    method = BY_NAME["method"]
    assert read_value(method, "EAP", "x") == read_value(method, {"method": "EAP"}, "x")
    steps = read_value(method, {"method": "EAP-IG-inputs", "ig_steps": 10}, "x")
    assert steps.label == "EAP-IG-inputs(ig_steps=10)"
    assert steps.arguments == {"method": "EAP-IG-inputs", "ig_steps": 10}
    assert read_value(BY_NAME["model"], "default", "x").arguments == {}
    assert read_value(BY_NAME["seed"], 3, "x").label == "seed 3"


def test_sizes_are_one_value_or_a_list_of_values() -> None:
    sizes = BY_NAME["sizes"]
    assert [value.label for value in read_values(sizes, [0.1, 1], "s")] == ["0.1:1"]
    assert [v.label for v in read_values(sizes, [[0.1, 1], "0.5:1"], "s")] == ["0.1:1", "0.5:1"]


@pytest.mark.parametrize(
    ("axis", "given", "message"),
    [
        ("method", {"methd": "EAP"}, r"^m: Unknown key 'methd'\. Did you mean 'method'\?"),
        ("method", {"ig_steps": 3}, r"^m: method is missing in \{'ig_steps': 3\}\.$"),
        ("level", "edges", r"^m: Unknown level 'edges'\. Did you mean 'edge'\?"),
        ("seed", -1, r"^m: seed is a whole number from 0 to 4294967295, got -1\.$"),
    ],
)
def test_what_is_no_value_is_named(axis: str, given: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_value(BY_NAME[axis], given, "m")


def test_nothing_and_the_same_twice_are_refused() -> None:
    with pytest.raises(OptionError, match=r"^levels is empty\.$"):
        read_values(BY_NAME["level"], [], "levels")
    with pytest.raises(OptionError, match=r"^levels\[1\]: edge is there twice\.$"):
        read_values(BY_NAME["level"], ["edge", {"level": "edge"}], "levels")


def test_every_axis_is_of_declared_options_with_defaults_that_are_values() -> None:
    for axis in AXES:
        assert set(axis.declared) == {axis.key, *axis.more}
        for value in axis.default:
            read_value(axis, value, axis.plural)
    settings = Settings(method=str(BY_NAME["method"].default[0]))
    assert settings.sizes == BY_NAME["sizes"].default[0]


def test_a_model_is_called_by_its_id_or_its_folder(tmp_path: Path) -> None:
    assert model_label(None) == DISPLAY_NAME
    assert model_label("EleutherAI/pythia-70m") == "EleutherAI/pythia-70m"
    assert model_label(str(tmp_path)) == tmp_path.name
