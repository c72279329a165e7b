"""The checksum of a result, which stands in it and which reading it checks.

`config.circuit.checksum` is over all that readers take from a results file: `date`, `results` and
`config`. lm-eval adds more beside these when it saves them. Results of other models and of earlier
versions have none, and pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from harness_circuits.records.fields import ResultFileError

COVERED = ("date", "results", "config")
NAME = "checksum"


def sign(results: dict[str, Any]) -> None:
    """Put the checksum into results of `--model circuit`, as they are before lm-eval saves them."""
    from lm_eval.utils import handle_non_serializable

    saved = {name: results[name] for name in COVERED if name in results}
    saved = json.loads(json.dumps(saved, default=handle_non_serializable))
    results["config"]["circuit"][NAME] = checksum(saved)


def checksum(data: Mapping[str, Any]) -> str:
    """SHA-256 of what is covered of a results file, without the place where the checksum stands."""
    config = data["config"]
    circuit = {key: value for key, value in config["circuit"].items() if key != NAME}
    whole = {name: data[name] for name in COVERED if name in data}
    whole["config"] = {**config, "circuit": circuit}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check(data: Any) -> None:
    """Make sure that a results file is as it was written; one without a checksum passes.

    Raises:
        ResultFileError: It was damaged or changed.
    """
    try:
        stated = data["config"]["circuit"][NAME]
    except (KeyError, TypeError):
        return
    if stated != checksum(data):
        raise ResultFileError(
            "damaged or changed since it was written: it does not match its config.circuit.checksum. "
            "Make it again, or delete the checksum if the change was meant"
        )
