"""What a user would see of champion and challenger, side by side with what differs, and why lists changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.columns import from_microseconds
from infra.database import Database
from infra.events import user_key
from infra.histories import HistoryStore
from infra.rollouts import Champion, RolloutStore, Transition
from infra.served_lists import ServedList, lists_of
from infra.serving.schemas import ExplainedItem, ExplainedList, ExplainResponse
from infra.takedowns import Takedown, TakedownStore

_DAYS = 30
_EVENTS, _LISTS, _CHANGES = 20, 10, 40


@dataclass(frozen=True)
class Place:
    """One place of a list, and where the other list has the item.

    Attributes:
        item: The item.
        rank: From 1.
        other: Its rank in the other list; None where it is not there.
        elsewhere: The difference in words; empty where the two agree or there is no other list.
    """

    item: ExplainedItem
    rank: int
    other: int | None
    elsewhere: str


@dataclass(frozen=True)
class ListView:
    """One model's list."""

    answer: ExplainedList
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Comparison:
    """Both lists.

    Attributes:
        lists: The champion's first.
        words: What differs, in a sentence; empty for one list.
    """

    lists: tuple[ListView, ...]
    words: str


@dataclass(frozen=True)
class Change:
    """Something that may have changed lists: what, when, and where to read on."""

    at: datetime
    kind: str
    words: str
    link: str = ""


@dataclass(frozen=True)
class Shown:
    """One list that the user was shown, and what set it apart from the one before.

    Attributes:
        served: The list.
        added: Items that the one before did not hold; None for the oldest.
        removed: Items that it held.
        causes: Why, as far as the records tell.
    """

    served: ServedList
    added: tuple[str, ...] | None
    removed: tuple[str, ...]
    causes: tuple[str, ...]


@dataclass(frozen=True)
class UserRecord:
    """What the records tell of one user.

    Attributes:
        shown: The newest lists, the newest first.
        changes: What may have changed lists in the last 30 days, the newest first.
    """

    shown: tuple[Shown, ...]
    changes: tuple[Change, ...]


def compare(answer: ExplainResponse) -> Comparison:
    """Return both lists with what differs."""
    ranks = [{item.item_id: rank for rank, item in enumerate(one.items, 1)} for one in answer.lists]
    views = []
    for number, one in enumerate(answer.lists):
        other = ranks[1 - number] if len(ranks) == 2 else None
        places = tuple(_place(item, rank, other) for rank, item in enumerate(one.items, 1))
        views.append(ListView(one, places))
    if len(ranks) != 2:
        return Comparison(tuple(views), "")
    both = len(ranks[0].keys() & ranks[1].keys())
    same = sum(rank == ranks[1].get(item) for item, rank in ranks[0].items())
    words = f"{both} of {len(ranks[0])} items are in both lists, {same} of them at the same place."
    return Comparison(tuple(views), words)


def read_user(database: Database, user: str, *, secret: bytes, now: datetime) -> UserRecord:
    """Return what the records tell of a user's lists.

    Raises:
        StoreError: The database cannot be read.
    """
    key, since = user_key(user, secret), now - timedelta(days=_DAYS)
    rollouts = RolloutStore(database)
    champions, transitions = rollouts.history(), rollouts.transitions()
    takedowns = TakedownStore(database).takedowns()
    history = HistoryStore(database).last(key, limit=_EVENTS)
    events = [(from_microseconds(at), item) for item, at in zip(history.item_ids, history.timestamps, strict=True)]
    lists = lists_of(database, key, limit=_LISTS)
    changes = [
        *(_crowned(one) for one in champions),
        *(_moved(one) for one in transitions),
        *(_taken_down(one) for one in takedowns),
        *(Change(at, "history", f"the user consumed {item}") for at, item in events),
    ]
    recent = sorted((one for one in changes if one.at >= since), key=lambda one: one.at, reverse=True)
    shown = tuple(_shown(lists, number, champions, takedowns, events) for number in range(len(lists)))
    return UserRecord(shown, tuple(recent[:_CHANGES]))


def _place(item: ExplainedItem, rank: int, other: Mapping[str, int] | None) -> Place:
    if other is None:
        return Place(item, rank, None, "")
    there = other.get(item.item_id)
    if there is None:
        return Place(item, rank, None, "only here")
    return Place(item, rank, there, "" if there == rank else f"there at {there}")


def _crowned(champion: Champion) -> Change:
    words = f"version {champion.version} became champion: {champion.reason}"
    return Change(champion.since, "release", words, f"/rollouts/{champion.rollout_id}" if champion.rollout_id else "")


def _moved(transition: Transition) -> Change:
    state = transition.state.replace("_", " ")
    at = "" if state in {"promoted", "rolled back"} else f" at {transition.share:.0%} of users"
    words = f"rollout {transition.rollout_id} {state}{at}: {transition.reason}"
    return Change(transition.at, "rollout", words, f"/rollouts/{transition.rollout_id}")


def _taken_down(takedown: Takedown) -> Change:
    return Change(takedown.at, "takedown", f"{takedown.item_id} was taken down by {takedown.by}: {takedown.reason}")


def _shown(
    lists: Sequence[ServedList],
    number: int,
    champions: Sequence[Champion],
    takedowns: Sequence[Takedown],
    events: Sequence[tuple[datetime, str]],
) -> Shown:
    """Return one list beside the one before it on the same surface."""
    served = lists[number]
    before = next((one for one in lists[number + 1 :] if one.surface == served.surface), None)
    if before is None:
        return Shown(served, None, (), ())
    added = tuple(item for item in served.item_ids if item not in before.item_ids)
    removed = tuple(item for item in before.item_ids if item not in served.item_ids)
    causes = list(_causes(before, served, champions))
    down = [one for one in takedowns if one.item_id in removed and before.at < one.at <= served.at]
    causes += [f"{one.item_id} was taken down ({one.reason})" for one in down]
    consumed = [item for at, item in events if before.at <= at < served.at]  # an event has the time of its list
    if consumed:
        causes.append(f"the user consumed {', '.join(consumed[:5])}{' and more' if len(consumed) > 5 else ''}")
    known = {item for _, item in events}.difference(consumed)
    if left_out := [item for item in removed if item in known]:
        causes.append(f"the user's history holds {', '.join(left_out)}: what was consumed is not shown again")
    if not causes and served.item_ids != before.item_ids:
        causes.append("the records name no cause: exploration, a new item's segment, or an older event may be it")
    return Shown(served, added, removed, tuple(causes))


def _causes(before: ServedList, served: ServedList, champions: Sequence[Champion]) -> list[str]:
    """Return what about the model, the arm and the segment set two lists apart."""
    found = []
    if served.model_version != before.model_version:
        crowned = [one for one in champions if before.at < one.since <= served.at]
        why = next((one.reason for one in reversed(crowned) if str(one.version) == served.model_version), "")
        found.append(
            f"version {served.model_version} answered instead of version {before.model_version}"
            + (f", which became champion: {why}" if why else "")
        )
    if (served.arm, served.rollout_id) != (before.arm, before.rollout_id):
        here, there = _arm(served), _arm(before)
        found.append(f"the user is {here}, and was {there}")
    if served.is_fallback != before.is_fallback:
        found.append("popular items came in the model's place" if served.is_fallback else "the model answered again")
    if served.segment_version != before.segment_version:
        found.append("new items joined the catalogue or left it")
    return found


def _arm(served: ServedList) -> str:
    if served.rollout_id is None:
        return "in no rollout"
    where = {"canary": "in the canary", "control": "in the control"}.get(served.arm, "outside the canary")
    return f"{where} of {served.rollout_id}"
