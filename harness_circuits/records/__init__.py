"""Results files and artifacts: written and read here. No torch."""

from harness_circuits.records.artifacts import check_folder, write_artifacts
from harness_circuits.records.examples import Examples, NoExamplesError, read_examples
from harness_circuits.records.fields import ResultFileError
from harness_circuits.records.results_file import Reading, read_results, read_runs
from harness_circuits.records.run import Run

__all__ = [
    "Examples",
    "NoExamplesError",
    "Reading",
    "ResultFileError",
    "Run",
    "check_folder",
    "read_examples",
    "read_results",
    "read_runs",
    "write_artifacts",
]
