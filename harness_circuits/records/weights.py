"""Which weights a result is of, and names that tell the models of several results apart.

A model is called by its folder's last part, and every trainer calls that `checkpoint-500`. What it is
is a hash of its files or its commit on the hub; in results of earlier versions, which have neither,
the path and revision as they were given. Models that had another name then are read under today's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from harness_circuits.loading.default_model import DISPLAY_NAME, FORMER_NAME
from harness_circuits.records.fields import Fields

RENAMED = {FORMER_NAME: DISPLAY_NAME}  # of models that come with the package, not of folders

_HASH = re.compile(r"[0-9a-f]{16,64}")
_SHOWN_HASH = 8


@dataclass(frozen=True)
class Weights:
    """Which model a run was of.

    Attributes:
        name: Its name, which other models may have too.
        source: The path or hub id that it was loaded from; the name where none was given.
        revision: Of a model from the hub.
        fingerprint: A hash of its files or its commit; empty where the results do not say.
    """

    name: str
    source: str
    revision: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.source}, revision {self.revision}, {self.fingerprint or 'no hash'}"


def read_weights(config: Fields) -> Weights:
    """Read which model the `config` of a results file is of."""
    circuit = config.child("circuit")
    name, revision = circuit.text("model"), config.text("model_revision")
    given = config.data.get("model_args")
    source = given.get("pretrained") if isinstance(given, Mapping) else None
    fingerprint = config.data.get("model_sha") or ""
    if source and not fingerprint:  # else the default model, which is its name
        fingerprint = _of_sweep(config.data.get("sweep"), name)
    if circuit.data.get("weights") is not None:
        weights = circuit.child("weights")
        source, fingerprint = weights.text("source"), weights.text("fingerprint")
    source = _today(str(source or name))
    if _base(source) in RENAMED.values():
        name = _today(name)
    return Weights(name, source, revision, str(fingerprint))


def _base(name: str) -> str:
    """The model without the adapter that was merged into it."""
    return name.partition("+")[0]


def _today(name: str) -> str:
    base = _base(name)
    return RENAMED.get(base, base) + name[len(base) :]


def _of_sweep(sweep: Any, name: str) -> str:
    """The hash in a sweep's record of its model, `NAME-HASH`."""
    recorded = str(sweep.get("model_fingerprint", "")) if isinstance(sweep, Mapping) else ""
    found = recorded.removeprefix(f"{name}-")
    return found if _HASH.fullmatch(found) else ""


def shortest_names(weights: Sequence[Weights]) -> dict[Weights, str]:
    """For all weights, the shortest name that is of no others.

    Those of one name are the same if their hashes are; one without a hash belongs to those with the same
    path and revision, if these are all the same.
    """
    by_name: dict[str, list[Weights]] = defaultdict(list)
    for one in dict.fromkeys(weights):
        by_name[one.name].append(one)
    shown: dict[Weights, str] = {}
    for name, members in by_name.items():
        groups = _groups(members)
        labels = _labels(name, [group[0] for group in groups])
        for label, group in zip(labels, groups, strict=True):
            shown |= dict.fromkeys(group, label)
    return shown


def _groups(weights: Sequence[Weights]) -> list[list[Weights]]:
    groups: dict[Hashable, list[Weights]] = defaultdict(list)
    hashes: dict[Hashable, set[str]] = defaultdict(set)
    for one in weights:
        if one.fingerprint:
            groups[one.fingerprint].append(one)
            hashes[one.source, one.revision].add(one.fingerprint)
    for one in weights:
        if not one.fingerprint:
            place = one.source, one.revision
            known = hashes[place]
            groups[next(iter(known)) if len(known) == 1 else place].append(one)
    return list(groups.values())


def _labels(name: str, models: Sequence[Weights]) -> list[str]:
    """The name if there is one model; else ends of their paths, with revision and hash if needed."""
    if len(models) == 1:
        return [name]
    parts = [PurePath(model.source).parts or (name,) for model in models]
    for n in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(part[-n:]) for part in parts]
        if len(set(labels)) == len(set(parts)):
            break
    for more in ("@{0.revision}", " ({0.fingerprint:.8})"):
        twice = {label for label in labels if labels.count(label) > 1}
        longer = [
            label + more.format(model) if label in twice else label
            for label, model in zip(labels, models, strict=True)
        ]
        labels = longer if len(set(longer)) > len(set(labels)) else labels
    return labels
