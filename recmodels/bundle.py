"""What is deployed: a scorer with its vocabulary, items and recipe, in one folder named by one digest over all.

Nothing in a bundle is about a person, a place or the time it was made, so the same training gives the same digest.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from recmodels.arrays import is_tame
from recmodels.bundle_checks import ITEMS_FILE, check_alignment, check_items, check_ranking, check_size, read_counts
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.errors import BundleError, DataError
from recmodels.lineage import WarmStartReport
from recmodels.manifest import FORMAT_VERSION, MAX_BYTES, Manifest, publish, seal, verify
from recmodels.ranking.model import RankingModel
from recmodels.ranking.utility import Utility
from recmodels.recipe import Recipe
from recmodels.reranking.config import RerankingConfig
from recmodels.retrieval.choice import Choice, choose, exact_for
from recmodels.retrieval.config import RetrievalConfig
from recmodels.scorers import EncoderScorer, Scorer, load_scorer
from recmodels.space import is_disk_full
from recmodels.tables import read_table
from recmodels.weights import Weights, save_weights

__all__ = [
    "Bundle",
    "Manifest",
    "load_bundle",
    "released",
    "swap_ids",
    "write_bundle",
]

_VOCABULARY = "vocabulary.parquet"
_COUNTS = "counts.safetensors"
_SCORER = "scorer"
_RANKING = "ranking"
_PROBES = 256


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle in memory.

    Attributes:
        digest: SHA-256 over everything in it; also its folder's name.
        path: Its folder.
        manifest: What it says of itself.
        vocabulary: The catalogue at the cutoff.
        items: Schema `ITEMS`, aligned row by row with `vocabulary.ids`.
        item_counts: (V,) training interactions of each item.
        scorer: What gives the scores.
        ranking: What ranks the candidates that these find; None for a bundle without a second stage.
    """

    digest: str
    path: Path
    manifest: Manifest
    vocabulary: Vocabulary
    items: pa.Table
    item_counts: NDArray[np.int64]
    scorer: Scorer
    ranking: RankingModel | None = None


def write_bundle(
    root: Path,
    *,
    scorer: Scorer,
    vocabulary: Vocabulary,
    items: pa.Table,
    item_counts: NDArray[np.int64],
    recipe: Recipe,
    snapshot: str,
    trained_until: datetime,
    metrics: Mapping[str, float],
    probes: Histories | None = None,
    weights: Weights | None = None,
    warm_start: WarmStartReport | None = None,
    ranking: RankingModel | None = None,
) -> str:
    """Write a bundle to ``root/<digest>/`` and return its digest.

    The folder appears at once and complete, or not at all; writing the same bundle twice changes nothing, and
    repairs a folder that was damaged in between.

    Args:
        root: Folder of all bundles; made where it is missing.
        scorer: What the model exported.
        vocabulary: The catalogue at the cutoff.
        items: Schema `ITEMS`, aligned row by row with `vocabulary.ids`.
        item_counts: (V,) training interactions of each item.
        recipe: What was trained.
        snapshot: Fingerprint of the data.
        trained_until: The cutoff (UTC).
        metrics: Validation metrics; finite numbers.
        probes: Histories that the recall of an approximate index is measured with, such as those it was trained on;
            None draws some from the items by their counts.
        weights: What a training can go on from later, by the names of `Trained.weights`; None for a closed form.
        warm_start: Which bundle training went on from.
        ranking: The second stage, where the recipe asks for one.

    Raises:
        BundleError: The parts do not fit together, the recipe asks for a second stage and there is none, or the disk is
            full.
        ValueError: The recipe's utility gives a weight to what the ranker does not predict.
    """
    release = recipe.ranking.release if recipe.ranking else None
    check_ranking(release, ranking)
    choice = None
    if isinstance(scorer, EncoderScorer):
        choice = _search_for(scorer, recipe.retrieval, item_counts=item_counts, probes=probes)
        scorer = replace(scorer, graph=choice.graph)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        model=recipe.model.name,
        scorer=scorer.kind,
        recipe=recipe.model_dump(mode="json"),
        recipe_digest=recipe.digest,
        snapshot=snapshot,
        trained_until=trained_until,
        metrics=dict(metrics),
        num_items=len(vocabulary),
        retrieval=None if choice is None else choice.report,
        warm_start=warm_start,
        reranking=recipe.reranking,
        ranking=release,
        files={},
    )
    with _room_for(root):
        return _write(
            root,
            manifest,
            scorer=scorer,
            vocabulary=vocabulary,
            items=items,
            item_counts=item_counts,
            weights=weights,
            ranking=ranking,
        )


@contextmanager
def _room_for(root: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, pa.ArrowException) as error:
        if not is_disk_full(error):
            raise
        raise BundleError(
            f"no bundle can be written to {root}: the disk is full. Free space, then train again; it goes on from its"
            " checkpoint."
        ) from error


