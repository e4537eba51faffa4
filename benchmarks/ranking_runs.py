"""Where trainings of `benchmarks.ranking_quality` are kept, and which of a variant's trials was best."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recmodels.ranking.predictions import Predictions


@dataclass(frozen=True)
class Folder:
    """The folder of one training."""

    out: Path
    data: str
    variant: str
    part: str
    trial: int
    seed: int

    @property
    def path(self) -> Path:
        """Of the folder."""
        return self.out / self.data / self.variant / self.part / f"trial-{self.trial}-seed-{self.seed}"

    @property
    def result(self) -> Path:
        """Facts and learning curve."""
        return self.path / "result.json"

    @property
    def weights(self) -> Path:
        """Of the best epoch."""
        return self.path / "weights.safetensors"

    def predictions(self, rows: str) -> Path:
        """Return the file of what was predicted of a part of the data."""
        return self.path / f"{rows}.npz"

    def save_predictions(self, rows: str, found: Predictions) -> None:
        """Keep what was predicted."""
        np.savez(self.predictions(rows), logits=found.logits, watch=found.watch)

    def load_predictions(self, rows: str) -> Predictions:
        """Return what was predicted."""
        with np.load(self.predictions(rows), allow_pickle=False) as found:
            return Predictions(found["logits"], found["watch"])


def chosen_trial(out: Path, data: str, variant: str, *, part: str | None, seed: int) -> int:
    """Return the trial that was best on the validation part, the earlier one of equals.

    Args:
        out: Folder of the runs.
        data: Name of the data set.
        variant: Name of the variant.
        part: Of the variant; None where it has one alone.
        seed: Of the trials.

    Raises:
        SystemExit: There is none.
    """
    found = sorted((out / data / variant).glob(f"{part or 'all'}/trial-*-seed-{seed}/result.json"))
    results = [json.loads(path.read_text()) for path in found]
    if not results:
        raise SystemExit(f"{out / data / variant} holds no trial of seed {seed}. Run the variant {variant!r} first.")
    best: int = max(results, key=lambda result: (result["validation"], -result["trial"]))["trial"]
    return best
