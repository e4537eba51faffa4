import asyncio

from infra.console.cell import Cell
from recmodels.errors import StoreError


async def settled(cell: Cell[int]) -> None:
    await cell.read()
    await asyncio.sleep(0.01)


def test_shows_the_last_good_answer_beside_what_is_wrong_now() -> None:
    async def scenario() -> None:
        answers = iter([1, StoreError("it is away"), 3])

        async def ask() -> int:
            found = next(answers)
            if isinstance(found, StoreError):
                raise found
            return found

        cell = Cell(ask, every_seconds=0.0)
        first = await cell.read()
        assert (first.value, first.problem, first.is_asked) == (1, "", True)
        await settled(cell)
        second = await cell.read()
        assert (second.value, second.problem) == (1, "it is away")
        await settled(cell)
        assert (await cell.read()).value == 3

    asyncio.run(scenario())


def test_asks_one_at_a_time_and_waits_only_shortly_for_the_first() -> None:
    async def scenario() -> None:
        asked = 0

        async def ask() -> int:
            nonlocal asked
            asked += 1
            await asyncio.sleep(30)
            return asked

        cell = Cell(ask, every_seconds=0.0)
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(cell.read() for _ in range(5)))
        assert asked == 1
        assert not any(answer.is_asked for answer in answers)
        await cell.close()

    asyncio.run(scenario())


def test_waits_for_a_new_answer_after_it_was_told_to_forget() -> None:
    async def scenario() -> None:
        count = 0

        async def ask() -> int:
            nonlocal count
            count += 1
            return count

        cell = Cell(ask, every_seconds=3600.0)
        assert (await cell.read()).value == 1
        assert (await cell.read()).value == 1
        cell.forget()
        assert (await cell.read()).value == 2

    asyncio.run(scenario())
