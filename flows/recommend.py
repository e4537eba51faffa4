"""One user's recommendations, asked of the running gateway, with titles from the lake."""

from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc

from flows.wiring import connect
from infra.settings import Settings
from recmodels.data.schema import ITEM_ID, TEXT
from recmodels.errors import EverfeedError, StoreError


def ask(settings: Settings, user: str, *, k: int, surface: str) -> dict[str, Any]:
    """Return the gateway's answer, each item with its title.

    Raises:
        StoreError: The gateway does not answer.
        EverfeedError: The gateway refused the question.
    """
    try:
        response = httpx.post(
            f"{settings.gateway_url}/v1/recommend", json={"user": user, "k": k, "surface": surface}, timeout=10.0
        )
    except httpx.TransportError as error:
        raise StoreError(
            f"the gateway at {settings.gateway_url} does not answer ({error!r}). Start it with `everfeed up`."
        ) from error
    answer = _read(response, place=settings.gateway_url)
    titles = _titles(settings, [item["item_id"] for item in answer["items"]])
    items = [{**item, "title": titles.get(item["item_id"], "")} for item in answer["items"]]
    return {**answer, "user": user, "why": _why(answer), "items": items}


def _read(response: httpx.Response, *, place: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = response.json()
    except ValueError as error:
        raise StoreError(
            f"what answers at {place} is not Everfeed's gateway: status {response.status_code}, "
            f"{response.text[:80]!r}. Stop it, or choose another port with EVERFEED_GATEWAY_PORT."
        ) from error
    if response.status_code == httpx.codes.OK:
        return answer
    problem = answer["error"]
    raise EverfeedError(
        f"the gateway refused the question: {problem['what']} at {problem['where']}; expected {problem['expected']}. "
        f"To do: {problem['what_to_do']}."
    )


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
