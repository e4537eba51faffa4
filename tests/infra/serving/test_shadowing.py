import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.database import open_database
from infra.events import EventStore, ServedRequest
from infra.histories import HistoryStore
from infra.rollouts import ModelReference, Plan, Serving
from infra.serving.batching import Batcher
from infra.serving.clicks import Clicks
from infra.serving.eventlog import EventLog
from infra.serving.fallback import PopularItems
from infra.serving.gateway import Gateway
from infra.serving.metrics import Counter
from infra.serving.schemas import HistoryEvent, RecommendRequest
from infra.serving.shadowing import Shadow, Shown, compare
from infra.serving.slots import Lineup, LoadedModel, Slot, load_model
from infra.serving.watcher import View
from infra.shadows import ShadowFigures, ShadowStore
from recmodels.bundle import load_bundle
from recmodels.ranker import Ranker
from recmodels.slates import Ask, Slate
from tests.infra.gateway_home import NOW, Home, constant_scorer, next_item_scorer, overflowing_scorer, write

SHOWN = ("film-11", "film-00", "film-02")
"""What the champion of these tests answers to film-10."""


class Acting(Ranker):
    """A real ranker that does something before it ranks."""

    def __init__(self, ranker: Ranker, act: Callable[[], None]) -> None:
        super().__init__(ranker.bundle)
        self._act = act

    def recommend_many(self, asks: Sequence[Ask], **options: Any) -> list[Slate]:
        self._act()
        return super().recommend_many(asks, **options)


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    return load_model(tmp_path, write(tmp_path, next_item_scorer(), name="challenger"))


@pytest.fixture
def store(sqlite_url: str) -> ShadowStore:
    return ShadowStore(open_database(sqlite_url))


def acting(model: LoadedModel, act: Callable[[], None]) -> LoadedModel:
    batcher = Batcher(Acting(model.ranker, act), runs_inline=True)
    return LoadedModel(model.digest, "acting", model.popular, batcher, loaded_seconds=0.0)


def shown(model: LoadedModel | None, *, number: int = 0, reason: str = "", **view: Any) -> Shown:
    slot = Slot(ModelReference("a" * 64, 2), model, reason=reason)
    served = ServedRequest(
        request_id=f"q{number}",
        timestamp=NOW,
        user_key="key",
        surface="video",
        model_version="1",
        arm="rest",
        item_ids=SHOWN,
        scores=(1.0, 0.0, 0.0),
        propensities=(1.0, 1.0, 1.0),
        num_requested=3,
        latency_seconds=0.004,
        rollout_id="rollout-1",
    )
    return Shown(served, 0.003, Ask(("film-10",), (0,), 3, "video"), slot, View(**view))


