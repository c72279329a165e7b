"""Model folders with a known circuit: config and weights, tokenizer, true circuit, pairs.

FOLDER/truth.json    the true circuit, as EAP-IG and MIB write binary circuits
FOLDER/pairs.jsonl   documents with the fields of a pair, and optionally a `key` (see `task_data.base`)

The hand-written models are saved this way in the user's cache; others can be given as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jsonlines

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import TaskDataError, UnknownNameError
from harness_circuits.formats import save_circuit_file
from harness_circuits.ground_truth.interpbench import WEIGHTS_FILE, is_case, read_config
from harness_circuits.ground_truth.interpbench_folder import (
    TOKENIZER_FILE,
    TRUTH_FILE,
    converted_case,
    words_of,
)
from harness_circuits.ground_truth.models import GROUND_TRUTH, GroundTruth
from harness_circuits.ground_truth.prompts import SPECIAL, VOCABULARY
from harness_circuits.machine.cache import cache_folder, make_once
from harness_circuits.registry import unknown_name

PREFIX = "ground-truth:"
PAIRS_FILE = "pairs.jsonl"
FORMAT_VERSION = 2  # part of the folder's name: raise it when a model or its pairs change
N_DOCUMENTS = 2000


def ground_truth_folder(name: str) -> Path:
    """The folder of a hand-written model, made on first use.

    Raises:
        UnknownNameError: There is no such model.
        CacheError: The cache folder cannot be written.
    """
    if name not in GROUND_TRUTH:
        raise UnknownNameError(unknown_name("ground-truth model", name, GROUND_TRUTH))
    target = cache_folder() / "ground-truth" / f"{name}-v{FORMAT_VERSION}"
    return make_once(target, partial(_write, GROUND_TRUTH[name]))


@dataclass(frozen=True)
class TruthFiles:
    """What a task with a known circuit reads.

    Attributes:
        circuit: The true circuit.
        pairs: Documents, one a line.
        whole_heads: Whether the true circuit says only that a head reads a node, and not by which
            of its inputs.
        words: All words of the model's tokenizer, if others have no token; else None.
    """

    circuit: Path
    pairs: Path
    whole_heads: bool = False
    words: frozenset[str] | None = None


def truth_files(pretrained: Any) -> TruthFiles:
    """The files of a model whose circuit is known, from what `pretrained=` says.

    Raises:
        TaskDataError: It is no folder, or lacks the true circuit or the pairs.
        CircuitFileError: It is a case of InterpBench that cannot be read.
        UnknownNameError: There is no hand-written model of that name.
    """
    text = str(pretrained)
    if text.startswith(PREFIX):
        made = ground_truth_folder(text.removeprefix(PREFIX))
        return TruthFiles(made / TRUTH_FILE, made / PAIRS_FILE)
    folder = Path(text).expanduser()
    case = is_case(folder)
    needed = (PAIRS_FILE,) if case else (TRUTH_FILE, PAIRS_FILE)
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise TaskDataError(
            f"pretrained={pretrained}: its true circuit is not known ({' and '.join(missing)} not "
            f"found in such a folder). Use pretrained={PREFIX}NAME with one of "
            f"{', '.join(GROUND_TRUTH)}, or put these files beside your model's weights."
            if not case
            else f"pretrained={pretrained} is a case of InterpBench without pairs: put "
            f"{PAIRS_FILE} beside {WEIGHTS_FILE}, one document a line (see docs/ground_truth.md)."
        )
    if not case:
        return TruthFiles(folder / TRUTH_FILE, folder / PAIRS_FILE)
    words = None
    if not (folder / TOKENIZER_FILE).is_file():
        words = frozenset(words_of(folder, read_config(folder)))
    return TruthFiles(converted_case(folder) / TRUTH_FILE, folder / PAIRS_FILE, True, words)


def _write(truth: GroundTruth, folder: Path) -> None:
    """Fill a folder with model, tokenizer, true circuit and pairs."""
    model = truth.build()
    config = model.config
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    graph = Graph(
        n_layers=config.n_layer,
        n_heads=config.n_head,
        n_kv_heads=config.n_head,
        d_model=config.n_embd,
    )
    save_circuit_file(folder / TRUTH_FILE, Circuit.of_edges(graph, list(truth.edges)))
    with jsonlines.open(folder / PAIRS_FILE, "w") as file:
        file.write_all(truth.documents(N_DOCUMENTS))


def tokenizer() -> Any:
    """The hand-written models' tokenizer: one token per word, after a beginning-of-text token."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    begin, unknown = SPECIAL
    ids = {word: number for number, word in enumerate(VOCABULARY)}
    words = Tokenizer(WordLevel(ids, unk_token=unknown))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A $B", special_tokens=[(begin, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token=begin, eos_token=begin, pad_token=begin, unk_token=unknown
    )
