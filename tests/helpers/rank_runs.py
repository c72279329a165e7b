"""What `test_ranks.py` runs in one process and, with torchrun, in several.

python rank_runs.py OUT MODEL                    in this process alone, or as a rank
python rank_runs.py OUT MODEL fail               process 1 fails while it looks for circuits
python rank_runs.py OUT MODEL die                process 1 is killed there
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from helpers.defined import METHODS, few_steps
from helpers.tiny_tasks import documents

from harness_circuits.experiment import Experiment
from harness_circuits.loading.load import load_model
from harness_circuits.machine.ranks import ALONE, Ranks, join_processes
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.settings import Settings

SIZES = "0.05:0.3:1"
RUNS: dict[str, dict[str, Any]] = {
    **{name: {"method": name, "n_discovery": 3, **few_steps(name)} for name in METHODS},
    "defaults": {},
    "EAP, mean": {"method": "EAP", "ablation": "mean"},
    "EAP, mean-positional, node": {
        "method": "EAP",
        "ablation": "mean-positional",
        "level": "node",
    },
    "RelP, zero": {"method": "RelP", "ablation": "zero"},
    "resampled, random circuits": {"stability_resamples": 5, "null_circuits": 2},
    "bootstrap filter": {"selection": "bootstrap-filter", "keep_samples": 3},
    "a pair per pass": {"pairs_per_pass": 1},
}


def run(model: Any, options: dict[str, Any], ranks: Ranks) -> dict[str, np.ndarray]:
    """Everything an experiment finds, as arrays."""
    settings = Settings.from_arguments({"sizes": SIZES, **options})
    training, evaluation = (
        pairs_from_docs(docs, "tiny") for docs in (documents(0, 7), documents(1, 5))
    )
    result = Experiment(model, settings, training, evaluation, ranks=ranks).run()
    assert result.scores is not None
    found = {
        "scores": result.scores.values,
        "passes": np.array(sorted(result.scores.provenance["passes"])),
        "full": result.examples.full,
        "circuits": result.examples.circuits,
        "log_probs": np.array(result.examples.log_probs),
        "kept": np.stack([c.kept for curve in result.curves for c in curve.circuits]),
        "null": np.stack([curve.null for curve in result.curves]),
        "stability": np.array([curve.stability or [] for curve in result.curves]),
    }
    if result.scores.samples is not None:
        found |= {"sums": result.scores.samples.sums, "sizes": result.scores.samples.sizes}
    return found


def main(out: Path, model_folder: str, end: str) -> None:
    """Write `OUT/RUN.RANK.npz` for every run."""
    ranks, _ = join_processes()
    model = load_model(model_folder, dtype="float64", device="cpu")
    for name, options in RUNS.items():
        with ranks.together():
            if end == "fail" and ranks.rank == 1:
                raise ValueError("this process has had enough")
            if end == "die" and ranks.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            found = run(model, options, ranks)
        np.savez(out / f"{name}.{ranks.rank}.npz", **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    assert ALONE.size == 1
    main(Path(sys.argv[1]), sys.argv[2], " ".join(sys.argv[3:]))
