"""The command line as a test calls it: in this process, or as a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows import cli
from infra.lake import Lake
from infra.settings import Settings
from tests.flows.homes import ROOT, environment, free_port

TABLES = ("interactions", "items", "users", "quarantine")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """What a person reads last."""
        return self.err.rstrip().splitlines()[-1]

    @property
    def document(self) -> Any:
        """The one JSON document of `--json`."""
        (line,) = self.out.splitlines()
        return json.loads(line)


class Terminal:
    """Calls the command line in this process, over the home that the environment names."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._patch = patch

    def __call__(self, *arguments: str) -> Ended:
        self._patch.setattr(sys, "argv", ["everfeed", *arguments])
        before = dict(os.environ)
        self._capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            os.environ.clear()
            os.environ.update(before)
        written = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, written.out, written.err)


def in_a_process(settings: Settings, arguments: Sequence[str]) -> Ended:
    """Call the command line as a process of its own."""
    command = (sys.executable, "-m", "flows.cli", *arguments)
    ended = subprocess.run(
        command, env=environment(settings), cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def choose_free_ports(patch: pytest.MonkeyPatch) -> None:
    """Let every service of the present home have a port that nobody listens on."""
    for name in ("GATEWAY", "CONSOLE", "PREFECT", "MLFLOW", "EVIDENTLY"):
        patch.setenv(f"EVERFEED_{name}_PORT", str(free_port()))
    patch.setenv("EVERFEED_EVIDENTLY", "false")  # seconds of CPU and 330 MB a stack; one test switches it on


def state_of(settings: Settings) -> dict[str, Any]:
    """Return what a home must not lose: its tables' versions, its bundles, and which data set it holds."""
    lake = Lake(settings.lake)
    names = [path.relative_to(settings.root) for path in sorted(settings.bundles.rglob("*"))]
    data_set = settings.root / "data_set.json"
    return {
        "versions": {name: lake.version(name) for name in TABLES},
        "rows": {name: lake.read(name).num_rows for name in TABLES if lake.version(name) is not None},
        "bundles": list(map(str, names)),
        "data_set": data_set.read_text() if data_set.exists() else None,
    }


def write(path: Path, text: str) -> Path:
    """Write a file and return its path."""
    path.write_text(text)
    return path
