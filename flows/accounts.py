"""Accounts that push an item: who is suspect, holding their events back from training and counts, letting them go.

Nothing is lost: the rows of an account that is held back lie in the quarantine, those that come later too, and they
join their days again when it is let go.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from flows.held_accounts import keep_back
from flows.observed import read_window
from flows.quarantine import Choice, Released, chosen, release
from flows.windows import rows_with, take_away
from flows.wiring import Platform
from infra.events import user_key
from infra.held_accounts import HeldAccount, label_of
from monitoring.drift.shilling import DAY, ShillingConfig, Suspects, find_suspects
from monitoring.quarantine import read_back
from recmodels.data import schema
from recmodels.errors import StoreError

NEW_DAYS: Final = 7
_TABLE: Final = "interactions"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Suspect:
    """One account that looks as if it was made to push an item.

    Attributes:
        user_id: Its raw id; not for logs.
        label: What people name it by.
        item_id: What it pushes.
        day: First day.
        reason: The evidence, a sentence.
        events: Its events in the judged days.
        on_item: Those of them on the item.
        is_alone: Fewer others push the same item that day than people are told of.
    """

    user_id: str
    label: str
    item_id: str
    day: date
    reason: str
    events: int
    on_item: int
    is_alone: bool


@dataclass(frozen=True)
class Survey:
    """What was found in the newest days.

    Attributes:
        suspects: Each account once, those that push the most pushed item first.
        days: Judged days; 0 where the past is too short to judge by.
        users: Accounts that were judged.
        share: Share of the users that was read.
    """

    suspects: tuple[Suspect, ...]
    days: int
    users: int
    share: float

    def chosen(self, *, items: Collection[str] = (), with_lone: bool = False) -> tuple[Suspect, ...]:
        """Return the suspects that push one of `items` (all items where none is named).

        Args:
            items: What they push.
            with_lone: Those that repeat an item alone, too.
        """
        wanted = (one for one in self.suspects if with_lone or not one.is_alone)
        return tuple(one for one in wanted if not items or one.item_id in items)


@dataclass(frozen=True)
class Held:
    """What holding accounts back changed.

    Attributes:
        accounts: Accounts that are held back now and were not.
        rows: Their rows, which lie in the quarantine now.
        days: Days of the lake that were written.
    """

    accounts: int
    rows: int
    days: tuple[date, ...]


def survey(home: Platform, *, days: int, history_days: int, rows: int, config: ShillingConfig) -> Survey:
    """Look through the newest days of the lake, as the monitor does.

    Args:
        home: The stores.
        days: Newest days that are judged.
        history_days: Days before them that say what is usual.
        rows: About as many events are read.
        config: When an account is suspect.

    Raises:
        StoreError: Nothing was ingested yet.
    """
    window = read_window(home, extra=None, days=days, history_days=history_days, rows=rows)
    found = find_suspects(window.reference, window.current, config)
    return Survey(_suspects(home, found, window.current), found.days, found.users, window.share)


def hold(home: Platform, suspects: Collection[Suspect], *, by: str, why: str, now: datetime) -> Held:
    """Hold accounts back: their rows leave the lake for the quarantine, and those that come later go there at once.

    Doing it again changes nothing, and finishes one that was interrupted. Older versions of the lake keep the rows,
    as the models that learned from them do, until these are cleared away.

    Args:
        home: The stores.
        suspects: The accounts.
        by: Who decides.
        why: Why.
        now: The moment.
    """
    secret = home.settings.user_secret()
    findings = {user_key(one.user_id, secret): one.reason for one in suspects}
    number = home.held_accounts.hold(findings, by=by, why=why, now=now)
    with home.lake.alone():
        pass  # whoever writes from now on knows of it
    user_ids = pa.array(sorted({one.user_id for one in suspects}), pa.string())
    rows = rows_with(home.lake, _TABLE, column=schema.USER_ID, values=user_ids)
    keep_back(home, rows, home.held_accounts.among(pa.chunked_array([user_ids]), secret=secret))
    days = take_away(home.lake, _TABLE, rows)
    logger.info("%d accounts are held back by %s: %d rows of %d days", number, by, rows.num_rows, len(days))
    return Held(number, rows.num_rows, days)


def let_go(home: Platform, accounts: Collection[HeldAccount], *, by: str, why: str, now: datetime) -> list[Released]:
    """Hold accounts back no more: their rows pass validation again and join their days.

    Args:
        home: The stores.
        accounts: Which.
        by: Who decides.
        why: Why.
        now: The moment; rows may not be from after it.

    Returns:
        What became of the rows, one a reason that there was.
    """
    done = _release(home, accounts, by=by, why=why, now=now)
    home.held_accounts.let_go([one.user_key for one in accounts])
    with home.lake.alone():
        pass  # what was on its way is in the quarantine now
    done += _release(home, accounts, by=by, why=why, now=now)
    logger.info("%d accounts were let go by %s: %d rows", len(accounts), by, sum(one.stored for one in done))
    return done


def ask_for_retrain(home: Platform, labels: Collection[str], *, now: datetime) -> str:
    """Ask for a retrain without drift, which the next run of the monitor starts, and return its id.

    Args:
        home: The stores.
        labels: Of the accounts that were held back or let go; the same ones ask once a day.
        now: The moment.

    Raises:
        StoreError: Another retrain was asked for at the same moment.
    """
    newest = max((one.number for one in home.retrains.all()), default=0)
    asked = home.retrains.request(
        [f"accounts-{label}" for label in sorted(labels)],
        reason=f"{len(labels)} accounts were held back or let go, and the models that serve learned otherwise",
        learns_from=None,
        now=now,
        seen=newest,
    )
    if asked is None:
        raise StoreError("another retrain was asked for at the same moment. `everfeed retrains list` shows it.")
    return asked.retrain_id


def _release(home: Platform, accounts: Collection[HeldAccount], *, by: str, why: str, now: datetime) -> list[Released]:
    keys = {one.user_key for one in accounts}
    done = []
    for reason in sorted({one.reason for one in accounts}):
        choice = Choice(table=_TABLE, reason=reason, of_accounts=True)
        event_ids = _event_ids(home, chosen(home, choice), keys)
        if event_ids:
            own = Choice(table=_TABLE, reason=reason, event_ids=event_ids, of_accounts=True)
            done.append(release(home, own, corrections={}, by=by, why=why, now=now))
    return done


def _event_ids(home: Platform, rows: pa.Table, keys: Collection[str]) -> tuple[str, ...]:
    """Return the event ids of the rows that are about the users with these keys."""
    secret = home.settings.user_secret()
    back = read_back(rows.select(schema.QUARANTINE.names), name=_TABLE)
    own = [one for one in pc.unique(back[schema.USER_ID]).to_pylist() if one and user_key(one, secret) in keys]
    about = back.filter(pc.is_in(back[schema.USER_ID], value_set=pa.array(own, pa.string())))
    return tuple(about[schema.EVENT_ID].to_pylist())


def _suspects(home: Platform, found: Suspects, current: pa.Table) -> tuple[Suspect, ...]:
    secret = home.settings.user_secret()
    pushing = {(row[schema.ITEM_ID], row[DAY]): row["accounts"] for row in found.targets.to_pylist()}
    own = current.filter(pc.is_in(current[schema.USER_ID], value_set=found.user_ids))
    events, on_item = (_counts(own, names) for names in ((schema.USER_ID,), (schema.USER_ID, schema.ITEM_ID)))
    suspects: dict[str, tuple[int, Suspect]] = {}
    for row in found.accounts.to_pylist():
        user, item = row[schema.USER_ID], row[schema.ITEM_ID]
        others = pushing.get((item, row[DAY]), 0)
        if user in suspects and suspects[user][0] >= others:
            continue
        label = label_of(user_key(user, secret))
        suspects[user] = (
            others,
            Suspect(
                user,
                label,
                item,
                row[DAY],
                row[schema.REASON],
                events[(user,)],
                on_item[(user, item)],
                is_alone=not others,
            ),
        )
    ordered = sorted(suspects.values(), key=lambda pair: (-pair[0], pair[1].item_id, pair[1].day, pair[1].label))
    return tuple(one for _, one in ordered)


def _counts(rows: pa.Table, names: tuple[str, ...]) -> Mapping[tuple[str, ...], int]:
    counted = rows.group_by(list(names)).aggregate([([], "count_all")])
    return {tuple(row[name] for name in names): row["count_all"] for row in counted.to_pylist()}
