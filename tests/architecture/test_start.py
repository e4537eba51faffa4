"""What a process imports when it starts: the command line answers at once, and what serves never loads a trainer."""

import os
import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT

HEAVY = ("torch", "prefect", "mlflow", "duckdb", "great_expectations", "evidently", "pandas", "matplotlib", "deltalake")
IN_A_SERVICE = ("torch", "prefect", "mlflow", "great_expectations", "evidently", "matplotlib")


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("flows.cli", (*HEAVY, "sqlalchemy", "onnxruntime", "scipy", "numpy", "pyarrow")),
        ("flows.sender", (*HEAVY, "onnxruntime", "scipy", "numpy", "pyarrow", "typer")),
        ("infra.serving.main", (*IN_A_SERVICE, "pyarrow", "numpy", "sqlalchemy")),
        ("infra.serving.worker", (*IN_A_SERVICE, "pandas", "scipy", "faiss")),
        ("flows.control_room", IN_A_SERVICE),
        ("flows.monitor", ("torch", "great_expectations", "evidently", "matplotlib")),
        ("recmodels.recipe", (*HEAVY, "sqlalchemy")),
        ("recmodels.ranker", ("torch",)),
        ("recmodels.ranking.scorer", IN_A_SERVICE),
    ],
)
def test_a_process_does_without_heavy_libraries_when_it_starts(module: str, forbidden: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print(*sorted({set(forbidden)} & set(sys.modules)))"
    ended = subprocess.run(
        (sys.executable, "-c", program),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.split() == []
