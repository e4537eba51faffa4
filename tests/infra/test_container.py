"""What a container starts with: secrets from files become what libraries read, and what is set wins."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_SAY = "import os; print(*(os.environ[name] for name in ('MLFLOW_TRACKING_URI', 'PREFECT_API_URL', 'OMP_NUM_THREADS')))"


def _start(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "infra.container", *words)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_program_is_given_what_the_files_hold(tmp_path: Path) -> None:
    (tmp_path / "everfeed_mlflow_url").write_text("postgresql://me:hush@database/mlflow\n")
    given = {"EVERFEED_SECRETS_DIR": str(tmp_path), "EVERFEED_PREFECT_ADDRESS": "http://prefect:8702"}
    done = _start(sys.executable, "-c", _SAY, OMP_NUM_THREADS="3", **given)
    assert done.stdout.split() == ["postgresql+pg8000://me:hush@database/mlflow", "http://prefect:8702/api", "3"]


def test_a_program_that_the_image_lacks_is_told() -> None:
    done = _start("no-such-program")
    assert (done.returncode, done.stderr) == (
        2,
        "this image has no program 'no-such-program': the gateway's has python alone.\n",
    )
