"""The request and response contract of the gateway; the OpenAPI document is generated from these types."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from recmodels.assignment import Arm

Name = Annotated[str, Meta(min_length=1, max_length=200, description="An id or a name, 1 to 200 characters.")]
StoredName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="An id or a name, 1 to 200 characters; not the character U+0000, which PostgreSQL cannot store.",
    ),
]
Role = Literal["champion", "challenger"]
Why = Literal["retrieval", "fallback"]
Origin = Literal["event", "replay"]
Scalar = Annotated[str, Meta(max_length=200)] | float | bool | None
Safety = Literal["ok", "restricted", "blocked", "unlabelled"]

_LATEST = 253_402_300_799_999_999  # the end of the year 9999, in microseconds since 1970


class HistoryEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """One item that the user consumed."""

    item_id: Name
    timestamp: Annotated[datetime, Meta(tz=True)] | Annotated[int, Meta(ge=0, le=_LATEST)]
    """RFC 3339 with a time zone, or microseconds since 1970 UTC."""


class RecommendRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A wish for a list of items."""

    user: StoredName
    """User id, or the session's id when `is_anonymous`; also the unit that is assigned to an arm."""
    surface: StoredName = "video"
    k: Annotated[int, Meta(ge=1, le=200, description="How many items, 1 to 200.")] = 10
    exclude: Annotated[list[Name], Meta(max_length=1000)] = []
    """Items that must not be answered."""
    history: Annotated[list[HistoryEvent], Meta(max_length=1000)] | None = None
    """Replaces the stored history; for anonymous, replayed or externally stored users."""
    context: Annotated[dict[Name, Scalar], Meta(max_length=50)] = {}
    """Facts about the request, for models that use them: texts of at most 200 characters, numbers, yes or no. They are
    neither logged nor kept."""
    query: Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")] | None = None
    is_anonymous: bool = False
    """`user` is a session: clicks change its next list, but its id is not kept."""
    origin: Origin = "event"
    """`replay` marks simulated traffic: judged, but never added to histories and never trained on."""


class RecommendedItem(Struct, frozen=True):
    """One place of the list."""

    item_id: str
    score: float | None
    """The model's score; null on a fallback list."""
    position: int
    """From 0."""
    propensity: float
    """Probability that this item was shown at this place; 1 for a deterministic list."""
    why: Why


class RecommendResponse(Struct, frozen=True):
    """A list of items, and who made it."""

    request_id: str
    items: list[RecommendedItem]
    model_version: str
    """Registered version of the model that the user's arm stands for; empty where there is none."""
    digest: str
    """Digest of that model's bundle; empty where there is none."""
    arm: Arm
    is_fallback: bool
    """The list holds popular items rather than the model's answer."""
    fallback_reason: str
    """Empty, or one of: no_model, not_loaded, unknown_user, unknown_items, history_unreadable, paused, late, error,
    not_finite."""
    rollout_id: str | None
    unknown_user: bool
    """No history was found or given."""


class ExplainRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A wish to see, without serving it, what both models would answer to a user."""

    user: Name
    surface: Name = "video"
    k: Annotated[int, Meta(ge=1, le=200)] = 10


class ExplainedPrediction(Struct, frozen=True):
    """What a model's second stage expects of showing an item."""

    probabilities: dict[str, float]
    """Of each kind of feedback, calibrated."""
    watch_seconds: float | None
    """Expected; null where nothing predicts them."""
    utility: float
    """What that is worth to the release."""


class ExplainedItem(Struct, frozen=True):
    """One place of a list, with what the catalogue says of the item."""

    item_id: str
    score: float | None
    text: str
    category: str
    creator_id: str
    surface: str
    prediction: ExplainedPrediction | None = None
    """Null for a model without a second stage."""


class ExplainedStage(Struct, frozen=True):
    """One stage on the way to a list."""

    name: str
    """catalogue, retrieval, a filter by its reason, newcomers, ranking, safety check or fallback."""
    kept: int
    """Items after the stage."""
    removed: int
    """Items that the stage took away."""
    words: str


class RejectedItem(Struct, frozen=True):
    """An item that scored well enough for the list and is not in it."""

    item_id: str
    reason: str
    """seen, excluded, blocked, safety, surface, or not retrieved."""
    score: float | None


