"""What a results file says about the whole model, beside its circuits.

Two numbers look alike and are not. `full_metric` is the task's metric, with `metric: logit_diff` the
difference of the answers' *first-token logits*; the behaviour that any harness model reports comes from
the log-likelihoods of *whole answers*. They agree where answers are one token. Up to version 0.1 the
behaviour was published as `logit_diff` too; such files are read under today's name.
"""

from __future__ import annotations

from harness_circuits.records.fields import Fields

# Behaviour that is reported beside accuracy, by the task's metric; for all others, the first.
LOGLIKELIHOOD_DIFF = "loglikelihood_diff"
BEHAVIOUR = {"prob_diff": "prob_diff"}
BEFORE = {LOGLIKELIHOOD_DIFF: "logit_diff"}
NAMES = ("acc", LOGLIKELIHOOD_DIFF, *BEHAVIOUR.values(), "full_metric", "corrupted_metric")


def behaviour_of(metric: str) -> str:
    """The name of the behaviour that a task with this metric reports."""
    return BEHAVIOUR.get(metric, LOGLIKELIHOOD_DIFF)


def read_whole_model(results: Fields) -> dict[str, float]:
    """The whole model's numbers of one task, as far as the file has them.

    Raises:
        ResultFileError: One is not a number.
    """
    found = {}
    for name in NAMES:
        for published in (name, BEFORE.get(name, name)):
            if f"{published},none" in results.data and name not in found:
                found[name] = results.number(f"{published},none")
    return found
