"""Declared options: their defaults are values of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness_circuits.attribution import METHODS
from harness_circuits.harness.model_arguments import HARNESS, MODEL, RUN
from harness_circuits.options import Option
from harness_circuits.options.fields import SETTINGS
from harness_circuits.selection import SELECTORS

OWNERS = {
    **{("method", name): METHODS.get(name).options for name in METHODS},
    **{("selection", name): SELECTORS.get(name).options for name in SELECTORS},
}


def every_declaration() -> Iterator[tuple[str, Option]]:
    tables: list[Mapping[str, Option]] = [SETTINGS, MODEL, HARNESS, RUN, *OWNERS.values()]
    for table in tables:
        yield from table.items()


DECLARED = [pytest.param(*item, id=item[0]) for item in every_declaration()]


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("name", "option"), DECLARED)
def test_defaults_are_values_and_read_the_same_again(name: str, option: Option) -> None:
    if option.default is not None:
        once = option.read(name, option.default)
        assert once == option.default or option.default == list(once)
        assert option.read(name, once) == once
    assert option.help and len(option.help) < 90
