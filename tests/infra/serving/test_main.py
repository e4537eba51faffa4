import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
from sqlalchemy import func, select

from infra.event_records import requests
from tests.infra.gateway_home import Home


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(folder: Path, **settings: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "EVERFEED_HOME": str(folder), **settings}
    return subprocess.Popen([sys.executable, "-m", "infra.serving.main"], env=environment, stderr=subprocess.PIPE)


def test_writes_what_it_served_and_ends_with_code_0_when_it_is_told_to_stop(home: Home) -> None:
    home.crown()
    port = free_port()
    process = start(home.folder, EVERFEED_GATEWAY_PORT=str(port))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        deadline = time.monotonic() + 30
        while True:
            try:
                assert client.get("/readyz").status_code == 200
                break
            except httpx.TransportError:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.05)
        for number in range(50):
            assert client.post("/v1/recommend", json={"user": f"user-{number}"}).status_code == 200
        process.send_signal(signal.SIGTERM)

    _, log = process.communicate(timeout=20)

    assert process.returncode == 0, log
    with home.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(requests)).scalar_one() == 50
    assert b"user-" not in log


def test_says_what_to_do_and_ends_with_code_2_when_the_store_cannot_be_used(tmp_path: Path) -> None:
    process = start(tmp_path, EVERFEED_DATABASE_URL="mysql://somewhere/else")

    _, log = process.communicate(timeout=30)

    assert process.returncode == 2
    assert b"sqlite, postgresql" in log or b"sqlite:////" in log
