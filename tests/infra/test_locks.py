"""Locks on a folder of this machine."""

import threading
from pathlib import Path

import pytest

from infra.locks import at_once, exclusive, shared
from recmodels.errors import AlreadyRunningError


def test_many_share_a_lock_and_one_alone_waits_for_them(tmp_path: Path) -> None:
    path = tmp_path / "folder" / ".lock"
    order: list[str] = []

    def alone() -> None:
        with exclusive(path):
            order.append("alone")

    with shared(path), shared(path):
        waiting = threading.Thread(target=alone)
        waiting.start()
        waiting.join(0.1)
        order.append("shared")
    waiting.join(10)
    assert order == ["shared", "alone"]


def test_a_lock_is_refused_at_once_when_somebody_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / ".lock"
    with exclusive(path), pytest.raises(AlreadyRunningError, match="busy"), at_once(path, otherwise="busy"):
        pytest.fail("it was held by two")
    with at_once(path, otherwise="busy"):
        pass
