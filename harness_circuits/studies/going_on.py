"""Where a run with evidence goes on after it was stopped: its discovery, and values of circuits.

Evidence runs hundreds of circuits. With `artifacts=` the scores of the discovery and the values of
circuits are kept as they come (`formats/kept.py`), each circuit's under a hash of what it keeps, so that
the same command, or one with other kinds, draws or sizes, runs what is new alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from harness_circuits import __version__
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores
from harness_circuits.discovery import Discovery, Setup
from harness_circuits.formats.kept import Kept
from harness_circuits.machine.spent import Spent, spent
from harness_circuits.models.fingerprint import loaded_fingerprint
from harness_circuits.selection.given import Given

EVIDENCE_FOLDER = "evidence"
# Circuits that are run before their values are kept: what a call does anew costs one of them.
TOGETHER = 50
# Settings that values of given circuits do not depend on; scores depend on `keep_samples` too.
NEITHER = (
    *("evidence", "evidence_draws", "bootstrap_iters", "null_circuits", "stability_resamples"),
    *("sizes", "ranking", "max_memory", "pairs_per_pass"),
)
DISCOVERY = "discovery_pairs"  # the fingerprint that scores depend on
Values = Float[np.ndarray, "circuit example"]
Run = Callable[[Sequence[Circuit]], Values]

logger = logging.getLogger("lm_eval.circuit")


class GoingOn:
    """What is kept of one task; nothing without evidence or a folder, or with several processes."""

    def __init__(self, setup: Setup, fingerprints: Mapping[str, str]) -> None:
        """Find the folder.

        Args:
            setup: Model, task and configuration; `setup.folder` is where things are kept.
            fingerprints: Of the training and the evaluation pairs.

        Raises:
            WriteError: The folder cannot be written.
        """
        self.setup, self.fingerprints, self.found = setup, dict(fingerprints), 0
        keeps = setup.settings.evidence and setup.folder is not None and setup.ranks.size == 1
        self.kept: Kept | None = None
        if keeps and setup.folder is not None:
            self.kept = Kept(setup.folder / EVIDENCE_FOLDER, logger.info)

    def discovered(self, discovery: Discovery, given: Given | None) -> tuple[Given, Spent]:
        """What was given or is discovered, and what it took: what it took then, if it was kept.

        Args:
            discovery: The training half.
            given: Scores or circuits in place of a discovery.
        """
        setup, device = self.setup, self.setup.model.device
        if given is not None or self.kept is None:
            with spent(device) as took:
                found = Given.of(discovery.scores()) if given is None else given
            return found, took
        identity, kept = self._identity("scores", discovery.n_pairs), self.kept

        def make() -> Scores:
            with spent(device) as now:
                scores = discovery.scores()
            peak = np.nan if now.peak_bytes is None else now.peak_bytes
            numbers = {"took": np.array([now.seconds, peak])}
            kept.put(setup.task, f"{identity}-took", numbers)
            return scores

        found = Given.of(kept.scores(setup.task, identity, make))
        numbers = kept.all_values(setup.task, f"{identity}-took")
        return found, next((_read(one) for one in numbers), Spent())

    def values(self, run: Run, n_examples: int) -> Run:
        """`run`, of circuits whose values are not known yet; their number is counted in `found`.

        Args:
            run: Gives the values of circuits.
            n_examples: Of each.
        """
        if self.kept is None:
            return run
        kept, task = self.kept, self.setup.task
        identity, known = self._identity("values", n_examples), dict[bytes, np.ndarray]()
        for lot in kept.all_values(task, identity):
            known.update(zip(map(bytes, lot["keys"]), lot["values"], strict=True))
        if known:
            logger.info(
                "%s: values of %d circuits found before, in %s", task, len(known), kept.folder
            )

        def values(circuits: Sequence[Circuit]) -> Values:
            keys = [_key(circuit) for circuit in circuits]
            new = {key: one for key, one in zip(keys, circuits, strict=True) if key not in known}
            self.found += len(keys) - len(new)
            for first in range(0, len(new), TOGETHER):
                own = list(new)[first : first + TOGETHER]
                found = run([new[key] for key in own])
                name = hashlib.sha256(b"".join(own)).hexdigest()[:16]
                lot = {"keys": np.array([list(key) for key in own], np.uint8), "values": found}
                kept.put(task, f"{identity}-{name}", lot)
                known.update(zip(own, found, strict=True))
            return np.array([known[key] for key in keys]).reshape(len(keys), n_examples)

        return values

    def _identity(self, what: str, n: int) -> str:
        """A hash of all that scores, or values of circuits, depend on."""
        setup = self.setup
        left_out = NEITHER if what == "scores" else (*NEITHER, "keep_samples")
        settings = {k: v for k, v in setup.settings.to_dict().items() if k not in left_out}
        model = setup.model.name, str(setup.model.dtype), setup.model.graph.to_dict()
        pairs = {k: v for k, v in self.fingerprints.items() if what != "scores" or k == DISCOVERY}
        facts = what, n, settings, model, loaded_fingerprint(setup.model.hf), pairs
        names = setup.task, setup.metric_name, __version__
        text = json.dumps((facts, names), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(numbers: Mapping[str, np.ndarray]) -> Spent:
    seconds, peak = numbers["took"].tolist()
    return Spent(seconds, None if np.isnan(peak) else int(peak))


def _key(circuit: Circuit) -> bytes:
    """What a circuit's values are known by."""
    content = str(circuit.space).encode() + np.packbits(circuit.kept).tobytes()
    return hashlib.sha256(content).digest()[:16]
