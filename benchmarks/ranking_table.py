"""Tables of what `benchmarks.ranking_quality` measured."""

from pathlib import Path


def tell(data: list[str], *, folder: Path, out: Path, keep: Path | None) -> int:
    """Print the tables."""
    raise NotImplementedError
