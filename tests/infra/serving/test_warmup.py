import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.events import EventStore, ServedRequest
from infra.histories import HistoryEvent, HistoryStore, UserHistory
from infra.serving import warmup
from infra.serving.fallback import PopularItems
from infra.serving.warmup import RecordedHistories, UnfitModelError, warm_up
from recmodels.bundle import Bundle, load_bundle
from recmodels.data.histories import Histories
from recmodels.ranker import Ranker
from tests.infra.gateway_home import ITEM_IDS, NOW, Home, next_item_scorer, write


class Scorer:
    """Gives what `score_one` says for each history's number of items."""

    kind = "static"
    vocabulary_size = len(ITEM_IDS) + 2

    def __init__(self, score_one: Callable[[int], float]) -> None:
        self.lengths: list[int] = []
        self._score_one = score_one

    def score(self, histories: Histories) -> NDArray[np.float32]:
        self.lengths += histories.lengths.tolist()
        rows = [np.arange(self.vocabulary_size) + self._score_one(int(length)) for length in histories.lengths]
        return np.asarray(rows, np.float32)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(tmp_path, write(tmp_path, next_item_scorer(), name="champion"))


def warmed(bundle: Bundle, score_one: Callable[[int], float], histories: Sequence[UserHistory] = ()) -> Scorer:
    scorer = Scorer(score_one)
    warm_up(Ranker(replace(bundle, scorer=scorer)), histories, popular=PopularItems.of(bundle))
    return scorer


def history(length: int) -> UserHistory:
    return UserHistory(ITEM_IDS[:length], tuple(range(length)))


def test_ranks_for_recorded_histories_and_adds_popular_ones_up_to_sixteen(bundle: Bundle) -> None:
    scorer = warmed(bundle, lambda _length: 0.0, [history(7), history(9)])

    assert scorer.lengths[:2] == [7, 9]
    assert len(scorer.lengths) == 16
    assert scorer.lengths[2:5] == [0, 4, 8]


def test_a_model_is_unfit_when_one_recorded_history_gives_nan(bundle: Bundle) -> None:
    with pytest.raises(UnfitModelError, match="history of 9 items") as caught:
        warmed(bundle, lambda length: math.nan if length == 9 else 0.0, [history(7), history(9)])

    assert caught.value.reason == "not_finite"
    assert caught.value.popular.item_ids[0] == "film-00"


def test_a_model_is_unfit_when_it_raises(bundle: Bundle) -> None:
    def fail(_length: int) -> float:
        raise RuntimeError("bad weights")

    with pytest.raises(UnfitModelError, match="bad weights") as caught:
        warmed(bundle, fail)

    assert caught.value.reason == "error"


def test_a_model_is_unfit_when_its_median_exceeds_the_deadline(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "DEADLINE_SECONDS", 1e-9)
    scorer = Scorer(lambda _length: 0.0)

    with pytest.raises(UnfitModelError, match=r"median of 5.*shorter history") as caught:
        warm_up(Ranker(replace(bundle, scorer=scorer)), (), popular=PopularItems.of(bundle))

    assert caught.value.reason == "late"
    assert len(scorer.lengths) == 5  # it is not asked sixteen times while takedowns wait


def served(number: int, user: str) -> ServedRequest:
    return ServedRequest(
        request_id=f"r{number}",
        timestamp=NOW,
        user_key=user,
        surface="video",
        model_version="1",
        arm="rest",
        item_ids=("film-00",),
        scores=(1.0,),
        propensities=(1.0,),
        num_requested=1,
        latency_seconds=0.001,
    )


def test_reads_the_histories_of_the_users_served_last_then_others(home: Home) -> None:
    events, histories = EventStore(home.database), HistoryStore(home.database)
    for place, user in enumerate(("ann", "bob", "cat", "dan")):
        histories.append([HistoryEvent(user, f"film-{place:02d}", NOW, "video")])
    events.append_requests([served(n, user) for n, user in enumerate(("dan", "bob", "dan", "stranger", "bob"))])

    found = RecordedHistories(events, histories).read()

    assert [history.item_ids[0] for history in found] == ["film-01", "film-03", "film-00", "film-02"]


def test_reads_at_most_64_users(home: Home) -> None:
    histories = HistoryStore(home.database)
    histories.append([HistoryEvent(f"user-{n:03d}", "film-01", NOW, "video") for n in range(80)])

    assert len(RecordedHistories(EventStore(home.database), histories).read()) == 64


def test_reads_nothing_when_the_stores_are_empty(home: Home) -> None:
    assert RecordedHistories(EventStore(home.database), HistoryStore(home.database)).read() == []
