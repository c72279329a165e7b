"""Cells of a sweep's grid."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness_circuits.errors import CircuitError
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.settings import Settings
from harness_circuits.sweep.axes import Value


@dataclass(frozen=True)
class Cell:
    """One evaluation: a value of every axis, and the options that all cells share.

    Attributes:
        values: One per axis, in the order of `AXES`.
        shared: Options of all cells, as sorted (key, JSON) pairs.
    """

    values: tuple[Value, ...]
    shared: tuple[tuple[str, str], ...] = field(default=())

    def value(self, axis: str) -> Value:
        """The value on an axis, by the axis' name."""
        return next(value for value in self.values if value.axis == axis)

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.value("task").arguments["task"])

    @property
    def model(self) -> dict[str, Any]:
        """Arguments of the model: cells with the same ones share a loaded model."""
        return self.value("model").arguments

    @property
    def options(self) -> dict[str, Any]:
        """Options of discovery and evaluation."""
        options = {key: json.loads(text) for key, text in self.shared}
        for value in self.values:
            if value.axis not in ("model", "task"):
                options |= value.arguments
        return options

    @cached_property
    def settings(self) -> Settings:
        """The options, validated.

        Raises:
            CircuitError: The combination is not defined.
        """
        settings = Settings.from_arguments(self.options)
        metric = METRICS.get(settings.attribution_metric or settings.metric or "logit_diff")
        settings.method_for(metric)
        return settings

    @property
    def problem(self) -> str | None:
        """Why this cell cannot be run, as far as that is known without its model."""
        try:
            _ = self.settings
        except CircuitError as error:
            return str(error)
        return None

    @cached_property
    def key(self) -> str:
        """Text that is the same for cells that do the same, however they are written."""
        options = self.options if self.problem else self.settings.to_dict()
        return json.dumps([self.model, self.task, options], sort_keys=True)

    @property
    def label(self) -> str:
        """Short text for people."""
        shown = [value.label for value in self.values if value.axis != "sizes"]
        return " · ".join(shown)
