"""What every part of a ranker's network must hold; a new part is tested by being there.

A network has one part of each kind, so that every network tested here tests four; together they hold all parts.
"""

from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import torch

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import UNKNOWN
from recmodels.multi_task import SHARING
from recmodels.parts import PartRegistry
from recmodels.rankers import BACKBONES
from recmodels.ranking.config import NetworkConfig
from recmodels.ranking.examples import Examples
from recmodels.ranking.export import export_ranker
from recmodels.ranking.inputs import inputs_of
from recmodels.ranking.network import RankingNetwork
from recmodels.ranking.training import predict, train_ranker
from recmodels.scenarios import SCENARIOS
from recmodels.trainer_config import TrainerConfig
from recmodels.watch_time import WATCH_HEADS
from tests.recmodels.ranking.exposures import SPEC, exposures

KINDS: dict[str, PartRegistry] = {
    "backbone": BACKBONES,
    "multi_task": SHARING,
    "scenario": SCENARIOS,
    "watch_time": WATCH_HEADS,
}


def covering() -> list[dict[str, str]]:
    """As few networks as hold every part of every kind."""
    count = max(len(registry.names()) for registry in KINDS.values())
    columns = [
        [name for name, _ in zip(cycle(registry.names()), range(count), strict=False)] for registry in KINDS.values()
    ]
    return [dict(zip(KINDS, row, strict=True)) for row in zip(*columns, strict=True)]


NETWORKS = [pytest.param(parts, id="-".join(parts.values())) for parts in covering()]


@pytest.fixture(scope="module")
def rows() -> Examples:
    """Sixty rows; the histories of the first ten are empty."""
    made = exposures(60, seed=4)
    histories = made.histories
    return replace(
        made, histories=replace(histories, starts=np.where(np.arange(60) < 10, histories.ends, histories.starts))
    )


def config(parts, **settings):
    return NetworkConfig(**parts, embedding_dim=8, tower_dim=16, **settings)


@pytest.fixture
def network(request, rows):
    torch.manual_seed(2)
    made = RankingNetwork(SPEC, config(request.param))
    made.begin(rows)
    for parameter in made.parameters():  # far from what training begins with, where gates are 1 and ages 0
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def assert_same(left, right, *, tolerance=1e-5):
    np.testing.assert_allclose(left.logits, right.logits, atol=tolerance, rtol=0)
    np.testing.assert_allclose(left.watch, right.watch, atol=tolerance, rtol=1e-5)


