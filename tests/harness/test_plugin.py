"""lm-eval from outside: what a user's `lm_eval` knows after installing our wheel or checkout.

lm-eval needs a quarter of a minute to read the 14,000 tasks it brings. Here `SMALL` has it read
a folder with one task instead; one test, marked slow, is the real thing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.environments import LM_EVAL, ROOT, SWITCH, Environment, build_wheel, make_environment
from helpers.startup_hook import HOOK

OURS = sorted(path.stem for path in ROOT.glob("tasks/*/*.yaml") if path.stem == path.parent.name)

SMALL = """
import json, sys
import lm_eval.tasks.manager as manager
manager.__file__ = {folder!r} + "/manager.py"
"""

BUILT_IN_TASK = """
task: built_in
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""

FACTS = """
import lm_eval.models
from lm_eval.api.registry import model_registry
from lm_eval.tasks import TaskManager
facts = {
    "models": sorted(model_registry),
    "heavy": sorted({"torch", "transformers"} & set(sys.modules)),
    "loaders": [type(sys.modules[name].__spec__.loader).__name__
                for name in ("lm_eval.models", "lm_eval.tasks.manager")],
    "tasks": TaskManager().all_tasks,
    "only_asked": TaskManager(include_defaults=False, include_path=sys.argv[1]).all_tasks,
    "include_path": TaskManager(include_path=sys.argv[1]).include_path,
}
if "harness_circuits" in sys.modules:
    from harness_circuits import register, tasks_folder
    register(), register()
    facts["again"] = TaskManager().all_tasks
    facts["folder"] = str(tasks_folder())
print(json.dumps(facts))
"""

SIMPLE_EVALUATE = """
from lm_eval import simple_evaluate
results = simple_evaluate(model="dummy", tasks=["built_in"], log_samples=False)["results"]
print(json.dumps(results["built_in"]["acc,none"]))
"""


@pytest.fixture(scope="module", params=["wheel", "editable"])
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    folder = tmp_path_factory.mktemp(request.param)
    made = make_environment(folder / "venv")
    if request.param == "wheel":
        made.install(build_wheel(folder))
    else:
        made.install("--editable", ROOT)
    return made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Code that makes lm-eval's own task folder a small one."""
    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "data.jsonl"
    data.write_text(json.dumps({"question": "1+1=", "choices": ["2", "3"], "answer": 0}) + "\n")
    (folder / "built_in.yaml").write_text(BUILT_IN_TASK.format(data=data))
    return SMALL.format(folder=str(folder))


def run_lm_eval(environment: Environment, small: str, *arguments: str, check: bool = True):
    return environment.run("python", "-c", small + LM_EVAL, *arguments, check=check)


def test_models_and_tasks_are_added_to_those_of_lm_eval(
    environment: Environment, small: str, tmp_path: Path
) -> None:
    (tmp_path / "asked.yaml").write_text("task: asked\ndataset_path: json\n")
    facts = json.loads(environment.run("python", "-c", small + FACTS, tmp_path).stdout)
    assert {"circuit", "hf", "dummy"} <= set(facts["models"])
    assert facts["heavy"] == []
    assert facts["loaders"] == ["SourceFileLoader"] * 2
    assert "ioi_circuit" in OURS
    assert {"built_in", *OURS} <= set(facts["tasks"])
    assert facts["again"] == facts["tasks"]
    assert facts["only_asked"] == ["asked"]
    assert facts["include_path"] == str(tmp_path)
    assert Path(facts["folder"]).is_dir()


def test_the_environment_variable_switches_everything_off(
    environment: Environment, small: str, tmp_path: Path
) -> None:
    command = ("python", "-c", small + FACTS, tmp_path)
    facts = json.loads(environment.run(*command, switches={SWITCH: "1"}).stdout)
    assert "circuit" not in facts["models"]
    assert {"hf", "dummy"} <= set(facts["models"])
    assert facts["tasks"] == ["built_in"]
    assert "again" not in facts


def test_the_command_line_lists_our_tasks(environment: Environment, small: str) -> None:
    listing = run_lm_eval(environment, small, "ls", "tasks").stdout
    for name in ("built_in", *OURS):
        assert name in listing


@pytest.mark.parametrize("environment", ["wheel"], indirect=True)
def test_simple_evaluate_still_runs_built_in_models_and_tasks(
    environment: Environment, small: str, tmp_path: Path
) -> None:
    code = small + SIMPLE_EVALUATE
    printed = environment.python_code(code, switches={"HF_HOME": str(tmp_path)})
    assert json.loads(printed.splitlines()[-1]) in (0.0, 1.0)


@pytest.mark.parametrize("environment", ["wheel"], indirect=True)
def test_a_users_mistake_is_one_line_and_a_failing_exit_code(
    environment: Environment, small: str
) -> None:
    asked = ("--model", "circuit", "--model_args", "methd=EAP", "--tasks", "ioi_circuit")
    result = run_lm_eval(environment, small, *asked, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("harness-circuits: error: Unknown argument 'methd'.")
    assert "Did you mean 'method'?" in message


def test_starting_python_adds_our_finder_alone(environment: Environment) -> None:
    code = "import sys; print(*sys.modules, [type(x).__name__ for x in sys.meta_path][0])"
    *with_hook, finder = environment.python_code(code).split()
    bare = environment.packages / HOOK
    aside = bare.rename(bare.with_suffix(".aside"))
    try:
        *without, _ = environment.python_code(code).split()
    finally:
        aside.rename(bare)
    assert (set(with_hook), finder) == (set(without), "LmEvalFinder")


def test_our_command_needs_no_start_up_hook(environment: Environment, small: str) -> None:
    paths = json.loads(environment.python_code("import json, sys; print(json.dumps(sys.path))"))
    start = f"import sys; sys.path[:] = {paths!r}\n"
    ours = "\nfrom harness_circuits.commands.main import main; main(sys.argv[1:])"
    listing = environment.run("python", "-S", "-c", start + small + ours, "ls", "tasks").stdout
    assert "ioi_circuit" in listing
    assert "built_in" in listing


def test_our_command_prints_versions_and_refuses_what_it_does_not_know(
    environment: Environment,
) -> None:
    versions = environment.run("harness-circuits", "version").stdout
    assert versions.startswith("harness_circuits ")
    assert "\nlm_eval 0.4." in versions
    result = environment.run("harness-circuits", "lss", "tasks", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("harness-circuits: error: Unknown command 'lss'. Did you mean")
    assert "Traceback" not in result.stderr


@pytest.mark.slow  # reads all 14,000
@pytest.mark.parametrize("environment", ["wheel"], indirect=True)
def test_plain_lm_eval_lists_our_tasks_among_all(environment: Environment) -> None:
    listing = environment.run("lm_eval", "ls", "tasks").stdout
    for name in ("hellaswag", *OURS):
        assert name in listing
