"""What the gateway's image would hold: its requirements alone, from which a gateway starts and answers."""

import os
import socket
import subprocess
import time
import venv
from pathlib import Path

import httpx
import pytest

from infra.database import open_database
from tests.infra.gateway_home import SECRET, TOKEN, Home

ROOT = Path(__file__).parent.parent.parent


def _installed(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    wanted = ("-c", "infra/constraints.txt", "-r", "infra/deploy/gateway.txt")
    command = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        pytest.skip(f"the packages cannot be installed: {done.stderr[-300:]}")
    return python


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_gateway_answers_from_its_own_requirements_with_secrets_in_files(tmp_path: Path) -> None:
    python = _installed(tmp_path / "image")
    home, secrets = tmp_path / "home", tmp_path / "secrets"
    secrets.mkdir()
    url = f"sqlite:///{home / 'everfeed.db'}"
    for name, value in {"database_url": url, "write_token": TOKEN, "user_key_secret": SECRET.decode()}.items():
        (secrets / f"everfeed_{name}").write_text(value)
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "HOME"}}
    own = {"HOME": str(home), "SECRETS_DIR": str(secrets), "GATEWAY_PORT": str(port)}
    environment = kept | {f"EVERFEED_{name}": value for name, value in own.items()} | {"PYTHONPATH": str(ROOT)}

    migrated = _container(python, environment, "migrate")
    assert "the tables have schema" in migrated
    database = open_database(url)
    champion = Home(home, database).crown()
    database.close()
    command = (str(python), "-m", "infra.container", "python", "-m", "infra.serving.main")
    environment["PATH"] = f"{python.parent}:{environment['PATH']}"
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as gateway:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10.0) as client:
                _wait(client, gateway, tmp_path / "log")
                answer = client.post("/v1/recommend", json={"user": "anna", "k": 5})
        finally:
            gateway.terminate()
            gateway.wait(timeout=60)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert (answer.json()["digest"], len(answer.json()["items"])) == (champion.digest, 5)
    assert answer.json()["fallback_reason"] == "unknown_user"  # and not that the model could not be loaded
    assert gateway.returncode == 0
    modules = subprocess.run((str(python), "-c", "import torch"), capture_output=True, check=False)
    assert modules.returncode != 0


def _container(python: Path, environment: dict[str, str], *words: str) -> str:
    command = (str(python), "-m", "infra.container", *words)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"the gateway does not answer: {log.read_text()[-2000:]}")
