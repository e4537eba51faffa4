"""The gateway without HTTP: a request in, a list out, and everything about it logged.

The context of a request goes to nobody but the models: it stands in no log, no table and no metric.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.columns import to_microseconds
from infra.events import Outcome, OutcomeReceipt, ServedRequest, user_key
from infra.histories import HistoryStore, UserHistory
from infra.rollouts import Serving
from infra.serving.eventlog import EventLog
from infra.serving.explain import explain_list
from infra.serving.history import find_history
from infra.serving.instruments import Instruments
from infra.serving.ranking import Ranking, Wish, ask_of, make_ranking
from infra.serving.schemas import (
    ExplainRequest,
    ExplainResponse,
    FeedbackEvent,
    RecommendedItem,
    RecommendRequest,
    RecommendResponse,
    Role,
    Why,
)
from infra.serving.shadowing import Shadow, Shown
from infra.serving.slots import Slot
from infra.serving.watcher import View
from infra.shadows import ShadowStore
from infra.tombstones import tombstone
from recmodels.assignment import Arm, bucket_of
from recmodels.errors import StoreError

_HISTORY_SHOWN = 20


def utc_now() -> datetime:
    """Return the present, in UTC."""
    return datetime.now(UTC)


class Gateway:
    """Answers requests from the current view.

    Args:
        histories: What users did.
        log: Where everything served goes.
        shadows: Where the comparisons of a shadow stage go.
        user_secret: Key that user ids are hashed with.
        clock: Tells the time.
    """

    def __init__(
        self,
        histories: HistoryStore,
        log: EventLog,
        shadows: ShadowStore,
        *,
        user_secret: bytes,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._histories = histories
        self._secret = user_secret
        self._clock = clock
        self.log = log
        self.instruments = Instruments()
        self.shadow = Shadow(shadows, count=self.instruments.shadowed)
        self.view = View()
        """Replaced as a whole by the watcher; a request reads it once."""

    async def recommend(self, request: RecommendRequest) -> RecommendResponse:
        """Make a list and log it; what an erased user is answered is not logged, and no feedback on it is taken.

        Raises:
            LogFullError: What would be served cannot be logged.
        """
        began = time.perf_counter()
        view, key = self.view, user_key(request.user, self._secret)
        arm, slot = view.lineup.slot_for(request.user)
        history, is_readable = self._history(request, key)
        now = self._clock()
        request_id = _new_id(now)
        wish = wish_of(request, request_id, now=now)
        ranked = time.perf_counter()
        ranking = await make_ranking(slot, history, wish, view=view)
        ended = time.perf_counter()
        seconds = ended - began
        place = _Place(request_id, now, key, arm, view.lineup.serving)
        served = self._served(request, ranking, place, seconds=seconds)
        is_erased = bool(view.erased) and tombstone(key) in view.erased
        if not is_erased:
            self.log.record(served)
        self.instruments.latency.observe(seconds, arm)
        challenger = view.lineup.shadow
        if challenger is not None and history.item_ids and not is_erased:  # without a history no model is asked
            shown = Shown(served, ended - ranked, ask_of(history, wish), challenger, view)
            asyncio.get_running_loop().call_soon(self.shadow.offer, shown)  # when this answer has been handed out
        reason = ranking.fallback_reason if is_readable else "history_unreadable"
        if ranking.fallback_reason:
            self.instruments.fallbacks.add(arm, reason)
        digest = slot.reference.digest if slot else ""
        return _response(served, arm=arm, digest=digest, reason=reason, is_unknown=not history.item_ids)

    async def explain(self, request: ExplainRequest) -> ExplainResponse:
        """Make the lists of both models for a user, and log nothing."""
        view = self.view
        serving = view.lineup.serving
        arm, _ = view.lineup.slot_for(request.user)
        as_asked = RecommendRequest(request.user, request.surface, request.k)
        history, _ = self._history(as_asked, user_key(request.user, self._secret))
        wish = Wish(request.k, request.surface, moment=to_microseconds(self._clock()))
        roles: tuple[tuple[Role, Slot | None], ...] = (
            ("champion", view.lineup.champion),
            ("challenger", view.lineup.challenger),
        )
        lists = [await explain_list(role, slot, history, wish, view=view) for role, slot in roles if slot is not None]
        return ExplainResponse(
            arm=arm,
            bucket=bucket_of(request.user, salt=serving.salt) if serving.rollout_id else None,
            history=list(reversed(history.item_ids))[:_HISTORY_SHOWN],
            history_length=len(history.item_ids),
            lists=lists,
        )

    async def feedback(self, events: Sequence[FeedbackEvent]) -> OutcomeReceipt:
        """Keep feedback; it is durable when this returns.

        Raises:
            LogFullError: Too much waits already.
            StoreError: The store cannot take it.
        """
        now = self._clock()
        receipt = await self.log.report([_outcome(event, now=now) for event in events])
        self.instruments.feedback.add("accepted", amount=receipt.accepted)
        self.instruments.feedback.add("duplicate", amount=receipt.duplicates)
        self.instruments.feedback.add("rejected", amount=len(receipt.rejected))
        return receipt

    def _history(self, request: RecommendRequest, key: str) -> tuple[UserHistory, bool]:
        try:
            return find_history(request, user_key=key, store=self._histories), True
        except StoreError:
            return UserHistory((), ()), False

    def _served(
        self,
        request: RecommendRequest,
        ranking: Ranking,
        place: "_Place",
        *,
        seconds: float,
    ) -> ServedRequest:
        arm, serving = place.arm, place.serving
        model = serving.challenger if arm is Arm.CANARY else serving.champion
        return ServedRequest(
            request_id=place.request_id,
            timestamp=place.now,
            user_key=place.user_key,
            surface=request.surface,
            model_version=str(model.version) if model else "",
            arm=arm,
            item_ids=ranking.item_ids,
            scores=ranking.scores or (math.nan,) * len(ranking.item_ids),
            propensities=ranking.propensities,
            num_requested=request.k,
            latency_seconds=seconds,
            query=request.query,
            rollout_id=serving.rollout_id,
            step=serving.step if serving.rollout_id else None,
            num_blocked=ranking.num_blocked,
            is_fallback=bool(ranking.fallback_reason),
            is_error=ranking.is_error,
            is_non_finite=ranking.is_non_finite,
            origin=request.origin,
            user_id="" if request.is_anonymous else request.user,
            segment_version=ranking.segment_version,
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request stands: its own id and moment, the user's key and arm, and who serves."""

    request_id: str
    now: datetime
    user_key: str
    arm: Arm
    serving: Serving


