import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.serving.batching import Batcher, Standing
from recmodels.bundle import load_bundle
from recmodels.ranker import Ranker
from recmodels.slates import Ask, Slate
from tests.infra.gateway_home import next_item_scorer, write

NOTHING = Standing()


class Watched(Ranker):
    """A real ranker that remembers what was ranked together, and can be slow or refuse one history."""

    def __init__(self, folder: Path, *, poison: str = "", seconds: float = 0.0) -> None:
        super().__init__(load_bundle(folder, write(folder, next_item_scorer(), name="watched")))
        self.batches: list[int] = []
        self.blocked: list[frozenset[str]] = []
        self.threads: set[str] = set()
        self._poison, self._seconds = poison, seconds

    def recommend_many(self, asks: Sequence[Ask], **options: object) -> list[Slate]:  # type: ignore[override]
        self.batches.append(len(asks))
        self.blocked.append(options["blocked"])  # type: ignore[arg-type]
        self.threads.add(threading.current_thread().name)
        time.sleep(self._seconds)
        if any(self._poison in ask.item_ids for ask in asks):
            raise ValueError("this history breaks the model")
        return super().recommend_many(asks, **options)  # type: ignore[arg-type]


class Heavy(Watched):
    """One that computes for as long as the other pauses."""

    def recommend_many(self, asks: Sequence[Ask], **options: object) -> list[Slate]:  # type: ignore[override]
        until = time.thread_time() + self._seconds
        while time.thread_time() < until:
            pass
        return super().recommend_many(asks, **options)


def ask(number: int) -> Ask:
    return Ask((f"film-{number:02d}",), None, 1)


async def firsts(batcher: Batcher, numbers: Sequence[int]) -> list[str | type[BaseException]]:
    """Ask for several at once; return the first item of each list, or the type of the error."""
    asked = [batcher.rank(ask(number), standing=NOTHING) for number in numbers]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    return [type(answer) if isinstance(answer, BaseException) else answer.item_ids[0] for answer in answers]


@pytest.mark.parametrize("inline", [True, False])
def test_requests_of_one_turn_are_ranked_together_and_each_gets_its_own_list(tmp_path: Path, inline: bool) -> None:
    ranker = Watched(tmp_path)

    answers = asyncio.run(firsts(Batcher(ranker, runs_inline=inline), [4, 10, 20, 27]))

    assert answers == ["film-05", "film-11", "film-21", "film-28"]
    assert ranker.batches == [4]


def test_a_lone_request_is_ranked_in_the_next_turn_without_waiting(tmp_path: Path) -> None:
    ranker = Watched(tmp_path)
    batcher = Batcher(ranker, runs_inline=True)

    async def turns() -> int:
        task = asyncio.create_task(batcher.rank(ask(4), standing=NOTHING))
        count = 0
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(turns()) <= 3  # it asks, it is ranked, it takes its list
    assert ranker.batches == [1]


@pytest.mark.parametrize(("inline", "limit"), [(True, "inline_limit"), (False, "limit")])
def test_a_batch_is_no_larger_than_the_limit(tmp_path: Path, inline: bool, limit: str) -> None:
    ranker = Watched(tmp_path)

    answers = asyncio.run(firsts(Batcher(ranker, runs_inline=inline, **{limit: 3}), [4, 5, 6, 7, 8, 9, 10]))

    assert answers == [f"film-{number:02d}" for number in range(5, 12)]
    assert ranker.batches == [3, 3, 1]


def test_what_arrives_while_a_batch_is_in_the_thread_is_the_next_batch(tmp_path: Path) -> None:
    ranker = Watched(tmp_path, seconds=0.05)
    batcher = Batcher(ranker, runs_inline=False)

    async def ask_in_two_waves() -> list[str | type[BaseException]]:
        first = asyncio.create_task(firsts(batcher, [4]))
        await asyncio.sleep(0.01)
        waves = [asyncio.create_task(firsts(batcher, [number])) for number in (10, 20, 25)]
        return [answer for wave in (first, *waves) for answer in await wave]

    assert asyncio.run(ask_in_two_waves()) == ["film-05", "film-11", "film-21", "film-26"]
    assert ranker.batches == [1, 3]
    assert all(name.startswith("ranker") for name in ranker.threads)


@pytest.mark.parametrize("inline", [True, False])
def test_one_failing_history_costs_only_its_own_list(tmp_path: Path, inline: bool) -> None:
    ranker = Watched(tmp_path, poison="film-10")

    answers = asyncio.run(firsts(Batcher(ranker, runs_inline=inline), [4, 10, 20]))

    assert answers == ["film-05", ValueError, "film-21"]
    assert ranker.batches == [3, 1, 1, 1]


def test_requests_under_different_takedowns_are_not_ranked_together(tmp_path: Path) -> None:
    ranker = Watched(tmp_path)
    batcher = Batcher(ranker, runs_inline=True)
    before, after = Standing(frozenset()), Standing(frozenset({"film-05"}))

    async def both() -> list[Slate]:
        return await asyncio.gather(batcher.rank(ask(4), standing=before), batcher.rank(ask(4), standing=after))

    answers = asyncio.run(both())

    assert answers[0].item_ids == ("film-05",)
    assert answers[1].item_ids != ("film-05",)
    assert ranker.blocked == [before.blocked, after.blocked]


def test_a_late_batch_costs_its_askers_their_deadline_and_the_next_ones_nothing(tmp_path: Path) -> None:
    ranker = Watched(tmp_path, seconds=0.6)
    batcher = Batcher(ranker, runs_inline=False, deadline_seconds=0.05)

    async def late_then_fast() -> tuple[list[str | type[BaseException]], float, list[str | type[BaseException]]]:
        began = time.perf_counter()
        late = await firsts(batcher, [4, 10])
        waited = time.perf_counter() - began
        ranker._seconds = 0.0
        await asyncio.sleep(0.7)
        return late, waited, await firsts(batcher, [20])

    late, waited, fast = asyncio.run(late_then_fast())

    assert late == [TimeoutError, TimeoutError]
    assert 0.05 <= waited < 0.5
    assert fast == ["film-21"]


def test_who_gave_up_while_waiting_is_not_ranked_for(tmp_path: Path) -> None:
    ranker = Watched(tmp_path, seconds=0.05)
    batcher = Batcher(ranker, runs_inline=False)

    async def leave() -> str:
        first = asyncio.create_task(firsts(batcher, [4]))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(batcher.rank(ask(10), standing=NOTHING))
        kept = asyncio.create_task(batcher.rank(ask(20), standing=NOTHING))
        await asyncio.sleep(0.01)
        gone.cancel()
        await first
        return (await kept).item_ids[0]

    assert asyncio.run(leave()) == "film-21"
    assert ranker.batches == [1, 1]


def test_a_batch_that_overruns_the_deadline_on_the_loop_moves_to_the_thread(tmp_path: Path) -> None:
    batcher = Batcher(Heavy(tmp_path, seconds=0.03), runs_inline=True, deadline_seconds=0.02)

    first = asyncio.run(firsts(batcher, [4]))

    assert first == ["film-05"]  # the list is there, so it is given
    assert not batcher.runs_inline
    assert asyncio.run(firsts(batcher, [4])) == [TimeoutError]


def test_a_pause_of_the_machine_moves_no_model_to_the_thread(tmp_path: Path) -> None:
    batcher = Batcher(Watched(tmp_path, seconds=0.03), runs_inline=True, deadline_seconds=0.02)

    assert asyncio.run(firsts(batcher, [4])) == ["film-05"]
    assert batcher.runs_inline
