"""Whether a process that wrote its name down still lives."""

import os
import subprocess
import sys

import pytest

from infra.identity import has_died, this_process


def test_a_process_has_not_died_when_it_asks_about_itself() -> None:
    assert not has_died(this_process())


def test_a_process_has_died_when_it_was_killed_or_its_number_is_a_later_ones() -> None:
    code = "from infra.identity import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen(
        (sys.executable, "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert not has_died(name)
        other.kill()
        other.wait()
        assert has_died(name)
    host, _, created = this_process().rsplit(":", 2)
    assert has_died(f"{host}:{os.getpid()}:{int(created) - 1000}")


@pytest.mark.parametrize("name", ["", "words", "another-host:1:1", "a:b:c"])
def test_nothing_is_said_to_have_died_when_nobody_here_can_know(name: str) -> None:
    assert not has_died(name)
