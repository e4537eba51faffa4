import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.histories import UserHistory
from infra.rollouts import ModelReference
from infra.serving.batching import Batcher
from infra.serving.breaker import BreakerState
from infra.serving.ranking import Ranking, Wish, make_ranking
from infra.serving.slots import Lineup, LoadedModel, Slot, load_model
from infra.serving.watcher import View
from recmodels.bundle import load_bundle
from recmodels.data.histories import Histories
from recmodels.ranker import Ranker
from recmodels.slates import Ask, Slate
from tests.infra.gateway_home import ITEM_IDS, next_item_scorer, write

HISTORY = UserHistory(("film-10",), (0,))
WISH = Wish(3, "video")


class BadScorer:
    """A model that misbehaves: `act` is called with every scoring."""

    kind = "static"
    vocabulary_size = len(ITEM_IDS) + 2

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def score(self, histories: Histories) -> NDArray[np.float32]:
        self.act()
        return np.tile(np.arange(self.vocabulary_size, dtype=np.float32), (len(histories), 1))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    return load_model(tmp_path, write(tmp_path, next_item_scorer(), name="champion"))


def with_scorer(
    model: LoadedModel, tmp_path: Path, act: Callable[[], None], *, inline: bool, deadline_seconds: float = 0.25
) -> LoadedModel:
    bundle = replace(load_bundle(tmp_path, model.digest), scorer=BadScorer(act))
    batcher = Batcher(Ranker(bundle), runs_inline=inline, deadline_seconds=deadline_seconds)
    return LoadedModel(model.digest, "bad", model.popular, batcher, loaded_seconds=0.0)


def rank(model: LoadedModel, *, blocked: frozenset[str] = frozenset(), history: UserHistory = HISTORY) -> Ranking:
    slot = Slot(ModelReference(model.digest, 1), model)
    view = View(Lineup(champion=slot, popular=model.popular), blocked)
    return asyncio.run(make_ranking(slot, history, WISH, view=view))


def test_a_fast_model_runs_on_the_event_loop(model: LoadedModel) -> None:
    assert model.loaded_seconds > 0
    assert rank(model).item_ids[0] == "film-11"


def test_popular_items_in_place_of_scores_are_a_fallback_when_a_model_knows_no_item_of_the_history(
    model: LoadedModel,
) -> None:
    answer = rank(model, history=UserHistory(("unheard-of",), (0,)))

    assert len(answer.item_ids) == 3
    assert (answer.fallback_reason, answer.scores, answer.is_error) == ("unknown_items", (), False)


@pytest.mark.parametrize("inline", [True, False])
def test_a_model_that_raises_costs_a_list_of_popular_items(model: LoadedModel, tmp_path: Path, inline: bool) -> None:
    def fail() -> None:
        raise RuntimeError("bad weights")

    bad = with_scorer(model, tmp_path, fail, inline=inline)

    answer = rank(bad)

    assert (answer.fallback_reason, answer.is_error) == ("error", True)
    assert answer.item_ids == ("film-00", "film-02", "film-04")


def test_a_model_that_keeps_failing_is_left_alone_and_tried_again(model: LoadedModel, tmp_path: Path) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError("bad weights")

    bad = with_scorer(model, tmp_path, fail, inline=True)
    bad.breaker.pause_seconds = 0.5

    reasons = [rank(bad).fallback_reason for _ in range(8)]

    assert reasons == ["error"] * 5 + ["paused"] * 3
    assert len(calls) == 5
    time.sleep(0.55)
    assert rank(bad).fallback_reason == "error"
    assert bad.breaker.state(time.monotonic()) is BreakerState.OPEN


def test_a_late_model_in_a_thread_is_not_waited_for(model: LoadedModel, tmp_path: Path) -> None:
    slow = with_scorer(model, tmp_path, lambda: time.sleep(0.5), inline=False, deadline_seconds=0.05)
    slot = Slot(ModelReference(model.digest, 1), slow)
    view = View(Lineup(champion=slot, popular=model.popular))

    async def measure() -> tuple[Ranking, float]:
        began = time.perf_counter()
        answer = await make_ranking(slot, HISTORY, WISH, view=view)
        return answer, time.perf_counter() - began

    answer, seconds = asyncio.run(measure())

    assert (answer.fallback_reason, answer.is_error) == ("late", True)
    assert seconds < 0.4


def compute() -> None:
    """Keep the processor busy for longer than the deadline; waiting would say nothing of a model."""
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass


def test_a_model_that_overruns_its_deadline_inline_moves_to_a_thread(model: LoadedModel, tmp_path: Path) -> None:
    slow = with_scorer(model, tmp_path, compute, inline=True, deadline_seconds=0.02)

    assert rank(slow).fallback_reason == ""  # the answer is there, so it is given
    assert not slow.batcher.runs_inline
    assert rank(slow).fallback_reason == "late"


def test_a_taken_down_item_is_dropped_and_counted_when_the_ranker_lets_it_through(model: LoadedModel) -> None:
    class Leaky(Ranker):
        def recommend_many(self, asks: Sequence[Ask], **options: object) -> list[Slate]:  # type: ignore[override]  # any
            return super().recommend_many(asks)

    model.batcher.ranker = Leaky(model.ranker.bundle)

    answer = rank(model, blocked=frozenset({"film-11"}))

    assert "film-11" not in answer.item_ids
    assert len(answer.item_ids) == len(answer.scores) == len(answer.propensities) == 2
    assert answer.num_blocked == 1


def test_an_item_that_the_champion_blocks_is_counted_when_another_catalogue_allows_it(model: LoadedModel) -> None:
    slot = Slot(ModelReference(model.digest, 1), model)
    view = View(Lineup(challenger=slot, popular=model.popular), mislabelled=frozenset({"film-11", "film-00"}))

    answer = asyncio.run(make_ranking(slot, HISTORY, WISH, view=view))
    unknown = asyncio.run(make_ranking(slot, UserHistory((), ()), WISH, view=view))

    assert answer.num_blocked == 2  # film-11 is next, and film-00 leads the ties behind it
    assert not {"film-11", "film-00"} & {*answer.item_ids, *unknown.item_ids}


def test_a_slot_whose_model_was_not_finite_in_the_warm_up_says_so(model: LoadedModel) -> None:
    slot = Slot(ModelReference(model.digest, 1), None, "words", "not_finite", model.popular)

    answer = asyncio.run(make_ranking(slot, HISTORY, WISH, view=View(Lineup(champion=slot, popular=model.popular))))

    assert (answer.fallback_reason, answer.is_error, answer.is_non_finite) == ("not_finite", True, True)
    assert answer.item_ids == ("film-00", "film-02", "film-04")
