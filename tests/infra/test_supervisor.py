"""Services of one home: started together, watched, stopped without leftovers, whoever dies first."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from infra import processes
from infra.settings import Settings
from infra.supervisor import Service, Stack, module_command, running
from recmodels.errors import AlreadyRunningError, EverfeedError, PortTakenError

_ROOT = Path(__file__).parent.parent.parent
_SUPERVISE = """
import sys, time
from pathlib import Path
from infra.settings import Settings
from infra.supervisor import Service, Stack, module_command
home, folder, port = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
command = module_command("http.server", port, "--bind", "127.0.0.1", "--directory", folder)
stack = Stack(Settings(home=home), (Service("files", command, f"http://127.0.0.1:{port}", int(port), "/"),))
stack.start()
stack.wait_ready(timeout_seconds=60)
print("ready", flush=True)
time.sleep(600)
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _service(name: str, folder: Path) -> Service:
    port = _free_port()
    command = module_command("http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder))
    return Service(name, command, f"http://127.0.0.1:{port}", port, "/")


def _until(is_so: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _pids(settings: Settings) -> dict[str, int]:
    return {record.name: record.pid for record in processes.read_record(settings).services}


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "index.html").write_text("hello")
    return folder


@pytest.fixture
def stack(settings: Settings, pages: Path) -> Iterator[Stack]:
    """Two services, started and ready."""
    with running(settings, (_service("first", pages), _service("second", pages)), timeout_seconds=60) as started:
        yield started


def test_status_says_ready_when_every_service_answers(stack: Stack, settings: Settings) -> None:
    found = processes.statuses(settings)
    assert [(status.name, status.is_running, status.is_ready) for status in found] == [
        ("first", True, True),
        ("second", True, True),
    ]
    assert all(httpx.get(status.url).text == "hello" for status in found)
    assert all(status.memory_mb > 1 and status.started_at for status in found)
    assert processes.is_up(settings)


def test_no_process_is_left_when_the_stack_stops(settings: Settings, pages: Path) -> None:
    ready: list[str] = []
    services = (_service("first", pages), _service("second", pages))
    with running(settings, services, timeout_seconds=60, on_ready=ready.append) as stack:
        pids = _pids(settings)
        assert len(pids) == 2
    assert sorted(ready) == ["first", "second"]
    assert all(_is_gone(pid) for pid in pids.values())
    assert not processes.is_up(settings)
    assert processes.statuses(settings) == []
    stack.stop()


def test_children_of_a_service_are_stopped_when_it_is(settings: Settings, tmp_path: Path) -> None:
    note = tmp_path / "child"
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen((sys.executable, '-c', 'import time; time.sleep(600)'))\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    with running(settings, (Service("parent", (sys.executable, "-c", code)),)):
        _until(lambda: note.exists() and note.read_text() != "")
        child = int(note.read_text())
        assert psutil.pid_exists(child)
    _until(lambda: _is_gone(child))


def test_a_service_is_restarted_and_the_others_run_on_when_it_was_killed(stack: Stack, settings: Settings) -> None:
    before = _pids(settings)
    os.kill(before["first"], signal.SIGKILL)
    _until(lambda: not next(s for s in processes.statuses(settings) if s.name == "first").is_running)

    def is_back() -> bool:
        stack.watch()
        return all(status.is_ready for status in processes.statuses(settings))

    _until(is_back)
    after = _pids(settings)
    assert after["first"] != before["first"]
    assert after["second"] == before["second"]


def test_pauses_grow_when_a_service_keeps_dying(settings: Settings) -> None:
    with running(settings, (Service("broken", (sys.executable, "-c", "raise SystemExit(3)")),)) as stack:
        pids: list[int] = []

        def is_third() -> bool:
            stack.watch()
            pid = _pids(settings)["broken"]
            if pid not in pids:
                pids.append(pid)
                starts.append(time.monotonic())
            return len(pids) == 3

        starts: list[float] = []
        _until(is_third)
        assert starts[1] - starts[0] >= 0.5
        assert starts[2] - starts[1] >= 1.0


def test_a_service_is_added_when_the_stack_runs(stack: Stack, settings: Settings, pages: Path) -> None:
    stack.add(_service("third", pages))
    stack.wait_ready(timeout_seconds=60)
    assert list(_pids(settings)) == ["first", "second", "third"]


def test_start_is_refused_when_a_port_is_taken(settings: Settings, pages: Path) -> None:
    free, taken = _service("gateway", pages), _service("console", pages)
    with socket.socket() as other:
        other.bind(("127.0.0.1", taken.port))
        other.listen()
        with (
            pytest.raises(
                PortTakenError,
                match=rf"port {taken.port} for console .* by process {os.getpid()}.*EVERFEED_CONSOLE_PORT",
            ),
            running(settings, (free, taken)),
        ):
            pass
    assert not processes.answers(free.url, "/")
    assert not processes.is_up(settings)


def test_a_second_stack_is_refused_when_one_is_up_over_the_home(stack: Stack, settings: Settings, pages: Path) -> None:
    with (
        pytest.raises(AlreadyRunningError, match=r"everfeed status.*everfeed down.*EVERFEED_HOME"),
        running(settings, (_service("other", pages),)),
    ):
        pass
    assert all(status.is_ready for status in processes.statuses(settings))
    assert processes.is_up(settings)


def test_stacks_run_side_by_side_when_their_homes_differ(stack: Stack, tmp_path: Path, pages: Path) -> None:
    other = Settings(home=tmp_path / "other")
    with running(other, (_service("first", pages),), timeout_seconds=60):
        assert processes.is_up(other)
    assert not processes.is_up(other)


def test_waiting_says_how_a_service_ended_when_it_ends_at_once(settings: Settings) -> None:
    code = "print('no such column'); raise SystemExit(1)"
    broken = Service("gateway", (sys.executable, "-c", code), "http://127.0.0.1:9", 0, "/healthz")
    with (
        pytest.raises(EverfeedError, match=r"gateway ended while it was starting.*no such column"),
        running(settings, (broken,)),
    ):
        pass
    assert not processes.is_up(settings)


def test_waiting_says_which_service_is_late_when_the_time_is_up(settings: Settings) -> None:
    late = Service("gateway", (sys.executable, "-c", "import time; time.sleep(60)"), "http://127.0.0.1:9", 0, "/")
    with (
        pytest.raises(EverfeedError, match="gateway did not answer within 1 s"),
        running(settings, (late,), timeout_seconds=1.0),
    ):
        pass


def test_a_log_is_emptied_under_a_service_that_writes_on(settings: Settings) -> None:
    code = "import sys; print('begins'); sys.stdout.flush()\nfor line in sys.stdin: pass\n"
    code += "import time\nwhile True: print('on', flush=True); time.sleep(0.02)"
    with running(settings, (Service("talker", (sys.executable, "-c", code)),)) as stack:
        log = settings.logs / "talker.log"
        _until(lambda: "on" in log.read_text())
        with log.open("ab") as added:
            added.write(b"x" * 10_000_001)
        stack.watch()
        _until(lambda: log.read_text().startswith("on\n") and log.stat().st_size < 10_000)
    assert log.with_suffix(".log.1").stat().st_size > 10_000_001


def test_a_log_begins_anew_when_it_grew_too_large(settings: Settings) -> None:
    settings.logs.mkdir(parents=True)
    log = settings.logs / "talker.log"
    log.write_bytes(b"x" * 10_000_001)
    with running(settings, (Service("talker", (sys.executable, "-c", "print('hello')")),)):
        _until(lambda: log.exists() and log.read_text() == "hello\n")
    assert log.with_suffix(".log.1").stat().st_size == 10_000_001


@pytest.fixture
def orphan(settings: Settings, pages: Path) -> Iterator[psutil.Process]:
    """A service whose supervisor was killed with SIGKILL."""
    supervisor = subprocess.Popen(
        (sys.executable, "-c", _SUPERVISE, str(settings.root), str(pages), str(_free_port())),
        stdout=subprocess.PIPE,
        cwd=_ROOT,
    )
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == b"ready\n"
    left = psutil.Process(_pids(settings)["files"])
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    yield left
    if left.is_running():
        left.kill()


def test_leftovers_are_stopped_by_the_next_start_when_a_supervisor_was_killed(
    settings: Settings, pages: Path, orphan: psutil.Process
) -> None:
    assert orphan.is_running()
    assert not processes.is_up(settings)
    with running(settings, (_service("next", pages),), timeout_seconds=60):
        assert _is_gone(orphan.pid)
        assert list(_pids(settings)) == ["next"]


def test_leftovers_are_stopped_by_down_when_a_supervisor_was_killed(settings: Settings, orphan: psutil.Process) -> None:
    assert processes.take_down(settings)
    assert _is_gone(orphan.pid)
    assert not processes.take_down(settings)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that belongs to nobody's stack."""
    process = subprocess.Popen((sys.executable, "-c", "import time; time.sleep(600)"))
    yield process
    process.kill()
    process.wait()


def test_down_leaves_a_stranger_alone_when_it_has_the_number_of_an_ended_process(
    settings: Settings, stranger: subprocess.Popen[bytes]
) -> None:
    settings.root.mkdir()
    earlier = processes.created_at(stranger.pid) - 60
    ended = processes.ServiceRecord("files", stranger.pid, earlier, "", "/")
    processes.write_record(settings, processes.StackRecord(stranger.pid, [ended], earlier))
    with processes.hold_lock(settings):
        processes.take_down(settings, timeout_seconds=0.2)
    assert not processes.take_down(settings)
    assert stranger.poll() is None


def test_leftovers_are_found_by_their_mark_when_the_record_is_lost_or_damaged(
    settings: Settings, orphan: psutil.Process
) -> None:
    (settings.root / "stack.json").write_text("{")
    assert processes.take_down(settings)
    assert _is_gone(orphan.pid)
    assert not (settings.root / "stack.json").exists()


def test_a_supervisor_that_does_not_stop_is_killed_with_its_services_when_it_is_taken_down(
    settings: Settings, pages: Path
) -> None:
    command = (sys.executable, "-c", _SUPERVISE, str(settings.root), str(pages), str(_free_port()))
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT)
    assert supervisor.stdout is not None
    with supervisor.stdout:
        assert supervisor.stdout.readline() == b"ready\n"
    service = _pids(settings)["files"]
    supervisor.send_signal(signal.SIGSTOP)
    _until(lambda: psutil.Process(supervisor.pid).status() == psutil.STATUS_STOPPED)
    assert processes.take_down(settings, timeout_seconds=0.5)
    assert supervisor.wait(10) == -signal.SIGKILL
    assert _is_gone(service)
    assert not processes.is_up(settings)


