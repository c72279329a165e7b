"""The steps of the main job as functions, for Python code and notebooks.

    import harness_circuits as hc

    model = hc.load_model()                        # or a hub id, a folder, a GGUF file
    pairs = hc.make_pairs(clean, corrupted, correct, incorrect)
    scores = hc.discover(model, pairs[:100], method="EAP-IG-inputs", ig_steps=5)
    circuits = hc.select(scores, sizes=(0.01, 0.1, 1.0), ranking="absolute")
    result = hc.faithfulness(model, pairs[100:], circuits)
    result.plot()                                  # or result.plot("curve.png")

Nothing here changes its arguments. Options have the names of `--model_args`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness_circuits.ablation import ABLATIONS
from harness_circuits.circuits.by_size import Circuits, read_counts
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.discovery import Discovery, Setup
from harness_circuits.errors import OptionError, TaskDataError, shown
from harness_circuits.evaluation.result import example_records
from harness_circuits.evaluation.summary import Summary, summarise, table
from harness_circuits.evidence import summary_lines
from harness_circuits.experiment import Experiment
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.options.ignored import NOT_OF_DISCOVERY, NOT_OF_EVALUATION, name_ignored
from harness_circuits.options.paths import read_path
from harness_circuits.pairs.pair import Pair, Pairs
from harness_circuits.records.run import CurveRecord
from harness_circuits.records.transfer import Transfer
from harness_circuits.report.findings import Faithfulness
from harness_circuits.selection import select as select_counts
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings
from harness_circuits.statistics.bootstrap import Interval
from harness_circuits.studies.trials import Trials
from harness_circuits.sweep.transfer import TaskPairs
from harness_circuits.sweep.transfer import transfer as transfer_between
from harness_circuits.task_data.fit import Fit

logger = logging.getLogger("lm_eval.circuit")


def discover(model: CircuitModel, pairs: Sequence[Pair], **options: Any) -> Scores:
    """Score every unit of a model on clean/corrupted pairs.

    Args:
        model: From `load_model`.
        pairs: Discovery pairs.
        **options: As in `--model_args`: `method`, the method's own options, `level`, `ablation`,
            `metric`, `max_memory`, ...

    Returns:
        Scores; positive where corrupting the unit lowers the metric.

    Raises:
        CircuitError: An option, a pair, or their combination cannot be used.
    """
    _check_given(model, pairs, "discovery")
    settings = Settings.from_arguments(options)
    of_samples = () if settings.n_samples else ("selection", "evidence")
    ignored = (*NOT_OF_DISCOVERY, *of_samples, *settings.selection_options)
    name_ignored("discover", options, ignored)
    return Discovery.on(Setup(model, settings), pairs).scores()


def aligned(
    model: CircuitModel,
    pairs: Sequence[Pair],
    *,
    metric: str = "logit_diff",
    attribution_metric: str | None = None,
) -> tuple[Pairs, dict[str, int]]:
    """Leave out the pairs that `discover` and `faithfulness` would refuse, as tasks do.

    Args:
        model: From `load_model`; its tokenizer decides.
        pairs: Pairs.
        metric: The metric that they will be used with.
        attribution_metric: That of discovery, if it is another.

    Returns:
        The pairs that align, and how many others there were, by reason.

    Raises:
        OptionError: The model is none, or the pairs are.
        UnknownNameError: There is no such metric.
    """
    _check_given(model, pairs, "")
    metrics = METRICS.get(metric), METRICS.get(attribution_metric or metric)
    fit = Fit("pairs", metrics, model.tokenizer)
    kept = Pairs(pair for pair in pairs if fit(asdict(pair)) is not None)
    fit.report(str(len(kept)))
    return kept, fit.left_out


def select(
    scores: Scores,
    sizes: Sequence[float] | float = MIB_SIZES,
    *,
    ranking: str = "absolute",
    selection: str = "top-n",
    model: CircuitModel | None = None,
    training: Sequence[Pair] = (),
    metric: str = "logit_diff",
    ablation: str = "patching",
    **options: Any,
) -> Circuits:
    """Select one circuit per size from scores.

    Args:
        scores: From `discover` or `load_circuit_file`.
        sizes: Fractions of all units, or numbers of units (whole, above 1), ascending; or one of them.
        ranking: `absolute` (for CMD) or `signed` (for CPR).
        selection: A selector's name.
        model: For selectors that try circuits before they choose (`pnr-fit`, `repair`): the model.
        training: The pairs that they try them on; not those of the evaluation.
        metric: What they measure them by.
        ablation: What replaces everything outside them meanwhile.
        **options: The selector's own options.

    Returns:
        Pruned circuits by requested size, as a fraction.

    Raises:
        OptionError: Scores, sizes, ranking, an option, the model or the pairs cannot be used.
        UnknownNameError: There is no such selector.

    >>> import numpy as np
    >>> from harness_circuits.circuits import Graph, ScoreSpace
    >>> space = ScoreSpace(Graph(n_layers=1, n_heads=2, n_kv_heads=2, d_model=8), "node")
    >>> scores = Scores(space, np.array([0.1, 0.9, 0.0, -0.4]))  # input, a0.h0, a0.h1, m0
    >>> {size: circuit.n_kept for size, circuit in select(scores, (0.75, 1.0)).items()}
    {0.75: 3, 1.0: 4}
    """
    if not isinstance(scores, Scores):
        raise OptionError(f"scores come from hc.discover or a scores file, got {shown(scores)}.")
    counts, by = read_counts(sizes, scores.space), Ranking.read(ranking)
    settings = Settings(level=scores.space.level, metric=metric, ablation=ablation)
    measure = None if model is None else _trials(model, training, settings)
    how = {"ranking": by, "measure": measure, **options}
    found = select_counts(scores, list(counts.values()), selection, **how)
    return Circuits(zip(counts, found, strict=True))


def _trials(model: CircuitModel, training: Sequence[Pair], settings: Settings) -> Trials | None:
    """What runs circuits on training pairs; None where there are none."""
    _check_given(model, training, "")
    return Trials(Discovery.on(Setup(model, settings), training)) if training else None


def faithfulness(
    model: CircuitModel,
    pairs: Sequence[Pair],
    circuits: Mapping[float, Circuit] | Circuit,
    *,
    ranking: str = "absolute",
    training: Sequence[Pair] | None = None,
    **options: Any,
) -> Faithfulness:
    """Run a model with everything outside each circuit ablated, and measure faithfulness.

    Args:
        model: From `load_model`.
        pairs: Evaluation pairs.
        circuits: From `select`, or one circuit.
        ranking: What they were selected by: `absolute` gives CMD, `signed` gives CPR.
        training: Pairs that circuits were found on, and that means and learned constants are made
            from; pairs that are evaluated on too are warned of.
        **options: As in `--model_args`: `metric`, `ablation`, `bootstrap_iters`, `seed`, ...

    Raises:
        CircuitError: An option, a pair, a circuit, or their combination cannot be used.
    """
    _check_given(model, pairs, "evaluation")
    if training is not None:
        _check_given(model, training, "training")
    if isinstance(circuits, Circuit):
        circuits = {circuits.n_kept / circuits.space.n_units: circuits}
    _check_circuits(circuits)
    by = Ranking.read(ranking)
    settings = Settings.from_arguments({**options, "sizes": list(circuits), "ranking": ranking})
    own = (*settings.method_options, *settings.selection_options)
    name_ignored("faithfulness", options, (*NOT_OF_EVALUATION, *own))
    if ABLATIONS.get(settings.ablation).needs_training and training is None:
        raise OptionError(f"ablation={settings.ablation} needs training=PAIRS to be made from.")
    given = Given.of_circuits(dict(zip(settings.sizes, circuits.values(), strict=True)), by)
    result = Experiment(model, settings, training or (), pairs, given=given).run()
    for warning in result.facts["warnings"]:
        logger.warning(warning)
    numbers = range(len(result.examples.indices))
    records = example_records(result, numbers, iters=settings.bootstrap_iters, seed=settings.seed)
    return _faithfulness(summarise(list(records.values())), result.facts)


def transfer(
    model: CircuitModel,
    tasks: Mapping[str, tuple[Sequence[Pair], Sequence[Pair]]],
    folder: str | Path | None = None,
    **options: Any,
) -> Transfer:
    """Discover a circuit on each of several tasks and evaluate all of them on all tasks.

    Args:
        model: From `load_model`.
        tasks: By name, training and evaluation pairs.
        folder: Where discoveries and values are kept as they come: the same call goes on from there.
        **options: As in `--model_args`: `method`, `sizes`, `ranking`, `null_circuits`, ...

    Returns:
        One matrix of faithfulness and overlap per ranking and size; `to_dict()` is plain JSON.

    Raises:
        CircuitError: The model, a task, an option or a pair cannot be used, or faithfulness is not
            defined on a task.
    """
    _check_tasks(model, tasks)
    settings = Settings.from_arguments(options)
    settings.check_discovery()
    pairs = [
        TaskPairs(name, *both, settings.metric or "logit_diff") for name, both in tasks.items()
    ]
    kept = None if folder is None else read_path(folder, "folder", "a folder")
    return transfer_between(model, pairs, settings, logger.info, kept)


def _check_given(model: Any, pairs: Any, what: str) -> None:
    """Refuse a model or pairs of the wrong type, by the names of the arguments, and no pairs at all.

    Raises:
        OptionError: They are.
    """
    if not isinstance(model, CircuitModel):
        raise OptionError(f"model comes from hc.load_model, got {shown(model)}.")
    listed = isinstance(pairs, Sequence) and not isinstance(pairs, str)
    wrong = next((pair for pair in pairs if not isinstance(pair, Pair)), None) if listed else pairs
    if wrong is not None or not listed:
        raise OptionError(
            "pairs are a list of Pair, from hc.make_pairs, hc.pairs_from_frame or hc.pairs_from_docs, "
            f"got {shown(wrong)}."
        )
    if what and not pairs:
        raise TaskDataError(f"pairs is empty: there are no {what} pairs.")


def _check_tasks(model: Any, tasks: Any) -> None:
    """Refuse what are no training and evaluation pairs by name, and a model of the wrong type.

    Raises:
        OptionError: They are not.
    """
    if not isinstance(tasks, Mapping):
        raise OptionError(f"tasks maps names to (training, evaluation) pairs, got {shown(tasks)}.")
    for name, both in tasks.items():
        if not isinstance(both, (tuple, list)) or len(both) != 2:
            raise OptionError(
                f"tasks: {shown(name)} has (training, evaluation) pairs, got {shown(both)}."
            )
        for pairs, what in zip(both, ("training", "evaluation"), strict=True):
            _check_given(model, pairs, what)


def _check_circuits(circuits: Any) -> None:
    """Refuse what are no circuits by size.

    Raises:
        OptionError: They are not.
    """
    if not isinstance(circuits, Mapping):
        raise OptionError(f"circuits come from hc.select, or are one, got {shown(circuits)}.")
    if not circuits:
        raise OptionError("There are no circuits to evaluate.")
    for circuit in circuits.values():
        if not isinstance(circuit, Circuit):
            raise OptionError(f"circuits holds {shown(circuit)}, which is no circuit.")


def _faithfulness(summary: Summary, facts: Mapping[str, Any]) -> Faithfulness:
    warnings, evidence = facts["warnings"], facts.get("evidence", {})
    curves = {}
    for ranking, curve in summary.curves.items():
        points = zip(curve["faithfulness"], curve["ci95_low"], curve["ci95_high"], strict=True)
        columns = (tuple(curve[name]) for name in ("accuracy", "kept", "edges"))
        intervals = tuple(Interval.of(*point) for point in points)
        curves[Ranking(ranking)] = CurveRecord(tuple(curve["sizes"]), intervals, *columns)
    said = (f"warning: {warning}" for warning in warnings)
    text = "\n".join([table(summary), *summary_lines(evidence), *said])
    return Faithfulness(summary.metrics, curves, text, tuple(warnings), evidence)
