"""A model that is built in another way: one refusal that says what did not fit."""

from __future__ import annotations

import pytest
import torch

from harness_circuits.errors import OptionError, UnsupportedModelError
from harness_circuits.models.refusal import refusing_what_does_not_fit


@pytest.mark.parametrize(
    "error", [AttributeError("a"), IndexError("b"), RuntimeError("c"), AssertionError("d")]
)
def test_what_goes_wrong_is_a_refusal_that_names_it(error: Exception) -> None:
    with pytest.raises(UnsupportedModelError) as caught, refusing_what_does_not_fit("Mamba"):
        raise error
    assert str(caught.value).startswith(
        "Mamba cannot be used: its blocks are not made of the parts"
    )
    assert f"({type(error).__name__}: {error})" in str(caught.value)


@pytest.mark.parametrize(
    "error", [OptionError("said"), torch.OutOfMemoryError("full"), KeyboardInterrupt()]
)
def test_errors_of_ours_and_of_the_machine_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, refusing_what_does_not_fit("x"):
        raise error
    assert caught.value is error
