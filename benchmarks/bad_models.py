"""Bad models and where they stop: `python -m benchmarks.bad_models`.

A zoo of twelve kinds goes the whole way, forced on at each stage: `load_bundle`, the release's gate, the gateway's
warm-up, the shadow stage, and where that lets it out a replayed canary. Then 50 seeded corruptions of a good bundle go
through gate, shadow and a replayed canary, beside what each of them really costs. ML-100K, one core, under ten minutes;
`--zoo` or `--corruptions` for one half.
"""

import argparse
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.zoo.animals import ANIMALS, Animal
from benchmarks.zoo.corruptions import CORRUPTIONS, HARM, Fate, send_on
from benchmarks.zoo.gateway import serving
from benchmarks.zoo.gauntlet import STAGES, Trial, try_model
from benchmarks.zoo.recording import recording_of
from benchmarks.zoo.world import World, ml_100k
from flows.datasets import fetch_ml_100k
from infra.settings import Settings

_SCREEN = Console(stderr=True)


def main(arguments: list[str] | None = None) -> int:
    """Print both tables; 0 when the whole zoo was stopped and no harmful corruption was promoted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of tables")
    parser.add_argument("--zoo", action="store_true", help="only the twelve bad models")
    parser.add_argument("--corruptions", action="store_true", help="only the 50 corruptions")
    options = parser.parse_args(arguments)
    logging.getLogger("infra.serving").setLevel(logging.CRITICAL)  # each refusal is in the table
    warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)  # sums that overflow are in the zoo
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        world = ml_100k(settings.bundles, fetch_ml_100k(Settings()))
        trials = [] if options.corruptions else run_zoo(world, settings)
        fates = [] if options.zoo else run_corruptions(world)
    if options.json:
        print(json.dumps({"zoo": [asdict(t) for t in trials], "corruptions": [f.document for f in fates]}, indent=1))
    else:
        print("\n\n".join(filter(None, [zoo_table(trials), corruption_table(fates)])))
    return 0 if all(t.is_stopped for t in trials) and not any(f.is_missed for f in fates) else 1


def run_zoo(world: World, settings: Settings, animals: Sequence[Animal] = ANIMALS) -> list[Trial]:
    """Send every bad model the whole way, through one gateway."""
    with serving(world, settings) as gateway:
        return [try_model(world, gateway, animal) for animal in track(animals, "zoo", console=_SCREEN)]


def run_corruptions(world: World) -> list[Fate]:
    """Send every corruption through gate, shadow and canary."""
    recording = recording_of(world)
    return [send_on(world, recording, corruption) for corruption in track(CORRUPTIONS, "corrupt", console=_SCREEN)]


def zoo_table(trials: Sequence[Trial]) -> str:
    """Return a Markdown table: one row a model, one column a stage, which names what would have stopped it there."""
    if not trials:
        return ""
    heads = ["model", "what is wrong", "stopped at", *STAGES]
    rows = [
        [
            trial.name,
            trial.words,
            trial.first.stage if trial.first else "**nowhere**",
            *(_said(trial, stage) for stage in STAGES),
        ]
        for trial in trials
    ]
    kinds: dict[str, bool] = {}
    for trial in trials:
        kind = trial.name.partition(":")[0]
        kinds[kind] = kinds.get(kind, True) and trial.is_stopped
    return f"{_table(heads, rows)}\n\nStopped before the 1 % step: {sum(kinds.values())} of {len(kinds)} kinds."


def _said(trial: Trial, stage: str) -> str:
    """Return what a stage said: empty where it was not asked."""
    is_asked = any(stop.stage == stage for stop in trial.stops)
    return trial.said(stage) or ("let through" if is_asked else "")


def corruption_table(fates: Sequence[Fate]) -> str:
    """Return a Markdown table: one row a corruption, with what it costs and what each stage said."""
    if not fates:
        return ""
    heads = ["kind", "size", "ndcg_at_10", "true click rate", "gate", "shadow", "canary", "stopped at", "judged"]
    rows = [fate.cells for fate in fates]
    stops = ", ".join(
        f"{sum(f.stopped_at == stage for f in fates)} {stage}" for stage in ("gate", "shadow", "canary", "nowhere")
    )
    alone = ", ".join(
        f"{name} {sum(bool(by) for by in stops_of)}"
        for name, stops_of in (
            ("gate", [f.gate for f in fates]),
            ("shadow", [f.shadow for f in fates]),
            ("canary", [f.canary_stop for f in fates]),
        )
    )
    harmful = [f for f in fates if f.clicks < HARM]
    needless = sum(f.stopped_at != "nowhere" for f in fates if f.clicks >= HARM)
    return (
        f"{_table(heads, rows)}\n\nStopped first at: {stops}. Each stage alone would stop: {alone}. Worse than the "
        f"canary's margin of {-HARM:.0%}: {len(harmful)}, of which {sum(f.is_missed for f in harmful)} stopped "
        f"nowhere. Within it: {len(fates) - len(harmful)}, of which {needless} were stopped all the same."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
