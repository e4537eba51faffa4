"""When to stop asking a model that keeps failing, and when to try it again."""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    """Every call is let through."""
    OPEN = "open"
    """No call is let through."""
    HALF_OPEN = "half_open"
    """One call is let through, and decides."""


@dataclass
class Breaker:
    """Opens after `limit` failures in a row, and lets one call through every `pause_seconds` until one succeeds.

    Time is an argument, in seconds of a monotonic clock. It belongs to one thread.

    Args:
        limit: Failures in a row that open it.
        pause_seconds: How long it stays open before the next trial.
    """

    limit: int = 5
    pause_seconds: float = 5.0
    _failures: int = 0
    _retry_at: float = 0.0
    _is_trying: bool = False

    def state(self, now: float) -> BreakerState:
        """Return the state at `now`."""
        if self._failures < self.limit:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._is_trying or now < self._retry_at else BreakerState.HALF_OPEN

    def allows(self, now: float) -> bool:
        """Return whether a call may be made; its outcome must then be told to `succeeded` or `failed`."""
        state = self.state(now)
        if state is BreakerState.HALF_OPEN:
            self._is_trying = True
        return state is not BreakerState.OPEN

    def succeeded(self) -> None:
        """Close it: the model answered."""
        self._failures = 0
        self._is_trying = False

    def failed(self, now: float) -> None:
        """Count a failure; the last of a row opens it."""
        self._failures += 1
        self._is_trying = False
        self._retry_at = now + self.pause_seconds
