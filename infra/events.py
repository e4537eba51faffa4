"""What was served and what came of it, on the way to the lake: durable when acknowledged, counted once, moved once."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, select

from infra.database import Database
from infra.event_drain import forget_batch, next_batch, waiting_events
from infra.event_figures import rollout_figures
from infra.event_intake import chunks, counted, known_events, request_row, sift, slates, visits
from infra.event_records import (
    ArmFigures,
    Drained,
    Outcome,
    OutcomeReceipt,
    Rejection,
    Reward,
    RolloutFigures,
    ServedRequest,
    Visit,
    outcomes,
    requests,
    user_key,
    user_keys,
)
from infra.held_accounts import held_accounts
from infra.tombstones import Tombstones
from recmodels.data import schema

__all__ = [
    "ArmFigures",
    "Drained",
    "EventStore",
    "Outcome",
    "OutcomeReceipt",
    "Rejection",
    "RolloutFigures",
    "ServedRequest",
    "Visit",
    "user_key",
]

_RECENT_FACTOR: Final = 16  # requests that are looked at for each recent user

_LISTS: Final = msgspec.json.Decoder(list[str])


class EventStore:
    """Requests and outcomes, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tombstones = Tombstones(database)

    def append_requests(self, served: Sequence[ServedRequest]) -> int:
        """Keep answers, all of them in one transaction; it is durable when this returns.

        Returns:
            How many were new; one whose `request_id` is there already, or that is of an erased user, is passed over.
        """
        if not served:
            return 0
        with self._database.begin() as connection:
            return self._insert_requests(connection, served)

    def append_outcomes(self, events: Sequence[Outcome]) -> OutcomeReceipt:
        """Keep feedback, all of it in one transaction; it is durable when this returns.

        Only the first outcome of a kind on an item of a request counts in `arm_units`; later ones are kept, but move no
        verdict. An event whose request or item was never served is rejected with the reason.
        """
        return self.append_group([], [events])[0]

    def append_group(
        self,
        served: Sequence[ServedRequest],
        reports: Sequence[Sequence[Outcome]],
        *,
        learn: Callable[[Connection, Sequence[Outcome]], object] | None = None,
    ) -> list[OutcomeReceipt]:
        """Keep answers and then feedback, which may be about them, in one transaction: one wait for the disk.

        Args:
            served: The answers.
            reports: The feedback of each client.
            learn: Called in the same transaction with the feedback that was not rejected, kept now or before.

        Returns:
            What became of each report, in order.
        """
        if not reports:
            self.append_requests(served)
            return []
        with self._database.begin(lock="outcomes") as connection:
            self._insert_requests(connection, served)
            receipts = self._insert_reports(connection, reports)
            if learn is not None:
                refused = {rejection.event_id for receipt in receipts for rejection in receipt.rejected}
                learn(connection, [event for event in chain.from_iterable(reports) if event.event_id not in refused])
        return receipts

    def _insert_requests(self, connection: Connection, served: Sequence[ServedRequest]) -> int:
        if erased := self._tombstones.among(connection, (request.user_key for request in served)):
            served = [request for request in served if request.user_key not in erased]
        names = {request.user_key: request.user_id for request in served if request.user_id}
        rows = [{"user_key": key, "user_id": name} for key, name in names.items()]
        self._database.insert_new_plain(connection, user_keys, rows)
        return self._database.insert_new_plain(connection, requests, [request_row(request) for request in served])

    def _insert_reports(self, connection: Connection, reports: Sequence[Sequence[Outcome]]) -> list[OutcomeReceipt]:
        events = list(chain.from_iterable(reports))
        rows: list[dict[str, Any]] = []
        known, done = known_events(connection, events), counted(connection, events)
        shown = slates(connection, events)
        receipts = [sift(report, rows, slates=shown, known=known, counted=done) for report in reports]
        self._database.insert_new_plain(connection, outcomes, rows)
        return receipts

    def arm_units(
        self,
        rollout_id: str,
        *,
        reward_kind: str,
        matured_before: datetime,
        step: int | None = None,
        cap: float | None = None,
        label_window_seconds: float | None = None,
        slow_floor_seconds: float = 0.0,
    ) -> RolloutFigures:
        """Return what the two arms of a rollout did, by unit.

        Args:
            rollout_id: The rollout.
            reward_kind: Outcome kind that is summed as the reward.
            matured_before: A request enters when it was answered before this moment.
            step: Only requests of this step; None for all of them.
            cap: Each outcome's value is at most this; None for no cap.
            label_window_seconds: An outcome later than this after its request does not count; None for no limit.
            slow_floor_seconds: An answer within this time is never slow, however fast the control is.
        """
        reward = Reward(reward_kind, cap, label_window_seconds)
        with self._database.read() as connection:
            return rollout_figures(
                connection,
                rollout_id,
                reward=reward,
                matured_before=matured_before,
                step=step,
                slow_floor_seconds=slow_floor_seconds,
            )

    def drain(self, *, before: datetime, limit: int = 100_000) -> Drained:
        """Return the next batch of events for the lake: requests answered before `before`, and their outcomes.

        A batch that was drained and not forgotten is returned again, unchanged, whatever `before` says: a process that
        died between the lake and `forget` goes on where it stopped. Call again after `forget` until it is empty.

        Args:
            before: Usually the present less the time in which feedback may still arrive.
            limit: Most requests in one batch.
        """
        with self._database.begin(lock="drain") as connection:
            return next_batch(connection, before=before, limit=limit)

    def waiting(self, *, origin: str, share: float = 1.0) -> Drained:
        """Return what has not begun to move to the lake, without moving it; its batch is 0 and cannot be forgotten.

        Args:
            origin: Only answers of this origin.
            share: Only those of about this share of the users, the same users at every call.
        """
        with self._database.read() as connection:
            return waiting_events(connection, origin=origin, share=share)

    def is_waiting(self, *, origin: str) -> bool:
        """Say whether anything of an origin has not begun to move to the lake."""
        mine = requests.c.batch.is_(None) & (requests.c.origin == origin)
        with self._database.read() as connection:
            return connection.execute(select(requests.c.id).where(mine).limit(1)).first() is not None

    def forget(self, drained: Drained) -> None:
        """Delete a batch that the lake has; what an active rollout is judged on stays until the rollout is over."""
        with self._database.begin(lock="drain") as connection:
            forget_batch(connection, drained.batch)

    def visits(self, request_ids: Iterable[str]) -> dict[str, Visit]:
        """Return the visit behind each request id that is known."""
        with self._database.read() as connection:
            return visits(connection, request_ids)

    def recent_users(self, limit: int) -> list[str]:
        """Return the keys of the users who were served last, the newest first; at most `limit`."""
        newest = select(requests.c.user_key).order_by(requests.c.id.desc()).limit(_RECENT_FACTOR * limit)
        with self._database.read() as connection:
            return list(dict.fromkeys(connection.execute(newest).scalars()))[:limit]

    def recent_lists(self, limit: int) -> list[list[str]]:
        """Return the lists that people were shown last, the newest first; at most `limit`.

        Empty lists are left out, and those of accounts that are held back.
        """
        held = select(held_accounts.c.user_key)
        to_people = and_(requests.c.origin == schema.ORIGIN_EVENT, requests.c.num_items > 0)
        query = select(requests.c.item_ids).where(to_people, requests.c.user_key.not_in(held))
        with self._database.read() as connection:
            texts = connection.execute(query.order_by(requests.c.id.desc()).limit(limit)).scalars()
            return [_LISTS.decode(text) for text in texts]

    def user_ids(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the raw ids of those user keys that have one."""
        query = select(user_keys.c.user_key, user_keys.c.user_id)
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for chunk in chunks(keys):
                found.update(connection.execute(query.where(user_keys.c.user_key.in_(chunk))).tuples().all())
        return found
