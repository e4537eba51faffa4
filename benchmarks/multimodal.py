"""Whether seeing and hearing items helps: `python -m benchmarks.multimodal FOLDER [--out FILE]`.

FOLDER holds TikTok as published with MMSSL: `interactions.csv.gz` with its parts, `image_feat.npy`, `audio_feat.npy`.
Protocol, that of the papers: what is asked about a person is their training items; all 6,710 items are ranked, those
training items removed (validation items are neither history nor removed); recall@20 and ndcg@20, mean over persons.
Settings were chosen on the validation part alone (`--trial`, which looks at nothing else); how often is in the table.

"cold" are targets with at most 3 training interactions, "unseen" those with none: a model of ids cannot list them, and
misses count. For a model that knows content they are listed by content alone, as `recmodels.training.new_items` does.
"new items": a tenth of the items with 3 to 30 training interactions lose all of them, and the model is trained again;
their test targets are ranked among all items, and among the new items alone.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from benchmarks.commit import commit_of_tree
from benchmarks.table import Figure, report
from recmodels.data.histories import Histories
from recmodels.data.known import item_matrix
from recmodels.data.schema import ITEM_ID, TIMESTAMP, USER_ID, Tables
from recmodels.data.sources import SOURCES
from recmodels.data.sources.parts import TEST_FROM, VALIDATION_FROM
from recmodels.data.splits import Queries, Split, split_interactions
from recmodels.data.vocabulary import FIRST_ITEM, UNKNOWN
from recmodels.evaluation.bootstrap import bootstrap_means, percentile_interval
from recmodels.evaluation.metrics import judge_lists, ndcg, recall
from recmodels.layers.item_table import DescribedTable
from recmodels.models import MODELS
from recmodels.recipe import Recipe, parse_recipe
from recmodels.retrieval.exact import top_columns
from recmodels.retrieval.scoring import scores_of
from recmodels.scorers import EncoderScorer, Scorer
from recmodels.training.trainer import train

K = 20
TARGETS = {"recall": 0.092, "ndcg": 0.039}
"""MMSSL as published; LightGCN .065 and .028."""
COLD = 3
RESULT = Path(__file__).parent / "results" / "multimodal.json"
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "popularity": {},
    "item_knn": {"neighbours": 100, "shrinkage": 5.0},
    "ease": {"regularisation": 10.0},
    "ials": {"factors": 64},
    "multimodal": {
        "embedding_dim": 64,
        "dropout": 0.2,
        "negatives": 1024,
        "modalities": ["image", "audio"],
        "id_dropout": 0.5,
        "modality_dropout": 0.1,
        "alignment": 0.1,
        "temperature": 0.2,
    },
}
"""Of the models; modalities by the names of their files."""
TRAINER = {"epochs": 12, "batch_size": 128, "learning_rate": 0.003, "averaging": 0.98, "patience": 3}
TRIALS: Mapping[str, int] = {"item_knn": 2, "ease": 1, "ials": 1, "multimodal": 2}
"""Settings tried on the validation part before those of `SETTINGS` were kept."""
OURS = {
    "id": {"modalities": (), "id_dropout": 0.0, "alignment": 0.0},
    "id + image": {"modalities": ("image",), "alignment": 0.0},
    "id + audio": {"modalities": ("audio",), "alignment": 0.0},
    "id + image + audio": {"modalities": ("image", "audio"), "alignment": 0.0},
    "id + image + audio + alignment": {"modalities": ("image", "audio")},
}
WORLDS = ("published", "new items")
BASELINES = ("popularity", "item_knn", "ease", "ials")
NEW_ITEM_LINES = ("popularity", "id", "id + image + audio", "id + image + audio + alignment")
_CHUNK = 1024
_SAMPLES = 1000
_NEW_SHARE = 10
_MOST_OF_NEW = 30


@dataclass(frozen=True, eq=False)
class World:
    """A split, and the items that its training part does not hold.

    Attributes:
        split: Its test histories are training items alone.
        unseen: Schema `ITEMS`, M rows; they have the indices V to V + M - 1.
        is_new: (V + M,) the item lost its training interactions.
    """

    split: Split
    unseen: pa.Table
    is_new: NDArray[np.bool_]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Training interactions, (V + M,)."""
        return np.concatenate([self.split.item_counts, np.zeros(len(self.unseen), np.int64)])


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model answers to the persons of one part.

    Attributes:
        recall: (Q,) recall@20.
        ndcg: (Q,) ndcg@20.
        among_new: (Q,) recall@20 with new items alone in the list; NaN where no target is new.
        target_counts: (Q,) training interactions of the one target.
        is_new: (Q,) the target is a new item.
    """

    recall: NDArray[np.float64]
    ndcg: NDArray[np.float64]
    among_new: NDArray[np.float64]
    target_counts: NDArray[np.int64]
    is_new: NDArray[np.bool_]


@dataclass(frozen=True)
class Run:
    """One training, as it is kept.

    Attributes:
        label: What was trained.
        world: "published" or "new items".
        seed: Of the training.
        digest: Of the recipe.
        commit: Of the code, with "+" where files differ from it.
        epochs: Of the best epoch; 0 for a closed form.
        cpu_seconds: Of training, validation included.
        figures: By name, mean with both ends of its 95 % interval.
        gains: By name, the difference from `id` with both ends of its paired interval.
    """

    label: str
    world: str
    seed: int
    digest: str
    commit: str
    epochs: int
    cpu_seconds: float
    figures: dict[str, tuple[float, float, float]]
    gains: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int]:
        """What another run of the same replaces."""
        return self.world, self.label, self.seed


def main(arguments: list[str] | None = None) -> int:
    """Train, judge, print the table; 0 when every line of ours reaches both published figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trial", nargs=2, metavar=("MODEL", "JSON"), help="settings to judge on validation alone")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of what is trained by gradient")
    parser.add_argument("--labels", nargs="+", choices=(*BASELINES, *OURS), default=[*BASELINES, *OURS])
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS), help="others are left as they are")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tables = SOURCES.module("parts").read(options.folder)
    if options.trial:
        return trial(tables, options.folder, *options.trial)
    runs = [Run(**run) for run in json.loads(options.out.read_text())["runs"]] if options.out.exists() else []
    for kind in options.worlds:
        for run in runs_of(kind, tables, options.folder, labels=options.labels, seeds=options.seeds):
            runs = [one for one in runs if one.key != run.key] + [run]
            print(f"{run.key}: {run.figures['recall'][0]:.4f}", file=sys.stderr, flush=True)
            kept = {"trials": dict(TRIALS), "settings": SETTINGS, "trainer": TRAINER, "runs": [asdict(r) for r in runs]}
            options.out.write_text(json.dumps(kept, indent=1) + "\n")  # kept when the rest is interrupted
    runs.sort(key=lambda run: (WORLDS.index(run.world), [*BASELINES, *OURS].index(run.label), run.seed))
    return report(figures_of(runs), as_json=options.json)


