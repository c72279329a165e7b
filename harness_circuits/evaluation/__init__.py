"""From circuits to values per pair, curves, areas and intervals. Only `evaluate` runs a model."""

from typing import TYPE_CHECKING

from harness_circuits.evaluation.chance import accuracy_and_chance, near_chance_warning
from harness_circuits.evaluation.curve import (
    AREAS,
    Area,
    CurveValues,
    cmd,
    cmd_log,
    cpr,
    faithfulness,
)
from harness_circuits.evaluation.null_circuits import random_circuits
from harness_circuits.evaluation.result import Curve, ExampleValues, Result, example_records
from harness_circuits.evaluation.summary import ExampleRecord, Header, Summary, summarise, table
from harness_circuits.registry import on_first_use

if TYPE_CHECKING:
    from harness_circuits.evaluation.evaluate import evaluate_circuits, evaluate_curves

__all__ = [
    "AREAS",
    "Area",
    "Curve",
    "CurveValues",
    "ExampleRecord",
    "ExampleValues",
    "Header",
    "Result",
    "Summary",
    "accuracy_and_chance",
    "cmd",
    "cmd_log",
    "cpr",
    "evaluate_circuits",
    "evaluate_curves",
    "example_records",
    "faithfulness",
    "near_chance_warning",
    "random_circuits",
    "summarise",
    "table",
]

__getattr__ = on_first_use(
    __name__, {"evaluate_circuits": "evaluate", "evaluate_curves": "evaluate"}
)
