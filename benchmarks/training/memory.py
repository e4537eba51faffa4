"""Peak memory of a training whose histories are mapped, beside the bytes that no training can do without."""

import json
import resource
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from benchmarks.table import Figure
from benchmarks.training.building import build
from benchmarks.training.events import Size, write_events
from benchmarks.training.measure import Options, in_a_process
from recmodels.data.assembly import Assembled
from recmodels.data.histories import Histories
from recmodels.data.schema import ITEM_ID, ITEMS, SAFETY
from recmodels.data.splits import Queries, Split
from recmodels.recipe import ModelChoice, Recipe
from recmodels.trainer_config import TrainerConfig

DIM, BATCH, EPOCHS = 64, 128, 2
_TARGET = 2.0
_TRAINED_USERS = 2_000
_QUERIES = 128
_MEGABYTE: Final = 2**20


def figures(options: Options) -> list[Figure]:
    """Build the histories, then train a few steps on them in a process of its own."""
    size = Size(*(options.sized(full) for full in (Size.events, Size.items, Size.users)))
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="everfeed-memory-") as folder:
        files, out = write_events(Path(folder), size, seed=options.seed), Path(folder) / "histories"
        build(files, out, threads=options.threads)
        for kind in ("", "checkpoints"):
            found[kind] = in_a_process("memory", str(out), str(options.seed), kind, threads=options.threads)
    plain, kept = found[""], found["checkpoints"]
    least = sum(plain[name] for name in ("table", "optimizer", "batch"))
    ratio = plain["peak"] / least
    note = (
        f"{plain['events']:,.0f} events, {plain['items']:,.0f} items, d {DIM}; item table {plain['table']:.0f} MB, "
        f"optimizer {plain['optimizer']:.0f} MB, a batch {plain['batch']:.0f} MB; the imports alone "
        f"{plain['imports']:.0f} MB, every page of the mapped items counted; {EPOCHS} epochs of {_TRAINED_USERS:,} "
        f"users, validated with {_QUERIES} queries"
    )
    words = f"{plain['peak']:.0f} MB = {ratio:.2f} x"
    figure = "peak memory / (item table + optimizer + batch)"
    with_checkpoints = f"{kept['peak']:.0f} MB = {kept['peak'] / least:.2f} x"
    return [
        Figure(figure, f"<= {_TARGET:g}", words, ratio <= _TARGET, note),
        Figure("the same, writing checkpoints", "stated", with_checkpoints, None),
    ]


def recipe() -> Recipe:
    """Return a transformer with a sampled loss, whose item table moves by rows."""
    config = {"embedding_dim": DIM, "max_length": 50, "loss": "sampled_softmax"}
    trainer = TrainerConfig(epochs=EPOCHS, batch_size=BATCH, item_steps="rows", checkpoint_seconds=0)
    return Recipe(name="memory", model=ModelChoice(name="sasrec", config=config), trainer=trainer)


def split_of(assembled: Assembled, *, users: int, queries: int) -> Split:
    """Return some users' histories to train on, and the last events of others to be asked for."""
    whole, vocabulary = assembled.histories, assembled.vocabulary
    asked = np.linspace(0, len(whole) - 1, queries).astype(np.int64)
    before = Histories(whole.items, whole.timestamps, whole.starts[asked], whole.ends[asked] - 1)
    last = Histories(whole.items, whole.timestamps, whole.ends[asked] - 1, whole.ends[asked])
    names = asked.astype(np.str_)
    ask = Queries(before, last, names, np.full(len(asked), "video"), np.zeros(len(asked), np.bool_))
    trained = np.linspace(0, len(whole) - 1, users).astype(np.int64)
    columns = {ITEM_ID: vocabulary.to_table()[ITEM_ID], SAFETY: pa.repeat("ok", len(vocabulary))}
    nulls = partial(pa.nulls, len(vocabulary))
    until = datetime.fromtimestamp(assembled.until / 1e6, UTC)
    return Split(
        vocabulary=vocabulary,
        items=pa.table([columns.get(field.name, nulls(field.type)) for field in ITEMS], schema=ITEMS),
        item_counts=assembled.item_counts,
        train=whole.take(trained),
        train_user_ids=trained.astype(np.str_),
        train_until=until,
        validation=ask,
        test=ask,
        validation_until=until,
        test_until=until,
        is_order_only=False,
    )


def train_a_little(folder: Path, *, seed: int, checkpoints: Path | None) -> dict[str, float]:
    """Train, and return what it took and what it could not do without, in megabytes."""
    from recmodels.models import MODELS
    from recmodels.models._gradient import GradientModel
    from recmodels.training.trainer import train

    imports = _peak()
    assembled = Assembled.load(folder)
    whole = assembled.histories
    assert whole.items.max() > 0  # a whole epoch would touch every page; this model reads no times
    given = recipe()
    split = split_of(assembled, users=min(_TRAINED_USERS, len(whole)), queries=min(_QUERIES, len(whole)))
    trained = train(given, split, checkpoint_folder=checkpoints, seed=seed)
    peak = _peak()
    weights = sum(array.size for array in trained.weights.values())
    choice = given.model
    small = MODELS.build(choice.name, MODELS.config(choice.name, choice.config), 3)
    assert isinstance(small, GradientModel)
    batch = small.forecast_bytes(BATCH) - 4 * 4 * sum(one.numel() for one in small.parameters())
    return {
        "peak": peak,
        "imports": imports,
        "table": 4 * assembled.vocabulary.size * DIM / _MEGABYTE,
        "optimizer": 2 * 4 * weights / _MEGABYTE,
        "batch": batch / _MEGABYTE,
        "events": len(whole.items),
        "items": len(assembled.vocabulary),
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(folder: str, seed: str, kind: str) -> None:
    """Train on an assembly and print what it took."""
    with tempfile.TemporaryDirectory(dir=Path(folder).parent) as checkpoints:
        kept = Path(checkpoints) / "checkpoints" if kind else None
        print(json.dumps(train_a_little(Path(folder), seed=int(seed), checkpoints=kept)))


if __name__ == "__main__":
    main(*sys.argv[1:])
