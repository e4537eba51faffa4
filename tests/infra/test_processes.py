"""What is running over a home, seen from outside."""

import os
import socket
from pathlib import Path

import pytest

from infra import processes
from infra.processes import ServiceRecord, StackRecord
from infra.settings import Settings
from recmodels.errors import AlreadyRunningError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(home=tmp_path)
    assert found.root.is_dir()
    return found


def test_nothing_is_known_when_a_home_was_never_used(settings: Settings) -> None:
    assert not processes.is_up(settings)
    assert processes.statuses(settings) == []
    assert processes.read_record(settings) == StackRecord()
    assert not processes.take_down(settings)


def test_no_file_is_left_behind_when_a_home_is_only_asked_about(settings: Settings) -> None:
    processes.is_up(settings)
    processes.statuses(settings)
    assert list(settings.root.iterdir()) == []


def test_lock_is_refused_when_it_is_held(settings: Settings) -> None:
    lock = processes.hold_lock(settings)
    assert processes.is_up(settings)
    with pytest.raises(AlreadyRunningError, match=str(settings.root)):
        processes.hold_lock(settings)
    lock.close()
    assert not processes.is_up(settings)
    processes.hold_lock(settings).close()


def test_record_is_read_as_written_when_there_is_one(settings: Settings) -> None:
    record = StackRecord(7, [ServiceRecord("gateway", 8, 9.5, "http://127.0.0.1:8700", "/healthz")])
    processes.write_record(settings, record)
    assert processes.read_record(settings) == record
    assert not processes.take_down(settings)
    assert processes.read_record(settings) == StackRecord()


def test_a_service_is_not_running_when_its_number_belongs_to_a_later_process(settings: Settings) -> None:
    created = processes.created_at(os.getpid())
    mine = ServiceRecord("mine", os.getpid(), created, "", "")
    former = ServiceRecord("former", os.getpid(), created - 1.0, "", "")
    ended = ServiceRecord("ended", 2**22 - 1, created, "", "")
    processes.write_record(settings, StackRecord(0, [mine, former, ended]))
    assert [(s.name, s.is_running, s.is_ready) for s in processes.statuses(settings)] == [
        ("mine", True, True),
        ("former", False, False),
        ("ended", False, False),
    ]
    assert processes.created_at(2**22 - 1) == 0.0


def test_owner_is_named_when_a_port_is_taken(settings: Settings) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert f"process {os.getpid()}" in processes.port_owner(listener.getsockname()[1])


def test_nothing_answers_when_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert not processes.answers(f"http://127.0.0.1:{probe.getsockname()[1]}", "/")
