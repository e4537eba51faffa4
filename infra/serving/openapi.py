"""The OpenAPI document, generated from the types that decode and encode every message, so that it cannot drift."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from infra.serving import schemas

_REF = "#/components/schemas/{name}"


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        path: The path.
        method: ``"get"`` or ``"post"``.
        summary: What it does.
        request: Type of the body; None without one.
        response: Type of the answer; None for the text of OpenMetrics.
        refusals: Statuses of 400 or above that it answers by contract.
        needs_token: A bearer token is required.
    """

    path: str
    method: str
    summary: str
    request: type[msgspec.Struct] | None
    response: type[msgspec.Struct] | None
    refusals: tuple[int, ...] = ()
    needs_token: bool = False


_BODY_REFUSALS = (400, 403, 408, 413, 421, 422, 429, 503)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "/v1/recommend", "post", "Recommend items.", schemas.RecommendRequest, schemas.RecommendResponse, _BODY_REFUSALS
    ),
    Operation(
        "/v1/explain",
        "post",
        "Show what both models would answer. A viewer's token is needed except on the same machine.",
        schemas.ExplainRequest,
        schemas.ExplainResponse,
        (*_BODY_REFUSALS, 401),
    ),
    Operation(
        "/v1/feedback",
        "post",
        "Report what users did; answered after it is durable. A service's token is needed except on the same machine.",
        schemas.FeedbackRequest,
        schemas.FeedbackResponse,
        (*_BODY_REFUSALS, 401),
    ),
    Operation("/v1/status", "get", "Who serves, and how it goes.", None, schemas.StatusResponse),
    Operation(
        "/v1/admin/takedown",
        "post",
        "Stop recommending items, or allow them again.",
        schemas.TakedownRequest,
        schemas.TakedownResponse,
        (*_BODY_REFUSALS, 401),
        needs_token=True,
    ),
    Operation(
        "/v1/admin/items",
        "post",
        "Serve new items before any model was trained on them, or label items anew.",
        schemas.NewItemsRequest,
        schemas.NewItemsResponse,
        (*_BODY_REFUSALS, 401),
        needs_token=True,
    ),
    Operation("/healthz", "get", "Whether the process is alive.", None, schemas.Health),
    Operation("/readyz", "get", "Whether it takes traffic.", None, schemas.Health, (503,)),
    Operation("/metrics", "get", "Counters and latencies as OpenMetrics.", None, None),
)
"""Every operation except this document's own."""


def document(*, version: str, operations: Sequence[Operation] = OPERATIONS) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document.

    Args:
        version: Version of the service.
        operations: What it offers.
    """
    types = [kind for operation in operations for kind in (operation.request, operation.response) if kind is not None]
    _, components = msgspec.json.schema_components([*types, schemas.ErrorResponse], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Everfeed gateway", "version": version},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _describe(operation: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": {"description": "The answer.", "content": _content(operation.response)}}
    for status in sorted(operation.refusals):
        error = schemas.Health if operation.path == "/readyz" else schemas.ErrorResponse
        answers[str(status)] = {"description": "Refused.", "content": _content(error)}
    described: dict[str, Any] = {"summary": operation.summary, "responses": answers}
    if operation.request is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.request)}
    if operation.needs_token:
        described["security"] = [{"token": []}]
    return described


def _content(kind: type[msgspec.Struct] | None) -> dict[str, Any]:
    if kind is None:
        return {"application/openmetrics-text": {"schema": {"type": "string"}}}
    return {"application/json": {"schema": {"$ref": _REF.format(name=kind.__name__)}}}