class ExplainedList(Struct, frozen=True):
    """What one model would answer."""

    role: Role
    model_version: str
    model: str
    items: list[ExplainedItem]
    stages: list[ExplainedStage]
    """How the list came about, in order; empty where the model was not asked."""
    rejected: list[RejectedItem]
    """Better scored items that are not in the list, best first; at most 50."""
    fallback_reason: str
    """Empty, or as in a recommendation."""


class ExplainResponse(Struct, frozen=True):
    """How a list for a user comes about; nothing of it is logged or judged."""

    arm: Arm
    bucket: int | None
    """Place of the user among the 10,000 of the rollout's assignment; null without a rollout."""
    history: list[str]
    """Items of the stored history, the newest first; at most 20."""
    history_length: int
    lists: list[ExplainedList]


class FeedbackEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """What a user did with one item that was recommended."""

    event_id: StoredName
    """Chosen by the client; a second event with the same id changes nothing."""
    request_id: Name
    item_id: Name
    kind: Name
    """clicked, liked, shared, followed, commented, hidden, long_viewed or watch_seconds."""
    value: Annotated[float, Meta(ge=0, le=1e9)] = 1.0
    """1 or 0, or seconds for watch_seconds."""
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    """When it happened; the moment of arrival where absent or later than that."""


class FeedbackRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A batch of feedback."""

    events: Annotated[list[FeedbackEvent], Meta(min_length=1, max_length=1000)]


class RejectedEvent(Struct, frozen=True):
    """An event that was not taken, and why."""

    event_id: str
    reason: str


class FeedbackResponse(Struct, frozen=True):
    """What became of a batch; sent after it is durable."""

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]


class TakedownRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Items to stop recommending, or to allow again."""

    item_ids: Annotated[list[StoredName], Meta(min_length=1, max_length=1000)]
    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
    is_blocked: bool = True
    """False lifts an earlier takedown."""


class TakedownResponse(Struct, frozen=True):
    """How many items are taken down now."""

    blocked: int


class NewItem(Struct, frozen=True, forbid_unknown_fields=True):
    """An item that no model knows yet, or newer facts of one that was added before."""

    item_id: StoredName
    creator_id: StoredName | None = None
    """Models that do not know the item score it like the mean of its creator's items."""
    surface: StoredName | None = None
    category: Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")] | None = None
    """One or more names joined by `|`, the main one first; its items stand in for those of an unknown creator."""
    text: Annotated[str, Meta(max_length=2000, pattern=r"^[^\x00]*$")] | None = None
    duration_seconds: Annotated[float, Meta(ge=0, le=1e7)] | None = None
    published_at: Annotated[datetime, Meta(tz=True)] | None = None
    safety: Safety = "unlabelled"
    """`blocked` holds for every model, also for those that know the item; `unlabelled` is shown unless the platform's
    safety terms say otherwise."""


class NewItemsRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Items to serve from now on."""

    items: Annotated[list[NewItem], Meta(min_length=1, max_length=500)]


class NewItemsResponse(Struct, frozen=True):
    """Sent after the items are durable; every worker serves them within seconds."""

    segment_version: int
    """Version of the segment that holds them; it stays where nothing was new."""


class SlotStatus(Struct, frozen=True):
    """One model in memory."""

    role: Role
    digest: str
    model_version: str
    model: str
    state: Literal["ready", "paused", "failed"]
    problem: str
    """Why it does not serve; empty when it does."""
    loaded_seconds: float
    """How long loading and warming up took."""


class StatusResponse(Struct, frozen=True):
    """Who serves, and how it goes."""

    version: str
    pid: int
    """Process of the worker that answers; another one may answer the next time."""
    started_at: datetime
    """When that worker started."""
    slots: list[SlotStatus]
    rollout_id: str | None
    step: int | None
    share: float
    """Share of users that the challenger serves, 0 to 0.5."""
    queue_depth: int
    """Rows waiting to be written."""
    queue_limit: int
    taken_down: int
    """Items that nobody may see: taken down, or labelled `blocked` since the models were trained."""
    segment_version: int
    """Version of the segment of new items that this worker serves."""
    is_store_reachable: bool


class Health(Struct, frozen=True):
    """Whether the process is alive, or ready for traffic."""

    is_ok: bool
    detail: str


class Problem(Struct, frozen=True):
    """Why a request was refused."""

    what: str
    where: str
    expected: str
    what_to_do: str


class ErrorResponse(Struct, frozen=True):
    """Every answer with a status of 400 or above."""

    error: Problem
