"""Data of `ground_truth_circuit`: pairs and true circuit come with the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonlines

from harness_circuits.circuit import Circuit
from harness_circuits.errors import CircuitFileError, TaskDataError
from harness_circuits.formats import load_circuit_file
from harness_circuits.graph import Graph
from harness_circuits.ground_truth import TRUTH_FILE, truth_folder
from harness_circuits.ground_truth.folder import PAIRS_FILE
from harness_circuits.taskdata import TaskData


class TruthData(TaskData):
    """Reads a model folder with `truth.json` and `pairs.jsonl` (see `ground_truth.folder`)."""

    def __init__(self, task: str) -> None:
        """Describe the data; which model it is for is known when the data are built."""
        super().__init__(task, self._documents)
        self.folder: Path | None = None

    def __call__(self, **metadata: Any) -> dict[str, Any]:
        """Build all splits for the model that `pretrained` names.

        Raises:
            TaskDataError: Its true circuit is not known, or a row of its pairs is no document.
            UnknownNameError: There is no hand-written model of that name.
        """
        self.folder = truth_folder(metadata.get("pretrained"))
        return super().__call__(**metadata)

    def circuit(self, graph: Graph) -> Circuit:
        """The true circuit.

        Raises:
            CircuitFileError: The file holds importances, or another model's circuit.
        """
        assert self.folder is not None, "data are built before anything is run"
        circuit = load_circuit_file(self.folder / TRUTH_FILE, graph)
        if not isinstance(circuit, Circuit):
            raise CircuitFileError(
                f"{self.folder / TRUTH_FILE} holds importances; a true circuit says of every edge "
                "whether it is in the circuit (in_graph)."
            )
        return circuit

    def _documents(self, _: Any) -> Iterator[dict[str, Any]]:
        assert self.folder is not None
        path = self.folder / PAIRS_FILE
        try:
            with jsonlines.open(path) as file:
                for number, row in enumerate(file, 1):
                    if not isinstance(row, dict) or "clean" not in row:
                        raise TaskDataError(f"{path}, line {number}: not a document of a pair.")
                    yield {"key": row["clean"], **row}
        except jsonlines.InvalidLineError as error:
            raise TaskDataError(f"{path}, line {error.lineno}: not JSON.") from error
