"""What the doctor repairs: what a killed process left, nothing that lives, nothing twice."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Running

from flows.doctor import repairs
from flows.doctor.finding import Repair
from flows.wiring import connect, platform
from infra.identity import PROCESS_LABEL, this_process
from infra.processes import SERVICE_VARIABLE, ServiceRecord, StackRecord, write_record
from infra.settings import Settings
from tests.flows.commands import Terminal, in_a_process
from tests.flows.homes import ROOT, environment

_DEAD_SECONDS = 3 * 3600
_EARLIER: set[str] = set()
"""What other tests of this server left to be repaired."""


@pytest.fixture(scope="module")
def dead() -> str:
    """The name of a process that was killed."""
    code = "from infra.identity import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen(
        (sys.executable, "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        process.kill()
    return name


@pytest.fixture(autouse=True)
def left_by_others(home: Settings) -> None:
    _EARLIER.clear()
    _EARLIER.update(repair.subject for repair in repairs(home))


@pytest.fixture
def client(home: Settings) -> Iterator[SyncPrefectClient]:
    with SyncPrefectClient(f"{home.prefect_url}/api") as opened:
        yield opened


@pytest.fixture
def everfeed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


@flow(name="a long one", persist_result=False)
def a_long_one() -> None:
    """Never called: its runs are made as Prefect's server knows them."""


def _age(path: Path) -> None:
    old = time.time() - _DEAD_SECONDS
    for one in (path, *path.rglob("*")):
        os.utime(one, (old, old))


def _own(settings: Settings) -> list[Repair]:
    return [repair for repair in repairs(settings) if repair.subject not in _EARLIER]


def _subjects(settings: Settings) -> list[str]:
    return [repair.subject for repair in _own(settings)]


def _apply(settings: Settings) -> list[bool]:
    return [repair.apply() for repair in _own(settings)]


def test_half_written_files_go_when_nobody_writes_them(home: Settings) -> None:
    old, young, held = (home.root / name for name in ("a.json.partial", "b.json.partial", "c.json.partial"))
    bundle = home.bundles / ".writing-5e1"
    (bundle / "scorer").mkdir(parents=True)
    (bundle / "scorer" / "items.npy").write_text("half")
    finished = home.bundles / "d1ce"
    finished.mkdir()
    mine = home.root / f"receipt.{os.getpid()}.partial"
    for path in (old, young, held, mine):
        path.write_text("half")
    for path in (old, held, mine, bundle, finished):
        _age(path)
    with held.open("a"):
        assert _subjects(home) == [f"half-written {old}", f"half-written {bundle}"]
        assert _apply(home) == [True, True]
        assert _subjects(home) == []
    assert sorted(path.name for path in home.root.glob("*.partial")) == sorted([young.name, held.name, mine.name])
    assert [path.name for path in home.bundles.iterdir()] == ["d1ce"]


def test_a_half_written_file_stays_when_somebody_opens_it_after_the_look(home: Settings) -> None:
    path = home.root / "a.json.partial"
    path.write_text("half")
    _age(path)
    (repair,) = _own(home)
    with path.open("a"):
        assert not repair.apply()
    assert path.exists()


def test_an_mlflow_run_is_ended_when_its_process_died(home: Settings, dead: str) -> None:
    tracker = connect(home).tracker
    alive, orphan, older = (tracker.lifecycle_run(key, name=key, tags={}) for key in ("alive", "orphan", "older"))
    tracker.set_tags(orphan, {PROCESS_LABEL: dead})
    tracker.client.delete_tag(older, PROCESS_LABEL)
    (repair,) = _own(home)
    assert repair.subject == f"MLflow run orphan ({orphan})"
    assert dead in repair.seen
    assert repair.apply()
    assert [tracker.client.get_run(run).info.status for run in (alive, orphan, older)] == [
        "RUNNING",
        "KILLED",
        "RUNNING",
    ]
    assert _subjects(home) == []
    assert tracker.lifecycle_run("orphan", name="orphan", tags={}) == orphan
    assert tracker.client.get_run(orphan).data.tags[PROCESS_LABEL] == this_process()
    assert _subjects(home) == []


