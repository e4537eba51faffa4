import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
from sqlalchemy import func, select

from infra.event_records import requests
from tests.infra.gateway_home import Home
from tests.infra.serving.keepalive import gateway


def end_of(folder: Path, **settings: str) -> tuple[int, str]:
    """Run the gateway until it ends by itself; return its code and what it said."""
    environment = {**os.environ, "EVERFEED_HOME": str(folder), **settings}
    command = (sys.executable, "-m", "infra.serving.main")
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_writes_what_it_served_and_ends_with_code_0_when_it_is_told_to_stop(home: Home) -> None:
    home.crown()
    with gateway(home.folder, workers=1) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        for number in range(50):
            assert client.post("/v1/recommend", json={"user": f"user-{number}"}).status_code == 200
        parent = psutil.Process(running.parent.pid)
        assert "infra.serving.parent" in parent.cmdline()  # the process that was started has become the small one
        assert parent.memory_info().rss < 20 * 2**20
        os.killpg(running.parent.pid, signal.SIGTERM)  # as the supervisor and a terminal do
        assert running.parent.wait(20) == 0

    with home.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(requests)).scalar_one() == 50
    log = running.log.read_text()
    assert "user-" not in log
    assert log.count("started") == 1  # the parent did not start another worker for the one that was told to stop


def test_says_what_to_do_and_ends_with_code_2_when_the_store_cannot_be_used(tmp_path: Path) -> None:
    code, said = end_of(tmp_path, EVERFEED_DATABASE_URL="mysql://somewhere/else", EVERFEED_GATEWAY_PORT="0")

    assert code == 2
    assert "sqlite, postgresql" in said or "sqlite:////" in said


def test_names_the_setting_to_change_and_ends_with_code_1_when_its_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code, said = end_of(tmp_path, EVERFEED_GATEWAY_PORT=str(port))

    assert code == 1
    assert f"port {port} for gateway on 127.0.0.1 is taken by process {os.getpid()}" in said
    assert "EVERFEED_GATEWAY_PORT" in said
