"""Discovery and evaluation of one task: pairs in, scores and a faithfulness curve out.

1. Pairs of clean and corrupted prompts (`pairs/pair.py`) are encoded and aligned
   (`pairs/tokenise.py`) and put into batches (`pairs/batch.py`) that fit the memory (`passes/memory.py`).
2. Scores: an attribution method (`attribution/`) scores every unit on the training pairs
   (`discovery.py`), with removed units replaced by an ablation (`ablation/`).
3. Circuits: a selector (`selection/`) keeps the best units of each size, by each ranking; where
   `circuit=` named scores or circuits, steps 2 or 2 and 3 are done (`selection/given.py`).
4. Values: the model, the empty circuit and every circuit are run on the evaluation pairs
   (`evaluation/evaluate.py`) and measured per example by a metric (`metrics/`, one file each).
5. A curve: means first, then faithfulness (`evaluation/curve.py`), areas and intervals over
   examples (`evaluation/summary.py`), from the records of a `Result` (`evaluation/result.py`).
6. Evidence, where `evidence=` asks for any: one file per kind (`evidence/`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness_circuits.ablation import ABLATIONS, check_replaces
from harness_circuits.circuits.circuit import Circuit, check_same_graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.discovery import Discovery, Setup, check_training
from harness_circuits.errors import TaskDataError
from harness_circuits.evaluation.evaluate import evaluate_curves
from harness_circuits.evaluation.everywhere import everywhere
from harness_circuits.evaluation.gap import gap_warnings, measure_gap
from harness_circuits.evaluation.result import Curve, Everywhere, ExampleValues, Result
from harness_circuits.evaluation.stability import check_resampling, stabilities
from harness_circuits.machine.ranks import ALONE, Ranks
from harness_circuits.machine.spent import spent
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.pair import Pair, fingerprint
from harness_circuits.pairs.repetition import overlap_warnings, set_warnings
from harness_circuits.passes.memory import NOTHING_MORE
from harness_circuits.selection import SELECTORS
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings
from harness_circuits.studies.gathering import (
    Templates,
    announce,
    check_evidence,
    check_phrasings,
    gather_evidence,
)
from harness_circuits.studies.going_on import GoingOn
from harness_circuits.studies.retraining import announce_retraining, retraining_facts
from harness_circuits.studies.trials import Trials


class Experiment:
    """Both halves of one task on one model under one configuration, joined and timed.

    Attributes:
        setup: Model, task and configuration.
        discovery: What is done with the training pairs.
        evaluation: The evaluation pairs in passes.
        sizes: Sizes that circuits are evaluated at.
        warnings: What should be said about the pairs.
    """

    def __init__(
        self,
        model: CircuitModel,
        settings: Settings,
        training: Sequence[Pair],
        evaluation: Sequence[Pair],
        *,
        task_metric: str = "logit_diff",
        task: str = "pairs",
        given: Given | None = None,
        ranks: Ranks = ALONE,
        folder: Path | None = None,
    ) -> None:
        """Validate everything before anything is run.

        Args:
            model: The model.
            settings: What to do.
            training: Discovery pairs; may be empty where something is given and no means are taken.
            evaluation: Evaluation pairs.
            task_metric: The task's own metric, unless the settings override it.
            task: What messages call the pairs.
            given: Scores or circuits to evaluate instead of discovering; they bring their level.
            ranks: The processes that share the work; each is given the same pairs.
            folder: Where constants that are learned are kept, and read again; None to keep none.

        Raises:
            MismatchError: What is given belongs to another model.
            OptionError: An undefined combination.
            PairError: A pair does not align.
            TaskDataError: A split is empty.
        """
        level: Any = settings.level if given is None else given.space.level
        self.setup = Setup(model.at(level), settings, task_metric, task, ranks, folder=folder)
        self.given = given
        self.sizes = settings.sizes if given is None else given.sizes(settings.sizes)
        self._check_combination()
        self._check_pairs(training, evaluation)
        training = training[: settings.n_discovery]
        self.templates = Templates(*(tuple(p.template for p in s) for s in (training, evaluation)))
        check_phrasings(self.setup, self.templates)
        used = training if given is None else ()
        self.warnings = [
            *set_warnings(used, "training", task),
            *set_warnings(evaluation, "evaluation", task),
            *overlap_warnings(training, evaluation, task),
        ]
        self._batch(training, evaluation)

    def _check_combination(self) -> None:
        """Check method, selection and what is given against each other and the model."""
        setup, given = self.setup, self.given
        setup.check_model()
        check_evidence(setup, given)
        if given is None:
            setup.check_discovery()
            setup.check_selection(setup.space)
            return
        check_graph(setup.model, given)
        check_replaces(setup.settings.ablation, given.space.level)
        if setup.settings.stability_resamples:
            check_resampling(given.scores)
        if given.scores is not None:
            setup.check_selection(given.space)

    def _check_pairs(self, training: Sequence[Pair], evaluation: Sequence[Pair]) -> None:
        """Check that there are pairs to evaluate on, and to discover on where anything needs them."""
        setup = self.setup
        if not evaluation:
            raise TaskDataError(f"{setup.task} has no evaluation pairs.")
        tries = SELECTORS.get(setup.settings.selection).trials is not None
        if self.given is None or tries or ABLATIONS.get(setup.settings.ablation).needs_training:
            check_training(setup, training)

    def _batch(self, training: Sequence[Pair], evaluation: Sequence[Pair]) -> None:
        """Encode all pairs and put them into batches that fit the memory."""
        setup = self.setup
        self.fingerprints = {
            "discovery_pairs": fingerprint(training),
            "evaluation_pairs": fingerprint(evaluation),
        }
        train, test = setup.encode(training, "training"), setup.encode(evaluation, "evaluation")
        setup = setup.over(train + test, None if self.given is None else self.given.space)
        self.setup = setup
        needs = setup.settings.needs if self.given is None else NOTHING_MORE
        self.pairs_per_pass = size = setup.pairs_per_pass(train + test, needs)
        self.discovery = Discovery(setup, train, size)
        # Ranks get enough batches to divide evenly.
        most = min(size, -(-len(test) // setup.ranks.parts))
        shares = setup.shares_prefix
        self.evaluation = make_batches(
            test, most, share_prefix=shares, room=size, spans=setup.spans
        )

    @property
    def rankings(self) -> tuple[Ranking, ...]:
        """Rankings that there will be circuits of: of given circuits their own."""
        given, wanted = self.given, self.setup.settings.rankings
        return wanted if given is None or given.scores is not None else given.rankings

    def circuits(self, found: Given) -> dict[Ranking, list[Circuit]]:
        """One circuit per ranking and size of what was found or given."""
        settings = self.setup.settings
        how = self.sizes, settings.rankings, settings.selection
        options = settings.chosen_selection_options()
        return found.circuits(*how, published=settings.published, **options)

    def without_spans(
        self, found: Given, circuits: Mapping[Ranking, Sequence[Circuit]]
    ) -> dict[Ranking, Everywhere]:
        """Of circuits selected over spans, those without spans and as many kept contributions."""
        if found.scores is None or found.space.spans is None:
            return {}
        settings = self.setup.settings
        options = settings.chosen_selection_options()
        return everywhere(found.scores, circuits, self.evaluation, settings.selection, **options)

    def with_stability(self, scores: Scores, curves: Sequence[Curve]) -> tuple[Curve, ...]:
        """Curves with the stability of their sizes' top-n units."""
        draws, seed = self.setup.settings.stability_resamples, self.setup.settings.seed
        counts = [scores.space.n_at(size) for size in self.sizes]
        by_size = stabilities(scores, counts, [c.ranking for c in curves], draws, seed)
        return tuple(replace(curve, stability=by_size[curve.ranking]) for curve in curves)

    def _evaluated(
        self,
        circuits: Mapping[Ranking, Sequence[Circuit]],
        beside: Mapping[Ranking, Everywhere],
    ) -> tuple[ExampleValues, tuple[Curve, ...]]:
        """Circuits, random ones, and over spans those without, on the evaluation pairs."""
        setup, settings = self.setup, self.setup.settings
        return evaluate_curves(
            setup.model,
            self.evaluation,
            circuits,
            setup.metric,
            self.discovery.ablation,
            sizes=self.sizes,
            task=setup.task,
            null_circuits=settings.null_circuits,
            seed=settings.seed,
            ranks=setup.ranks,
            direction=settings.direction,
            beside=beside,
        )

    def run(self) -> Result:
        """Discover (unless scores or circuits are given), select and evaluate.

        What makes the numbers say less than they seem to is among the facts, for whoever shows them
        to say beside them.

        Raises:
            NumericalError: Scores or logits are not finite, or faithfulness is undefined.
        """
        setup, settings, device = self.setup, self.setup.settings, self.setup.model.device
        n_circuits = len(self.rankings) * len(self.sizes)
        trials = Trials(self.discovery)
        trials.announce(n_circuits)
        announce(setup, n_circuits, self.templates)
        announce_retraining(setup, n_circuits, self.discovery.n_pairs)
        going_on = GoingOn(setup, self.fingerprints)
        found, discovery = going_on.discovered(self.discovery, self.given)
        found = replace(found, measure=trials)
        with spent(device) as selection:
            circuits = self.circuits(found)
            beside = self.without_spans(found, circuits)
        with spent(device) as evaluating:
            examples, curves = self._evaluated(circuits, beside)
            if found.scores is not None and settings.stability_resamples:
                curves = self.with_stability(found.scores, curves)
        halves, about = (self.discovery, self.evaluation), (examples, self.templates)
        evidence = gather_evidence(*halves, found, self.sizes, circuits, *about, going_on)
        values = examples.full, examples.empty, examples.full_accuracy, examples.empty_accuracy
        warnings = [*self.warnings, *gap_warnings(*values, setup.task)]
        facts = {
            "n_discovery": self.discovery.n_pairs if self.given is None else 0,
            "n_evaluation": len(examples.indices),
            **self.fingerprints,
            "pairs_per_pass": self.pairs_per_pass,
            "discovery_seconds": discovery.seconds,
            "selection_seconds": selection.seconds,
            "evaluation_seconds": evaluating.seconds,
            "discovery_peak_bytes": discovery.peak_bytes,
            "evaluation_peak_bytes": evaluating.peak_bytes,
            "gap": measure_gap(examples.full, examples.empty).to_dict(),
            "warnings": warnings,
            **evidence,
            **retraining_facts(self.discovery),
        }
        return Result(setup.task, setup.metric_name, found.scores, curves, examples, facts)


def check_graph(model: CircuitModel, given: Given) -> None:
    """Refuse scores or circuits that belong to another model.

    Raises:
        MismatchError: They do.
    """
    for space in (given.space, *(circuit.space for circuit in given.given_circuits)):
        check_same_graph(space, model.graph, model.name)
