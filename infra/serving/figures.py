"""The figures of all workers together: each leaves its own in shared memory, and whichever is asked adds them up.

A worker has a place in the memory and writes there what it counted. One that starts in the place of another goes on
from its counters, so that a restart is no step back. Nothing here is locked: a checksum tells a text that was read
while it was written, which is then read again.
"""

import mmap
import os
import struct
import time
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from infra.serving.metrics import Figures

PLACES: Final = 160
_PLACE_BYTES: Final = 1 << 16
_HEAD: Final = struct.Struct("<III")  # process, length, checksum
BYTES: Final = PLACES * _PLACE_BYTES
"""Size of the memory; pages that nobody writes cost nothing."""

_TRIES: Final = 5


class SharedFigures:
    """One worker's view of the memory.

    Args:
        memory: Descriptor of a file of at least `offset` + `BYTES` bytes.
        offset: Where the memory begins in it; a multiple of the page size.
        place: This worker's place, from 0; no other process that lives has it.
    """

    def __init__(self, memory: int, *, offset: int, place: int) -> None:
        assert 0 <= place < PLACES, f"place {place} is outside 0 to {PLACES - 1}"
        self._memory = mmap.mmap(memory, BYTES, offset=offset)
        self._place = place
        self._before = (self._read(place) or (0, Figures()))[1]

    def publish(self, own: Figures) -> None:
        """Leave this worker's figures for the others."""
        text = msgspec.json.encode(own.after(self._before))
        assert len(text) <= _PLACE_BYTES - _HEAD.size, f"{len(text)} bytes of figures; labels must be few"
        start = self._place * _PLACE_BYTES
        self._memory[start + _HEAD.size : start + _HEAD.size + len(text)] = text
        _HEAD.pack_into(self._memory, start, os.getpid(), len(text), zlib.crc32(text))

    def before_and_others(self) -> Sequence[Figures]:
        """Return what is to be added to this worker's own figures: its predecessor's, and those of all others.

        Of a worker that is gone the counters stay, the gauges do not.
        """
        found = [self._before.without_gauges()]
        for place in range(PLACES):
            if place != self._place and (read := self._read(place)) is not None:
                process, figures = read
                found.append(figures if _is_alive(process) else figures.without_gauges())
        return found

    def _read(self, place: int) -> tuple[int, Figures] | None:
        start = place * _PLACE_BYTES
        for _ in range(_TRIES):
            process, length, checksum = _HEAD.unpack_from(self._memory, start)
            if not process:
                return None
            text = self._memory[start + _HEAD.size : start + _HEAD.size + length]
            if zlib.crc32(text) == checksum:
                return process, msgspec.json.decode(text, type=Figures)
            time.sleep(0.0002)
        return None  # its worker died while it wrote


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
