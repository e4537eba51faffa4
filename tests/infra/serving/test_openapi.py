from typing import Any

from infra.serving.app import create_app
from infra.serving.openapi import OPERATIONS, document
from tests.infra.gateway_home import SECRET, TOKEN, Home

DOCUMENT = document(version="1")


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*(references(value) for value in node.values()))
    return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()


def test_every_reference_leads_to_a_schema() -> None:
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}

    assert references(DOCUMENT) <= known


def test_limits_are_those_that_are_enforced() -> None:
    request = DOCUMENT["components"]["schemas"]["RecommendRequest"]

    assert request["properties"]["k"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 200,
        "default": 10,
        "description": "How many items, 1 to 200.",
    }
    assert request["required"] == ["user"]
    assert request["additionalProperties"] is False


def test_lists_exactly_the_routes_that_exist(home: Home) -> None:
    app = create_app(home.database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)
    routes = {(path, method.lower()) for method, path in app.operations}

    assert routes - {("/openapi.json", "get")} == {(operation.path, operation.method) for operation in OPERATIONS}
