"""Every option, from its declaration: a value is accepted, or refused in one line, and nothing else.

Options are found where they are declared, so that a new one is tried too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.hostile import accepted, endless, texts, values
from hypothesis import HealthCheck, example, given, settings

from harness_circuits.attribution import METHODS
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.model_arguments import HARNESS, MODEL, RUN
from harness_circuits.harness.options import read_options
from harness_circuits.loading.load import load_model, load_tokenizer
from harness_circuits.options.fields import SETTINGS
from harness_circuits.selection import SELECTORS
from harness_circuits.settings import Settings
from harness_circuits.sweep.axes import AXES, BY_NAME
from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.grid import make_grid

MISSING = "/there/is/no/such/model"
OWNERS = {
    **{("method", name): METHODS.get(name).options for name in METHODS},
    **{("selection", name): SELECTORS.get(name).options for name in SELECTORS},
}
FLAT = {**Settings.known(), **MODEL, **HARNESS, **RUN}
FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


WORST = ({"a": {"b": []}}, {"": []}, "y " * 300, "x" * 300, 10**5000, endless(), "\ud800")


def with_the_worst(test: Any) -> Any:
    """A property that is always tried with the values that slipped through before."""
    for value in WORST:
        test = example(value=value)(test)
    return test


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("key", sorted(FLAT))
@FEW
@with_the_worst
@given(value=values)
def test_model_args_are_accepted_or_refused(key: str, value: Any) -> None:
    """All the way to a model that is not there: nothing before it may fall over."""
    owner = next(({o[0]: o[1]} for o, own in OWNERS.items() if key in own), {})
    arguments = {"pretrained": MISSING, **owner, key: value}
    if key in ("size", "complement", "calibration"):
        arguments["circuit"] = "gpt2-ioi"
    if key == "calibration" and not isinstance(value, Path) and value not in ("", "\n", " "):
        return  # tasks of this name are looked for in all of lm-eval: below
    assert not accepted(lambda: CircuitLM(**arguments), value)


@pytest.mark.parametrize(
    "value", ["a\0b", "\ud800", "~nosuchuser", "x" * 300, ["a"], 3, "nosuchtask"]
)
def test_what_calibration_cannot_be(value: Any) -> None:
    arguments = {"circuit": "gpt2-ioi", "ablation": "mean", "size": 0.1, "calibration": value}
    assert not accepted(lambda: read_options(arguments), value)


@FEW
@given(name=texts, value=values)
def test_unknown_arguments_are_refused(name: str, value: Any) -> None:
    if name not in FLAT:
        assert not accepted(lambda: read_options({name: value}), name)


@pytest.mark.parametrize("key", sorted({*MODEL, "device"}))
@FEW
@with_the_worst
@given(value=values)
def test_the_loader_accepts_or_refuses(key: str, value: Any) -> None:
    assert not accepted(lambda: load_model(**{"pretrained": MISSING, key: value}), value)


@FEW
@with_the_worst
@given(value=values)
def test_a_tokenizer_that_is_not_there_is_one_line(value: Any) -> None:
    if value not in (None, "default"):
        assert not accepted(lambda: load_tokenizer(value), value)


@pytest.mark.parametrize("key", sorted({*SETTINGS}))
@FEW
@with_the_worst
@given(value=values)
def test_settings_from_python(key: str, value: Any) -> None:
    accepted(lambda: Settings(**{key: value}), value)


PLACES = [
    *(lambda value, axis=axis: {axis.plural: value} for axis in AXES),
    *(lambda value, axis=axis: {axis.plural: [value]} for axis in AXES),
    *(
        lambda value, axis=axis, key=key: {axis.plural: [{axis.key: "EAP", key: value}]}
        for axis in AXES
        for key in axis.more
    ),
    *(lambda value, name=name: {"exclude": [{name: value}]} for name in BY_NAME),
    *(lambda value, name=name: {"include": [{name: value}]} for name in BY_NAME),
    *(lambda value, key=key: {"options": {key: value}} for key in Settings.known()),
    *(
        lambda value, key=key: {key: value}
        for key in SweepConfig.__dataclass_fields__
        if key != "axes"
    ),
    lambda value: {"metadata": {"x": value}},
    lambda value: {value if isinstance(value, str) else "results": 1},
    lambda value: value,
]


@pytest.mark.parametrize("at", range(len(PLACES)))
@FEW
@with_the_worst
@given(value=values)
def test_a_sweep_is_accepted_or_refused(at: int, value: Any) -> None:
    found = PLACES[at](value)
    data = {"tasks": ["a"], **found} if isinstance(found, dict) else found
    accepted(lambda: make_grid(SweepConfig.from_dict(data)), value)
