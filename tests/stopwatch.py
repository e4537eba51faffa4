"""How long work takes on a machine whose cores others use, too: the least of several tries tells of the work."""

import time
from collections.abc import Callable


def least_seconds(
    work: Callable[[], object], *, below: float, tries: int = 10, clock: Callable[[], float] = time.thread_time
) -> float:
    """Return the least time of some runs; the first that is below the limit ends them.

    Args:
        work: What is timed.
        below: Seconds.
        tries: Most runs.
        clock: This thread's processor time, which neither other processes nor other threads add to; wall time for work
            that is done elsewhere.
    """
    least = float("inf")
    for _ in range(tries):
        started = clock()
        work()
        least = min(least, clock() - started)
        if least < below:
            break
    return least
