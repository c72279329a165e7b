"""Discovery and evaluation of one task: pairs in, scores and a faithfulness curve out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness_circuits.ablation.ablations import Ablation, make_ablation
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError, OptionError, TaskDataError
from harness_circuits.evaluation.curve import CurveValues, check_gap
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.evaluation.null_circuits import random_circuits
from harness_circuits.evaluation.result import Curve, ExampleValues, Result
from harness_circuits.evaluation.stability import check_resampling, stabilities
from harness_circuits.evaluation.summary import ExampleRecord, Header
from harness_circuits.machine.ranks import ALONE, Ranks
from harness_circuits.machine.spent import spent
from harness_circuits.metrics.metrics import METRICS, Metric
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair, fingerprint
from harness_circuits.pairs.tokenise import (
    Batch,
    TokenPair,
    check_first_tokens,
    make_batches,
    tokenise_pair,
)
from harness_circuits.passes.memory import NOTHING_MORE, pairs_per_pass
from harness_circuits.selection import check_selection, select
from harness_circuits.settings import Settings


def tokenise(
    model: CircuitModel, pairs: Sequence[Pair], metrics: Sequence[Metric], where: str
) -> list[TokenPair]:
    """Encode pairs and check that clean, corrupted and answers align.

    Raises:
        PairError: One does not; the message names it.
    """
    assert model.tokenizer is not None, "this model was loaded without a tokenizer"
    encoded = [
        tokenise_pair(model.tokenizer, pair, index, where) for index, pair in enumerate(pairs)
    ]
    if any(metric.compares_first_tokens for metric in metrics):
        for pair in encoded:
            check_first_tokens(model.tokenizer, pair, where)
    return encoded


class Experiment:
    """One task on one model under one configuration."""

    def __init__(
        self,
        model: CircuitModel,
        settings: Settings,
        training: Sequence[Pair],
        evaluation: Sequence[Pair],
        *,
        task_metric: str = "logit_diff",
        task: str = "pairs",
        given: Scores | Circuit | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Validate everything before anything is run.

        Args:
            model: The model.
            settings: What to do.
            training: Discovery pairs.
            evaluation: Evaluation pairs.
            task_metric: The task's own metric, unless the settings override it.
            task: What messages call the pairs.
            given: Scores or a circuit to evaluate instead of discovering; they bring their level.
            ranks: The processes that share the work; each is given the same pairs.

        Raises:
            CircuitFileError: What is given belongs to another model.
            OptionError: An undefined combination.
            PairError: A pair does not align.
            TaskDataError: A split is empty.
        """
        self.model, self.settings, self.task, self.ranks = model, settings, task, ranks
        self.metric_name = settings.metric or task_metric
        self.metric = METRICS.get(self.metric_name)
        self.attribution_metric = METRICS.get(settings.attribution_metric or self.metric_name)
        self.given = given
        self.sizes = settings.sizes
        self._check_combination()
        if not evaluation:
            raise TaskDataError(f"{task} has no evaluation pairs.")
        if not training:
            raise TaskDataError(f"{task} has no training pairs to discover circuits on.")
        self._batch(training[: settings.n_discovery], evaluation)

    def _check_combination(self) -> None:
        """Check method, selection and what is given against each other and the model."""
        settings, graph = self.settings, self.model.graph
        if settings.compat == "mib" and graph.n_kv_heads != graph.n_heads:
            raise OptionError("compat=mib needs kv_heads=ungrouped: MIB scores every query head.")
        if self.given is not None:
            check_graph(self.model, self.given)
            if settings.stability_resamples:
                check_resampling(self.given)
        else:
            settings.method_for(self.attribution_metric)
        if isinstance(self.given, Circuit):
            self.sizes = (self.given.n_kept / self.given.space.n_units,)
        else:
            options = settings.chosen_selection_options()
            level = self.space.level
            check_selection(settings.selection, level, settings.rankings, options, self.space)

    def _batch(self, training: Sequence[Pair], evaluation: Sequence[Pair]) -> None:
        """Encode all pairs and put them into batches that fit the memory."""
        settings, metrics = self.settings, (self.metric, self.attribution_metric)
        self.fingerprints = {
            "discovery_pairs": fingerprint(training),
            "evaluation_pairs": fingerprint(evaluation),
        }
        train = tokenise(self.model, training, metrics, f"{self.task} (training split)")
        test = tokenise(self.model, evaluation, metrics, f"{self.task} (evaluation split)")
        needs = settings.needs if self.given is None else NOTHING_MORE
        bound = settings.max_memory, self.ranks.sharing, needs
        size = settings.pairs_per_pass or pairs_per_pass(self.model, train + test, *bound)
        self.pairs_per_pass = size = min(self.ranks.gather(size))
        whole = self.attribution_metric.whole_answers
        # A sample is never smaller than a batch; ranks get enough batches to divide evenly.
        parts = settings.n_samples or self.ranks.parts
        self.training = make_batches(train, min(size, -(-len(train) // parts)), whole_answers=whole)
        self.evaluation = make_batches(test, min(size, -(-len(test) // self.ranks.parts)))

    @property
    def space(self) -> ScoreSpace:
        """The units that circuits are made of."""
        if self.given is not None:
            return self.given.space
        return ScoreSpace(self.model.graph, self.settings.level)  # type: ignore[arg-type]

    def ablation(self, batches: Sequence[Batch]) -> Ablation:
        """The ablation, its means taken over the training pairs."""
        how = self.settings.ablation, self.model, batches, self.settings.mean_over
        return make_ablation(*how, self.ranks)

    def discover(self) -> Scores:
        """Run the attribution method on the training pairs."""
        settings = self.settings
        job = Job(
            self.model,
            self.training,
            self.attribution_metric,
            settings.level,  # type: ignore[arg-type]
            self.ablation(self.training),
            settings.n_samples,
            raw_heads=settings.compat == "mib",
            ranks=self.ranks,
        )
        settings.method_for(self.attribution_metric)
        options = settings.chosen_method_options()
        return attribute(job, settings.method, **options).describe(
            model=self.model.name, task=self.task, metric=self.metric_name
        )

    def circuits(self, scores: Scores) -> dict[Ranking, list[Circuit]]:
        """One circuit per ranking and size."""
        settings = self.settings
        counts = [scores.space.n_at(size) for size in self.sizes]
        return {
            ranking: select(
                scores,
                counts,
                settings.selection,
                ranking=ranking,
                **settings.chosen_selection_options(),
            )
            for ranking in settings.rankings
        }

    def evaluate(
        self, circuits: dict[Ranking, list[Circuit]]
    ) -> tuple[ExampleValues, tuple[Curve, ...]]:
        """Evaluate circuits of all rankings, and random ones, on the evaluation pairs.

        Raises:
            NumericalError: Faithfulness is undefined.
        """
        settings = self.settings
        found = [circuit for chosen in circuits.values() for circuit in chosen]
        null = random_circuits(found, settings.null_circuits, settings.seed)
        ablation, circuits_run = self.ablation(self.training), found + null
        evaluation = evaluate_circuits(
            self.model, self.evaluation, circuits_run, self.metric, ablation, self.ranks
        )
        check_gap(evaluation.full, evaluation.empty, self.task)
        shape = (len(found), settings.null_circuits)
        null_values = evaluation.circuits[len(found) :].reshape(*shape, len(evaluation.indices))
        null_kept = np.array([circuit.n_kept for circuit in null], dtype=int).reshape(shape)
        curves, first = [], 0
        for ranking, chosen in circuits.items():
            rows = slice(first, first + len(chosen))
            first += len(chosen)
            full, empty = evaluation.full, evaluation.empty
            values = CurveValues(self.sizes, full, empty, evaluation.circuits[rows])
            columns = evaluation.accuracy[rows], null_values[rows], null_kept[rows]
            curves.append(Curve(ranking, values, tuple(chosen), *columns))
        return evaluation, tuple(curves)

    def with_stability(self, scores: Scores, curves: Sequence[Curve]) -> tuple[Curve, ...]:
        """Curves with the stability of their sizes' top-n units."""
        draws, seed = self.settings.stability_resamples, self.settings.seed
        counts = [scores.space.n_at(size) for size in self.sizes]
        by_size = stabilities(scores, counts, [c.ranking for c in curves], draws, seed)
        return tuple(replace(curve, stability=by_size[curve.ranking]) for curve in curves)

    def run(self) -> Result:
        """Discover (unless scores or a circuit are given), select and evaluate."""
        device = self.model.device
        with spent(device) as discovery:
            found = self.discover() if self.given is None else self.given
        with spent(device) as selection:
            if isinstance(found, Circuit):
                scores, circuits = None, {Ranking.ABSOLUTE: [found]}
            else:
                scores, circuits = found, self.circuits(found)
        with spent(device) as evaluating:
            evaluation, curves = self.evaluate(circuits)
            if scores is not None and self.settings.stability_resamples:
                curves = self.with_stability(scores, curves)
        facts = {
            "n_discovery": 0 if self.given else sum(len(batch) for batch in self.training),
            "n_evaluation": len(evaluation.indices),
            **self.fingerprints,
            "pairs_per_pass": self.pairs_per_pass,
            "discovery_seconds": discovery.seconds,
            "selection_seconds": selection.seconds,
            "evaluation_seconds": evaluating.seconds,
            "discovery_peak_bytes": discovery.peak_bytes,
            "evaluation_peak_bytes": evaluating.peak_bytes,
        }
        return Result(scores, curves, evaluation, facts)


def example_records(
    experiment: Experiment,
    result: Result,
    numbers: Sequence[int],
    agreement: Mapping[str, float] | None = None,
) -> dict[int, ExampleRecord]:
    """Records of all evaluation pairs, by the number of their document."""
    settings = experiment.settings
    header = Header(
        task=experiment.task,
        metric=experiment.metric_name,
        sizes=experiment.sizes,
        rankings=tuple(curve.ranking for curve in result.curves),
        kept={c.ranking: [circuit.n_kept for circuit in c.circuits] for c in result.curves},
        edges={c.ranking: [x.weighted_edges for x in c.circuits] for c in result.curves},
        iters=settings.bootstrap_iters,
        seed=settings.seed,
        agreement=agreement or {},
        null_kept={c.ranking: c.null_kept.tolist() for c in result.curves if c.null_kept.size},
        stability={c.ranking: c.stability for c in result.curves if c.stability is not None},
    )
    values = result.evaluation
    return {
        number: ExampleRecord(
            header,
            number,
            float(values.full[at]),
            float(values.empty[at]),
            {c.ranking: tuple(c.values.circuits[:, at].tolist()) for c in result.curves},
            {c.ranking: tuple(c.accuracy[:, at].tolist()) for c in result.curves},
            {c.ranking: c.null[:, :, at] for c in result.curves if c.null.size},
        )
        for at, number in enumerate(numbers)
    }


def check_graph(model: CircuitModel, given: Scores | Circuit) -> None:
    """Refuse scores or a circuit that belong to another model.

    Raises:
        CircuitFileError: They do.
    """
    if given.space.graph != model.graph:
        raise CircuitFileError(
            f"The given circuit or scores belong to another model: they are over "
            f"{given.space.graph}, {model.name} has {model.graph}."
        )
