"""A model that is built in another way than its parts let expect: one refusal, not a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from harness_circuits.errors import CircuitError, UnsupportedModelError


@contextmanager
def refusing_what_does_not_fit(name: str) -> Iterator[None]:
    """Turn what goes wrong when a model is built in another way into a refusal of the model."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        if isinstance(error, CircuitError):
            raise
        raise UnsupportedModelError(
            f"{name} cannot be used: its blocks are not made of the parts this package knows "
            f"({type(error).__name__}: {error})."
        ) from error