def trial(tables: Tables, folder: Path, name: str, changes: str) -> int:
    """Train a model with other settings and print its figures on the validation part."""
    tree = _tree(name)
    for path, value in json.loads(changes).items():
        section, _, key = path.rpartition(".")
        (tree["trainer"] if section == "trainer" else tree["model"]["config"])[key] = value
    world = published(tables)
    began = time.process_time()
    scorer, epochs = fitted(world, recipe_of(tree, folder), seed=0)
    found = answers(scorer, world, world.split.validation)
    cold = found.recall[found.target_counts <= COLD].mean()
    words = f"recall {found.recall.mean():.4f} ndcg {found.ndcg.mean():.4f} cold recall {cold:.4f}"
    print(f"{name} {changes}: {words}, best epoch {epochs}, {time.process_time() - began:.0f} CPU-s", flush=True)
    return 0


def published(tables: Tables, *, without: pa.Array | None = None) -> World:
    """Return the published split; `without` names items whose training interactions are taken away."""
    rows = tables.interactions
    if without is not None:
        is_later = pc.greater_equal(rows[TIMESTAMP], pa.scalar(86_400_000_000, pa.int64()).cast(rows[TIMESTAMP].type))
        is_kept = pc.invert(pc.is_in(rows[ITEM_ID], value_set=without))
        rows = rows.filter(pc.or_(is_kept, is_later))
    recipe = parse_recipe(_tree("popularity"))
    split = split_interactions(rows, tables.items, data=recipe.data, split=recipe.split)
    is_unseen = pc.is_null(pc.index_in(tables.items[ITEM_ID], value_set=pa.array(split.vocabulary.ids, pa.string())))
    unseen = tables.items.filter(is_unseen).combine_chunks()
    new = np.zeros(split.vocabulary.size + len(unseen), np.bool_)
    if without is not None:
        new[split.vocabulary.size :] = pc.is_in(unseen[ITEM_ID], value_set=without).to_numpy(zero_copy_only=False)
    test = split.test
    rows_of = {user: row for row, user in enumerate(split.train_user_ids.tolist())}
    known = [split.train.row(rows_of[user]).tolist() if user in rows_of else [] for user in test.user_ids.tolist()]
    asked = replace(test, histories=Histories.from_lists(known))
    world = World(replace(split, test=asked), unseen, new)
    return replace(world, split=_with_unseen_targets(world, rows))


