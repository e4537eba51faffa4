"""`everfeed forget`: erase a person, and show the receipts of those who were erased."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from flows.clock import utc_now
from flows.commands.audited import audited
from flows.commands.common import answer, confirm, read_settings, screen, user_name
from flows.options import AsJson
from infra.settings import Settings

if TYPE_CHECKING:
    from flows.wiring import Platform
    from infra.erasures import Receipt


def forget(
    user: Annotated[str, typer.Argument(help="User id as in your data.")] = "",
    key: Annotated[str, typer.Option("--user-key", help="The user's key, where only that is known.")] = "",
    retrain: Annotated[bool, typer.Option("--retrain", help="Ask for a retrain of the models they are in.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show every receipt instead.")] = False,
    receipt: Annotated[str, typer.Option(help="Show this receipt instead, by its id or how that begins.")] = "",
    as_json: AsJson = False,
) -> None:
    """Remove a person from serving at once, then from every store, and keep a receipt that does not name them.

    Models that learned from them are named in the receipt, with the time of the next training, which they are not in.
    What comes in about them later is refused. Run again after an interruption, it goes on.
    """
    if sum(map(bool, (user, key, listed, receipt))) != 1:
        raise typer.BadParameter("give a user id, or --user-key, or --list, or --receipt: one of them.")
    settings = read_settings()
    if listed or receipt:
        home = _home(settings)
        found = home.erasures.receipts() if listed else [home.erasures.receipt(receipt)]
        _show(home, found, as_json=as_json)
        return
    confirm("This cannot be undone. Erase this person from every store?", is_agreed=yes)
    with audited(settings, "forget", tells_why=False) as deed:
        begun = _stop_serving(settings, user, key)
        deed.subject = begun.erasure_id
        home = _home(settings)
        done = _erase(home, begun.user, begun.key, wants_retrain=retrain)
    _show(home, [done], as_json=as_json)


def _home(settings: Settings) -> "Platform":
    from flows.wiring import connect

    return connect(settings)


@dataclass(frozen=True)
class _Begun:
    """Whom serving forgot, and under which tombstone."""

    user: str
    key: str
    erasure_id: str


def _stop_serving(settings: Settings, user: str, key: str) -> _Begun:
    """Forget a person in serving, before anything is imported or started that takes seconds.

    The id of a key is read before the database forgets it; it is empty where the database does not know it.
    """
    from infra.database import open_database
    from infra.erasures import ErasureStore
    from infra.events import EventStore, user_key

    database = open_database(settings.database)
    try:
        key = key or user_key(user, settings.user_secret())
        user = user or EventStore(database).user_ids([key]).get(key, "")
        begun = ErasureStore(database).begin(key, by=user_name(), now=utc_now())
    finally:
        database.close()
    screen.print(f"serving has forgotten; erasure {begun.erasure_id[:12]} goes on with the stores", highlight=False)
    return _Begun(user, key, begun.erasure_id)


def _erase(home: "Platform", user: str, key: str, *, wants_retrain: bool) -> "Receipt":
    from flows.forget import forget as erase
    from flows.forget import whom

    with _prefect(home):
        done = erase(whom(home, user_id=user, key=key), user_name(), wants_retrain)
        if wants_retrain:
            from flows.retrains import RetrainConfig, start_retrains

            start_retrains(RetrainConfig())
    return done


def _prefect(home: "Platform") -> "AbstractContextManager[object]":
    from flows.services import prefect_up
    from infra.processes import is_up

    return nullcontext() if is_up(home.settings) else prefect_up(home.settings)


def _show(home: "Platform", receipts: "list[Receipt]", *, as_json: bool) -> None:
    from flows.erased_models import standing
    from flows.receipts import document_of, lines_of

    if not as_json:
        for one in receipts:
            for line in lines_of(one, standing(home, one)):
                screen.print(line, markup=False, highlight=False, soft_wrap=True)
        if not receipts:
            screen.print("Nobody was erased.")
    answer([document_of(home, one) for one in receipts], as_json=as_json)
