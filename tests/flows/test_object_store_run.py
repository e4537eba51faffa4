"""`everfeed run` with the lake and MLflow's artifacts in an object store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.flows.homes import ROOT, free_port
from tests.object_store import SECRET_KEY, S3Server

_SOURCE = ("--source", "synthetic", "--path", ".")
_WORLD = ("--option", "users=150", "--option", "items=120", "--option", "creators=20", "--option", "days=28")


def _environment(server: S3Server, folder: Path) -> dict[str, str]:
    places = {"HOME": str(folder), "LAKE_URL": "s3://team/lake", "ARTIFACTS_URL": "s3://team/mlflow"}
    ports = {f"{name}_PORT": str(free_port()) for name in ("GATEWAY", "CONSOLE", "PREFECT", "MLFLOW", "EVIDENTLY")}
    store = {name.upper(): value for name, value in server.settings.items()}
    own = {f"EVERFEED_{name}": value for name, value in {**places, **ports, **store}.items()}
    return {**os.environ, **own, "PYTHONPATH": str(ROOT)}


def _run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "flows.cli", *words)
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_lifecycle_runs_with_lake_and_artifacts_in_a_bucket(s3_server: S3Server, tmp_path: Path) -> None:
    s3_server.make("team")
    home = tmp_path / "home"
    environment = _environment(s3_server, home)
    done = _run(environment, "run", *_SOURCE, *_WORLD, "--preset", "item_knn", "--visitors", "500", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])
    kept = s3_server.objects("s3://team")
    tables = {name.split("/")[1] for name in kept if name.startswith("lake/")}
    assert {"interactions", "items", "users"} <= tables
    assert {"bundle", "evaluation"} <= {name.split("/")[3] for name in kept if name.startswith("mlflow/")}
    assert not (home / "lake").exists()
    assert not (home / "artifacts").exists()

    analysed = _run(environment, "analyze", "--json")
    assert analysed.returncode == 0, analysed.stderr[-3000:]
    looked = _run(environment, "gc", "--dry-run", "--json")
    assert looked.returncode == 0, looked.stderr[-3000:]
    refused = _run(environment, "backup", str(tmp_path / "backups"))
    assert refused.returncode != 0
    assert "EVERFEED_LAKE_URL puts the lake at s3://team/lake" in " ".join(refused.stderr.split())
    texts = [path for path in home.rglob("*") if path.suffix in {".log", ".json", ".jsonl", ".html"}]
    assert Settings(home=home).logs.is_dir()
    assert [path for path in texts if SECRET_KEY in path.read_text(errors="replace")] == []


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_told_before_anything_is_trained(s3_server: S3Server, tmp_path: Path) -> None:
    environment = _environment(s3_server, tmp_path / "home") | {"EVERFEED_LAKE_URL": "s3://nobodys/lake"}
    failed = _run(environment, "run", *_SOURCE, *_WORLD, "--preset", "item_knn", "--json")
    words = " ".join((failed.stdout + failed.stderr).split())
    assert failed.returncode != 0
    assert "has no such bucket. Make the bucket, or correct the URL." in words
    assert SECRET_KEY not in words
