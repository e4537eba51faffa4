from datetime import timedelta

from infra.console.users import compare, read_user
from infra.database import Database
from infra.event_records import ServedRequest
from infra.events import EventStore, user_key
from infra.histories import HistoryEvent, HistoryStore
from infra.served_lists import lists_of
from infra.serving.schemas import ExplainedItem, ExplainedList, ExplainResponse
from infra.takedowns import TakedownStore
from tests.infra.gateway_home import NOW, SECRET, Home


def listed(role: str, *item_ids: str) -> ExplainedList:
    items = [ExplainedItem(item, None, "", "", "", "") for item in item_ids]
    return ExplainedList(role, "1", "ease", items, [], [], "")  # type: ignore[arg-type]


def answer(*lists: ExplainedList) -> ExplainResponse:
    return ExplainResponse("rest", None, [], 0, list(lists))


def serve_list(database: Database, number: int, items: str, **facts: object) -> None:
    values = {"arm": "rest", "model_version": "1", "rollout_id": None, "surface": "video", **facts}
    request = ServedRequest(
        request_id=f"request-{number}",
        timestamp=NOW + timedelta(hours=number),
        user_key=user_key("ann", SECRET),
        item_ids=tuple(items.split()),
        scores=(1.0,) * len(items.split()),
        propensities=(1.0,) * len(items.split()),
        num_requested=3,
        latency_seconds=0.01,
        **values,  # type: ignore[arg-type]
    )
    EventStore(database).append_requests([request])


def test_says_what_differs_between_two_lists() -> None:
    found = compare(answer(listed("champion", "a", "b", "c"), listed("challenger", "a", "c", "d")))

    champion, challenger = found.lists
    assert [place.elsewhere for place in champion.places] == ["", "only here", "there at 2"]
    assert [place.elsewhere for place in challenger.places] == ["", "there at 3", "only here"]
    assert found.words == "2 of 3 items are in both lists, 1 of them at the same place."


def test_says_nothing_of_a_list_that_stands_alone() -> None:
    found = compare(answer(listed("champion", "a")))

    assert found.words == ""
    assert found.lists[0].places[0].elsewhere == ""
    assert compare(answer()).lists == ()


def test_returns_the_newest_lists_of_one_user(home: Home) -> None:
    serve_list(home.database, 1, "a b c")
    serve_list(home.database, 2, "d e f")
    other = user_key("ben", SECRET)

    found = lists_of(home.database, user_key("ann", SECRET), limit=1)

    assert [one.item_ids for one in found] == [("d", "e", "f")]
    assert found[0].at == NOW + timedelta(hours=2)
    assert lists_of(home.database, other) == []


def test_names_release_takedown_and_history_as_causes(home: Home) -> None:
    home.crown()
    home.challenge()
    serve_list(home.database, 1, "a b c")
    rollout = home.rollouts.active()
    assert rollout is not None
    home.rollouts.promote(
        "rollout-1", fencing=rollout.fencing, now=NOW + timedelta(minutes=90), by="ada", reason="it is better"
    )
    TakedownStore(home.database).block(["b"], reason="a complaint", by="shop", now=NOW + timedelta(minutes=100))
    event = HistoryEvent(user_key("ann", SECRET), "c", NOW + timedelta(minutes=110), "video")
    HistoryStore(home.database).append([event])
    serve_list(home.database, 2, "a d e", model_version="2")

    found = read_user(home.database, "ann", secret=SECRET, now=NOW + timedelta(hours=3))

    newest, oldest = found.shown
    assert newest.added == ("d", "e")
    assert newest.removed == ("b", "c")
    assert newest.causes == (
        "version 2 answered instead of version 1, which became champion: it is better",
        "b was taken down (a complaint)",
        "the user consumed c",
    )
    assert oldest.added is None
    kinds = [change.kind for change in found.changes]
    assert kinds == ["history", "takedown", "release", "rollout", "release", "rollout"]  # the newest first


def test_names_the_arm_the_fallback_and_new_items_as_causes(home: Home) -> None:
    serve_list(home.database, 1, "a b c")
    serve_list(home.database, 2, "a b d", arm="canary", rollout_id="rollout-9", is_fallback=True, segment_version=4)

    causes = read_user(home.database, "ann", secret=SECRET, now=NOW + timedelta(hours=3)).shown[0].causes

    assert causes == (
        "the user is in the canary of rollout-9, and was in no rollout",
        "popular items came in the model's place",
        "new items joined the catalogue or left it",
    )


def test_compares_lists_of_one_surface_alone_and_admits_what_it_does_not_know(home: Home) -> None:
    serve_list(home.database, 1, "a b c")
    serve_list(home.database, 2, "x y z", surface="live")
    serve_list(home.database, 3, "a b d")
    serve_list(home.database, 4, "a b d")

    shown = read_user(home.database, "ann", secret=SECRET, now=NOW + timedelta(hours=5)).shown

    assert shown[0].causes == ()  # the same list
    assert shown[1].removed == ("c",)
    assert shown[1].causes[0].startswith("the records name no cause")
    assert shown[2].added is None
