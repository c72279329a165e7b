"""The scorer of circuit tasks, and their one metric: means over pairs first, then ratios and areas."""

from __future__ import annotations

from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, metric, scorer
from inspect_ai.solver import TaskState

from harness_circuits.inspect.solving import STORED

SCORER = "circuit_values"


@metric
def circuit_metrics() -> Metric:
    """Every area and point of the curves, with intervals, by the names that lm-eval's results have."""

    def compute(scores: list[SampleScore]) -> Value:
        from harness_circuits.records.pair_scores import metrics_of

        return metrics_of([(score.score.value, score.score.metadata) for score in scores])

    return compute


@scorer(metrics=[circuit_metrics()], name=SCORER)
def circuit_values() -> Scorer:
    """What the solver measured on a pair: the model, the empty circuit, and every circuit."""

    async def score(state: TaskState, target: Target) -> Score:
        from harness_circuits.records.pair_scores import explanation

        found = state.store.get(STORED)
        if found is None:
            return Score.unscored(
                reason="scoring_failed",
                explanation="This sample was not run by the solver of circuit tasks.",
            )
        return Score(
            value=found["values"],
            answer=state.output.completion,
            explanation=explanation(found["values"], found["details"]),
            metadata=found["details"],
        )

    return score
