"""Time by a clock that the test turns, size by the files."""

from collections.abc import Iterator
from itertools import accumulate, chain, repeat

from recmodels.evaluation.footprint import measure_footprint


def clock_of(*seconds: float) -> Iterator[float]:
    """Times that make the rankings last so many seconds; the last one over and over."""
    durations = chain(seconds, repeat(seconds[-1]))
    return accumulate(chain([0.0], chain.from_iterable((duration, 0.0) for duration in durations)))


def test_the_median_list_counts_when_one_takes_long(make_ranker):
    ticks = clock_of(0.5, *[0.01] * 15)
    found = measure_footprint(make_ranker([6, 5, 4, 3, 2, 1]), clock=lambda: next(ticks))
    assert round(found.median_seconds, 9) == 0.01


def test_three_lists_are_enough_when_each_takes_seconds(make_ranker):
    asked = []
    ticks = clock_of(2.0)

    def clock() -> float:
        asked.append(1)
        return next(ticks)

    assert measure_footprint(make_ranker([6, 5, 4, 3, 2, 1]), clock=clock).median_seconds == 2.0
    assert len(asked) == 2 * 3


def test_the_size_is_that_of_all_files_of_the_bundle(make_ranker):
    ranker = make_ranker([6, 5, 4, 3, 2, 1])
    files = [path for path in ranker.bundle.path.rglob("*") if path.is_file()]
    found = measure_footprint(ranker, clock=lambda: 0.0)
    assert found.bundle_bytes == sum(len(path.read_bytes()) for path in files)
    assert len(files) > 3
