"""Runs test files, each in a process forked from one that has imported the libraries, which takes longer than testing.

It is run as a script, so that it knows nothing of the project. It reads an order a line (JSON) and answers with an exit
code.
"""

import importlib
import json
import os
import sys
import traceback

LIBRARIES = (
    "hypothesis",
    "msgspec",
    "numpy",
    "pyarrow.compute",
    "pydantic",
    "pytest",
    "scipy.stats",
    "xdist.scheduler",
)
"""What the tests import that is not the project's own; it must stay unknown until a tree is chosen."""

_IMPORTED = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"


def serve() -> None:
    """Carry out orders until there are no more: `tree`, `tests`, `output`, and whether bytecode `is_written`."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(**order)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(tree: str, tests: list[str], output: str, *, is_written: bool) -> None:
    import pytest

    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(tree)
    sys.path.insert(0, tree)
    sys.dont_write_bytecode = not is_written
    code: int = pytest.ExitCode.INTERNAL_ERROR
    try:
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", _IMPORTED, *tests])
    except Exception:  # noqa: BLE001 - as an exit code of its own: 1 would say that a test failed
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
