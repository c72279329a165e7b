"""The discovery half of an experiment: training pairs in, scores out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness_circuits.ablation import ABLATIONS, Ablation, make_ablation
from harness_circuits.attribution import METHODS, Job, attribute
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.machine.ranks import ALONE, Ranks
from harness_circuits.metrics.metrics import METRICS, Metric
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.text_reader import TextReader
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.prompt_spans import spans_of
from harness_circuits.pairs.repetition import set_warnings
from harness_circuits.pairs.spans import NO_POSITIONS, Positions
from harness_circuits.pairs.tokenise import TokenPair, check_first_tokens, tokenise_pair
from harness_circuits.passes.memory import NOTHING_MORE, Needs, pairs_per_pass, scores_bytes
from harness_circuits.selection import check_selection
from harness_circuits.settings import Settings

logger = logging.getLogger("lm_eval.circuit")


@dataclass(frozen=True)
class Setup:
    """One task on one model under one configuration: what both halves of an experiment share.

    Attributes:
        model: The model, at the level of what is run.
        settings: What to do.
        task_metric: The task's own metric, unless the settings override it.
        task: What messages call the pairs.
        ranks: The processes that share the work; each is given the same pairs.
        spans: Where in the prompts units are; None until pairs are known, or without positions.
        folder: Where constants that are learned are kept, and read again; None to keep none.
    """

    model: CircuitModel
    settings: Settings
    task_metric: str = "logit_diff"
    task: str = "pairs"
    ranks: Ranks = ALONE
    spans: Spans | None = None
    folder: Path | None = None

    @property
    def metric_name(self) -> str:
        """Name of the metric that circuits are evaluated by."""
        return self.settings.metric or self.settings.metric_in_force(self.task_metric)

    @property
    def metric(self) -> Metric:
        """The metric that circuits are evaluated by."""
        return METRICS.get(self.metric_name)

    @property
    def attribution_metric(self) -> Metric:
        """The metric that discovery differentiates."""
        return METRICS.get(self.settings.attribution_metric or self.metric_name)

    @property
    def space(self) -> ScoreSpace:
        """The units that discovery scores."""
        graph, level = self.model.graph, self.settings.level
        return ScoreSpace(graph, level, self.spans)  # type: ignore[arg-type]

    @property
    def shares_prefix(self) -> bool:
        """Whether circuits are run behind what the prompts of a pair share, which is run once."""
        crossing = self.spans is not None and self.spans.crossing
        return ABLATIONS.get(self.settings.ablation).follows_corrupted and not crossing

    def over(self, pairs: Sequence[TokenPair], given: ScoreSpace | None = None) -> Setup:
        """The same over the spans of encoded pairs; as it is where positions play no part.

        Args:
            pairs: All pairs.
            given: Units of what was given in place of a discovery, which the pairs have to fit.

        Raises:
            MismatchError: What was given has other spans.
            OptionError: What was given has spans and `positions` says none, or pairs and ablation
                do not go together.
            TaskDataError: Prompts have different lengths, with `positions=tokens`.
        """
        settings = self.settings
        how = settings.prompt_positions, settings.ablation, self.task
        return replace(self, spans=spans_of(pairs, *how, given))

    @property
    def reader(self) -> TextReader:
        """How prompts are read."""
        return reader_in_force(self.model, self.settings)

    def check_model(self) -> None:
        """Check the settings against the model.

        Raises:
            OptionError: They ask for another model.
        """
        graph = self.model.graph
        if self.settings.published and graph.n_kv_heads != graph.n_heads:
            raise OptionError("compat=mib needs kv_heads=ungrouped: MIB scores every query head.")

    def check_discovery(self) -> None:
        """Check the method against level, ablation and metric.

        Raises:
            OptionError: An undefined combination.
        """
        self.settings.method_for(self.attribution_metric)

    def check_selection(self, space: ScoreSpace) -> None:
        """Check the selector against the units that it will select from.

        Raises:
            OptionError: It is not defined for them.
        """
        settings = self.settings
        options = settings.chosen_selection_options()
        check_selection(settings.selection, space.level, settings.rankings, options, space)

    def encode(self, pairs: Sequence[Pair], split: str) -> list[TokenPair]:
        """Encode pairs and check that clean, corrupted and answers align.

        Args:
            pairs: Pairs of one split.
            split: `training` or `evaluation`, for messages.

        Raises:
            PairError: One does not; the message names it.
        """
        metrics = (self.metric, self.attribution_metric)
        where = f"{self.task} ({split} split)"
        return tokenise(self.reader, pairs, metrics, where, self.settings.prompt_positions)

    def pairs_per_pass(self, pairs: Sequence[TokenPair], needs: Needs = NOTHING_MORE) -> int:
        """How many of some pairs fit one pass: as asked, or by memory; the same on all ranks.

        Args:
            pairs: All pairs that will be run.
            needs: What the method holds.

        Raises:
            OptionError: Not even one pair fits.
        """
        needs = replace(needs, fixed=scores_bytes(self.space), crossing=self.space.crossing)
        bound = self.settings.max_memory, self.ranks.sharing, needs
        size = self.settings.pairs_per_pass or pairs_per_pass(self.model, pairs, *bound)
        return min(self.ranks.gather(size))


class Discovery:
    """Everything that is done with training pairs: means for ablations, and scores.

    Attributes:
        setup: Model, task and configuration.
        training: The training pairs.
        pairs_per_pass: The most that one batch may hold.
        batches: The training pairs in passes.
        warnings: What should be said about the pairs, for a discovery for itself.
    """

    def __init__(self, setup: Setup, training: Sequence[TokenPair], most: int) -> None:
        """Put training pairs into batches.

        Args:
            setup: Model, task and configuration, checked.
            training: Encoded pairs; none where neither scores nor means are wanted.
            most: The most that one batch may hold.
        """
        self.setup, self.warnings = setup, list[str]()
        self.training, self.pairs_per_pass = list(training), most
        # A sample is no smaller than a batch; ranks divide batches, or what learns the pairs of a step.
        method = METHODS.get(setup.settings.method)
        parts = setup.settings.n_samples or (1 if method.learned else setup.ranks.parts)
        size = max(1, min(most, -(-len(training) // parts)))
        whole = setup.attribution_metric.whole_answers
        alike = "rediscovery" in setup.settings.evidence  # it compares sums of the same groups
        share = (setup.shares_prefix or alike) and not method.whole_prompts
        how: dict[str, Any] = {"share_prefix": share, "one_length": alike, "spans": setup.spans}
        self.batches = make_batches(training, size, whole_answers=whole, room=most, **how)

    @classmethod
    def on(cls, setup: Setup, training: Sequence[Pair]) -> Discovery:
        """A discovery for itself, with everything checked before anything is run.

        Raises:
            OptionError: An undefined combination, or not even one pair fits the memory.
            PairError: A pair does not align.
            TaskDataError: There are no pairs.
        """
        setup = replace(setup, model=setup.model.at(setup.space.level))
        setup.check_model()
        setup.check_discovery()
        setup.check_selection(setup.space)
        check_training(setup, training)
        training = training[: setup.settings.n_discovery]
        encoded = setup.encode(training, "training")
        setup = setup.over(encoded)
        found = cls(setup, encoded, setup.pairs_per_pass(encoded, setup.settings.needs))
        found.warnings = set_warnings(training, "training", setup.task)
        for warning in found.warnings:
            logger.warning(warning)
        return found

    @property
    def n_pairs(self) -> int:
        """Number of training pairs."""
        return sum(len(batch) for batch in self.batches)

    @cached_property
    def ablation(self) -> Ablation:
        """What replaces removed units; its means are taken over the training pairs, once."""
        return self.ablation_called(self.setup.settings.ablation)

    def ablation_called(self, name: str) -> Ablation:
        """Any ablation, with means over the training pairs.

        Raises:
            TaskDataError: It takes means, and there are no training pairs.
        """
        setup, settings = self.setup, self.setup.settings
        how = name, setup.model, self.batches, settings.mean_over, setup.ranks
        steps = settings.retrain_steps if name == settings.ablation else 0
        return make_ablation(*how, folder=setup.folder, retrain_steps=steps)

    def scores(self) -> Scores:
        """Run the attribution method.

        Returns:
            Scores; positive where corrupting the unit lowers the metric.
        """
        setup, settings = self.setup, self.setup.settings
        job = Job(
            setup.model,
            self.batches,
            setup.attribution_metric,
            settings.level,  # type: ignore[arg-type]
            self.ablation,
            settings.n_samples,
            raw_heads=settings.published,
            ranks=setup.ranks,
            spans=setup.spans,
        )
        settings.method_for(setup.attribution_metric)
        said: dict[str, object] = {"warnings": self.warnings} if self.warnings else {}
        said |= {"model": setup.model.name, "task": setup.task, "metric": setup.metric_name}
        said["first_token"] = reader_in_force(setup.model, settings).first_token()
        return attribute(job, settings.method, **settings.chosen_method_options()).describe(**said)


def tokenise(
    reader: TextReader,
    pairs: Sequence[Pair],
    metrics: Sequence[Metric],
    where: str,
    positions: Positions = NO_POSITIONS,
) -> list[TokenPair]:
    """Encode pairs and check that clean, corrupted and answers align, and their spans.

    Raises:
        PairError: One does not, or is too long for the model; the message names it.
    """
    each = enumerate(pairs)
    encoded = [tokenise_pair(reader, pair, at, where, positions) for at, pair in each]
    if any(metric.compares_first_tokens for metric in metrics):
        for pair in encoded:
            check_first_tokens(reader.tokenizer, pair, where)
    return encoded


def reader_in_force(model: CircuitModel, settings: Settings) -> TextReader:
    """How a model reads prompts under some settings: `compat=mib` puts a first token before each.

    Raises:
        OptionError: There is no such token, or the model was loaded to read without it.
    """
    assert model.reader is not None, "this model was loaded without a tokenizer"
    return model.reader.with_first_token() if settings.compat == "mib" else model.reader


def check_training(setup: Setup, training: Sequence[Pair]) -> None:
    """Make sure that there is something to discover on.

    Raises:
        TaskDataError: There is not.
    """
    if not training:
        raise TaskDataError(f"{setup.task} has no training pairs to discover circuits on.")
