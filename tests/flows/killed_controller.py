"""A process that looks at the active rollout once and kills itself with SIGKILL at the moment it is told.

Run as `python -m tests.flows.killed_controller deciding|decided`; not a test module.
"""

import os
import signal
import sys
from typing import Any, NoReturn

import infra.rollout_changes
from flows import canary


def _die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be survived")


if __name__ == "__main__":
    if sys.argv[1] == "deciding":  # the verdict and the new state are written, and not committed
        infra.rollout_changes.record_change = _die
    else:  # they are committed, and nothing follows
        canary._execute = lambda *arguments, run=canary._execute: (run(*arguments), _die())
    canary.look()
