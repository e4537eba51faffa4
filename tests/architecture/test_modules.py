"""What every module keeps: a docstring, one home for each heavy library, no pickle, no print, no environment."""

import ast
import re

import pytest

from tests.architecture.sources import PACKAGES, ROOT, Module, dotted, modules, project_files

TOP_LEVEL = {
    *(".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "pyproject.toml"),
    *("benchmarks", "docs", "tests", *PACKAGES),
}
LATE = {"great_expectations", "evidently", "matplotlib", "optuna", "implicit", "sentence_transformers"}
"""Libraries that cost seconds and hundreds of MB, or a display, to import: only inside the functions that use them."""
TORCH_HOMES = (
    *("recmodels/encoders/", "recmodels/layers/", "recmodels/models/", "recmodels/training/"),
    *("recmodels/rankers/", "recmodels/multi_task/", "recmodels/scenarios/", "recmodels/watch_time/"),
    *(f"recmodels/adaptation/{name}.py" for name in ("adapter", "low_rank", "methods", "prefix")),
    *(f"recmodels/ranking/{name}.py" for name in ("embeddings", "network", "training", "export")),
)
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"torch.load", "torch.save", "yaml.load", "yaml.unsafe_load", "eval", "exec"}
ENVIRONMENT = {
    "flows/commands/common.py": "gives its own process the variables that libraries read at their import",
    "infra/container.py": "hands the variables of its container on to the program that it becomes",
    "infra/mlflow_server.py": "gives its own process the variables that MLflow's application reads at its import",
    "infra/settings.py": "reads what AWS libraries know, where secrets are, and variables that no setting reads",
    "infra/supervisor.py": "hands the variables of this process on to the services that it starts",
}
"""Modules that touch the environment by themselves, and why."""
FOREIGN = re.compile(r"/root/|/home/[a-z]+/|/Users/|index-url")


def test_every_module_says_what_it_decides() -> None:
    assert [module.path for module in modules() if not ast.get_docstring(module.tree)] == []


def test_the_body_of_every_function_is_at_most_40_lines_long() -> None:
    long = [
        f"{module.path}:{node.lineno} {node.name} {_body_lines(node)}"
        for module in modules()
        if not module.path.startswith("infra/migrations/versions/")  # a migration lists tables
        for node in module.walk()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _body_lines(node) > 40
    ]
    assert long == []


def test_torch_is_imported_by_the_training_side_of_recmodels_alone() -> None:
    assert [m.path for m in modules() if _uses(m, {"torch"}) and not m.path.startswith(TORCH_HOMES)] == []


def test_libraries_that_take_seconds_are_imported_inside_functions() -> None:
    assert [m.path for m in modules() if _uses(m, LATE, is_top_level=True)] == []


def test_nothing_is_pickled() -> None:
    found = [module.path for module in modules() if _uses(module, PICKLES)]
    found += [f"{m.path}:{c.lineno}" for m in modules() for c in m.calls() if dotted(c.func) in UNSAFE_CALLS]
    found += [
        f"{module.path}:{call.lineno} {word.arg}"
        for module in modules()
        for call in module.calls()
        for word in call.keywords
        if word.arg == "allow_pickle" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
    ]
    assert found == []


def test_nothing_is_printed_but_by_the_command_line() -> None:
    found = [f"{m.path}:{c.lineno}" for m in modules() for c in m.calls() if dotted(c.func) == "print"]
    assert [place for place in found if not place.startswith("flows/cli.py")] == []


def test_the_environment_is_read_by_the_settings_alone() -> None:
    names = {"os.environ", "os.getenv", "os.environb", "environ", "getenv"}
    assert {m.path for m in modules() for node in m.walk() if dotted(node) in names} == set(ENVIRONMENT)
    (command_line,) = (module for module in modules() if module.path == "flows/commands/common.py")
    uses = [node for node in command_line.walk() if dotted(node) == "os.environ"]
    writes = [call for call in command_line.calls() if dotted(call.func) == "os.environ.update"]
    assert len(uses) == len(writes)


def test_settings_are_made_where_a_process_starts_alone() -> None:
    made = {m.path for m in modules() for call in m.calls() if dotted(call.func) == "Settings"}
    allowed = {
        "flows/commands/common.py",
        "flows/sender.py",
        "flows/wiring.py",
        "infra/container.py",
        "infra/settings.py",
        "infra/serving/main.py",
        "infra/serving/worker.py",
        "flows/control_room.py",
        "infra/pyfunc/served_bundle.py",
        "infra/mlflow_server.py",
    }
    assert made <= allowed


@pytest.mark.parametrize("package", ["recmodels"])
def test_a_pure_package_knows_no_clock_and_no_network(package: str) -> None:
    clocks = {"datetime.now", "datetime.utcnow", "date.today", "datetime.today", "time.time", "datetime.datetime.now"}
    pure = [module for module in modules() if module.path.startswith(f"{package}/")]
    found = [f"{m.path}:{c.lineno}" for m in pure for c in m.calls() if dotted(c.func) in clocks]
    found += [m.path for m in pure if _uses(m, {"httpx", "socket", "urllib", "requests", "http"})]
    assert found == []


def test_the_top_level_holds_what_the_architecture_names_alone() -> None:
    assert {name.split("/")[0] for name in project_files()} <= TOP_LEVEL


def test_no_file_names_a_path_of_one_machine_or_a_registry() -> None:
    found = []
    for name in project_files():
        if name == "tests/architecture/test_modules.py":
            continue
        text = (ROOT / name).read_text(errors="replace")
        found += [f"{name}: {match.group()}" for match in FOREIGN.finditer(text)]
    assert found == []


def _uses(module: Module, libraries: set[str], *, is_top_level: bool = False) -> bool:
    return any(name.split(".")[0] in libraries for name in module.imports(is_top_level=is_top_level))


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the end."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
