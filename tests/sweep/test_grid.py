"""The grid of a sweep: products, rules, strict reading."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.errors import OptionError
from harness_circuits.sweep.axes import AXES
from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.config import SweepConfig
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
