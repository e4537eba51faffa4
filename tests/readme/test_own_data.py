"""The README's block "Your own data", run from the first line to the last: each a process of its own, over one home.

The folder that they run in holds what the lines name: `events/*.parquet` (real ratings of 300 people of ML-100K),
`KuaiRand-Pure/data` (six of its real days, a fifth of the people) and `search.json`. What is changed of a line stands
in `adapted`. `make demo` and `make test`, the two other commands of the README, are run by the gate itself; what is
said of a project is run by tests/flows/test_project.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.services import stack_services
from infra.settings import Settings
from infra.supervisor import running
from recmodels.data.schema import ITEM_ID, TIMESTAMP, USER_ID
from recmodels.data.sources import movielens
from tests.flows.homes import free_port
from tests.readme.documents import PAGES, ROOT, Command, blocks, typed
from tests.readme.interfaces import parameters

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

COMMANDS = next([*typed(block)] for block in blocks(PAGES[0]) if "--name my-feed" in block.text)

SEARCH = {
    "recipe": {"name": "first", "model": {"name": "ease"}},
    "space": {"model.config.regularisation": {"kind": "log", "low": 10.0, "high": 1000.0}},
    "trials": 2,
}
SAYS = {
    "run": "champion: .*, version ",
    "up": "gateway",
    "recommend": "score|rank|item",
    "status": "gateway .*champion",
    "doctor": "ok .*lake",
    "canary status": "champion",
    "canary history": "champion",
    "validate": "interactions",
    "quarantine list": "quarantine",
    "quarantine accounts": r"judged.*\d are suspect",
    "alerts list": "incident",
    "retrains list": "retrain",
    "compare": "ndcg_at_10",
    "audit-leakage": "leak",
    "analyze": "page|report",
    "tune": "best",
    "retune": "version|refused",
    "pyfunc": "mlflow models predict",
    "tokens add": "ana is operator, until .* The token, which is not shown again",
    "audit-log": "tokens add ana, done",
    "forget": "erasure .* lake: no rows left",
    "backup": "backup",
    "down": "Everything is stopped",
    "upgrade": "nothing to do",
    "deploy": "written to .*daily/daily",
}
"""What a person is told by each."""


@dataclass(frozen=True)
class Ran:
    """A line of the block, as it was run and how it ended."""

    command: Command
    name: str
    code: int
    said: str


def adapted(words: tuple[str, ...], first: tuple[str, ...]) -> list[str]:
    """Return a line's arguments, with what a person would put in: the ids, a yes, and a short training.

    Args:
        words: The line's.
        first: Those of the block's first line, which ``...`` stands for.
    """
    _, *arguments = words
    name, _ = parameters(arguments, is_whole=False)
    more = {
        "run": ["--preset", "popularity", "--preset", "item_knn", "--visitors", "300"],
        "up": ["--detach"],
        "forget": ["--yes"],
    }
    named = {"USER": "42", "DIR": "copies"}
    if name == "compare":
        arguments = ["compare", "2", "1"]
    if name == "run" and "--source" not in arguments:
        arguments = [*first[1:], *arguments[1:]]
    return [named.get(word, word) for word in arguments] + more.get(name, [])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, ml_100k_wheel: Path, shared_data: Path) -> Path:
    """A folder that holds what the lines name."""
    folder = tmp_path_factory.mktemp("own")
    rated = movielens.read(ml_100k_wheel).interactions
    some = rated.filter(pc.less_equal(pc.cast(rated[USER_ID], pa.int64()), 300))
    seconds = pc.cast(pc.divide(pc.cast(some[TIMESTAMP], pa.int64()), 1_000_000), pa.int64())
    events = pa.table({"uid": some[USER_ID], "vid": some[ITEM_ID], "ts": seconds})
    (folder / "events").mkdir()
    half = events.num_rows // 2
    pq.write_table(events.slice(0, half), folder / "events" / "1.parquet")
    pq.write_table(events.slice(half), folder / "events" / "2.parquet")
    kuairand = folder / "KuaiRand-Pure" / "data"
    kuairand.mkdir(parents=True)
    for name in ("user_features_pure.csv", "video_features_basic_pure.csv"):
        shutil.copy(shared_data / "kuairand_pure" / name, kuairand)
    log = pq.read_table(shared_data / "kuairand_pure" / "log_val_0425_0430.parquet")
    fifth = [user for user in pc.unique(log["user_id"]).to_pylist() if user % 5 == 0]
    pq.write_table(log.filter(pc.is_in(log["user_id"], pa.array(fifth))), kuairand / "log_some.parquet")
    (folder / "search.json").write_text(json.dumps(SEARCH))
    return folder


@pytest.fixture(scope="module")
def ran(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Ran]]:
    """Every line of the block, run in order; the deployments are written to a Prefect server beside the home's own."""
    ports = {f"EVERFEED_{name}_PORT": str(free_port()) for name in ("GATEWAY", "CONSOLE", "PREFECT", "MLFLOW")}
    own = {name: value for name, value in os.environ.items() if not name.startswith("EVERFEED_")}
    environment = own | ports | {"EVERFEED_EVIDENTLY_PORT": str(free_port()), "PYTHONPATH": str(ROOT)}
    other = Settings(home=tmp_path_factory.mktemp("other"), prefect_port=free_port())
    found = []
    try:
        for command in COMMANDS:
            if parameters(command.words[1:], is_whole=False)[0] == "deploy":
                prefect, *_ = stack_services(other)
                with running(other, (prefect,)):
                    found.append(
                        _run(command, workplace, environment | {"PREFECT_API_URL": f"{other.prefect_url}/api"})
                    )
            else:
                found.append(_run(command, workplace, environment))
        yield found
    finally:
        subprocess.run(_everfeed("down"), cwd=workplace, env=environment, capture_output=True, check=False)


def test_every_line_ends_well(ran: list[Ran]) -> None:
    wrong = [f"{one.command} ended with {one.code}\n{one.said[-2000:]}" for one in ran if one.code]
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("place", range(len(COMMANDS)), ids=lambda place: " ".join(COMMANDS[place].words[:3]))
def test_it_says_what_a_person_wants_to_know(ran: list[Ran], place: int) -> None:
    one = ran[place]
    assert re.search(SAYS[one.name], " ".join(one.said.split()), re.IGNORECASE), one.said[-3000:]


def test_everything_is_in_the_folders_that_the_readme_names(ran: list[Ran], workplace: Path) -> None:
    made = {path.name for path in workplace.iterdir()} - {"events", "KuaiRand-Pure", "search.json"}
    assert made == {".everfeed", "kuairand", "copies"}


def _run(command: Command, folder: Path, environment: dict[str, str]) -> Ran:
    arguments = adapted(command.words, COMMANDS[0].words)
    ended = subprocess.run(
        _everfeed(*arguments),
        cwd=folder,
        env=environment | command.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    name, _ = parameters(arguments)
    said = ended.stderr + ended.stdout
    print(f"\n$ everfeed {' '.join(arguments)}  [{ended.returncode}]\n{said[-1500:]}")
    return Ran(command, name, ended.returncode, said)


def _everfeed(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "flows.cli", *arguments)
