"""How prompts are read: the first token, white space, chat templates, length, and by which model."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.published_tokenizers import llama_tokenizer
from helpers.reading_models import SMALL, animals_doc, circuit, reading_folder
from helpers.tiny_tasks import TASK, documents, evaluate, values, write_task
from helpers.tiny_tokenizer import word_tokenizer
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

import harness_circuits as hc
from harness_circuits.errors import OptionError, PairError, TaskDataError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.patches import register
from harness_circuits.pairs.encode import encode_answers
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.tokenise import tokenise_pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_folder(tmp_path_factory.mktemp("reading"))


@pytest.mark.case("add-bos-token-ignored")
@pytest.mark.parametrize(("model", "task"), [("gpt2", "animals"), ("bos", TASK)])
def test_the_first_token_is_that_of_hf(folder: Path, model: str, task: str) -> None:
    found = {}
    for asked in (None, True, False):
        options = {} if asked is None else {"add_bos_token": asked}
        results = evaluate(circuit(folder, model, **options), [task], folder)
        hf = HFLM(pretrained=str(folder / model), device="cpu", dtype="float32", **options)
        plain = values(evaluate(hf, [task], folder), task)
        ours = values(results, task)
        (behaviour,) = set(plain) - {"acc"}
        assert ours[behaviour] == pytest.approx(plain[behaviour], abs=1e-4)
        assert ours["full_metric"] == pytest.approx(plain[behaviour], abs=1e-4)
        first = results["config"]["circuit"]["first_token"]
        found[asked] = ours["full_metric"], first and first["ids"]
    alone, with_first = found[False], found[True]
    assert abs(alone[0] - with_first[0]) > 1e-3
    assert (alone[1], with_first[1]) == (None, [0])
    assert found[None] == (alone if model == "gpt2" else with_first)


def test_compat_mib_puts_a_first_token_before_every_prompt(folder: Path) -> None:
    options = {"kv_heads": "ungrouped"}
    published = evaluate(circuit(folder, "gpt2", compat="mib", **options), ["animals"], folder)
    asked = evaluate(circuit(folder, "gpt2", add_bos_token=True, **options), ["animals"], folder)
    assert published["config"]["circuit"]["first_token"] == {"ids": [0], "text": "<|end|>"}
    assert values(published, "animals")["full_metric"] == pytest.approx(
        values(asked, "animals")["full_metric"], abs=1e-9
    )
    with pytest.raises(OptionError, match=r"compat=mib puts a first token .*leave one of them out"):
        evaluate(circuit(folder, "gpt2", compat="mib", add_bos_token=False), ["animals"], folder)


@pytest.mark.case("answer-gets-a-space")
def test_an_answer_gets_no_space_that_it_does_not_have() -> None:
    tokenizer = llama_tokenizer()
    prompt = "The dog went in 17"
    found = encode_answers(tokenizer, prompt, ["76", "12"])
    assert [tokenizer.convert_ids_to_tokens(list(ids)) for ids, _ in found] == [
        ["76"],
        ["1", "<0x32>"],
    ]
    assert [kept for _, kept in found] == [False, True]


@pytest.mark.case("chat-prompt-newline")
def test_only_spaces_move_to_the_answer() -> None:
    tokenizer = word_tokenizer()
    pair = Pair("The cat is\n", "The dog is\n", ("red", "blue"), (0,), (1,))
    found = tokenise_pair(tokenizer, pair, 0)
    assert found.clean == tuple(tokenizer.encode("The cat is\n"))
    assert found.answers == ((tokenizer.encode("red")[0],), (tokenizer.encode("blue")[0],))
    spaced = Pair("The cat is ", "The dog is ", ("red", "blue"), (0,), (1,))
    assert tokenise_pair(tokenizer, spaced, 0).answers[0] == tuple(tokenizer.encode(" red"))


def test_a_chat_template_goes_around_both_prompts(folder: Path) -> None:
    how = {"apply_chat_template": True, "log_samples": True}
    results = evaluate(circuit(folder, "chat"), [TASK], folder, **how)
    hf = HFLM(pretrained=str(folder / "chat"), device="cpu", dtype="float32")
    plain = values(evaluate(hf, [TASK], folder, **how))
    ours = values(results)
    (behaviour,) = set(plain) - {"acc"}
    assert ours[behaviour] == pytest.approx(plain[behaviour], abs=1e-4)
    assert ours["full_metric"] == pytest.approx(plain[behaviour], abs=1e-4)
    doc, bare = results["samples"][TASK][0]["doc"], documents(1, 5)[0]
    for name in ("clean", "corrupted"):
        assert doc[name] == f"user: {bare[name]}\nbook\n"
    assert doc["choices"] == [choice.strip() for choice in bare["choices"]]
    without = values(evaluate(circuit(folder, "chat"), [TASK], folder))
    assert without["full_metric"] != pytest.approx(ours["full_metric"], abs=1e-3)


def test_a_chat_template_is_taken_on_the_command_line(folder: Path) -> None:
    how = {"apply_chat_template": True, "system_instruction": "red"}
    include = {"include_defaults": False, "include_path": str(folder)}
    register()
    from lm_eval import simple_evaluate

    found = simple_evaluate(
        model="circuit",
        model_args={"pretrained": str(folder / "chat"), **SMALL},
        tasks=[TASK],
        task_manager=TaskManager(**include),
        **how,
    )
    model = evaluate(circuit(folder, "chat"), [TASK], folder, **how)
    alone = evaluate(circuit(folder, "chat"), [TASK], folder, apply_chat_template=True)
    assert found is not None
    assert values(found) == values(model) != values(alone)


def test_a_model_without_a_chat_template_is_one_line(folder: Path) -> None:
    with pytest.raises(
        OptionError, match=r"--apply_chat_template cannot be used with this model's"
    ):
        evaluate(circuit(folder, "bos"), [TASK], folder, apply_chat_template=True)


def test_discovery_and_means_are_in_the_format_of_the_run(folder: Path) -> None:
    """Of the same model: with a template, without one, and with one again."""
    docs = [{"text": "When Mary and John went", "choices": [" Mary", " Tom"], "label": 0}]
    write_ordinary_tasks(folder, docs)
    options = {"circuit": f"discover:{TASK}", "method": "EAP", "ablation": "mean", "size": 0.3}
    lm = CircuitLM(pretrained=str(folder / "chat"), device="cpu", calibration="choice", **options)
    found = []
    for chat in (True, False, True):
        results = evaluate(lm, ["choice"], folder, apply_chat_template=chat)
        facts = results["config"]["circuit"]
        provenance = facts["given"]["provenance"]
        assert provenance.get("chat_template", False) is chat
        calibrated = facts["ordinary_tasks"]["calibration"]["hash"]
        found.append((facts["given"]["sha256"], provenance["discovery_pairs"], calibrated))
    assert found[0] == found[2]
    assert all(one != other for one, other in zip(found[0], found[1], strict=True))


@pytest.mark.case("prompt-longer-than-context")
def test_a_pair_longer_than_the_model_takes_is_left_out_or_named(folder: Path) -> None:
    long = {**animals_doc("dog", "shop")}
    for name in ("clean", "corrupted"):
        long[name] = long[name].replace("The ", "The " + "red " * 90)
    include = write_task(folder, train=[animals_doc("cat", "tree"), long], test=[long], task="long")
    message = r"2 longer than what the model takes at once.* pair \d has 98 tokens, and the model"
    with pytest.raises(TaskDataError, match=message):
        evaluate(circuit(folder, "gpt2"), ["long"], include)
    model = hc.load_model(str(folder / "gpt2"), device="cpu", max_length=5)
    pairs = hc.make_pairs(["The cat went to the"], ["The dog went to the"], [" red"], [" blue"])
    assert hc.discover(model, pairs, method="EAP").values.any()
    with pytest.raises(PairError, match="pair 0 has 6 tokens, and the model takes 5 at once"):
        longer = hc.make_pairs(
            ["The cat went to the red"], ["The dog went to the red"], [" do"], [" in"]
        )
        hc.discover(model, longer, method="EAP")
    with pytest.raises(OptionError, match=r"max_length=100: .* has learned 64 positions"):
        hc.load_model(str(folder / "gpt2"), device="cpu", max_length=100)
