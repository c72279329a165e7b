"""Data of `ground_truth_circuit`: pairs and true circuit come with the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonlines

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import CircuitFileError, TaskDataError, UnknownNameError, shown
from harness_circuits.formats import load_file
from harness_circuits.formats.parts import IN_GRAPH
from harness_circuits.ground_truth import TruthFiles, truth_files
from harness_circuits.task_data.base import TaskData
from harness_circuits.task_data.chat import Chat
from harness_circuits.task_data.scorer import Scorer


class TruthData(TaskData):
    """Reads the true circuit and the pairs of a model folder (see `ground_truth.folder`)."""

    def __init__(self, task: str) -> None:
        """Describe the data; which model it is for is known when the data are built."""
        super().__init__(task, self._documents)
        self.files: TruthFiles | None = None

    def build(
        self, metadata: Mapping[str, Any], scorer: Scorer, chat: Chat | None = None
    ) -> dict[str, Any]:
        """Build all splits for the model that `pretrained` names.

        Raises:
            TaskDataError: Its true circuit is not known, or a row of its pairs is no document.
            UnknownNameError: There is no hand-written model of that name.
        """
        self.files = truth_files(metadata.get("pretrained"))
        return super().build(metadata, scorer, chat)

    def circuit(self, graph: Graph) -> Circuit:
        """The true circuit.

        Raises:
            CircuitFileError: The file holds importances, or another model's circuit.
        """
        assert self.files is not None, "data are built before anything is run"
        try:
            circuit = load_file(f"{self.files.circuit}#{IN_GRAPH}", graph).item
        except UnknownNameError as error:
            raise CircuitFileError(
                f"{self.files.circuit} holds importances; a true circuit says of every edge "
                "whether it is in the circuit (in_graph)."
            ) from error
        assert isinstance(circuit, Circuit)
        return circuit

    @property
    def whole_heads(self) -> bool:
        """Whether the true circuit does not tell a head's query, key and value apart."""
        return self.files is not None and self.files.whole_heads

    def _documents(self, _: Any) -> Iterator[dict[str, Any]]:
        assert self.files is not None
        path = self.files.pairs
        try:
            with jsonlines.open(path) as file:
                for number, row in enumerate(file, 1):
                    where = f"{path}, line {number}"
                    if not isinstance(row, dict) or "clean" not in row:
                        raise TaskDataError(f"{where}: not a document of a pair.")
                    if self.files.words is not None:
                        _check_words(where, row, self.files.words)
                    yield {"key": row["clean"], **row}
        except jsonlines.InvalidLineError as error:
            raise TaskDataError(f"{path}, line {error.lineno}: not JSON.") from error


def _check_words(where: str, row: dict[str, Any], words: frozenset[str]) -> None:
    """Refuse a document with words that have no token."""
    texts = [row["clean"], row.get("corrupted", ""), *row.get("choices", [])]
    unknown = [word for text in texts for word in str(text).split() if word not in words]
    if unknown:
        raise TaskDataError(
            f"{where}: the model has no token for {shown(unknown[0])}. Its words are "
            f"{', '.join(sorted(words)[:20])}{', ...' if len(words) > 20 else ''}."
        )
