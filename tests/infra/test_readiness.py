"""What systemd is told, on a real socket of its kind."""

import os
import socket
from pathlib import Path

import pytest

from infra.readiness import notify
from infra.settings import Settings


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_told_when_it_named_a_socket(
    tmp_path: Path, is_abstract: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = f"@everfeed-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", named)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + named[1:] if is_abstract else named)
        assert notify(Settings().notify_socket, "READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_nobody_is_told_when_systemd_did_not_start_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify(Settings().notify_socket, "READY=1")
