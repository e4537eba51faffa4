"""What every re-ranking stage must do: show k candidates of the pool, each once, the same ones every time."""

from dataclasses import replace

import numpy as np
import pytest

from recmodels.errors import RecipeError
from recmodels.reranking import STAGES
from recmodels.reranking.chain import Chain
from recmodels.reranking.config import RerankingConfig, StageChoice, stage_class, stage_config
from recmodels.reranking.pool import Pool
from recmodels.safety import BLOCKED, NO_LABEL, RESTRICTED
from tests.recmodels.reranking.pools import a_pool, some_facts

CHOSEN = tuple(name for name in STAGES.names() if name != "safety")
POOL, RESERVE = 40, 10


@pytest.fixture(params=CHOSEN)
def name(request) -> str:
    return request.param


@pytest.fixture
def chain(name) -> Chain:
    return Chain(RerankingConfig(stages=(StageChoice(name=name, config={}),)))


def random_pool(seed: int = 0, *, size: int = POOL, reserve: int = RESERVE, dim: int | None = 8) -> Pool:
    rng = np.random.default_rng(seed)
    count = size + reserve
    facts = some_facts(
        count,
        creators=rng.integers(-1, 6, count).tolist(),
        categories=[rng.integers(0, 5, rng.integers(0, 3)).tolist() for _ in range(count)],
        ages=rng.choice([1.0, 5.0, np.nan], count).tolist(),
        counts=[1000] * size + [3] * reserve,
        vectors=None if dim is None else rng.normal(size=(count, dim)),
    )
    scores = np.concatenate([-np.sort(-rng.normal(size=size)), rng.normal(size=reserve) - 5])
    history = rng.integers(2, count + 2, 7).astype(np.int32)
    deficits = rng.random(count)
    return a_pool(scores.tolist(), facts, retrieved=size, history=history, deficits=deficits, seed=seed)


def test_a_list_holds_k_candidates_each_once(chain, name):
    for seed in range(20):
        pool = random_pool(seed, dim=8 if seed % 2 else None)
        for k in (1, 10, POOL, POOL + 5):
            shown = chain.rerank(pool, k=k)
            columns = shown.columns.tolist()
            assert len(columns) == len(set(columns)) == min(k, POOL)
            assert set(columns) <= set(pool.columns.tolist())
            if name != "exploration":
                assert set(columns) <= set(pool.columns[:POOL].tolist())
            assert len(shown.propensities) == len(shown.scores) == len(columns)
            assert ((shown.propensities > 0) & (shown.propensities <= 1)).all()
            score_of = dict(zip(pool.columns.tolist(), pool.scores.tolist(), strict=True))
            assert shown.scores.tolist() == [score_of[column] for column in columns]


def test_the_same_pool_gets_the_same_list_every_time(chain):
    first, again = chain.rerank(random_pool(3), k=10), chain.rerank(random_pool(3), k=10)
    assert first.columns.tolist() == again.columns.tolist()
    assert first.propensities.tolist() == again.propensities.tolist()


def test_a_shorter_list_is_the_beginning_of_a_longer_one(chain, name):
    if name == "exploration":
        pytest.skip("a longer list draws for more places")
    pool = random_pool(5)
    assert chain.rerank(pool, k=5).columns.tolist() == chain.rerank(pool, k=15).columns[:5].tolist()


def test_a_pool_of_one_item_is_shown_as_it_is(chain):
    for dim in (None, 4):
        pool = random_pool(1, size=1, reserve=0, dim=dim)
        shown = chain.rerank(pool, k=10)
        assert shown.columns.tolist() == [2]
        assert shown.propensities.tolist() == [1.0]


def test_an_empty_pool_gives_an_empty_list(chain):
    shown = chain.rerank(a_pool([]), k=10)
    assert (shown.columns.tolist(), shown.propensities.tolist()) == ([], [])


def test_equal_scores_keep_the_order_when_a_stage_sees_no_difference(chain):
    """Items without creator, category, date or vector, all scored alike: nothing tells one from another."""
    shown = chain.rerank(a_pool([1.5] * 12), k=6)
    assert shown.columns.tolist() == [2, 3, 4, 5, 6, 7]


def test_nothing_changes_when_the_strength_is_0(name):
    if "strength" not in stage_class(name).Config.model_fields:
        pytest.skip("it has no strength")
    chain = Chain(RerankingConfig(stages=(StageChoice(name=name, config={"strength": 0}),)))
    assert chain.rerank(random_pool(2), k=10).columns.tolist() == list(range(2, 12))


def test_unsafe_candidates_are_never_shown_whatever_the_stage(chain):
    rng = np.random.default_rng(0)
    for seed in range(20):
        pool = random_pool(seed)
        labels = rng.choice([0, RESTRICTED, BLOCKED, NO_LABEL], len(pool)).astype(np.int8)
        on_shelf = rng.random(len(pool)) < 0.8
        pool = replace(pool, labels=labels, is_on_shelf=on_shelf, shows_restricted=False)
        shown = chain.rerank(pool, k=15).columns - 2
        assert len(shown)
        assert np.isin(labels[shown], [0, NO_LABEL]).all()
        assert on_shelf[shown].all()


def test_a_stage_is_refused_when_a_field_is_not_known(name):
    with pytest.raises(RecipeError, match=rf"stage '{name}': field 'strenght' is not known.* Known: "):
        stage_config(name, {"strenght": 1})


def test_defaults_are_the_same_release_as_fields_spelled_out(name):
    spelled = stage_config(name, {}).model_dump(mode="json")
    assert StageChoice(name=name) == StageChoice(name=name, config=spelled)