@pytest.mark.parametrize("network", NETWORKS, indirect=True)
def test_a_row_is_judged_alike_when_others_stand_beside_it(network, rows):
    together = predict(network, rows)
    alone = [predict(network, rows.take(np.array([row]))) for row in (0, 11, 59)]
    for row, single in zip((0, 11, 59), alone, strict=True):
        np.testing.assert_allclose(single.logits[0], together.logits[row], atol=1e-5)
        np.testing.assert_allclose(single.watch[0], together.watch[row], rtol=1e-4, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = predict(network, rows.take(order))
    np.testing.assert_allclose(shuffled.logits, together.logits[order], atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS, indirect=True)
def test_padding_changes_nothing(network, rows):
    short = inputs_of(rows.take(np.flatnonzero(rows.histories.lengths <= 3)))
    assert short.histories.shape[1] == 3
    wide = replace(short, histories=np.pad(short.histories, ((0, 0), (5, 0))))
    with torch.no_grad():
        torch.testing.assert_close(network(short).logits, network(wide).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("network", NETWORKS, indirect=True)
def test_what_was_never_seen_has_a_prediction(network, rows):
    strange = replace(
        rows,
        items=np.full(60, SPEC.num_items + 7, np.int32),
        categorical=np.full_like(rows.categorical, 99),
        surfaces=np.full(60, 99, np.int32),
        numeric=np.full_like(rows.numeric, np.inf),
        queries=np.full_like(rows.queries, -1),
        duration_seconds=np.full(60, np.nan, np.float32),
    )
    unknown = replace(
        strange,
        items=np.full(60, UNKNOWN, np.int32),
        categorical=np.zeros_like(rows.categorical),
        surfaces=np.zeros(60, np.int32),
        numeric=np.full_like(rows.numeric, 10),
        queries=np.zeros_like(rows.queries),
    )
    predicted = predict(network, strange)
    assert np.isfinite(predicted.logits).all()
    assert (predicted.watch >= 0).all()
    assert_same(predicted, predict(network, unknown), tolerance=0)


@pytest.mark.parametrize("network", NETWORKS, indirect=True)
def test_an_empty_history_is_not_a_history_of_unknown_items(network, rows):
    first = rows.take(np.arange(10))
    empty = predict(network, first)
    assert np.isfinite(empty.logits).all()
    lists = Histories.from_lists([[UNKNOWN]] * 10)
    assert np.abs(predict(network, replace(first, histories=lists)).logits - empty.logits).max() > 1e-6


@pytest.mark.parametrize("network", NETWORKS, indirect=True)
def test_the_surface_counts(network, rows):
    elsewhere = replace(rows, surfaces=(rows.surfaces % 3 + 1).astype(np.int32))
    assert (np.abs(predict(network, rows).logits - predict(network, elsewhere).logits).max(axis=1) > 1e-6).all()


@pytest.mark.parametrize("parts", NETWORKS)
def test_fifty_rows_are_learned_by_heart_and_the_same_way_twice(parts, rows):
    fifty = rows.take(np.arange(10, 60))
    dropped = {
        f"{kind}_config": {"dropout": 0.0}
        for kind, registry in KINDS.items()
        if "dropout" in registry.config(parts[kind], {}).model_dump()
    }
    trainer = TrainerConfig(epochs=60, patience=60, batch_size=50, learning_rate=0.03)
    trained = train_ranker(config(parts, unknown_share=0.0, **dropped), fifty, fifty, trainer=trainer, seed=1)
    labels, probabilities = fifty.labels, trained.validation.probabilities
    known = np.isfinite(labels)
    assert (np.abs(labels - probabilities)[known] < 0.2).all()
    error = np.abs(trained.validation.watch - fifty.watch_seconds).mean()
    assert error < 0.4 * np.abs(fifty.watch_seconds - fifty.watch_seconds.mean()).mean()
    short = TrainerConfig(epochs=2, batch_size=16)
    once, again = (train_ranker(config(parts), fifty, fifty, trainer=short, seed=1) for _ in range(2))
    assert once.curve == again.curve
    assert_same(once.validation, again.validation, tolerance=0)


@pytest.mark.parametrize("name", WATCH_HEADS.names())
def test_planted_seconds_are_found_when_a_head_may_say_what_it_likes_of_each_group(name):
    rng = np.random.default_rng(7)
    duration = np.repeat(np.array([10, 10, 60, 60], np.float32), 300)
    mean = np.repeat([2.0, 8.0, 12.0, 48.0], 300)
    watch = (mean * rng.uniform(0.9, 1.1, len(mean))).astype(np.float32)
    head = WATCH_HEADS.part(name)(WATCH_HEADS.config(name, {}))
    head.fit(watch, duration)
    raw = torch.zeros(4, head.outputs, requires_grad=True)
    group = torch.arange(4).repeat_interleave(300)
    seen = torch.from_numpy(watch), torch.from_numpy(duration)
    optimizer = torch.optim.Adam([raw], lr=0.3)
    for _ in range(150):
        optimizer.zero_grad()
        head.loss(raw[group], *seen).backward()
        optimizer.step()
    found = head.seconds(raw.detach(), torch.tensor([10.0, 10.0, 60.0, 60.0]))
    np.testing.assert_allclose(found.numpy(), [2, 8, 12, 48], rtol=0.1)


@pytest.mark.slow  # an export takes seconds; tests/recmodels/ranking/test_scorer.py has one that is always made
@pytest.mark.parametrize("network", NETWORKS, indirect=True)
def test_what_is_exported_equals_torch(network, rows):
    scorer = export_ranker(network, rows)
    assert_same(scorer.score(rows), predict(network, rows), tolerance=1e-4)
    candidates = replace(
        rows,
        histories=rows.histories.take(np.full(60, 33)),
        surfaces=np.full(60, 3, np.int32),
    )
    one = inputs_of(candidates)
    assert one.histories.shape[0] == 1
    assert_same(scorer.score(candidates), predict(network, candidates), tolerance=1e-4)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, registry in KINDS.items() for name in registry.names()]
)
def test_settings_are_completed_and_unknown_ones_refused(kind, name):
    settings = {kind: name}
    complete = getattr(NetworkConfig(**settings), f"{kind}_config")
    assert complete == KINDS[kind].config(name, {}).model_dump(mode="json")
    assert NetworkConfig(**settings, **{f"{kind}_config": complete}) == NetworkConfig(**settings)
    with pytest.raises(ValueError, match=rf"{KINDS[kind].kind} '{name}': field 'colour' is not known\. .*Known: "):
        NetworkConfig(**settings, **{f"{kind}_config": {"colour": 1}})
    with pytest.raises(ValueError, match=r"'nothing_such' is not known. Known: "):
        NetworkConfig(**{kind: "nothing_such"})
