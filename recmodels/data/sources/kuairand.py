"""KuaiRand's own files: exposures of short videos with watch time and several kinds of feedback."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.columns import as_number
from recmodels.data.entities import normalise_items, normalise_users
from recmodels.data.interactions import content_ids, deduplicate, normalise
from recmodels.data.schema import (
    CATEGORY,
    CLICKED,
    COMMENTED,
    CREATOR_ID,
    DURATION_SECONDS,
    EVENT_ID,
    FOLLOWED,
    HIDDEN,
    ITEM_ID,
    LIKED,
    LONG_VIEWED,
    PUBLISHED_AT,
    SHARED,
    SURFACE,
    TIMESTAMP,
    USER_ID,
    WATCH_SECONDS,
    Tables,
)
from recmodels.data.sources._files import (
    SourceOptions,
    listing,
    parse_options,
    read_any,
    require_columns,
    require_path,
    require_rows,
)
from recmodels.errors import SourceError

TERMS = "KuaiRand (Gao et al., CIKM 2022): CC BY-SA 4.0; redistribution with attribution under the same licence."
_NAME = "kuairand"
_FEEDBACK = {
    CLICKED: "is_click",
    LIKED: "is_like",
    SHARED: "is_forward",
    FOLLOWED: "is_follow",
    COMMENTED: "is_comment",
    HIDDEN: "is_hate",
    LONG_VIEWED: "long_view",
}
_REQUIRED = ["user_id", "video_id", "time_ms", "tab", "play_time_ms", "duration_ms", *_FEEDBACK.values()]
_IDENTITY = ["date", "hourmin", "profile_stay_time", "comment_stay_time", "is_profile_enter", "is_rand"]
"""Columns that have no place in the contract but tell two exposures apart."""
_USER_ATTRIBUTES = [
    "user_active_degree",
    "is_live_streamer",
    "is_video_author",
    "follow_user_num_range",
    "fans_user_num_range",
    "friend_user_num_range",
    "register_days_range",
]
_NOTES = (
    "is_click -> clicked, is_like -> liked, is_follow -> followed, is_comment -> commented, long_view -> long_viewed",
    "is_hate -> hidden, is_forward -> shared",
    "tab -> surface, as tab_<n>",
    "play_time_ms -> watch_seconds, duration_ms -> duration_seconds; a watch longer than the video is a replay",
    "time_ms -> timestamp",
    "author_id -> creator_id, tag -> category (joined by |), upload_dt -> published_at; KuaiRand has no text",
    "user_active_degree, the author and streamer flags and the follower, friend and register ranges are attributes",
)


class Options(SourceOptions):
    """KuaiRand needs no options: its files are recognised by their names."""


def read(path: Path, **options: object) -> Tables:
    """Read KuaiRand.

    Args:
        path: A folder with `log_*` files (CSV or Parquet; the small sample ``log_sample*`` repeats others and is
            skipped) and, where they exist, `user_features*` and `video_features_basic*` files; or one log file, whose
            folder may hold the feature files.
        options: None are known.

    Returns:
        The tables; rows that equal another in every one of KuaiRand's columns are dropped and counted in the notes.

    Raises:
        SourceError: A file is missing, empty or damaged, a column is missing, or an option is given.
        DataError: A value is of the wrong type; the message names the column and the row.
    """
    parse_options(Options, options, source=_NAME)
    folder = path if require_path(path, source=_NAME).is_dir() else path.parent
    logs = [_read_log(file) for file in ([path] if path.is_file() else _log_files(path))]
    whole = require_rows(pa.concat_tables(logs, promote_options="default"), place=str(path), source=_NAME)
    found = deduplicate(_interactions(whole))
    items = _video_features(folder)
    users = _user_features(folder)
    dropped = f"{found.dropped} of {whole.num_rows} rows equalled another in every column and were dropped"
    return Tables(
        name="kuairand",
        interactions=found.table,
        items=normalise_items(items, found.table, source=f"{_NAME} video features"),
        users=normalise_users(users, found.table, source=f"{_NAME} user features"),
        terms=TERMS,
        notes=(*_NOTES, dropped),
    )


def _log_files(folder: Path) -> list[Path]:
    files = [
        file
        for file in sorted(folder.glob("log_*"))
        if file.suffix in (".csv", ".parquet") and not file.name.startswith("log_sample")
    ]
    if files:
        return files
    raise SourceError(
        f"source {_NAME!r}: {folder} holds no log file. Expected log_*.csv or log_*.parquet; found: {listing(folder)}."
    )


def _read_log(file: Path) -> pa.Table:
    table = read_any(file, source=_NAME)
    present = [name for name in _IDENTITY if name in table.column_names]
    chosen = require_columns(table, [*_REQUIRED, *present], place=file.name, source=_NAME)
    place = f"{_NAME} {file.name}"
    numbers = [as_number(chosen[name], pa.int64(), name=name, source=place) for name in chosen.column_names]
    return pa.table(numbers, names=chosen.column_names)


def _interactions(log: pa.Table) -> pa.Table:
    columns = {
        EVENT_ID: content_ids(log),
        USER_ID: log["user_id"],
        ITEM_ID: log["video_id"],
        TIMESTAMP: pc.multiply(log["time_ms"], 1000).cast(pa.timestamp("us")),
        SURFACE: pc.binary_join_element_wise("tab", log["tab"].cast(pa.string()), "_"),
        WATCH_SECONDS: pc.divide(log["play_time_ms"].cast(pa.float64()), 1000.0),
        DURATION_SECONDS: pc.divide(log["duration_ms"].cast(pa.float64()), 1000.0),
        **{column: log[name] for column, name in _FEEDBACK.items()},
    }
    return normalise(pa.table(columns), source=_NAME)


def _video_features(folder: Path) -> pa.Table | None:
    table = _features(folder, "video_features_basic*", ["video_id", "author_id", "upload_dt", "video_duration", "tag"])
    if table is None:
        return None
    duration = as_number(table["video_duration"], pa.float64(), name="video_duration", source=f"{_NAME} features")
    published = table["upload_dt"].cast(pa.string())
    return pa.table(
        {
            ITEM_ID: table["video_id"],
            CREATOR_ID: table["author_id"],
            SURFACE: pa.repeat("video", table.num_rows),
            CATEGORY: pc.replace_substring(table["tag"].cast(pa.string()), ",", "|"),
            DURATION_SECONDS: pc.divide(duration, 1000.0),
            PUBLISHED_AT: pc.strptime(published, format="%Y-%m-%d", unit="us", error_is_null=True),
        }
    )


def _user_features(folder: Path) -> pa.Table | None:
    return _features(folder, "user_features*", ["user_id", *_USER_ATTRIBUTES])


def _features(folder: Path, pattern: str, columns: list[str]) -> pa.Table | None:
    files = [file for file in sorted(folder.glob(pattern)) if file.suffix in (".csv", ".parquet")]
    if not files:
        return None
    tables = [require_columns(read_any(f, source=_NAME), columns, place=f.name, source=_NAME) for f in files]
    return pa.concat_tables(tables, promote_options="permissive")
