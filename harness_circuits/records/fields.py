"""Strict reading of JSON objects in results files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness_circuits.errors import CircuitError, shown
from harness_circuits.statistics.bootstrap import Interval

SLACK = 1e-9  # of numbers that were summed in another order


class ResultFileError(CircuitError):
    """A file is no results file of `--model circuit`, or a part of it is missing or malformed."""


@dataclass(frozen=True)
class Fields:
    """A JSON object and where it stands, with getters that check types.

    Every getter raises `ResultFileError` with the place, the name and the value.
    """

    data: Any
    where: str

    def child(self, name: str) -> Fields:
        """An object inside this one."""
        value = self._get(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return Fields(value, name if self.where == "the file" else f"{self.where}.{name}")

    def keys(self, known: tuple[str, ...]) -> list[str]:
        """Names in here, all of which must be known, in the order of `known`."""
        unknown = sorted(set(self.data) - set(known))
        if unknown or not self.data:
            raise ResultFileError(f"{self.where}: expected some of {known}, got {unknown}")
        return [name for name in known if name in self.data]

    def text(self, name: str) -> str:
        """A string."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "text", value)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "a list of texts", value)
        return tuple(value)

    def number(self, name: str) -> float:
        """A finite number."""
        value = self._get(name)
        if not _finite(value):
            raise self._wrong(name, "a finite number", value)
        return float(value)

    def numbers(self, name: str, length: int | None = None) -> tuple[float, ...]:
        """A list of finite numbers, of a given length if one is given."""
        value = self._get(name)
        if not isinstance(value, list) or not all(map(_finite, value)):
            raise self._wrong(name, "a list of finite numbers", value)
        if length is not None and len(value) != length:
            raise self._wrong(name, f"one number for each of {length} sizes", value)
        return tuple(map(float, value))

    def interval(self, value: str, low: str, high: str) -> Interval:
        """An interval from the names of its value and bounds; null bounds are none."""
        if self._get(low) is None and self._get(high) is None:
            return Interval.of(self.number(value), None, None)
        return self.ordered(self.number(value), self.number(low), self.number(high), value)

    def ordered(self, value: float, low: float, high: float, name: str) -> Interval:
        """An interval whose bounds must be in order, and around its value."""
        if low > high:
            raise ResultFileError(
                f"{self.where}: {name!r} has an interval from {low:g} to {high:g}"
            )
        slack = SLACK * max(1.0, abs(value))
        if not low - slack <= value <= high + slack:
            raise ResultFileError(
                f"{self.where}: {name!r} is {value:g}, outside its own interval from {low:g} to {high:g}"
            )
        return Interval(value, low, high)

    def _get(self, name: str) -> Any:
        if not isinstance(self.data, dict) or name not in self.data:
            raise ResultFileError(f"{self.where} has no {shown(name)}")
        return self.data[name]

    def _wrong(self, name: str, expected: str, value: object) -> ResultFileError:
        return ResultFileError(
            f"{self.where}: {shown(name)} is not {expected} but {shown(value, 80)}"
        )


def read_json(path: Path) -> Any:
    """A file's JSON, every key of an object once, all of it text that can be written again.

    Raises:
        ResultFileError: It cannot be read, or is not that.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultFileError(f"not readable as JSON: {error}") from error
    return parse_json(content)


def parse_json(content: bytes) -> Any:
    """JSON in UTF-8, every key of an object once, all of it text that can be written again.

    Raises:
        ResultFileError: It is not that.
    """
    try:
        data = json.loads(content.decode(), object_pairs_hook=without_repetition)
        json.dumps(data, ensure_ascii=False).encode()  # fails on half characters
    except (ValueError, RecursionError) as error:
        raise ResultFileError(f"not readable as JSON: {error}") from error
    return data


def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members, for `json.loads(object_pairs_hook=...)`.

    Raises:
        ValueError: A key is there twice, of which JSON readers take the last in silence.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice, 80)} is there twice in one object")
    return found


def _finite(value: object) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number beyond any float
        return False
