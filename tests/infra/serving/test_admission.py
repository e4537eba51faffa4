"""Lanes and turns on a clock that only moves where a test says so."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from infra.serving.admission import LATEST_SECONDS, SLICE_SECONDS, STANDING_SECONDS, Admission, Lane
from infra.serving.metrics import Counter
from infra.serving.problems import RefusedError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def lane(name: str = "recommend", *, least: int = 4) -> Lane:
    return Lane(name, wait_seconds=0.05, burst_seconds=0.25, least=least)


def refusals() -> Counter:
    return Counter("refused", "Refusals.", ("lane", "reason"))


def busy_with(seconds: float, *, answers: int = 4000) -> tuple[Lane, float]:
    """Return a lane that was busy all the time and answered one request each `seconds`, and the time since."""
    one, now = lane(), 100.0
    one.enter(now)
    one.enter(now)
    for _ in range(answers):
        now += seconds
        one.leave(now)
        one.enter(now)
    return one, now


def fill(one: Lane, now: float) -> int:
    """Let requests in until the lane is full; return how many are inside."""
    while not one.is_full(now):
        one.enter(now)
    return one.inside


def test_lets_in_as_many_as_it_answers_in_its_wait_when_the_queue_stands() -> None:
    one, now = busy_with(0.002)

    assert one.seconds == pytest.approx(0.002)
    assert fill(one, now) in {25, 26}  # 0.05 / 0.002, and what rounding leaves


def test_lets_in_a_burst_when_the_queue_was_empty_a_moment_ago() -> None:
    one, now = busy_with(0.002)
    while one.inside:
        one.leave(now)
    one.seconds = 0.002  # what was learnt before the last answers, which came all at once

    assert fill(one, now + 5.0) == 125  # 0.25 / 0.002
    assert one.is_full(now + 5.0 + STANDING_SECONDS + 0.001)


def test_lets_in_the_least_number_however_slow_it_is() -> None:
    one, now = busy_with(1.0)

    assert fill(one, now) == 4


def test_a_pause_of_the_machine_is_no_measure_of_the_lane() -> None:
    one, now = busy_with(0.001)

    one.leave(now + 5.0)

    assert one.seconds == pytest.approx(0.001 * (1 + 0.3 * 3))  # a window counts as four mean ones at most


def test_answers_that_leave_together_count_as_what_they_took_together() -> None:
    one, now = lane(), 100.0
    for _ in range(10):
        one.enter(now)
    for _ in range(60):
        now += 0.02
        for _ in range(10):
            one.leave(now)
            one.enter(now)

    assert one.seconds == pytest.approx(0.002, rel=0.01)
    assert fill(one, now) == 25


def test_time_without_requests_is_not_learnt() -> None:
    one, now = busy_with(0.001)
    one.leave(now)
    one.leave(now)
    learnt = one.seconds
    one.enter(now + 60)
    one.leave(now + 60.001)

    assert one.seconds == learnt


def run(work: Callable[[Clock], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work(Clock()))


def test_nobody_waits_when_there_is_time_in_the_slice() -> None:
    async def work(clock: Clock) -> None:
        one = lane()
        admission = Admission([one], refused=refusals(), together=1, clock=clock)
        for _ in range(3):
            coroutine = admission.enter(one)
            with pytest.raises(StopIteration):  # it ends without waiting for anything
                coroutine.send(None)
        assert one.inside == 3

    run(work)


def test_the_rest_waits_for_later_turns_of_the_loop_when_the_slice_is_used_up() -> None:
    async def work(clock: Clock) -> None:
        one = lane()
        one.seconds = SLICE_SECONDS / 2  # two in a slice
        admission = Admission([one], refused=refusals(), together=1, clock=clock)
        ran: list[int] = []

        async def request(number: int) -> None:
            await admission.enter(one)
            ran.append(number)
            clock.now += 0.6 * SLICE_SECONDS
            one.inside -= 1  # without learning

        tasks = [asyncio.create_task(request(number)) for number in range(6)]
        counts = []
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            counts.append(len(ran))
        assert ran == [0, 1, 2, 3, 4, 5]
        steps = [after - before for before, after in zip([0, *counts], counts, strict=False)]
        assert max(steps) == 2

    run(work)


@pytest.mark.parametrize(("refuses", "most"), [(False, 16), (True, 5)])
def test_fewer_run_in_a_slice_while_others_are_refused_and_wait_for_it_to_end(refuses: bool, most: int) -> None:
    async def work(clock: Clock) -> None:
        one = lane(least=1 if refuses else 100)
        one.seconds = 10 * SLICE_SECONDS  # not one in a slice
        admission = Admission([one], refused=refusals(), clock=clock)
        ran: list[int] = []

        async def request(number: int) -> None:
            await admission.enter(one)
            ran.append(number)
            clock.now += SLICE_SECONDS

        tasks = [asyncio.create_task(request(number)) for number in range(60)]
        counts = []
        while not all(task.done() for task in tasks):
            if one.inside > 1:
                assert (admission.refusal(one) is not None) is refuses
            await asyncio.sleep(0)
            counts.append(len(ran))
        steps = [after - before for before, after in zip([0, *counts], counts, strict=False)]
        assert max(steps[2:]) == most

    run(work)


def test_lanes_take_turns_when_both_have_more_than_a_slice_takes() -> None:
    async def work(clock: Clock) -> None:
        recommend, feedback = lane("recommend"), lane("feedback")
        admission = Admission([recommend, feedback], refused=refusals(), together=1, clock=clock)
        recommend.seconds = feedback.seconds = SLICE_SECONDS / 4  # two of each in a slice
        ran: list[str] = []

        async def request(one: Lane) -> None:
            await admission.enter(one)
            ran.append(one.name)
            clock.now += SLICE_SECONDS / 4

        flood = [asyncio.create_task(request(recommend)) for _ in range(40)]
        few = [asyncio.create_task(request(feedback)) for _ in range(4)]
        await asyncio.gather(*few)
        assert ran.count("recommend") <= 12  # 4 before the queue stood, then 2 for every 2
        await asyncio.gather(*flood)

    run(work)


def test_a_request_is_refused_when_its_turn_comes_too_late() -> None:
    async def work(clock: Clock) -> None:
        one, refused = lane(), refusals()
        admission = Admission([one], refused=refused, clock=clock)
        await admission.enter(one)
        clock.now += SLICE_SECONDS

        async def be_late() -> None:
            asyncio.get_running_loop().call_soon(clock.pass_by, 2 * LATEST_SECONDS)
            await admission.enter(one)

        late = be_late()  # in the turn of the loop in which the slice was used up
        with pytest.raises(RefusedError) as refusal:
            await late
        assert refusal.value.status == 503
        assert refused.value("recommend", "late") == 1

    run(work)


def test_a_request_that_was_given_up_takes_no_turn() -> None:
    async def work(clock: Clock) -> None:
        one = lane()
        admission = Admission([one], refused=refusals(), together=1, clock=clock)
        await admission.enter(one)
        clock.now += SLICE_SECONDS
        given_up = admission.enter(one)
        turn = given_up.send(None)
        turn.cancel()
        await admission.enter(one)
        assert turn.cancelled()
        given_up.close()

    run(work)


def test_a_refusal_says_when_to_come_back_and_is_counted() -> None:
    one, refused = lane(least=1), refusals()
    admission = Admission([one], refused=refused, clock=Clock())
    assert admission.refusal(one) is None
    one.seconds = 1.0
    one.enter(100.0)

    refusal = admission.refusal(one)

    assert refusal is not None
    assert (refusal.status, dict(refusal.headers)[b"retry-after"]) == (503, b"1")
    assert refused.value("recommend", "full") == 1