def _with_unseen_targets(world: World, rows: pa.Table) -> Split:
    """Give targets outside the training catalogue their own indices, so that content may find them."""
    split = world.split
    places = {item: split.vocabulary.size + n for n, item in enumerate(world.unseen[ITEM_ID].to_pylist())}
    parts = []
    for number, queries in ((1, split.validation), (2, split.test)):
        moment = pa.scalar(number * 86_400_000_000, pa.int64()).cast(rows[TIMESTAMP].type)
        part = rows.filter(pc.equal(rows[TIMESTAMP], moment))
        item_of = dict(zip(part[USER_ID].to_pylist(), part[ITEM_ID].to_pylist(), strict=True))
        targets = queries.targets.compact()
        assert len(targets.items) == len(queries), "a person has one target in each part"
        wanted = [places.get(item_of[user], UNKNOWN) for user in queries.user_ids.tolist()]
        items = np.where(targets.items == UNKNOWN, np.array(wanted, np.int32), targets.items)
        parts.append(replace(queries, targets=replace(targets, items=items)))
    return replace(split, validation=parts[0], test=parts[1])


def recipe_of(tree: dict[str, Any], folder: Path) -> Recipe:
    """Return the recipe; modalities are given by name and become files of the folder with their digests."""
    config = tree["model"]["config"]
    if "modalities" in config:
        files = {name: folder / f"{name}_feat.npy" for name in config["modalities"]}
        config["modalities"] = [
            {"name": name, "file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
            for name, file in files.items()
        ]
    return parse_recipe(tree)


@dataclass(frozen=True, eq=False)
class _Extended:
    """A scorer that knows the unseen items, too: by content vectors, or as items that are never listed."""

    scorer: Scorer
    vectors: NDArray[np.float32] | None
    unseen: int

    def score(self, histories: Histories, *, counts: NDArray[np.int64]) -> NDArray[np.float32]:
        known = scores_of(self.scorer, histories, item_counts=counts)
        if self.vectors is None or not isinstance(self.scorer, EncoderScorer):
            more = np.full((len(histories), self.unseen), -np.inf, np.float32)
        else:
            more = self.scorer.queries(histories) @ self.vectors.T
        return np.concatenate([known, more], axis=1)


def fitted(world: World, recipe: Recipe, *, seed: int) -> tuple[_Extended, int]:
    """Train and return the scorer of all items, and the best epoch."""
    # the trainer watches itself on what it can list: targets that it cannot know are misses
    targets = world.split.validation.targets
    known = np.where(targets.items >= world.split.vocabulary.size, UNKNOWN, targets.items).astype(np.int32)
    watched = replace(world.split.validation, targets=replace(targets, items=known))
    split = replace(world.split, validation=watched)
    trained = train(recipe, split, checkpoint_folder=None, seed=seed)
    vectors = None
    if trained.weights:
        config = MODELS.config(recipe.model.name, recipe.model.config)
        model = MODELS.build(recipe.model.name, config, split.vocabulary.size)
        if isinstance(model.items, DescribedTable) and len(world.unseen):
            model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in trained.weights.items()})
            model.eval()
            with torch.no_grad():
                vectors = model.items.vectors_from(world.unseen, catalogue=split.items).numpy()
    return _Extended(trained.scorer, vectors, len(world.unseen)), trained.best_epoch


def answers(scorer: _Extended, world: World, queries: Queries) -> Answers:
    """Rank all items for every person of a part."""
    target = queries.targets.compact().items
    parts, new_parts = [], []
    for start in range(0, len(queries), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(queries)))
        histories = queries.histories.take(rows)
        scores = scorer.score(histories, counts=world.split.item_counts)
        seen = item_matrix(histories, world.split.vocabulary.size).tocoo()
        scores[seen.row, seen.col] = -np.inf
        parts.append(_listed(scores))
        if world.is_new.any():
            new_parts.append(_listed(np.where(world.is_new, scores, -np.inf)))
    judged = judge_lists(np.concatenate(parts), queries.targets)
    among = np.full(len(queries), np.nan)
    if new_parts:
        hits = recall(judge_lists(np.concatenate(new_parts), queries.targets), K)
        among = np.where(world.is_new[target], hits, np.nan)
    return Answers(recall(judged, K), ndcg(judged, K), among, world.counts[target], world.is_new[target])


