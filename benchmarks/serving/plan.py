"""How thoroughly a run measures, and where it keeps what it builds."""

import sys
from dataclasses import dataclass
from pathlib import Path

SEED = 20261203


@dataclass(frozen=True)
class Plan:
    """What every part is given.

    Attributes:
        work: Folder for homes, logs and peers; what is in it is built once and used again.
        is_quick: Small models, seconds instead of minutes: proves that a part works, and measures nothing to publish.
        seed: Of everything that is drawn.
        ray_python: Python of an environment that holds Ray Serve; None where there is none.
    """

    work: Path
    is_quick: bool = False
    seed: int = SEED
    ray_python: Path | None = None

    @property
    def rounds(self) -> int:
        """How often servers are measured in turn."""
        return 3 if self.is_quick else 7

    def size(self, full: int, quick: int) -> int:
        """Return a number of requests, items or seconds."""
        return quick if self.is_quick else full


def say(words: str) -> None:
    """Tell the person who waits what is going on; the table alone goes to standard output."""
    print(words, file=sys.stderr, flush=True)
