"""InterpBench cases as model folders: converted once, into the user's cache.

Beside InterpBench's files (see `interpbench`) a case's folder may hold

    vocabulary.json     {"input": [...], "output": [...]}: the words of its token ids and of its
                        answers; without it they are t0, t1, ... and o0, o1, ...
    tokenizer.json      instead: a tokenizer of its tokens (for the models with GPT-2's vocabulary)
    truth.json          instead of edges.pkl: a binary circuit file of EAP-IG or MIB
"""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats import save_circuit_file
from harness_circuits.ground_truth.interpbench import (
    EDGES_FILE,
    WEIGHTS_FILE,
    CaseConfig,
    config_file,
    read_config,
    read_edges,
    read_weights,
)
from harness_circuits.ground_truth.interpbench_model import convert, n_tokens, save_converted
from harness_circuits.machine.cache import cache_folder, make_once

VOCABULARY_FILE, TOKENIZER_FILE, TRUTH_FILE = "vocabulary.json", "tokenizer.json", "truth.json"
TOKENIZER_FILES = (TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json")
UNKNOWN = "<unk>"
FORMAT_VERSION = 1  # part of the folder's name: raise it when conversion changes


def converted_case(folder: Path) -> Path:
    """The converted model of a case: config, weights, tokenizer, true circuit.

    Raises:
        CacheError: The cache folder cannot be written.
        CircuitFileError: A file is missing, malformed, or cannot be read without running it.
        UnsupportedModelError: The model is of a kind that cannot be run here.
    """
    target = cache_folder() / "interpbench" / f"{folder.resolve().name}-{_digest(folder)}"
    return make_once(target, partial(_write, folder))


def _digest(folder: Path) -> str:
    """A name for the contents of the files that conversion reads."""
    config = config_file(folder).name
    names = (WEIGHTS_FILE, EDGES_FILE, config, VOCABULARY_FILE, TRUTH_FILE, *TOKENIZER_FILES)
    digest = hashlib.sha256()
    for name in names:
        if (folder / name).is_file():
            content = (folder / name).read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return f"{digest.hexdigest()[:16]}-v{FORMAT_VERSION}"


def _write(folder: Path, work: Path) -> None:
    """Fill a working folder with the converted model, its tokenizer and the true circuit."""
    config = read_config(folder)
    model: Any = convert(config, read_weights(folder), str(folder))
    save_converted(model, work)
    if (folder / TOKENIZER_FILE).is_file():
        for name in TOKENIZER_FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, work / name)
    else:
        _tokenizer(words_of(folder, config)).save_pretrained(work)
    if (folder / TRUTH_FILE).is_file():
        shutil.copyfile(folder / TRUTH_FILE, work / TRUTH_FILE)
        return
    graph = Graph(
        n_layers=config.n_layers,
        n_heads=config.n_heads,
        n_kv_heads=config.n_heads,
        d_model=model.config.n_embd,
    )
    save_circuit_file(work / TRUTH_FILE, read_edges(folder, graph))


def words_of(folder: Path, config: CaseConfig) -> list[str]:
    """Words of the converted model's token ids, the padding's last.

    Raises:
        CircuitFileError: `vocabulary.json` does not name each once.
    """
    sizes = {"input": config.d_vocab, "output": config.d_vocab_out if config.own_outputs else 0}
    words = {name: [f"{name[0]}{n}" for n in range(size)] for name, size in sizes.items()}
    words["input"] = [f"t{n}" for n in range(config.d_vocab)]
    path = folder / VOCABULARY_FILE
    if path.is_file():
        try:
            found = json.loads(path.read_text())
            words = {name: [str(word) for word in found.get(name, ())] for name in sizes}
        except (ValueError, AttributeError, TypeError) as error:
            raise CircuitFileError(
                f'{path} is not JSON of the form {{"input": [...], "output": [...]}}.'
            ) from error
    all_words = [*words["input"], *words["output"], UNKNOWN]
    right = {name: len(words[name]) for name in sizes} == sizes
    single = all(word.split() == [word] for word in all_words)
    if not right or not single or len(set(all_words)) != n_tokens(config):
        raise CircuitFileError(
            f"{path}: the model has {sizes['input']} input tokens and {sizes['output']} answers of "
            "their own; give each a word without spaces, every word once."
        )
    return all_words


def _tokenizer(words: list[str]) -> Any:
    """A tokenizer of words between spaces, which adds nothing."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token=UNKNOWN))
    made.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token=UNKNOWN, pad_token=UNKNOWN, eos_token=UNKNOWN
    )
