"""Rows that broke a rule: which there are, and their release through the same door that refused them.

A release never takes a row out of the quarantine: it marks it. Rows that pass join their days in the lake by their key;
those that do not are kept back again with the new reason. Doing it again changes nothing.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from flows.validate import KEYS, merge, suites_of
from flows.windows import held_with_keys, key_of, keys_of, rebuild
from flows.wiring import Platform
from monitoring.quality import ValidationContext, prepare
from monitoring.quarantine import BATCH, ROW_ID, describe, keep_back, read_back, row_ids
from recmodels.data import schema
from recmodels.data.interactions import content_ids
from recmodels.errors import DataError

STORED: Final = "stored"
WAS_THERE: Final = "was there"
REFUSED: Final = "quarantined again"
_OUTCOME: Final = "outcome"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """Which quarantined rows; an empty field chooses all.

    Attributes:
        table: Name of their table.
        batch: How the moment of their validation begins, such as ``"2026-03-01T12"``.
        reason: Part of their reason.
        event_ids: Their event ids.
        is_released: Rows that were released are chosen too.
        of_accounts: Rows of accounts that are held back may be released.
    """

    table: str = ""
    batch: str = ""
    reason: str = ""
    event_ids: tuple[str, ...] = ()
    is_released: bool = False
    of_accounts: bool = False

    @property
    def words(self) -> str:
        """What was asked for, as a message names it."""
        asked = {"table": self.table, "batch": self.batch, "reason": self.reason, "event id": ", ".join(self.event_ids)}
        return " and ".join(f"{name} {value!r}" for name, value in asked.items() if value) or "(no choice was made)"


@dataclass(frozen=True)
class Released:
    """What a release came to.

    Attributes:
        release_id: Digest of the rows and their corrections.
        stored: Rows that are in the lake now.
        was_there: Rows that the lake had already, the same.
        refused: Rows that are kept back again for another reason, by that reason.
        unchanged: Rows that are kept back as before: nothing about them changed.
        days: Days of the lake that were written.
    """

    release_id: str
    stored: int
    was_there: int
    refused: Mapping[str, int]
    unchanged: int
    days: tuple[str, ...]


def groups(home: Platform) -> list[dict[str, Any]]:
    """Return how many rows each batch has for each reason, the newest batch first, with how many were released."""
    rows = chosen(home, Choice(is_released=True))
    counted = rows.group_by([BATCH, schema.TABLE, schema.REASON]).aggregate([([], "count_all"), (_OUTCOME, "count")])
    found = counted.rename_columns([BATCH, schema.TABLE, schema.REASON, "rows", "released"])
    order = [(BATCH, "descending"), (schema.TABLE, "ascending"), ("rows", "descending"), (schema.REASON, "ascending")]
    listed: list[dict[str, Any]] = found.sort_by(order).to_pylist()
    return listed


def chosen(home: Platform, choice: Choice) -> pa.Table:
    """Return the chosen rows in the schema `QUARANTINE` with their ids, batches, event ids and outcomes."""
    held = schema.QUARANTINE.empty_table()
    if home.lake.version("quarantine") is not None:
        held = home.lake.read("quarantine")
    rows = describe(held)
    marks = home.releases.released()
    places = pc.index_in(rows[ROW_ID], value_set=pa.array(list(marks), pa.string()))
    rows = rows.append_column(_OUTCOME, pa.array(list(marks.values()), pa.string()).take(places))
    return rows.filter(_is_chosen(choice))


def release(
    home: Platform, choice: Choice, *, corrections: Mapping[str, str], by: str, why: str, now: datetime
) -> Released:
    """Send chosen rows of one table through the door again, corrected where that is asked for.

    Args:
        home: The stores.
        choice: Which rows; those that were released already are passed over.
        corrections: New values by column, as text; an empty text is null.
        by: Who releases them.
        why: Why.
        now: When; rows may not be from after it.

    Raises:
        DataError: No row or rows of several tables were chosen, a correction is not of its column, or a row would be
            about a user who was erased.
        StoreError: A table is damaged.
    """
    with home.lake.reading():  # an erasure that comes in between sets its tombstone first and then waits for this
        return _release(home, choice, corrections, by=by, why=why, now=now)


def _release(
    home: Platform, choice: Choice, corrections: Mapping[str, str], *, by: str, why: str, now: datetime
) -> Released:
    rows = chosen(home, choice)
    name = _only_table(rows, choice)
    _refuse_accounts(home, rows, choice)
    given = _corrected(read_back(rows.select(schema.QUARANTINE.names), name=name), corrections, name=name)
    _refuse_erased(home, given)
    prepared = prepare(given, name=name, context=_context(home, name, now=now), suites=suites_of(home))
    is_good = pa.array(~prepared.is_quarantined)
    good_rows, bad_rows = rows.filter(is_good), rows.filter(pc.invert(is_good))
    was_there, conflicts = _held_already(home, prepared.good, name=name)
    is_new = pc.invert(pc.or_(was_there, conflicts))
    days = _store(home, prepared.good.filter(is_new), name=name)
    refused = pa.concat_tables(
        [prepared.quarantined, _conflicting(prepared.good.filter(conflicts), name=name, now=now)]
    )
    origins = pa.concat_tables([bad_rows, good_rows.filter(conflicts)])[ROW_ID].combine_chunks()
    is_changed = pc.not_equal(_ids(refused), origins)
    release_id = _digest(rows, corrections)
    if (changed := refused.filter(is_changed)).num_rows:
        home.lake.append("quarantine", changed, key=f"release-{release_id}")
    marks = {
        **_marks(good_rows.filter(is_new)[ROW_ID], STORED),
        **_marks(good_rows.filter(was_there)[ROW_ID], WAS_THERE),
        **_marks(origins.filter(is_changed), REFUSED),
    }
    corrected = ", ".join(sorted(corrections))
    home.releases.record(marks, release_id=release_id, corrected=corrected, by=by, why=why, at=now)
    logger.info("quarantine release %s by %s: %d of %d rows of %s", release_id, by, len(marks), rows.num_rows, name)
    counts = pc.value_counts(changed[schema.REASON]).to_pylist()
    return Released(
        release_id=release_id,
        stored=pc.sum(is_new).as_py() or 0,
        was_there=pc.sum(was_there).as_py() or 0,
        refused={one["values"]: one["counts"] for one in counts},
        unchanged=refused.num_rows - changed.num_rows,
        days=days,
    )


def _is_chosen(choice: Choice) -> pc.Expression:
    wanted = pc.scalar(True)  # noqa: FBT003 - pyarrow takes the value by position only
    if not choice.is_released:
        wanted &= pc.field(_OUTCOME).is_null()
    if choice.table:
        wanted &= pc.field(schema.TABLE) == choice.table
    if choice.batch:
        wanted &= pc.starts_with(pc.field(BATCH), choice.batch)
    if choice.reason:
        wanted &= pc.match_substring(pc.field(schema.REASON), choice.reason)
    return wanted & pc.field(schema.EVENT_ID).isin(list(choice.event_ids)) if choice.event_ids else wanted


def _only_table(rows: pa.Table, choice: Choice) -> str:
    names = pc.unique(rows[schema.TABLE]).to_pylist()
    if not names:
        raise DataError(
            f"no quarantined row matches {choice.words}, or all of them were released. `everfeed quarantine list`"
            " names batches and reasons."
        )
    if len(names) > 1:
        raise DataError(f"the chosen rows are of {', '.join(names)}. Choose one table with --table.")
    return str(names[0])


def _refuse_accounts(home: Platform, rows: pa.Table, choice: Choice) -> None:
    """Keep the rows of accounts that are held back where they are: the next ingest would bring them back here."""
    held = pa.array([one.reason for one in home.held_accounts.accounts()], pa.string())
    number = pc.sum(pc.is_in(rows[schema.REASON], value_set=held)).as_py() or 0
    if number and not choice.of_accounts:
        raise DataError(
            f"{number} of the {rows.num_rows} chosen rows are of accounts that are held back. Choose others by "
            "--batch or --reason, or let an account go with `everfeed quarantine accounts release ACCOUNT`."
        )


def _refuse_erased(home: Platform, rows: pa.Table) -> None:
    """Keep out what a correction makes a row about somebody who was erased."""
    if schema.USER_ID not in rows.column_names:
        return
    left = home.erasures.tombstones.without(rows, schema.USER_ID, secret=home.settings.user_secret())
    if gone := rows.num_rows - left.num_rows:
        raise DataError(
            f"{gone} of the {rows.num_rows} rows would be about users who were erased, and nothing of these comes "
            f"back. Give another {schema.USER_ID}, or leave the rows where they are."
        )


def _corrected(rows: pa.Table, corrections: Mapping[str, str], *, name: str) -> pa.Table:
    for column, text in corrections.items():
        if column not in rows.column_names:
            raise DataError(f"{name} has no column {column!r} to correct. Known: {', '.join(rows.column_names)}.")
        place = rows.column_names.index(column)
        kind = rows.schema.field(column).type
        try:
            value = pa.scalar(text or None, pa.string()).cast(kind)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{text!r} is no value of {name}.{column}, which is of the type {kind}: {error}."
            ) from error
        rows = rows.set_column(place, column, pa.repeat(value, rows.num_rows))
    return rows


def _context(home: Platform, name: str, *, now: datetime) -> ValidationContext:
    context = ValidationContext(as_of=now, now=now)
    if name == "items" or home.lake.version("items") is None:
        return context
    return replace(context, item_ids=home.lake.read("items", columns=[schema.ITEM_ID])[schema.ITEM_ID])


def _held_already(home: Platform, good: pa.Table, *, name: str) -> tuple[pa.Array, pa.Array]:
    """Return which rows the lake has already, the same; and which it has by key, with other values."""
    none = pa.repeat(pa.scalar(False), good.num_rows)  # noqa: FBT003
    if name in KEYS or home.lake.version(name) is None or not good.num_rows:
        return none, none  # of items and users the newest row counts
    held = held_with_keys(home.lake, name, good)
    is_held = pc.is_in(keys_of(good, name), value_set=keys_of(held, name))
    is_same = pc.is_in(content_ids(good), value_set=content_ids(held.select(good.column_names)).combine_chunks())
    same = pc.and_(is_held, is_same.combine_chunks())
    return same, pc.and_(is_held, pc.invert(same))


def _conflicting(rows: pa.Table, *, name: str, now: datetime) -> pa.Table:
    words = "" if name in KEYS else f"{' and '.join(key_of(name))} is in the lake with other values"
    return keep_back(rows, reasons=pa.repeat(pa.scalar(words), rows.num_rows), name=name, at=now)


def _store(home: Platform, rows: pa.Table, *, name: str) -> tuple[str, ...]:
    if not rows.num_rows:
        return ()
    if name in KEYS:
        merge(home, name, rows)
        return ()
    return tuple(day.isoformat() for day in rebuild(home.lake, name, rows).days)


def _ids(rows: pa.Table) -> pa.Array:
    """Return the id that each row has in the quarantine, in the order of the rows."""
    return row_ids(rows).combine_chunks()


def _marks(ids: pa.ChunkedArray | pa.Array, outcome: str) -> dict[str, str]:
    return dict.fromkeys(ids.to_pylist(), outcome)


def _digest(rows: pa.Table, corrections: Mapping[str, str]) -> str:
    text = json.dumps([sorted(rows[ROW_ID].to_pylist()), sorted(corrections.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
