"""Locks on a folder of this machine."""

import threading
from pathlib import Path

from infra.locks import exclusive, shared


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
