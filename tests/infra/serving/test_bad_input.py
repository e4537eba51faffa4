import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.database import open_database
from infra.serving.app import create_app
from tests.infra.gateway_home import SECRET, TOKEN, Home, serve


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("home")
    database = open_database(f"sqlite:///{folder / 'everfeed.db'}")
    home = Home(folder, database)
    home.crown()
    home.challenge()
    app = create_app(database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)
    with serve(app) as url, httpx.Client(base_url=url, trust_env=False) as made:
        yield made
    database.close()


def post(client: httpx.Client, content: bytes | str, path: str = "/v1/recommend", **headers: str) -> httpx.Response:
    return client.post(path, content=content, headers={"content-type": "application/json", **headers})


def problem(response: httpx.Response) -> dict[str, str]:
    error: dict[str, str] = response.json()["error"]
    assert set(error) == {"what", "where", "expected", "what_to_do"}
    assert all(error.values())
    return error


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ({"user": "a", "k": 0}, 422, "body.k"),
        ({"user": "a", "k": 10_000}, 422, "body.k"),
        ({"user": "a", "k": "10"}, 422, "body.k"),
        ({"user": "a", "k": 1.5}, 422, "body.k"),
        ({"user": ""}, 422, "body.user"),
        ({"user": "a" * 201}, 422, "body.user"),
        ({"user": None}, 422, "body.user"),
        ({}, 422, "body"),
        ([], 422, "body"),
        ({"user": "a", "exclude": ["x"] * 1001}, 422, "body.exclude"),
        ({"user": "a", "history": [{"item_id": "x", "timestamp": 1}] * 1001}, 422, "body.history"),
        ({"user": "a", "history": [{"item_id": "x", "timestamp": "yesterday"}]}, 422, "body.history[0].timestamp"),
        (
            {"user": "a", "history": [{"item_id": "x", "timestamp": "2020-01-01T00:00:00"}]},
            422,
            "body.history[0].timestamp",
        ),
        ({"user": "a", "history": [{"item_id": "x", "timestamp": 10**18}]}, 422, "body.history[0].timestamp"),
        ({"user": "a", "history": [{"item_id": "x"}]}, 422, "body.history[0]"),
        ({"user": "a", "origin": "synthetic"}, 422, "body.origin"),
        ({"user": "a", "excluded": []}, 422, "body"),
    ],
)
def test_a_body_of_another_shape_is_refused_with_its_place(
    client: httpx.Client, body: Any, status: int, where: str
) -> None:
    response = post(client, json.dumps(body))

    assert response.status_code == status
    assert problem(response)["where"] == where


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"user": NaN}', b'{"user": "\\ud800"}', b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused(client: httpx.Client, body: bytes) -> None:
    response = post(client, body)

    assert response.status_code in {400, 422}
    problem(response)


def test_a_body_over_the_limit_is_refused_whether_announced_or_in_chunks(client: httpx.Client) -> None:
    large = b" " * (256 * 1024 + 1)

    announced = post(client, large)
    chunked = client.post(
        "/v1/recommend", content=(large[start : start + 4096] for start in range(0, len(large), 4096))
    )

    assert announced.status_code == chunked.status_code == 413
    assert problem(announced)["expected"] == problem(chunked)["expected"] == "at most 262144 bytes"


def test_a_body_at_the_limit_is_taken(client: httpx.Client) -> None:
    body = b'{"user": "a"}'

    assert post(client, body + b" " * (256 * 1024 - len(body))).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/recommend", 405),
        ("DELETE", "/v1/feedback", 405),
        ("POST", "/metrics", 405),
        ("GET", "/nothing", 404),
    ],
)
def test_an_unknown_path_or_method_is_refused(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path)

    assert response.status_code == status
    problem(response)


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil.example", "[::2]"])
def test_a_foreign_host_is_refused(client: httpx.Client, host: str) -> None:
    response = client.get("/v1/status", headers={"host": host})

    assert response.status_code in {400, 421}


def test_a_foreign_origin_is_refused_and_the_own_one_is_not(client: httpx.Client) -> None:
    own = str(client.base_url).rstrip("/")

    for origin in ("http://evil.example", "null", "https://127.0.0.1:1"):
        assert problem(post(client, b'{"user": "a"}', origin=origin))["where"] == "header Origin"
    assert post(client, b'{"user": "a"}', origin=own).status_code == 200


def test_feedback_through_a_proxy_needs_the_token(client: httpx.Client) -> None:
    body = json.dumps({"events": [{"event_id": "e", "request_id": "r", "item_id": "i", "kind": "clicked"}]})
    proxied = {"x-forwarded-for": "203.0.113.9"}

    assert post(client, body, "/v1/feedback").status_code == 200
    assert post(client, body, "/v1/feedback", **proxied).status_code == 401
    assert post(client, body, "/v1/feedback", authorization=f"Bearer {TOKEN}", **proxied).status_code == 200


@pytest.mark.parametrize("events", [[], [{"event_id": "e"}], [{"event_id": "e"}] * 1001])
def test_feedback_of_another_shape_is_refused(client: httpx.Client, events: list[Any]) -> None:
    assert post(client, json.dumps({"events": events}), "/v1/feedback").status_code == 422


def test_users_of_any_script_are_served(client: httpx.Client) -> None:
    for user in ("日本語", "a\u0001b", "'; DROP TABLE requests; --", "‮", "🎬" * 50):
        assert post(client, json.dumps({"user": user})).status_code == 200


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
NEARLY_RIGHT = st.fixed_dictionaries(
    {"user": st.text(max_size=30) | ANY_JSON},
    optional={
        "k": st.integers(-5, 300) | ANY_JSON,
        "surface": st.text(max_size=20) | ANY_JSON,
        "exclude": st.lists(st.text(max_size=5), max_size=3) | ANY_JSON,
        "history": st.lists(
            st.fixed_dictionaries(
                {"item_id": st.sampled_from(["film-10", "x"]), "timestamp": st.integers() | ANY_JSON}
            ),
            max_size=4,
        )
        | ANY_JSON,
        "context": ANY_JSON,
        "query": ANY_JSON,
        "is_anonymous": ANY_JSON,
        "origin": st.sampled_from(["event", "replay", "x"]),
    },
)
EVENTS = st.fixed_dictionaries(
    {
        "events": st.lists(
            st.fixed_dictionaries(
                {name: st.text(max_size=8) for name in ("event_id", "request_id", "item_id")}
                | {"kind": st.sampled_from(["clicked", "x"])},
                optional={"value": st.floats() | st.integers(), "timestamp": ANY_JSON},
            ),
            max_size=4,
        )
        | ANY_JSON
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=NEARLY_RIGHT.map(json.dumps) | ANY_JSON.map(json.dumps) | st.binary(max_size=200))
def test_no_body_of_a_recommendation_gives_a_server_error(client: httpx.Client, body: str | bytes) -> None:
    response = post(client, body)

    assert response.status_code in {200, 400, 422}
    if response.status_code != 200:
        problem(response)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=EVENTS.map(json.dumps) | ANY_JSON.map(json.dumps) | st.binary(max_size=200))
def test_no_body_of_feedback_gives_a_server_error(client: httpx.Client, body: str | bytes) -> None:
    assert post(client, body, "/v1/feedback").status_code in {200, 400, 422}