def test_a_flow_run_names_its_process_when_it_asks_for_the_platform(home: Settings, client: SyncPrefectClient) -> None:
    @flow(name="names itself", persist_result=False)
    def names_itself() -> str:
        from prefect.runtime import flow_run

        platform()
        return str(flow_run.id)

    run = client.read_flow_run(UUID(names_itself()))
    assert run.labels[PROCESS_LABEL] == this_process()


def test_a_flow_run_is_marked_and_started_again_when_its_process_died(
    home: Settings, client: SyncPrefectClient, dead: str
) -> None:
    deployment = client.create_deployment(client.create_flow(a_long_one), f"nightly-{home.root.parent.name}")
    orphan, alive, nameless = (client.create_flow_run(a_long_one, state=Running()) for _ in range(3))
    scheduled = client.create_flow_run_from_deployment(deployment, state=Running())
    for run, process in ((orphan, dead), (scheduled, dead), (alive, this_process())):
        client.update_flow_run_labels(run.id, {PROCESS_LABEL: process})

    found = {repair.subject: repair for repair in _own(home)}
    assert set(found) == {f"flow run {run.name} ({run.id})" for run in (orphan, scheduled)}
    assert "lets it run again" in found[f"flow run {scheduled.name} ({scheduled.id})"].action
    assert all(repair.apply() for repair in found.values())
    states = [client.read_flow_run(run.id).state_name for run in (orphan, scheduled, alive, nameless)]
    assert states == ["Crashed", "AwaitingRetry", "Running", "Running"]
    assert _subjects(home) == []
    assert [repair.apply() for repair in found.values()] == [False, False]
    for run in (scheduled, alive, nameless):
        client.delete_flow_run(run.id)


def test_what_a_killed_stack_left_goes_when_none_is_up(home: Settings) -> None:
    marked = environment(home) | {SERVICE_VARIABLE: "gateway"}
    left = subprocess.Popen((sys.executable, "-c", "import time; time.sleep(600)"), env=marked)
    write_record(home, StackRecord(2**22 - 1, [ServiceRecord("gateway", 2**22 - 2, 1.0, "", "")], 1.0))
    assert _subjects(home) == [f"process {left.pid}", "record of services"]
    _apply(home)
    assert left.wait(10) != 0
    assert _subjects(home) == []


def test_nothing_is_repaired_until_a_person_agrees(
    home: Settings, everfeed: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home.root / "a.json.partial"
    path.write_text("half")
    _age(path)
    told = everfeed("doctor", "--json")
    assert told.document["repaired"] == []
    (finding,) = [one for one in told.document["findings"] if "half-written" in one["subject"]]
    assert "doctor --fix" in finding["advice"]
    monkeypatch.setattr("sys.stdin", StringIO("n\n"))
    assert everfeed("doctor", "--fix").code == 1
    assert path.exists()
    fixed = everfeed("doctor", "--fix", "--yes", "--json").document
    assert [one for one in fixed["repaired"] if one not in _EARLIER] == [f"half-written {path}"]
    assert not [one for one in fixed["findings"] if "half-written" in one["subject"]]
    assert everfeed("doctor", "--fix", "--yes", "--json").document["repaired"] == []


@pytest.mark.slow
def test_what_a_lifecycle_that_was_killed_left_is_repaired_once(
    home: Settings, client: SyncPrefectClient, first_death: tuple[Path, subprocess.Popen[str]]
) -> None:
    root, dying = first_death
    dying.communicate(timeout=200)
    killed = home.model_copy(update={"home": root})
    first = in_a_process(killed, ("doctor", "--fix", "--yes", "--json")).document
    runs = [subject for subject in first["repaired"] if subject.startswith("MLflow run")]
    flows = [subject for subject in first["repaired"] if subject.startswith("flow run")]
    assert len(runs) >= 2
    assert flows
    assert in_a_process(killed, ("doctor", "--fix", "--yes", "--json")).document["repaired"] == []
