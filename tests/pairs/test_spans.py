"""Named spans of pairs, and the tokens that they are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from helpers.tiny_models import tiny_model
from helpers.tiny_tokenizer import word_tokenizer

import harness_circuits as hc
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import OptionError, PairError, TaskDataError
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.text_reader import TextReader
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.pair import Pair, fingerprint
from harness_circuits.pairs.spans import NO_TOKEN, TWO_SPANS, UNLIKE_SPANS, Positions, whole
from harness_circuits.pairs.tokenise import tokenise_pair
from harness_circuits.settings import Settings
from harness_circuits.task_data.chat import Chat
from harness_circuits.task_data.fit import Fit
from harness_circuits.task_data.marks import marked, with_spans

SPANS = Positions("spans")
TEXT = "When {} and {} went to the store, {} gave a drink to"


def document(names: tuple[str, str, str], other: str, **more: Any) -> dict[str, Any]:
    roles = ("IO", "S1", "S2")
    prompts = (TEXT.format(*map(marked, roles, chosen)) for chosen in (names, (*names[:2], other)))
    doc = dict(zip(("clean", "corrupted"), prompts, strict=True))
    return with_spans(
        {**doc, "choices": [" Mary", " John"], "correct": [0], "incorrect": [1], **more}
    )


DOC = document(("Mary", "John", "John"), "Tom")
PAIR = Pair.from_doc(DOC)
LABELS = ("rest0", "IO", "rest1", "S1", *["rest2"] * 5, "S2", *["rest3"] * 3, "END")


def labels(pair: Pair = PAIR, positions: Positions = SPANS, **how: Any) -> tuple[str, ...]:
    reader = TextReader(word_tokenizer(**how))
    return tokenise_pair(reader, pair, 0, "pairs", positions).spans


def changed(**fields: Any) -> Pair:
    return Pair.from_doc({**DOC, **fields})


def test_every_token_is_in_one_span() -> None:
    assert labels() == LABELS
    assert labels(positions=Positions()) == ()
    assert labels(positions=Positions("tokens")) == tuple(f"t{n}" for n in range(14))
    assert labels(bos=True) == ("rest0", *LABELS)
    assert labels(changed(corrupted_spans=None)) == LABELS
    assert whole(["A", "A"]) == ("A", "A")


def test_spans_begin_at_words() -> None:
    found = labels(positions=Positions("spans", ("and", "went", "gave")))
    assert found == ("rest0",) * 2 + ("and",) * 2 + ("went",) * 6 + ("gave",) * 4
    with pytest.raises(PairError, match="no word 'went' behind 'gave' for span_words"):
        labels(positions=Positions("spans", ("gave", "went")))


def test_what_is_no_span_is_refused() -> None:
    for spans, message in (
        ({"IO": [5, 9], "S1": [7, 12]}, "IO and S1 overlap"),
        ({"IO": [5, 900]}, "within the prompt's"),
        ({"IO": [5, 5]}, "within the prompt's"),
        ({"IO": [0.5, 3]}, "within the prompt's"),
        ({"rest0": [0, 4]}, "names are letters"),
        ({"a b": [0, 4]}, "names are letters"),
        ([1, 2], "maps names to"),
        ({"S1": [5, 9]}, "different names"),
    ):
        with pytest.raises(PairError, match=message):
            changed(spans=spans)


def test_spans_that_are_not_the_same_tokens_are_refused_by_name() -> None:
    for fields, positions, reason in (
        ({"spans": {"A": [0, 2], "B": [2, 4]}, "corrupted_spans": None}, SPANS, TWO_SPANS),
        ({"spans": {"A": [4, 5], "B": [5, 9]}, "corrupted_spans": None}, SPANS, NO_TOKEN),
        ({"spans": {"A": [5, 9]}, "corrupted_spans": {"A": [0, 4]}}, SPANS, UNLIKE_SPANS),
        ({"spans": None, "corrupted_spans": None}, SPANS, "no spans"),
    ):
        with pytest.raises(PairError) as error:
            labels(changed(**fields), positions)
        assert error.value.reason == reason
        fit = Fit("ioi", (), word_tokenizer(), positions=positions)
        assert fit({**DOC, **fields}) is None and fit.left_out == {reason: 1}


def test_a_tokenizer_that_knows_no_characters_is_refused() -> None:
    class Slow:
        is_fast = False
        bos_token_id = eos_token_id = None

        def __call__(self, texts: Any, **_: Any) -> dict[str, Any]:
            return {"input_ids": [[1, 2] for _ in texts]}

    with pytest.raises(OptionError, match=r"a fast\s+one\); Slow does not"):
        TextReader(Slow()).offsets("a b")


def test_spans_make_no_other_pair_of_a_pair() -> None:
    plain = changed(spans=None, corrupted_spans=None)
    assert fingerprint([plain]) == fingerprint([PAIR])
    assert Pair.from_doc(asdict(PAIR)) == PAIR
    assert hash(PAIR) != hash(plain)


def test_a_chat_template_moves_spans() -> None:
    chat = Chat(lambda turns: f"When said : {turns[-1]['content']} !")
    moved = Pair.from_doc(chat(DOC))
    for text, spans, names in (
        (moved.clean, moved.spans, ("Mary", "John", "John")),
        (moved.corrupted, moved.corrupted_spans, ("Mary", "John", "Tom")),
    ):
        assert tuple(text[span.start : span.end] for span in spans) == names
    changes = Chat(lambda turns: "When")
    assert chat({**DOC, "spans": None, "corrupted_spans": None})["spans"] is None
    assert changes(DOC)["spans"] == {}


def test_answers_of_several_tokens_go_with_the_prompts_last() -> None:
    pairs = [
        tokenise_pair(word_tokenizer(), changed(choices=[" Mary and Tom", " John"]), 0, "x", SPANS)
    ]
    spans = Spans.of(pair.spans for pair in pairs)
    (batch,) = make_batches(pairs, 1, spans=spans)
    assert batch.clean.spans is not None
    names = [spans.names[at] for at in batch.clean.spans[0].tolist()]
    assert tuple(names) == (*LABELS, "END", "END")


@pytest.fixture(scope="module")
def model() -> CircuitModel:
    found = tiny_model("gpt2")
    return CircuitModel(found.hf, word_tokenizer(), name="tiny")


NAMES = ("Mary", "John", "Anna", "Tom")
PAIRS = [
    Pair.from_doc(document((a, b, b), next(n for n in NAMES if n not in (a, b))))
    for a in NAMES
    for b in NAMES
    if a != b
]


@pytest.mark.parametrize("positions", ["spans", "tokens"])
def test_the_steps_of_the_main_job_over_positions(model: CircuitModel, positions: str) -> None:
    how = {"positions": positions}
    scores = hc.discover(model, PAIRS[:6], method="EAP", **how)
    assert scores.space.spans is not None
    circuits = hc.select(scores, sizes=(0.01, 0.2, 1.0))
    found = hc.faithfulness(model, PAIRS[6:], circuits, null_circuits=2, **how)
    assert found.metrics["faithfulness@1"] == pytest.approx(1)
    with pytest.raises(OptionError, match="give positions= as for its"):
        hc.faithfulness(model, PAIRS[6:], circuits)
    plain = hc.select(hc.discover(model, PAIRS[:6], method="EAP"), sizes=(0.5,))
    with pytest.raises(OptionError, match="no effect on a circuit without spans"):
        hc.faithfulness(model, PAIRS[6:], plain, **how)
    words = {"positions": "spans", "span_words": "and:went"}
    assert hc.discover(model, PAIRS[:6], **words).space.spans.names[0] == "rest0"  # type: ignore[union-attr]


def test_combinations_that_are_not_defined_are_refused_before_any_run(model: CircuitModel) -> None:
    for options, message in (
        ({"level": "node"}, "level=node"),
        ({"method": "exact"}, "exact is not defined over positions"),
        ({"selection": "greedy"}, "greedy is not defined over positions"),
        ({"compat": "mib", "kv_heads": None}, "compat=mib"),
    ):
        options.pop("kv_heads", None)
        with pytest.raises(OptionError, match=message):
            Settings.from_arguments({"positions": "spans", **options})
    with pytest.raises(OptionError, match="span_words divides prompts"):
        Settings.from_arguments({"span_words": "went"})
    with pytest.raises(TaskDataError, match="needs prompts of one length"):
        short = hc.make_pairs(["the cat to"], ["the dog to"], [" Mary"], [" John"])
        hc.discover(model, [*PAIRS[:2], *short], positions="tokens")
    other = Pair.from_doc(
        with_spans(
            {
                "clean": TEXT.format("Mary", marked("IO", "John"), marked("S2", "John")),
                "corrupted": TEXT.format("Mary", marked("IO", "John"), marked("S2", "Tom")),
                **{name: DOC[name] for name in ("choices", "correct", "incorrect")},
            }
        )
    )
    with pytest.raises(OptionError, match="means would mix spans"):
        hc.discover(model, [*PAIRS[:2], other], positions="spans", ablation="mean-positional")
