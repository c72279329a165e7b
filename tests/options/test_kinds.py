"""Kinds of values: what each accepts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from helpers.hostile import TEXTS, accepted, endless, values
from hypothesis import example, given

from harness_circuits.attribution import METHODS
from harness_circuits.errors import CircuitError
from harness_circuits.harness.model_arguments import HARNESS, MODEL, RUN
from harness_circuits.options import Option
from harness_circuits.options.fields import SETTINGS
from harness_circuits.options.kinds import Switch
from harness_circuits.selection import SELECTORS

OWNERS = {
    **{("method", name): METHODS.get(name).options for name in METHODS},
    **{("selection", name): SELECTORS.get(name).options for name in SELECTORS},
}


WORST = ({"a": {"b": []}}, {"": []}, "y " * 300, "x" * 300, 10**5000, endless(), "\ud800")


def with_the_worst(test: Any) -> Any:
    """A property that is always tried with the values that slipped through before."""
    for value in WORST:
        test = example(value=value)(test)
    return test


def every_declaration() -> Iterator[tuple[str, Option]]:
    tables: list[Mapping[str, Option]] = [SETTINGS, MODEL, HARNESS, RUN, *OWNERS.values()]
    for table in tables:
        yield from table.items()


DECLARED = [pytest.param(*item, id=item[0]) for item in every_declaration()]


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("name", "option"), DECLARED)
@with_the_worst
@given(value=values)
def test_a_declared_kind_accepts_or_refuses(name: str, option: Option, value: Any) -> None:
    accepted(lambda: option.read(name, value), value)


@pytest.mark.parametrize(
    ("name", "option"), [p for p in DECLARED if type(p.values[1].kind) is Switch]
)
def test_switches_know_two_words(name: str, option: Option) -> None:
    for value in (*TEXTS, 0, 1, 1.0, None):
        wanted = {"true": True, "false": False}.get(str(value).lower())
        if wanted is None and value is not None:
            with pytest.raises(CircuitError, match=f"^{name} is true or false, got "):
                option.read(name, value)
        elif isinstance(value, str):
            assert option.read(name, value) is wanted