def _listed(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the K best items of each row, (B, K); 0 where there are fewer that may be listed."""
    items = top_columns(np.ascontiguousarray(scores), K)  # (B, at most K)
    lists = np.zeros((len(scores), K), dtype=np.int32)
    lists[:, : items.shape[1]] = np.where(np.take_along_axis(scores, items, axis=1) > -np.inf, items, 0)
    return lists


def runs_of(kind: str, tables: Tables, folder: Path, *, labels: list[str], seeds: list[int]) -> Iterator[Run]:
    """Train lines of the table in one world, closed forms with the first seed alone."""
    world = published(tables) if kind == "published" else new_item_world(tables)
    base: dict[int, Answers] = {}
    for label, tree in lines():
        if label not in labels or (kind == "new items" and label not in NEW_ITEM_LINES):
            continue
        recipe = recipe_of(tree, folder)
        for seed in seeds if label in OURS else seeds[:1]:
            run, found = judged_run(world, label, kind, recipe, seed=seed, base=base.get(seed))
            if label == "id":
                base[seed] = found
            yield run


def new_item_world(tables: Tables) -> World:
    """Take the training interactions of some items away."""
    whole = published(tables).split
    counts = whole.item_counts[FIRST_ITEM:]
    known = np.flatnonzero((counts >= COLD) & (counts <= _MOST_OF_NEW))
    chosen = np.random.default_rng(0).choice(known, len(known) // _NEW_SHARE, replace=False)
    return published(tables, without=pa.array(whole.vocabulary.ids[chosen], pa.string()))


def lines() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is trained, in the order of the table."""
    for name in BASELINES:
        yield name, _tree(name)
    for label, config in OURS.items():
        tree = _tree("multimodal")
        tree["model"]["config"] |= config
        yield label, tree


def judged_run(
    world: World, label: str, kind: str, recipe: Recipe, *, seed: int, base: Answers | None
) -> tuple[Run, Answers]:
    """Train one recipe and judge it on the test part."""
    began = time.process_time()
    scorer, epochs = fitted(world, recipe, seed=seed)
    seconds = time.process_time() - began
    found = answers(scorer, world, world.split.test)
    mine = _columns(found)
    figures = _with_intervals(mine)
    gains = {}
    if base is not None:
        theirs = _columns(base)
        gains = _with_intervals({name: mine[name] - theirs[name] for name in mine})
    return Run(label, kind, seed, recipe.digest, commit_of_tree(), epochs, seconds, figures, gains), found


def _columns(found: Answers) -> dict[str, NDArray[np.float64]]:
    """Return (Q,) values by figure; NaN where a person does not count in it."""
    cold, unseen = found.target_counts <= COLD, found.target_counts == 0
    columns = {
        "recall": found.recall,
        "ndcg": found.ndcg,
        "cold recall": np.where(cold, found.recall, np.nan),
        "cold ndcg": np.where(cold, found.ndcg, np.nan),
        "unseen recall": np.where(unseen, found.recall, np.nan),
    }
    if found.is_new.any():
        columns |= {"new recall": np.where(found.is_new, found.recall, np.nan), "among new recall": found.among_new}
    return columns


def _with_intervals(columns: dict[str, NDArray[np.float64]]) -> dict[str, tuple[float, float, float]]:
    drawn = bootstrap_means(np.stack(list(columns.values()), axis=1), samples=_SAMPLES, seed=0)
    found = {}
    for place, (name, values) in enumerate(columns.items()):
        ends = percentile_interval(drawn[:, place], confidence=0.95)
        found[name] = (float(np.nanmean(values)), ends.lower, ends.upper)
    return found


def figures_of(runs: list[Run]) -> list[Figure]:
    """Return the table's lines."""
    figures = []
    for run in runs:
        for name, (mean, lower, upper) in run.figures.items():
            gain = run.gains.get(name)
            over = f"; over id {gain[0]:+.4f} [{gain[1]:+.4f}, {gain[2]:+.4f}]" if gain else ""
            note = f"seed {run.seed}, epoch {run.epochs}, {run.cpu_seconds:.0f} CPU-s, commit {run.commit}{over}"
            target = TARGETS.get(name) if run.world == "published" and run.label in OURS else None
            title, words = f"{run.world}: {run.label}: {name}@{K}", f"{mean:.4f} [{lower:.4f}, {upper:.4f}]"
            holds = None if target is None else mean >= target
            figures.append(Figure(title, "-" if target is None else f">= {target}", words, holds, note))
    return figures


def _tree(name: str) -> dict[str, Any]:
    """Return a recipe's mapping, to be changed."""
    split = {"kind": "time", "validation_from": VALIDATION_FROM, "test_from": TEST_FROM}
    model = {"name": name, "config": dict(SETTINGS[name])}
    return {"name": name, "model": model, "split": split} | ({"trainer": dict(TRAINER)} if name == "multimodal" else {})


if __name__ == "__main__":
    sys.exit(main())