def _response(served: ServedRequest, *, arm: Arm, digest: str, reason: str, is_unknown: bool) -> RecommendResponse:
    why: Why = "fallback" if served.is_fallback else "retrieval"
    rows = zip(served.item_ids, served.scores, served.propensities, strict=True)
    return RecommendResponse(
        request_id=served.request_id,
        items=[
            RecommendedItem(item_id, None if served.is_fallback else score, position, propensity, why)
            for position, (item_id, score, propensity) in enumerate(rows)
        ],
        model_version=served.model_version,
        digest=digest,
        arm=arm,
        is_fallback=served.is_fallback,
        fallback_reason=reason,
        rollout_id=served.rollout_id,
        unknown_user=is_unknown,
    )


def wish_of(request: RecommendRequest, request_id: str, *, now: datetime) -> Wish:
    """Return what a list must hold and what its model may read; texts of the context are attributes of the user."""
    return Wish(
        request.k,
        request.surface,
        tuple(request.exclude),
        age=age_of(request),
        seed=seed_of(request_id),
        moment=to_microseconds(now),
        query=request.query,
        attributes={name: value for name, value in request.context.items() if isinstance(value, str)},
    )


def seed_of(request_id: str) -> int:
    """Return the seed of what is drawn for a request, so that its list can be made once more."""
    return int(request_id[-15:], 16)


def age_of(request: RecommendRequest) -> float | None:
    """Return the age that the request's context tells; one that is no number is not known."""
    given = request.context.get("age")
    return float(given) if isinstance(given, float | int) and not isinstance(given, bool) else None


def _new_id(now: datetime) -> str:
    return f"{int(now.timestamp() * 1000):011x}-{secrets.token_hex(10)}"  # in order of time: a short index


def _outcome(event: FeedbackEvent, *, now: datetime) -> Outcome:
    moment = min(event.timestamp or now, now)
    return Outcome(event.event_id, event.request_id, event.item_id, event.kind, event.value, moment)
