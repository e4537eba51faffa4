"""HTTP traffic of held-out users: each visit asks the gateway, and clicks what its user really went on to choose."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import httpx
import msgspec

from recmodels.data.schema import CLICKED, ORIGIN_REPLAY
from recmodels.errors import StoreError

_CONNECTIONS = 16
_REPORT_EVERY = 50


class PastEvent(msgspec.Struct, frozen=True):
    """One event of a visitor's own history."""

    item_id: str
    timestamp: int
    """Microseconds since 1970 UTC."""


@dataclass(frozen=True)
class Visit:
    """One visit to the gateway.

    Attributes:
        visitor: The unit that is assigned to an arm; never a real user's id.
        history: What the user had done before, oldest first.
        future: Items that the user goes on to choose: these are clicked when they are shown.
    """

    visitor: str
    history: tuple[PastEvent, ...]
    future: frozenset[str]


@dataclass(frozen=True)
class ReplayReport:
    """What came of some visits. `failed` counts answers other than 200."""

    visits: int
    shown: int
    clicks: int
    failed: int
    seconds: float


class _Item(msgspec.Struct):
    item_id: str


class _Answer(msgspec.Struct):
    request_id: str
    items: list[_Item]


_decode = msgspec.json.Decoder(_Answer).decode


def replay(
    url: str,
    visits: Sequence[Visit],
    *,
    k: int,
    surface: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> ReplayReport:
    """Send every visit once, several at a time, and report what came of them.

    Args:
        url: Address of the gateway.
        visits: The visits, in the order in which they start.
        k: Items asked for.
        surface: Surface asked for.
        on_progress: Called with visits done and visits in all.

    Raises:
        StoreError: Nothing answers at the address.
    """
    started = perf_counter()
    counts = asyncio.run(_Replay(url, visits, k=k, surface=surface, on_progress=on_progress).run())
    return ReplayReport(len(visits), counts.shown, counts.clicks, counts.failed, perf_counter() - started)


class _Slot(msgspec.Struct):
    role: str


class _Status(msgspec.Struct):
    rollout_id: str | None
    step: int | None
    slots: list[_Slot]


def serves(url: str, rollout_id: str, *, step: int) -> bool:
    """Say whether a gateway serves a step of a rollout, with both arms' models loaded, or known not to load.

    Args:
        url: Address of the gateway.
        rollout_id: The rollout.
        step: The step; -1 in the shadow stage.

    Raises:
        StoreError: Nothing answers at the address.
    """
    try:
        response = httpx.get(f"{url}/v1/status", timeout=5.0, trust_env=False)
    except httpx.TransportError as error:
        raise _unreachable(url, error) from error
    status = msgspec.json.decode(response.content, type=_Status)
    is_there = (status.rollout_id, status.step) == (rollout_id, step)
    return is_there and {slot.role for slot in status.slots} == {"champion", "challenger"}


def _unreachable(url: str, error: Exception) -> StoreError:
    return StoreError(f"the gateway at {url} does not answer ({error!r}). Start it with `everfeed up`.")


class _Replay:
    def __init__(
        self,
        url: str,
        visits: Sequence[Visit],
        *,
        k: int,
        surface: str,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._url = url
        self._visits = visits
        self._ask = {"k": k, "surface": surface, "origin": ORIGIN_REPLAY}
        self._on_progress = on_progress
        self.shown = self.clicks = self.failed = self._done = 0

    async def run(self) -> "_Replay":
        queue = iter(self._visits)
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        async with httpx.AsyncClient(base_url=self._url, limits=limits, timeout=30.0, trust_env=False) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(_CONNECTIONS):
                        group.create_task(self._work(client, queue))
            except* httpx.TransportError as errors:
                raise _unreachable(self._url, errors.exceptions[0]) from errors
        return self

    async def _work(self, client: httpx.AsyncClient, queue: Iterator[Visit]) -> None:
        for visit in queue:
            await self._visit(client, visit)
            self._done += 1
            if self._on_progress and (self._done % _REPORT_EVERY == 0 or self._done == len(self._visits)):
                self._on_progress(self._done, len(self._visits))

    async def _visit(self, client: httpx.AsyncClient, visit: Visit) -> None:
        body = msgspec.json.encode({"user": visit.visitor, "history": visit.history, **self._ask})
        response = await client.post("/v1/recommend", content=body)
        if response.status_code != httpx.codes.OK:
            self.failed += 1
            return
        answer = _decode(response.content)
        self.shown += len(answer.items)
        clicked = [item.item_id for item in answer.items if item.item_id in visit.future]
        if not clicked:
            return
        events = [
            {
                "event_id": f"{answer.request_id}-{position}",
                "request_id": answer.request_id,
                "item_id": item_id,
                "kind": CLICKED,
                "value": 1.0,
            }
            for position, item_id in enumerate(clicked)
        ]
        response = await client.post("/v1/feedback", content=msgspec.json.encode({"events": events}))
        if response.status_code == httpx.codes.OK:
            self.clicks += len(clicked)
        else:
            self.failed += 1
