"""The provider `circuit`, as Inspect finds it."""

from __future__ import annotations

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="circuit")
def circuit() -> type[ModelAPI]:
    """`--model circuit/NAME`; what it needs is loaded when it is asked for."""
    from harness_circuits.inspect.provider import CircuitAPI

    return CircuitAPI
