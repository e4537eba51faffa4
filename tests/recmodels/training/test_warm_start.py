"""A catalogue by hand, whose items move, come and leave; and a world in which a model can be made to forget."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from recmodels.bundle import load_bundle, write_bundle
from recmodels.data.entities import normalise_items
from recmodels.data.histories import Histories
from recmodels.data.interactions import normalise
from recmodels.data.schema import CATEGORY, CREATOR_ID, ITEM_ID, TIMESTAMP, USER_ID
from recmodels.data.splits import TrainPart, split_interactions
from recmodels.data.vocabulary import Vocabulary
from recmodels.errors import BundleError, CheckpointError, TrainingError
from recmodels.evaluation.comparison import compare
from recmodels.evaluation.evaluator import evaluate
from recmodels.evaluation.gate import decide
from recmodels.lineage import OLDER_USERS, WEIGHTS, WarmStartConfig
from recmodels.models.sasrec import Model as SasRec
from recmodels.ranker import Ranker
from recmodels.recipe import DataConfig, SplitConfig
from recmodels.training import warm_start
from recmodels.training.loop import Loop, Replay
from recmodels.training.trainer import train
from recmodels.training.warm_start import Parent, go_on
from tests.recmodels.worlds import CUTOFF, a_recipe, full_items, static, write_trained

TINY = {"embedding_dim": 8, "num_layers": 1, "num_heads": 2, "max_length": 6, "negatives": 16, "dropout": 0.1}
STEPS = {"batch_size": 32, "learning_rate": 0.01, "checkpoint_seconds": 0.0}
ITEMS = {
    "a": {CREATOR_ID: "ann", CATEGORY: "music"},
    "b": {CREATOR_ID: "ann", CATEGORY: "dance"},
    "c": {CREATOR_ID: "bob", CATEGORY: "dance|music"},
    "d": {CREATOR_ID: "cid", CATEGORY: "news"},
    "by ann": {CREATOR_ID: "ann", CATEGORY: "news"},
    "also by ann": {CREATOR_ID: "ann"},
    "dancing": {CREATOR_ID: "dora", CATEGORY: "dance"},
    "alone": {CREATOR_ID: "eve", CATEGORY: "chess"},
    "by cid": {CREATOR_ID: "cid"},
}
OLD = ("a", "b", "c", "d")
NEW = ("dancing", "d", "by ann", "b", "alone", "a", "also by ann")  # c has left, and nobody stands where they stood


def catalogue(ids, *, until=CUTOFF + timedelta(days=7)):
    vocabulary = Vocabulary(np.array(ids))
    counts = np.ones(vocabulary.size, dtype=np.int64)
    histories = Histories.from_lists([list(range(2, vocabulary.size))])
    items = full_items({i: ITEMS[i] for i in ids})
    return TrainPart(vocabulary, items, counts, histories, np.array(["u"]), until, is_order_only=False)


def a_model(size, config=TINY):
    torch.manual_seed(5)
    return SasRec(SasRec.Config(**config), size).eval()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def champion(root):
    """A model of four items with random weights."""
    model, part = a_model(6), catalogue(OLD)
    digest = write_bundle(
        root,
        scorer=model.export(),
        vocabulary=part.vocabulary,
        items=part.items,
        item_counts=part.item_counts,
        recipe=a_recipe("sasrec", TINY),
        snapshot="s",
        trained_until=CUTOFF,
        metrics={},
        weights={name: value.numpy() for name, value in model.state_dict().items()},
    )
    return SimpleNamespace(model=model, bundle=load_bundle(root, digest), table=model.items.weight.detach().numpy())


@pytest.fixture
def without_noise(monkeypatch):
    monkeypatch.setattr(warm_start, "_NOISE", 0.0)


def grown(champion, ids=NEW, *, config=TINY, seed=0, **part):
    part = catalogue(ids, **part)
    model = a_model(part.vocabulary.size, config)
    report = go_on(model, Parent.of(champion.bundle), recipe=a_recipe("sasrec", config), part=part, seed=seed)
    return SimpleNamespace(model=model, report=report, table=model.items.weight.detach().numpy(), part=part)


def row(of, item):
    return of.table[of.part.vocabulary.encode([item])[0]]


def test_rows_are_carried_by_id_when_the_vocabulary_is_another(champion):
    new = grown(champion)
    for old_index, item in ((2, "a"), (3, "b"), (5, "d")):
        np.testing.assert_array_equal(row(new, item), champion.table[old_index])
    np.testing.assert_array_equal(new.table[:2], champion.table[:2])  # what starts a history, and unknown items
    assert new.report.model_dump(exclude={"since"}) == {
        "parent": champion.bundle.digest,
        "items_carried": 3,
        "items_new": 4,
        "items_without_neighbours": 1,
        "items_dropped": 1,
    }
    assert new.report.since == CUTOFF


@pytest.mark.usefixtures("without_noise")
@pytest.mark.parametrize(
    ("item", "neighbours"),
    [
        ("by ann", [2, 3]),  # a and b, not d of its category
        ("also by ann", [2, 3]),
        ("dancing", [3, 4]),  # c has left, and still tells
        ("alone", [2, 3, 4, 5]),
    ],
)
def test_a_new_item_starts_at_the_mean_of_its_creator_else_category_else_all_as_long_as_they_are(
    champion, item, neighbours
):
    started, theirs = row(grown(champion), item), champion.table[neighbours]
    length = np.sqrt((theirs**2).sum(axis=1)).mean()
    mean = theirs.mean(axis=0)
    np.testing.assert_allclose(started, mean * length / np.sqrt((mean**2).sum()), rtol=1e-5)


@pytest.mark.usefixtures("without_noise")
def test_a_new_item_is_a_copy_when_its_creator_has_one_item_left(champion):
    np.testing.assert_allclose(row(grown(champion, ("d", "by cid")), "by cid"), champion.table[5], rtol=1e-5)


def test_new_items_of_one_creator_are_told_apart_a_little_and_the_same_way_when_the_seed_is_the_same(champion):
    new, again, other = grown(champion), grown(champion), grown(champion, seed=1)
    distance = np.abs(row(new, "by ann") - row(new, "also by ann")).max()
    assert 0 < distance < 10 * warm_start._NOISE * champion.table[2:].std()
    np.testing.assert_array_equal(new.table, again.table)
    assert (row(new, "by ann") != row(other, "by ann")).all()


def test_old_items_score_as_before_when_no_step_was_taken(champion):
    new = grown(champion)
    before = champion.model.score(Histories.from_lists([[2, 5], [3], [], [5, 3, 2]]))
    places = new.part.vocabulary.encode(["a", "b", "d"]).tolist()
    a, b, d = places
    after = new.model.score(Histories.from_lists([[a, d], [b], [], [d, b, a]]))
    np.testing.assert_allclose(after[:, places], before[:, [2, 3, 5]], atol=1e-6, rtol=0)


def test_every_other_weight_is_the_parents_when_training_goes_on(champion):
    new = grown(champion).model.state_dict()
    old = champion.model.state_dict()
    assert new.keys() == old.keys()
    assert [name for name in old if not torch.equal(new[name], old[name])] == ["items.weight"]


def test_a_bundle_holds_its_item_table_once(champion):
    stored = Parent.of(champion.bundle).weights
    assert champion.model.state_dict().keys() - stored.keys() == {"items.weight"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TINY | {"embedding_dim": 16}, "embedding_dim 8 -> 16"),
        (TINY | {"num_heads": 1}, "num_heads 2 -> 1"),  # the same shapes, and another meaning
        (TINY | {"max_length": 9, "num_layers": 2}, "max_length 6 -> 9, num_layers 1 -> 2"),
    ],
)
def test_another_model_is_refused_with_what_differs_and_what_to_do(champion, config, words):
    with pytest.raises(TrainingError, match=words + r"\)\. Set warm_start.enabled to false to train from scratch, or"):
        grown(champion, config=config)


def test_what_only_training_reads_may_change_when_training_goes_on(champion):
    grown(champion, config=TINY | {"dropout": 0.4, "negatives": 5, "loss": "cross_entropy"})


def test_fields_that_may_change_are_fields_of_the_model():
    assert set(SasRec.Config.model_fields) >= SasRec.training_fields > set()


def test_shapes_are_named_when_the_weights_are_not_those_of_the_recipe(champion):
    parent = Parent.of(champion.bundle)
    weights = dict(parent.weights) | {"encoder.positions": np.zeros((9, 8), np.float32)}
    del weights["encoder.norm.bias"]
    part = catalogue(NEW)
    with pytest.raises(
        TrainingError, match=r"norm.bias is absent, not 8, encoder.positions is 9 x 8, not 6 x 8 \(2 of"
    ):
        go_on(
            a_model(part.vocabulary.size),
            Parent(parent.bundle, weights),
            recipe=a_recipe("sasrec", TINY),
            part=part,
            seed=0,
        )


def test_a_parent_that_knows_the_validation_part_is_refused(champion):
    with pytest.raises(
        TrainingError, match=r"has learned from events up to 2025-03-01 00:00; .* choose a later cutoff"
    ):
        grown(champion, until=CUTOFF)


def test_a_bundle_without_weights_is_refused(root):
    digest = write_bundle(
        root,
        scorer=static(1, 2),
        vocabulary=Vocabulary(np.array(["a", "b"])),
        items=full_items({i: ITEMS[i] for i in "ab"}),
        item_counts=np.zeros(4, np.int64),
        recipe=a_recipe(),
        snapshot="s",
        trained_until=CUTOFF,
        metrics={},
    )
    with pytest.raises(BundleError, match=r"holds no trained weights\. Train from scratch"):
        Parent.of(load_bundle(root, digest))


def test_weights_are_refused_when_a_byte_was_changed(champion, root, tmp_path):
    path = champion.bundle.path / WEIGHTS
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(BundleError, match=f"{WEIGHTS} was altered after it was built"):
            load_bundle(root, champion.bundle.digest)
    finally:
        path.write_bytes(whole)


DAY = 86_400_000_000
START = datetime(2025, 1, 1, tzinfo=UTC)


def two_crowds(last_day, *, split):
    """Old users walk forward around 4 circles of 16 items before day 30 and come back after day 55; young ones, from
    day 30 on, walk backward around the same circles. Who learns of the young alone sends the old the wrong way."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(250):
        name, step = ("old", 1) if user < 120 else ("young", -1) if user < 240 else ("other", 1)
        circle, place = (rng.integers(4), rng.integers(16)) if name != "other" else (4, rng.integers(16))
        first = {"old": rng.uniform(0, 28), "young": rng.uniform(35, 52), "other": rng.uniform(30, 33)}[name]
        for day, steps in [(first, 7), (rng.uniform(55, 59), 3)]:
            for hour in range(steps):
                place = (place + step) % 16
                rows.append((f"{name}{user}", f"c{circle}-{place}", day + hour / 24))
    users, items, days = zip(*rows, strict=True)
    moments = int(START.timestamp() * 1e6) + (np.array(days) * DAY).astype(np.int64)
    whole = pa.table({USER_ID: users, ITEM_ID: items, TIMESTAMP: pa.array(moments, pa.timestamp("us", tz="UTC"))})
    ids = [f"c{c}-{p}" for c in range(5) for p in range(16)]
    table = pa.table({ITEM_ID: ids, CATEGORY: [name[:2] for name in ids]})
    rows = normalise(whole.filter(pa.array(np.array(days) < last_day)), source="crowds")
    cuts = SplitConfig(**{name: START + timedelta(days=day) for name, day in split.items()})
    return split_interactions(rows, normalise_items(table, rows, source="crowds"), data=DataConfig(), split=cuts)