def load_bundle(root: Path, digest: str, *, max_bytes: int = MAX_BYTES) -> Bundle:
    """Read ``root/<digest>/`` after every file in it was found to be what the digest says.

    Args:
        root: Folder of all bundles.
        digest: The bundle that is wanted, from a source that is trusted, such as the rollouts table.
        max_bytes: Refuse a bundle larger than this, in its files or, by a forecast, in memory.

    Raises:
        BundleError: The bundle is missing, incomplete, altered, too large, of a newer format, not what the digest
            says, or holds what no model of ours writes.
    """
    folder, manifest = root / digest, verify(root, digest, max_bytes=max_bytes)
    try:
        check_size(folder, manifest, max_bytes=max_bytes)
        rows = manifest.num_items
        vocabulary = Vocabulary.from_table(read_table(folder / _VOCABULARY, rows=rows, max_bytes=max_bytes))
        items = read_table(folder / ITEMS_FILE, rows=rows, max_bytes=max_bytes)
        item_counts = read_counts(folder / _COUNTS)
        check_items(items)
    except (OSError, ValueError, pa.ArrowException, DataError) as error:
        raise BundleError(f"bundle {digest[:12]} cannot be read: {error}. Train the model again.") from error
    scorer = load_scorer(manifest.scorer, folder / _SCORER)
    check_alignment(digest, vocabulary=vocabulary, items=items, item_counts=item_counts, scorer=scorer)
    ranking = RankingModel.load(folder / _RANKING, max_bytes=max_bytes) if manifest.ranking else None
    check_ranking(manifest.ranking, ranking)
    return Bundle(digest, folder, manifest, vocabulary, items, item_counts, scorer, ranking)


def swap_ids(root: Path, digest: str, *, seed: int) -> str:
    """Write a deliberately bad model and return its digest: the same bundle with the item ids dealt out anew.

    The model then scores the wrong items, while items and counts still tell the truth about the ids they stand by,
    so blocked items stay blocked.

    Args:
        root: Folder of all bundles.
        digest: The bundle to spoil; it stays as it is.
        seed: Of the permutation.

    Raises:
        BundleError: The bundle cannot be read.
    """
    bundle = load_bundle(root, digest)
    order = np.random.default_rng(seed).permutation(len(bundle.vocabulary))
    counts = bundle.item_counts.copy()
    counts[FIRST_ITEM:] = bundle.item_counts[FIRST_ITEM:][order]
    manifest = bundle.manifest.model_copy(update={"note": f"item ids swapped, seed {seed}, from {digest}"})
    return _write(
        root,
        manifest,
        scorer=bundle.scorer,
        vocabulary=Vocabulary(bundle.vocabulary.ids[order]),
        items=bundle.items.take(pa.array(order)),
        item_counts=counts,
        ranking=bundle.ranking,
    )


def released(
    root: Path, digest: str, *, reranking: RerankingConfig | None = None, utility: Utility | None = None
) -> str:
    """Write the release of the same model with another re-ranking, utility or both; None leaves it as it is.

    Raises:
        BundleError: The bundle cannot be read, or a utility is given to one without a second stage.
        ValueError: The utility gives a weight to what the ranker does not predict.
    """
    manifest = verify(root, digest)
    changed: dict[str, object] = {"format_version": FORMAT_VERSION, "files": {}}
    if reranking is not None:
        changed["reranking"] = reranking
    if utility is not None:
        if manifest.ranking is None:
            raise BundleError(
                f"bundle {digest[:12]} has no second stage, so that no utility is read. Train one whose recipe has a "
                "ranking section."
            )
        ranking = manifest.ranking.model_copy(update={"utility": utility})
        check_ranking(ranking, RankingModel.load(root / digest / _RANKING))
        changed["ranking"] = ranking
    words = {"reranking": "re-ranking", "ranking": "utility"}
    changed["note"] = f"{' and '.join(words[name] for name in words if name in changed)} changed, from {digest}"
    folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    try:
        shutil.copytree(root / digest, folder, ignore=shutil.ignore_patterns("manifest.json"), dirs_exist_ok=True)
        sealed = seal(folder, manifest.model_copy(update=changed))
        publish(folder, root / sealed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return sealed


def _write(
    root: Path,
    manifest: Manifest,
    *,
    scorer: Scorer,
    vocabulary: Vocabulary,
    items: pa.Table,
    item_counts: NDArray[np.int64],
    weights: Weights | None = None,
    ranking: RankingModel | None = None,
) -> str:
    check_alignment("to be written", vocabulary=vocabulary, items=items, item_counts=item_counts, scorer=scorer)
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    try:
        (folder / _SCORER).mkdir()
        scorer.save(folder / _SCORER)
        if ranking is not None:
            ranking.save(folder / _RANKING)
        if weights:
            save_weights(
                folder, weights, item_vectors=scorer.item_vectors if isinstance(scorer, EncoderScorer) else None
            )
        pq.write_table(items.replace_schema_metadata(None), folder / ITEMS_FILE, store_schema=True)
        pq.write_table(vocabulary.to_table(), folder / _VOCABULARY)
        save_file({"item_counts": item_counts.astype(np.int64, copy=False)}, folder / _COUNTS)
        digest = seal(folder, manifest)
        publish(folder, root / digest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return digest


def _search_for(
    scorer: EncoderScorer, config: RetrievalConfig, *, item_counts: NDArray[np.int64], probes: Histories | None
) -> Choice:
    vectors = scorer.item_vectors[FIRST_ITEM:]
    if not config.wants_graph(len(vectors)) or not is_tame(vectors):
        return exact_for(len(vectors))
    if probes is None or not len(probes):
        chosen = _drawn(item_counts, length=scorer.max_length)
    else:
        chosen = probes.take(np.linspace(0, len(probes) - 1, min(_PROBES, len(probes))).astype(np.int64))
    return choose(vectors, config, queries=scorer.queries(chosen))


def _drawn(item_counts: NDArray[np.int64], *, length: int) -> Histories:
    """Return histories of items drawn by their counts, the same ones every time."""
    rng = np.random.default_rng(0)
    weights = item_counts[FIRST_ITEM:] + 1.0
    drawn = rng.choice(len(weights), size=(_PROBES, length), p=weights / weights.sum()) + FIRST_ITEM
    ends = np.arange(1, _PROBES + 1) * length
    return Histories(drawn.astype(np.int32).ravel(), np.arange(drawn.size), ends - length, ends)
