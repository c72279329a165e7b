"""Small YAML files of ours (thresholds, sweeps), read so that nothing in them is taken in silence.

Beyond YAML's own rules, as PyYAML's safe loader has them:

- a key stands once (else the last would win);
- numbers are written as in JSON (`010` is no 8, `1:30` no 90, `1e-3` is one), are finite, and whole
  ones fit 64 bits; dates are plain text;
- what aliases stand for counts in full, so that a few lines cannot become millions of values, and
  nothing contains itself;
- nesting and size have bounds.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from harness_circuits.errors import CircuitError, shown
from harness_circuits.options.paths import read_path

MOST_BYTES, MOST_VALUES, MOST_DEPTH = 2**20, 100_000, 32
MOST_WHOLE = 2**63
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_REPLACED = {_INT, _FLOAT, "tag:yaml.org,2002:timestamp"}


class YamlFileError(CircuitError):
    """A YAML file cannot be read, or says something that would be taken in silence."""


def read_yaml(path: str | Path) -> Any:
    """Read a file.

    Args:
        path: Of UTF-8 text.

    Raises:
        YamlFileError: It cannot be read, is no YAML, or breaks a rule above; names the line.
    """
    try:
        with read_path(path, "FILE", "a YAML file").open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, ValueError) as error:
        raise YamlFileError(f"{path} cannot be read: {error}") from error
    if len(content) > MOST_BYTES:
        raise YamlFileError(f"{path} has more than {MOST_BYTES} bytes.")
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except RecursionError as error:
        raise YamlFileError(f"{path} is nested more than {MOST_DEPTH} deep.") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise YamlFileError(f"{path} is not YAML that can be used: {reason:.300}") from error


class _StrictLoader(yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader with the rules above."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        _count(node, {})
        return node

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth = getattr(self, "depth", 0) + 1
        if self.depth > MOST_DEPTH:
            raise yaml.YAMLError(
                f"nested more than {MOST_DEPTH} deep{self.peek_event().start_mark}"
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node, seen = super().compose_mapping_node(anchor), set[tuple[str, str]]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"a key is one value, not a collection{key.start_mark}")
            if (key.tag, key.value) in seen:
                raise yaml.YAMLError(
                    f"the key {shown(key.value, 80)} is there twice{key.start_mark}"
                )
            seen.add((key.tag, key.value))
        return node

    def construct_whole(self, node: Any) -> int:
        value = int(self.construct_scalar(node)) if len(node.value) < 30 else MOST_WHOLE
        if abs(value) >= MOST_WHOLE:
            raise yaml.YAMLError(f"the number {node.value:.80} is too large{node.start_mark}")
        return value

    def construct_number(self, node: Any) -> float:
        value = float(self.construct_scalar(node))
        if not math.isfinite(value):
            raise yaml.YAMLError(f"the number {node.value:.80} is not finite{node.start_mark}")
        return value


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(
    _FLOAT, re.compile(rf"^(?:{_NUMBER.pattern})$"), list("-+.0123456789")
)
_StrictLoader.add_implicit_resolver(
    _INT, re.compile(rf"^(?:{_WHOLE.pattern})$"), list("-+0123456789")
)
_StrictLoader.add_constructor(_INT, _StrictLoader.construct_whole)
_StrictLoader.add_constructor(_FLOAT, _StrictLoader.construct_number)


def _count(node: Any, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Values below a node and their depth, those behind aliases as often as they are named.

    Raises:
        yaml.YAMLError: There are too many, too deep, or one contains itself.
    """
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1, 1
    if id(node) not in known:
        known[id(node)] = None
        nested = isinstance(node, yaml.MappingNode)
        parts = [part for pair in node.value for part in pair] if nested else node.value
        counts = [_count(part, known) for part in parts] or [(0, 0)]
        known[id(node)] = 1 + sum(n for n, _ in counts), 1 + max(depth for _, depth in counts)
    found = known[id(node)]
    if found is None:
        raise yaml.YAMLError(f"a value contains itself{node.start_mark}")
    if found[0] > MOST_VALUES:
        raise yaml.YAMLError(
            f"more than {MOST_VALUES} values, aliases written out{node.start_mark}"
        )
    if found[1] > MOST_DEPTH:
        raise yaml.YAMLError(f"nested more than {MOST_DEPTH} deep{node.start_mark}")
    return found
