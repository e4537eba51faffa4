"""Two bundles drafted for held-out users: the better one wins, the same one does not, whatever their vocabularies."""

from pathlib import Path

import numpy as np
import pytest

from monitoring.canary.prescreen import prescreen
from recmodels.bundle import Bundle, load_bundle, swap_ids, write_bundle
from recmodels.data.splits import Split
from recmodels.ranker import Ranker
from recmodels.scorers import Scorer, StaticScorer
from recmodels.training.trainer import train
from tests.recmodels.worlds import CUTOFF, a_recipe, circles_split


@pytest.fixture(scope="module")
def split() -> Split:
    return circles_split(users=400)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


def bundle_of(root: Path, split: Split, scorer: Scorer) -> Bundle:
    digest = write_bundle(
        root,
        scorer=scorer,
        vocabulary=split.vocabulary,
        items=split.items,
        item_counts=split.item_counts,
        recipe=a_recipe(),
        snapshot="circles",
        trained_until=CUTOFF,
        metrics={},
    )
    return load_bundle(root, digest)


@pytest.fixture(scope="module")
def neighbours(root: Path, split: Split) -> Bundle:
    return bundle_of(root, split, train(a_recipe("item_knn"), split, checkpoint_folder=None, seed=0).scorer)


@pytest.fixture(scope="module")
def alike(root: Path, split: Split) -> Bundle:
    return bundle_of(root, split, StaticScorer(np.zeros(split.vocabulary.size, np.float32)))


def drafted(champion: Bundle, challenger: Bundle, split: Split, *, seed: int = 0):
    return prescreen(
        Ranker(champion),
        Ranker(challenger),
        split.test,
        vocabulary=split.vocabulary,
        k=6,
        remove_seen=True,
        seed=seed,
    )


def test_the_better_model_wins_when_it_is_the_challenger(alike, neighbours, split):
    found = drafted(alike, neighbours, split)
    assert found.verdict == "better"
    assert found.wins > 10 * found.losses


def test_the_worse_model_loses_when_it_is_the_challenger(alike, neighbours, split):
    assert drafted(neighbours, alike, split).verdict == "worse"


def test_nothing_is_claimed_when_both_are_the_same(neighbours, split):
    found = [drafted(neighbours, neighbours, split, seed=seed) for seed in range(20)]
    assert {preference.verdict for preference in found} == {"undecided"}
    assert sum(preference.wins for preference in found) > 100


def test_every_user_is_counted_once(neighbours, alike, split):
    found = drafted(neighbours, alike, split)
    assert found.wins + found.losses + found.ties == len(np.unique(split.test.user_ids))


def test_lists_meet_by_raw_id_when_the_bundles_number_their_items_differently(root, neighbours, split):
    order = np.random.default_rng(4).permutation(len(neighbours.vocabulary))
    scorer = neighbours.scorer
    rows = np.concatenate([[0, 1], order + 2])
    moved = load_bundle(
        root,
        write_bundle(
            root,
            scorer=type(scorer)(scorer.weights[rows][:, rows], scorer.history_length),
            vocabulary=type(neighbours.vocabulary)(neighbours.vocabulary.ids[order]),
            items=neighbours.items.take(order),
            item_counts=neighbours.item_counts[rows],
            recipe=a_recipe(),
            snapshot="circles",
            trained_until=CUTOFF,
            metrics={},
        ),
    )
    assert drafted(neighbours, moved, split).verdict == "undecided"
    swapped = load_bundle(root, swap_ids(root, neighbours.digest, seed=1))
    assert drafted(neighbours, swapped, split).verdict == "worse"
