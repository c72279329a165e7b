"""Pickles read as data: plain values come back, and what would run is only noted."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.interpbench_files import (
    EDGES,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.errors import CircuitFileError
from harness_circuits.ground_truth.inert_pickle import Made, Named, read_inert
from harness_circuits.machine.cache import CACHE_VARIABLE

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner)
    ),
)


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