def test_workers_that_a_killed_service_left_are_ended_when_it_is_restarted(settings: Settings, tmp_path: Path) -> None:
    note = tmp_path / "workers"
    code = (
        "import pathlib, subprocess, sys, time\n"
        "worker = subprocess.Popen((sys.executable, '-c', 'import time; time.sleep(600)'))\n"
        f"pathlib.Path({str(note)!r}).open('a').write(f'{{worker.pid}} ')\n"
        "time.sleep(600)\n"
    )
    with running(settings, (Service("parent", (sys.executable, "-c", code)),)) as stack:
        _until(lambda: note.exists() and note.read_text().endswith(" "))
        os.kill(_pids(settings)["parent"], signal.SIGKILL)

        def is_back() -> bool:
            stack.watch()
            return len(note.read_text().split()) == 2

        _until(is_back)
        first, second = map(int, note.read_text().split())
        assert _is_gone(first)
        assert not _is_gone(second)
    _until(lambda: _is_gone(second))


def test_what_a_service_started_in_a_session_of_its_own_ends_with_the_stack(settings: Settings, tmp_path: Path) -> None:
    note = tmp_path / "child"
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen((sys.executable, '-c', 'import time; time.sleep(600)'), start_new_session=True)\n"
        f"pathlib.Path({str(note)!r}).write_text(f'{{child.pid}} ')\n"
        "time.sleep(600)\n"
    )
    with running(settings, (Service("schedules", (sys.executable, "-c", code)),)):
        _until(lambda: note.exists() and note.read_text().endswith(" "))
    assert _is_gone(int(note.read_text()))


def test_a_service_without_an_address_is_ready_once_this_very_process_says_so(settings: Settings) -> None:
    code = (
        "import pathlib, time; from infra.processes import mark_ready; from infra.settings import Settings\n"
        "go = pathlib.Path({go!r})\n"
        "while not go.exists(): time.sleep(0.05)\n"
        "mark_ready(Settings(), 'quiet'); time.sleep(600)\n"
    ).format(go=str(settings.root / "go"))
    processes.mark_ready(settings, "quiet")  # as an earlier process left it
    stack = Stack(settings, (Service("quiet", (sys.executable, "-c", code), tells_ready=True),))
    stack.start()
    try:
        with pytest.raises(EverfeedError, match=r"quiet did not answer within 1 s"):
            stack.wait_ready(timeout_seconds=1)
        assert not processes.statuses(settings)[0].is_ready
        (settings.root / "go").touch()
        stack.wait_ready(timeout_seconds=60)
        assert processes.statuses(settings)[0].is_ready
    finally:
        stack.stop()
