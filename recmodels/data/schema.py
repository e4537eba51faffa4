"""The data contract: the one place where the names and types of columns are written down."""

from dataclasses import dataclass, field

import pyarrow as pa

TIMESTAMP_TYPE = pa.timestamp("us", tz="UTC")

# interactions
EVENT_ID = "event_id"
USER_ID = "user_id"
ITEM_ID = "item_id"
TIMESTAMP = "timestamp"
SURFACE = "surface"
QUERY = "query"
WATCH_SECONDS = "watch_seconds"
DURATION_SECONDS = "duration_seconds"
RATING = "rating"
CLICKED = "clicked"
LIKED = "liked"
SHARED = "shared"
FOLLOWED = "followed"
COMMENTED = "commented"
HIDDEN = "hidden"
LONG_VIEWED = "long_viewed"
EXPOSED_AT = "exposed_at"
ORIGIN = "origin"

# items
CREATOR_ID = "creator_id"
CATEGORY = "category"
TEXT = "text"
PUBLISHED_AT = "published_at"
SAFETY = "safety"

# users
SIGNED_UP_AT = "signed_up_at"

# impressions and outcomes
REQUEST_ID = "request_id"
USER_KEY = "user_key"
MODEL_VERSION = "model_version"
ROLLOUT_ID = "rollout_id"
STEP = "step"
ARM = "arm"
POSITION = "position"
SCORE = "score"
PROPENSITY = "propensity"
IS_FALLBACK = "is_fallback"
LATENCY_SECONDS = "latency_seconds"
SEGMENT_VERSION = "segment_version"
KIND = "kind"
VALUE = "value"

# quarantine
TABLE = "table"
REASON = "reason"
QUARANTINED_AT = "quarantined_at"
ROW = "row"

SURFACES = ("video", "live", "search")
UNLABELLED = "unlabelled"
SAFETY_LEVELS = ("ok", "restricted", "blocked", UNLABELLED)
ORIGIN_EVENT = "event"
ORIGIN_REPLAY = "replay"
ORIGIN_SYNTHETIC = "synthetic"

FEEDBACK_COLUMNS = (CLICKED, LIKED, SHARED, FOLLOWED, COMMENTED, HIDDEN, LONG_VIEWED)
"""Yes-or-no feedback; null where the data set does not have it."""


def _column(name: str, kind: pa.DataType, *, required: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=not required)


INTERACTIONS = pa.schema(
    [
        _column(EVENT_ID, pa.string(), required=True),
        _column(USER_ID, pa.string(), required=True),
        _column(ITEM_ID, pa.string(), required=True),
        _column(TIMESTAMP, TIMESTAMP_TYPE, required=True),
        _column(SURFACE, pa.string(), required=True),
        _column(QUERY, pa.string()),
        _column(WATCH_SECONDS, pa.float64()),
        _column(DURATION_SECONDS, pa.float64()),
        _column(RATING, pa.float64()),
        *[_column(name, pa.bool_()) for name in FEEDBACK_COLUMNS],
        _column(EXPOSED_AT, TIMESTAMP_TYPE),
        _column(ORIGIN, pa.string(), required=True),
    ]
)
"""One row per exposure or consumption."""

ITEMS = pa.schema(
    [
        _column(ITEM_ID, pa.string(), required=True),
        _column(CREATOR_ID, pa.string()),
        _column(SURFACE, pa.string()),
        _column(CATEGORY, pa.string()),
        _column(TEXT, pa.string()),
        _column(DURATION_SECONDS, pa.float64()),
        _column(PUBLISHED_AT, TIMESTAMP_TYPE),
        _column(SAFETY, pa.string(), required=True),
    ]
)
"""One row per item. `category` holds one or more names joined by `|`; the first is the main one."""

USERS = pa.schema(
    [
        _column(USER_ID, pa.string(), required=True),
        _column(SIGNED_UP_AT, TIMESTAMP_TYPE),
    ]
)
"""One row per user; a source may append string attribute columns for slices."""

IMPRESSIONS = pa.schema(
    [
        _column(REQUEST_ID, pa.string(), required=True),
        _column(TIMESTAMP, TIMESTAMP_TYPE, required=True),
        _column(USER_KEY, pa.string(), required=True),
        _column(SURFACE, pa.string(), required=True),
        _column(QUERY, pa.string()),
        _column(MODEL_VERSION, pa.string(), required=True),
        _column(ROLLOUT_ID, pa.string()),
        _column(STEP, pa.int32()),
        _column(ARM, pa.string(), required=True),
        _column(POSITION, pa.int32(), required=True),
        _column(ITEM_ID, pa.string(), required=True),
        _column(SCORE, pa.float64()),
        _column(PROPENSITY, pa.float64(), required=True),
        _column(IS_FALLBACK, pa.bool_(), required=True),
        _column(LATENCY_SECONDS, pa.float64(), required=True),
        _column(ORIGIN, pa.string(), required=True),
        _column(SEGMENT_VERSION, pa.int32()),
    ]
)
"""One row per item shown, written by the gateway. `user_key` is an HMAC of the user id, never the id, and
`segment_version` that of the segment of new items where the list held one of them."""

OUTCOMES = pa.schema(
    [
        _column(EVENT_ID, pa.string(), required=True),
        _column(REQUEST_ID, pa.string(), required=True),
        _column(ITEM_ID, pa.string(), required=True),
        _column(KIND, pa.string(), required=True),
        _column(VALUE, pa.float64(), required=True),
        _column(TIMESTAMP, TIMESTAMP_TYPE, required=True),
    ]
)
"""One row per feedback event on an item shown. `kind` is a feedback column's name or ``watch_seconds``."""

QUARANTINE = pa.schema(
    [
        _column(TABLE, pa.string(), required=True),
        _column(REASON, pa.string(), required=True),
        _column(QUARANTINED_AT, TIMESTAMP_TYPE, required=True),
        _column(ROW, pa.string(), required=True),
    ]
)
"""One row per row refused; `row` is the whole row as JSON, so that nothing is lost."""

TABLES: dict[str, pa.Schema] = {
    "interactions": INTERACTIONS,
    "items": ITEMS,
    "users": USERS,
    "impressions": IMPRESSIONS,
    "outcomes": OUTCOMES,
    "quarantine": QUARANTINE,
}


@dataclass(frozen=True)
class Tables:
    """What a source reads: the three tables of the contract.

    Attributes:
        name: Name of the data set, such as ``"ml-100k"``.
        interactions: Rows in the schema `INTERACTIONS`.
        items: Rows in the schema `ITEMS`; every item of the interactions stands in it.
        users: Rows in the schema `USERS`, plus string attribute columns.
        is_order_only: The timestamps are positions (one second each) rather than times; global splits are refused.
        terms: The terms of use to show to whoever loads the data, or the empty string.
        notes: How the source mapped its columns, one sentence each.
    """

    name: str
    interactions: pa.Table
    items: pa.Table
    users: pa.Table
    is_order_only: bool = False
    terms: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)