RECIPE = a_recipe("sasrec", TINY | {"embedding_dim": 16, "dropout": 0.0}, epochs=30, patience=4, **STEPS)


def warm(epochs, share, rate=1.0):
    config = WarmStartConfig(enabled=True, epochs=epochs, replay_share=share, learning_rate_factor=rate)
    return RECIPE.model_copy(update={"warm_start": config})


def bundle_of(root, trained, split, recipe):
    return load_bundle(root, write_trained(root, trained, recipe=recipe, split=split))


@pytest.fixture(scope="module")
def crowds(root):
    before = two_crowds(40, split={"validation_from": 28, "test_from": 33})
    after = two_crowds(60, split={"validation_from": 50, "test_from": 54})
    trained = train(RECIPE, before, checkpoint_folder=None, seed=0)
    return SimpleNamespace(after=after, champion=bundle_of(root, trained, before, RECIPE))


class WithoutExport(SasRec):
    """The real model; its export, which takes seconds, is left out where only weights are compared."""

    def export(self):
        return self


class StopError(Exception):
    pass


def bits(trained):
    return {name: value.tobytes() for name, value in trained.weights.items()}


def test_a_warm_start_goes_on_to_the_bit_when_it_was_interrupted(crowds, tmp_path, monkeypatch):
    monkeypatch.setattr("recmodels.models.sasrec.Model", WithoutExport)
    recipe, parent = warm(4, 0.5), Parent.of(crowds.champion)

    def stop(metrics):
        if metrics.epoch == 2:
            raise StopError

    def begin(folder, recipe=recipe, parent=parent, on_epoch=None):
        return train(recipe, crowds.after, checkpoint_folder=folder, seed=0, parent=parent, on_epoch=on_epoch)

    whole = begin(None)
    with pytest.raises(StopError):
        begin(tmp_path, on_epoch=stop)
    resumed = begin(tmp_path)
    assert bits(resumed) == bits(whole)
    assert [(e.loss, e.ndcg_at_10) for e in resumed.epochs] == [(e.loss, e.ndcg_at_10) for e in whole.epochs]
    assert resumed.warm_start == whole.warm_start
    with pytest.raises(CheckpointError, match="belongs to run"):  # the same recipe, from scratch
        begin(tmp_path, parent=None)


