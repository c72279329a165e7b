"""How much a number may get worse before a comparison calls it a regression: a small YAML file.

cpr: 0.05
cmd: 0.02
points: 0.1     # every point of a curve
default: 0.01   # whatever is not named
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness_circuits.errors import OptionError, UnknownNameError, shown
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.records.strict_yaml import YamlFileError, read_yaml
from harness_circuits.registry import unknown_name

POINTS, DEFAULT = "points", "default"
KEYS = (*AREAS, POINTS, DEFAULT)


@dataclass(frozen=True)
class Thresholds:
    """Changes that do not count, by metric.

    Attributes:
        sizes: Values of `KEYS`; what is missing is 0.
    """

    sizes: Mapping[str, float] = field(default_factory=dict)

    def of(self, metric: str) -> float:
        """The threshold of a row's metric."""
        key = POINTS if " at " in metric else metric
        return self.sizes.get(key, self.sizes.get(DEFAULT, 0.0))


NO_THRESHOLDS = Thresholds()


def read_thresholds(path: Path | None) -> Thresholds:
    """Read a file; None has no thresholds.

    Raises:
        OptionError: It cannot be read, or a value is not a number from 0.
        UnknownNameError: A key is none of `KEYS`.
    """
    if path is None:
        return NO_THRESHOLDS
    try:
        data = read_yaml(path)
    except YamlFileError as error:
        raise OptionError(f"--thresholds: {error}") from error
    if not isinstance(data, dict):
        raise OptionError(f"--thresholds {path} holds no lines such as `cpr: 0.05`.")
    for key, value in data.items():
        if key not in KEYS:
            raise UnknownNameError(f"{path}: {unknown_name('metric', str(key), KEYS)}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise OptionError(f"{path}: {key} is a number from 0, got {shown(value)}.")
    return Thresholds({key: float(value) for key, value in data.items()})
