"""One user's recommendations, asked of the running gateway, with titles from the lake."""

from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.wiring import connect
from infra.settings import Settings
from recmodels.data.schema import ITEM_ID, TEXT
from recmodels.errors import EverfeedError, StoreError


def ask(settings: Settings, user: str, *, k: int, surface: str) -> dict[str, Any]:
    """Return the gateway's answer, each item with its title.

    Raises:
        StoreError: The gateway does not answer, or something else does.
        EverfeedError: The gateway refused the question.
    """
    try:
        response = httpx.post(
            f"{settings.gateway_url}/v1/recommend",
            json={"user": user, "k": k, "surface": surface},
            timeout=10.0,
            trust_env=False,  # no proxy of the environment stands before one's own machine
        )
    except httpx.TransportError as error:
        raise StoreError(
            f"the gateway at {settings.gateway_url} does not answer ({error!r}). Start it with `everfeed up`."
        ) from error
    answer = _read(response, place=settings.gateway_url)
    titles = _titles(settings, [item["item_id"] for item in answer["items"]])
    items = [{**item, "title": titles.get(item["item_id"], "")} for item in answer["items"]]
    return {**answer, "user": user, "why": _why(answer), "items": items}


def print_items(screen: Console, answer: dict[str, Any]) -> None:
    """Show an answer to a person; items of the fallback list have no score."""
    table = Table("", "item", "score", "title", title=escape(f"{answer['user']}: {answer['why']}"))
    for item in answer["items"]:
        score = "" if item["score"] is None else f"{item['score']:.3f}"
        table.add_row(str(item["position"] + 1), escape(item["item_id"]), score, escape(item["title"]))
    screen.print(table)


def _read(response: httpx.Response, *, place: str) -> dict[str, Any]:
    """Return the gateway's answer; another program may listen on its port."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    expected = "items" if response.status_code == httpx.codes.OK else "error"
    if not isinstance(answer, dict) or expected not in answer:
        raise StoreError(
            f"what answers at {place} is not Everfeed's gateway: status {response.status_code}, "
            f"{response.text[:80]!r}. Stop it, or choose another port with EVERFEED_GATEWAY_PORT."
        )
    if expected == "error":
        problem = answer["error"]
        raise EverfeedError(
            f"the gateway refused the question: {problem['what']} at {problem['where']}; expected "
            f"{problem['expected']}. To do: {problem['what_to_do']}."
        )
    return answer


def _titles(settings: Settings, item_ids: list[str]) -> dict[str, str]:
    lake = connect(settings).lake
    if lake.version("items") is None:
        return {}
    items = lake.read("items", columns=[ITEM_ID, TEXT])
    chosen = items.filter(pc.is_in(items[ITEM_ID], value_set=pa.array(item_ids, pa.string())))
    return {row[ITEM_ID]: row[TEXT] or "" for row in chosen.to_pylist()}


def _why(answer: dict[str, Any]) -> str:
    if answer["unknown_user"]:
        return "no history known, so popular items"
    if answer["is_fallback"]:
        return "no model could answer, so popular items"
    return f"model version {answer['model_version']}, arm {answer['arm']}"