def test_epochs_are_those_of_the_warm_start_when_there_is_a_parent(crowds, monkeypatch):
    monkeypatch.setattr("recmodels.models.sasrec.Model", WithoutExport)
    parent = Parent.of(crowds.champion)
    trained = train(warm(2, 0.5), crowds.after, checkpoint_folder=None, seed=0, parent=parent)
    assert (len(trained.epochs), RECIPE.trainer.epochs) == (2, 30)


class Recording(SasRec):
    """Notes which users' rows it is shown; user u holds item u + 2 alone."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen = []

    def loss(self, rows):
        self.seen += (rows.items[:, -1] - 2).tolist()
        return super().loss(rows)


@pytest.mark.parametrize(("share", "older"), [(0.0, 0), (0.25, 2), (0.5, 5), (1.0, 10)])  # 2.5 rounds to even
def test_all_rows_with_new_events_and_a_share_of_the_others_make_an_epoch(share, older):
    lists = [[user + 2] * 3 for user in range(13)]
    times = [[1, 2, 100 if user >= 10 else 99] for user in range(13)]  # three users came back at the hundredth moment
    model = Recording(SasRec.Config(**TINY), 15)
    loop = Loop(
        model,
        Histories.from_lists(lists, times),
        config=RECIPE.trainer,
        seed=0,
        on_step=None,
        replay=Replay(since=100, share=share),
    )
    epochs = []
    for number in (1, 2):
        loop.epoch(number)
        epochs.append(sorted(model.seen))
        model.seen = []
    for rows in epochs:
        assert len(rows) == len(set(rows)) == older + 3
        assert {10, 11, 12} <= set(rows)
    assert (epochs[0] != epochs[1]) == (0 < share < 1)  # drawn anew


def test_training_is_refused_when_nothing_came_since_the_champion(crowds):
    quiet = replace(crowds.after, train=Histories.from_lists([[2, 3, 4]], [[1, 2, 3]]))
    with pytest.raises(TrainingError, match=r"hold no event since the champion's\. Wait for new data"):
        train(warm(1, 1.0), quiet, checkpoint_folder=None, seed=0, parent=Parent.of(crowds.champion))


def test_a_closed_form_is_refused_when_it_is_given_a_parent(crowds):
    with pytest.raises(TrainingError, match="ease is computed from all data in one go"):
        train(a_recipe("ease"), crowds.after, checkpoint_folder=None, seed=0, parent=Parent.of(crowds.champion))


def judged(root, crowds, recipe):
    trained = train(recipe, crowds.after, checkpoint_folder=None, seed=0, parent=Parent.of(crowds.champion))
    ours = bundle_of(root, trained, crowds.after, recipe)
    since, split = crowds.champion.manifest.trained_until, crowds.after
    new, old = (
        evaluate(Ranker(b), split.test, config=recipe.evaluation, seed=0, vocabulary=split.vocabulary, since=since)
        for b in (ours, crowds.champion)
    )
    comparison = compare(new, old, metric="ndcg_at_10", samples=500, confidence=0.95, seed=0)
    decision = decide(new, champion=old, floor=None, comparison=comparison, config=recipe.gate)
    return comparison.slices[OLDER_USERS], {check.name: check for check in decision.checks}["forgetting"]


@pytest.mark.long
def test_the_gate_fires_when_a_model_was_made_to_forget_and_not_when_it_repeats_the_old(root, crowds):
    forgetful, refusal = judged(root, crowds, warm(15, 0.0))
    faithful, pass_ = judged(root, crowds, warm(15, 1.0))
    assert forgetful.num_users == faithful.num_users >= 110
    assert not refusal.passed
    assert forgetful.upper < -0.05 * forgetful.baseline
    assert "Raise warm_start.replay_share" in refusal.message
    assert pass_.passed, pass_.message
