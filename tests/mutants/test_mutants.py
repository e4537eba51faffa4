"""Every hand-made fault fails a test. The faults are tried in copies of the tree, two at a time."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import pytest

from tests.mutants.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("flows", "infra", "monitoring", "recmodels", "tests", "pyproject.toml")
WORKERS = 2
TESTS_FAILED = 1  # pytest's exit code; 2 to 5 are errors of another kind, which prove nothing


@dataclass(frozen=True)
class Trial:
    """How a test file ended, and what it printed."""

    exit_code: int
    output: str


@dataclass(frozen=True)
class Tree:
    """A copy of the tree, and the process that runs its tests."""

    path: Path
    runner: "subprocess.Popen[str]"

    def run_tests(self, *tests: str, is_mutated: bool) -> Trial:
        """Run test files; bytecode is kept of the sound code alone."""
        log = self.path.with_suffix(".log")
        order = {"tree": str(self.path), "tests": tests, "output": str(log), "is_written": not is_mutated}
        assert self.runner.stdin is not None
        assert self.runner.stdout is not None
        self.runner.stdin.write(json.dumps(order) + "\n")
        self.runner.stdin.flush()
        return Trial(int(self.runner.stdout.readline()), log.read_text()[-3000:])

    def try_mutant(self, mutant: Mutant) -> Trial:
        path = self.path / mutant.file
        sound, written = path.read_text(), path.stat().st_mtime_ns
        try:
            path.write_text(sound.replace(mutant.original, mutant.replacement))
            os.utime(path, ns=(0, 0))  # a time of its own, so that bytecode of the sound file is never taken for it
            return self.run_tests(mutant.test, is_mutated=True)
        finally:
            path.write_text(sound)
            os.utime(path, ns=(written, written))


def copy_tree(target: Path) -> Path:
    target.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, target / name)
    return target


@contextmanager
def opened(path: Path) -> Iterator[Tree]:
    command = [sys.executable, "-P", str(ROOT / "tests" / "mutants" / "forked.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    runner = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, **pipes)
    with runner:
        yield Tree(path, runner)


@pytest.fixture(scope="module")
def trials(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """Try the selected mutants, after the same tests have passed on the sound tree."""
    chosen = [
        item.callspec.params["mutant"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_fault_fails_a_test_when_it_is_made.__name__
    ]
    folder = tmp_path_factory.mktemp("mutants")
    first = copy_tree(folder / "tree0")
    with opened(first) as tree:
        sound = tree.run_tests(*sorted({mutant.test for mutant in chosen}), is_mutated=False)
    assert sound.exit_code == 0, f"the tests fail without any fault:\n{sound.output}"
    paths = [first, *(Path(shutil.copytree(first, folder / f"tree{number}")) for number in range(1, WORKERS))]
    with ExitStack() as stack, ThreadPoolExecutor(WORKERS) as pool:
        trees: Queue[Tree] = Queue()
        for path in paths:
            trees.put(stack.enter_context(opened(path)))

        def attempt(mutant: Mutant) -> Trial:
            tree = trees.get()
            try:
                return tree.try_mutant(mutant)
            finally:
                trees.put(tree)

        return dict(zip([mutant.name for mutant in chosen], pool.map(attempt, chosen), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_fault_fails_a_test_when_it_is_made(mutant, trials):
    trial = trials[mutant.name]
    assert trial.exit_code == TESTS_FAILED, f"{mutant.test} did not notice {mutant.name}:\n{trial.output}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_fault_can_be_made_when_its_snippet_stands_in_the_file_once(mutant):
    assert (ROOT / mutant.file).read_text().count(mutant.original) == 1
    assert mutant.original != mutant.replacement
    assert (ROOT / mutant.test).is_file()


def test_faults_are_thirty_and_more_when_all_areas_are_counted():
    areas = Counter(mutant.area for mutant in MUTANTS)
    assert set(areas) == {"gate", "metrics", "policy", "judge", "split"}
    assert min(areas.values()) >= 5
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 30