def wait_for(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_compares_the_challengers_list_with_the_one_shown(model: LoadedModel) -> None:
    answer = compare(shown(model, blocked=frozenset({"film-00"})), deadline_seconds=0.25)

    assert answer.item_ids == ("film-11", "film-02", "film-04")
    assert answer.champion_item_ids == SHOWN
    assert answer.overlap == pytest.approx(2 / 3)
    assert 0 < answer.latency_seconds < 0.25
    assert (answer.champion_seconds, answer.num_requested) == (0.003, 3)
    assert (answer.request_id, answer.rollout_id, answer.timestamp) == ("q0", "rollout-1", NOW)
    assert (answer.is_error, answer.is_late, answer.is_non_finite, answer.num_blocked) == (False, False, False, 0)


def test_a_blocked_item_is_counted_when_the_challengers_catalogue_allows_it(model: LoadedModel) -> None:
    answer = compare(shown(model, mislabelled=frozenset({"film-11"})), deadline_seconds=0.25)

    assert answer.num_blocked == 1
    assert "film-11" not in answer.item_ids


def test_an_error_is_recorded_when_the_challenger_raises(model: LoadedModel) -> None:
    def fail() -> None:
        raise RuntimeError("bad weights")

    answer = compare(shown(acting(model, fail)), deadline_seconds=0.25)

    assert (answer.is_error, answer.is_late, answer.item_ids, answer.overlap) == (True, False, (), 0.0)


@pytest.mark.parametrize(("reason", "is_non_finite"), [("not_loaded", False), ("not_finite", True)])
def test_an_error_is_recorded_when_there_is_no_challenger(reason: str, is_non_finite: bool) -> None:
    answer = compare(shown(None, reason=reason), deadline_seconds=0.25)

    assert (answer.is_error, answer.is_non_finite) == (True, is_non_finite)


def test_lateness_is_recorded_when_the_challenger_hangs_also_for_those_behind_it(model: LoadedModel) -> None:
    slow = acting(model, lambda: time.sleep(1.0))
    began = time.perf_counter()

    answers = [compare(shown(slow, number=n), deadline_seconds=0.05) for n in range(3)]

    assert [answer.is_late for answer in answers] == [True, True, True]
    assert time.perf_counter() - began < 0.9
    assert all(0.05 <= answer.latency_seconds < 0.9 for answer in answers)


def test_non_finite_scores_are_recorded(tmp_path: Path) -> None:
    bundle = load_bundle(tmp_path, write(tmp_path, overflowing_scorer(), name="challenger"))
    batcher = Batcher(Ranker(bundle), runs_inline=True)
    bad = LoadedModel(bundle.digest, "overflowing", PopularItems.of(bundle), batcher, loaded_seconds=0.0)
    asked = replace(shown(bad), ask=Ask(("film-10", "film-20"), None, 3))

    assert compare(asked, deadline_seconds=0.25).is_non_finite
    assert not compare(shown(bad), deadline_seconds=0.25).is_non_finite


def counter() -> Counter:
    return Counter("everfeed_shadow_requests", "words", ("outcome",))


def test_comparisons_are_written_in_groups_and_the_last_ones_at_the_end(model: LoadedModel, store: ShadowStore) -> None:
    count = counter()
    shadow = Shadow(store, count=count)
    shadow.start()

    for number in range(20):
        shadow.offer(shown(model, number=number))
    wait_for(lambda: store.figures("rollout-1").requests == 20)
    shadow.offer(shown(model, number=20))
    time.sleep(0.1)
    shadow.stop()

    assert store.figures("rollout-1").requests == 21
    assert count.value("compared") == 21


def test_requests_are_dropped_and_counted_when_the_queue_is_full(model: LoadedModel, store: ShadowStore) -> None:
    count = counter()
    shadow = Shadow(store, count=count, limit=3)
    slow = acting(model, lambda: time.sleep(0.05))

    began = time.perf_counter()
    for number in range(10):
        shadow.offer(shown(slow, number=number))

    assert time.perf_counter() - began < 0.3  # waiting for those it drops would take 0.35
    assert count.value("dropped") == 7


def test_a_store_that_cannot_be_written_costs_the_comparisons_only(model: LoadedModel, sqlite_url: str) -> None:
    class Broken(ShadowStore):
        def append(self, answers: object) -> int:
            raise OSError("disk full")

    count = counter()
    shadow = Shadow(Broken(open_database(sqlite_url)), count=count)
    shadow.start()
    shadow.offer(shown(model))
    wait_for(lambda: count.value("lost") == 1)
    shadow.offer(shown(model, number=1))
    wait_for(lambda: count.value("lost") == 2)
    shadow.stop()


def shadow_rollout(home: Home, scorer: Any = None) -> None:
    challenger = ModelReference(write(home.bundles, scorer or constant_scorer(), name="challenger"), 2)
    plan = Plan("rollout-1", challenger, steps=(0.5,), cause="a test", salt="a salt", is_shadow=True)
    home.rollouts.start(plan, now=NOW, by="a test")


def ask(client: httpx.Client, user: str, **fields: Any) -> dict[str, Any]:
    given = [{"item_id": "film-10", "timestamp": 0}]
    response = client.post("/v1/recommend", json={"user": user, "history": given, "k": 3, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_the_challenger_answers_unseen_and_replayed_traffic_counts(home: Home, served: httpx.Client) -> None:
    shadow_rollout(home)
    wait_for(lambda: ask(served, "before")["rollout_id"] == "rollout-1")

    answers = [ask(served, f"user-{n}", origin="replay" if n % 2 else "event") for n in range(10)]
    unknown = ask(served, "nobody", history=[])

    assert {(answer["arm"], answer["model_version"]) for answer in answers} == {("rest", "1")}
    assert answers[0]["items"][0]["item_id"] == "film-11"
    store = ShadowStore(home.database)
    wait_for(lambda: store.figures("rollout-1").requests >= 10)
    time.sleep(0.6)
    figures = store.figures("rollout-1")
    assert unknown["is_fallback"]
    assert figures.requests <= 10 + 30  # those of the wait above, and none for who has no history
    assert (figures.errors, figures.late, figures.blocked, figures.short) == (0, 0, 0, 0)
    assert figures.overlap_mean == 0.0  # one recommends the next item, the other the last ones
    assert figures.distinct_items == 3
    assert 0 < figures.median_seconds < 0.25
    outcome = 'everfeed_shadow_requests_total{outcome="compared"}'
    assert outcome in served.get("/metrics").text


def test_infinite_scores_are_found_before_a_user_meets_the_challenger(home: Home, served: httpx.Client) -> None:
    shadow_rollout(home, overflowing_scorer())
    wait_for(lambda: ask(served, "ann")["rollout_id"] == "rollout-1")

    ask(served, "ann")

    def figures() -> ShadowFigures:
        return ShadowStore(home.database).figures("rollout-1")

    wait_for(lambda: figures().requests > 0)
    assert figures().non_finite == figures().errors == figures().requests


def test_the_answer_is_out_before_its_comparison_is_offered(model: LoadedModel, home: Home) -> None:
    events, histories = EventStore(home.database), HistoryStore(home.database)
    log = EventLog(events, Clicks(histories))
    gateway = Gateway(histories, log, ShadowStore(home.database), user_secret=b"s")
    slot = Slot(ModelReference(model.digest, 1), model)
    serving = Serving(slot.reference, slot.reference, salt="a salt", rollout_id="rollout-1", state="shadow")
    gateway.view = View(Lineup(serving, slot, slot, model.popular), has_polled=True)
    order: list[str] = []
    gateway.shadow.offer = lambda _shown: order.append("offered")  # type: ignore[method-assign]  # seen

    async def serve() -> None:
        await gateway.recommend(RecommendRequest("ann", history=[HistoryEvent("film-10", 0)]))
        order.append("answered")
        await asyncio.sleep(0)

    asyncio.run(serve())

    assert order == ["answered", "offered"]
