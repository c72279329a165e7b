"""The grid of a sweep: products, rules, strict reading."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.errors import CircuitError, OptionError
from harness_circuits.sweep.axes import AXES
from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.config import SweepConfig, read_config
from harness_circuits.sweep.grid import make_grid

CHOICES: dict[str, list[Any]] = {
    "models": ["default", "gpt2", {"pretrained": "gpt2", "dtype": "bfloat16"}],
    "tasks": ["a", "b", "c"],
    "methods": ["EAP", {"method": "EAP-IG-inputs", "ig_steps": 3}, "EAP-IG-inputs", "random"],
    "levels": ["edge", "node", "neuron"],
    "ablations": ["patching", "zero", {"ablation": "mean", "mean_over": "corrupted"}],
    "selectors": ["top-n", "threshold"],
    "sizes": [[0.1, 1.0], [0.5], "0.2:0.4"],
    "seeds": [0, 1, 7],
}
NAMES = {axis.plural: axis.name for axis in AXES}


@st.composite
def grids(draw: st.DrawFn) -> dict[str, Any]:
    """Values of some axes, each at most once."""
    found = {}
    for plural, values in CHOICES.items():
        if plural == "tasks" or draw(st.booleans()):
            found[plural] = draw(
                st.lists(st.sampled_from(values), min_size=1, unique_by=repr, max_size=3)
            )
    return found


def cells_of(data: dict[str, Any]) -> tuple[Cell, ...]:
    return make_grid(SweepConfig.from_dict(data))


@given(grids())
def test_the_grid_is_the_product(data: dict[str, Any]) -> None:
    cells = cells_of(data)
    assert len(cells) == prod(len(values) for values in data.values())
    assert len({cell.key for cell in cells}) == len(cells)
    for plural, values in data.items():
        counts = Counter(cell.value(NAMES[plural]) for cell in cells)
        assert set(counts.values()) == {len(cells) // len(values)}


@given(grids())
def test_cells_of_a_model_stand_together(data: dict[str, Any]) -> None:
    models = [str(cell.model) for cell in cells_of(data)]
    changes = sum(a != b for a, b in pairwise(models))
    assert changes == len(set(models)) - 1


@given(grids(), st.data())
def test_exclude_drops_exactly_what_it_matches(data: dict[str, Any], draw: st.DataObject) -> None:
    everything = cells_of(data)
    chosen = {
        plural: draw.draw(st.sampled_from(values))
        for plural, values in data.items()
        if draw.draw(st.booleans())
    }
    if not chosen:
        return
    wanted = [cells_of({"tasks": ["a"], plural: [value]})[0] for plural, value in chosen.items()]
    dropped = {
        cell.key
        for cell in everything
        if all(
            set(one.value(NAMES[plural]).items) <= set(cell.value(NAMES[plural]).items)
            and (plural != "models" or one.model or not cell.model.get("pretrained"))
            for plural, one in zip(chosen, wanted, strict=True)
        )
    }
    rule = {NAMES[plural]: value for plural, value in chosen.items()}
    if plural_sizes := chosen.get("sizes"):
        rule["sizes"] = plural_sizes
    if len(dropped) == len(everything):
        with pytest.raises(OptionError, match="No cell is left"):
            cells_of(data | {"exclude": [rule]})
        return
    left = cells_of(data | {"exclude": [rule]})
    assert [cell.key for cell in left] == [c.key for c in everything if c.key not in dropped]


@given(grids(), grids())
def test_include_adds_a_product_without_repetition(
    data: dict[str, Any], more: dict[str, Any]
) -> None:
    rule = {NAMES[plural]: values for plural, values in more.items()}
    cells = cells_of(data | {"include": [rule]})
    both = {cell.key for cell in cells_of(data)} | {cell.key for cell in cells_of({**data, **more})}
    assert {cell.key for cell in cells} == both
    assert len(cells) == len(both)


def test_the_same_cell_in_other_words_is_there_once() -> None:
    methods = ["EAP-IG-inputs", {"method": "EAP-IG-inputs", "ig_steps": 5}]
    assert len(cells_of({"tasks": ["a"], "methods": methods})) == 1


def test_rules_take_lists_and_match_any_options() -> None:
    data = {
        "tasks": ["a", "b"],
        "methods": ["EAP", {"method": "EAP-IG-inputs", "ig_steps": 3}, "random"],
        "levels": ["edge", "node"],
        "exclude": [{"method": ["EAP-IG-inputs", "random"], "level": "node"}, {"task": "b"}],
    }
    left = [(cell.value("method").label, cell.value("level").label) for cell in cells_of(data)]
    edge = product(["EAP", "EAP-IG-inputs(ig_steps=3)", "random"], ["edge"])
    assert Counter(left) == Counter([*edge, ("EAP", "node")])


def test_options_reach_the_settings() -> None:
    data = {
        "tasks": ["a"],
        "methods": [{"method": "EAP-IG-inputs", "ig_steps": 3}],
        "sizes": "0.1:1",
        "seeds": 4,
        "options": {"n_discovery": 9, "null_circuits": 2, "max_memory": "1GB"},
    }
    (cell,) = cells_of(data)
    settings = cell.settings
    assert (settings.n_discovery, settings.null_circuits, settings.seed) == (9, 2, 4)
    assert settings.sizes == (0.1, 1.0)
    assert settings.method_options == {"ig_steps": 3}
    assert settings.max_memory == 1024**3


def test_an_undefined_combination_is_a_cell_with_a_problem() -> None:
    good, bad = cells_of({"tasks": ["a"], "methods": ["EAP", "EAP-IG-inputs"], "ablations": "zero"})
    assert good.problem is None
    assert bad.problem is not None and "not defined for ablation=zero" in bad.problem


REFUSED = [
    ({}, "tasks is missing"),
    ([1], "A sweep is a mapping"),
    ({"tasks": []}, "tasks is empty"),
    ({"tasks": [3]}, "tasks[0]: task is a task's name, got 3"),
    ({"tasks": ["a", "a"]}, "tasks[1]: a is there twice"),
    ({"tasks": ["a"], "method": ["EAP"]}, "Unknown key 'method'. Did you mean 'methods'?"),
    ({"tasks": ["a"], "seeds": ["0"]}, "seed is a whole number from 0 to 4294967295, got '0'"),
    ({"tasks": ["a"], "sizes": ["x"]}, "sizes are fractions"),
    ({"tasks": ["a"], "models": [{"pretrainde": "x"}]}, "Did you mean 'pretrained'?"),
    ({"tasks": ["a"], "methods": [{"ig_steps": 3}]}, "methods[0]: method is missing"),
    ({"tasks": ["a"], "options": {"n_discovry": 3}}, "Did you mean 'n_discovery'?"),
    ({"tasks": ["a"], "options": {"seed": 3}}, "options: seed is an axis of the grid"),
    ({"tasks": ["a"], "options": {"ig_steps": 3}}, "ig_steps stands beside its method, in methods"),
    ({"tasks": ["a"], "options": 3}, "options is a mapping, got 3"),
    ({"tasks": ["a"], "limit": 0}, "limit is a whole number from 1 to 1000000000, got 0"),
    ({"tasks": ["a"], "limit": True}, "limit is a whole number"),
    ({"tasks": ["a"], "results": ""}, "results is a path"),
    ({"tasks": ["a"], "artifacts": "some"}, "Unknown artifacts 'some'"),
    ({"tasks": ["a"], "exclude": [{"levels": "edge"}]}, "Did you mean 'level'?"),
    ({"tasks": ["a"], "exclude": ["EAP"]}, "exclude[0]: a rule is a mapping"),
    ({"tasks": ["a"], "exclude": [{"method": "EAPP"}]}, "matches no cell: method: EAPP"),
    ({"tasks": ["a"], "exclude": [{"task": "a"}]}, "No cell is left"),
    ({"tasks": ["a"], "include": [{"sizes": "x"}]}, "sizes are fractions"),
    ({"tasks": ["a"], "models": [{"trust_remote_code": "no"}]}, "trust_remote_code is true or"),
    ({"tasks": ["a"], "models": [{"batch_size": float("inf")}]}, "batch_size is a whole number"),
    ({"tasks": ["a"], "options": {"n_discovery": "9"}}, "options.n_discovery is a whole number"),
    ({"tasks": ["a"], "methods": [{"method": "RelP", "ln_rule": "off"}]}, "ln_rule is true or fa"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED)
def test_what_cannot_be_meant_is_refused(data: Any, message: str) -> None:
    with pytest.raises(CircuitError) as caught:
        cells_of(data)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: [a]\ntasks: [b]\n", "the key 'tasks' is there twice"),
        ("tasks: [a\n", "is not YAML"),
        ("tasks: !!python/object/apply:os.getcwd []\n", "is not YAML"),
        ("levls: [a]\n", "Did you mean 'levels'?"),
    ],
)
def test_files_are_read_strictly(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(OptionError) as caught:
        read_config(path)
    assert message in str(caught.value)
    assert "sweep.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"nothing\.yaml cannot be read"):
        read_config(tmp_path / "nothing.yaml")
