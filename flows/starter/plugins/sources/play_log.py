"""A source of one's own: JSON lines such as ``{"who": "u1", "what": "v7", "at": 1700000000}``, one an event.

Where your files are CSV or Parquet, the source `table` with `mapping.toml` does without any code.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json
from pydantic import BaseModel, ConfigDict, ValidationError

from recmodels.data.entities import normalise_items, normalise_users
from recmodels.data.interactions import normalise
from recmodels.data.schema import ITEM_ID, TIMESTAMP, USER_ID, Tables
from recmodels.errors import SourceError

_NAME = "play_log"


class Options(BaseModel):
    """What `--option name=value` gives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    who: str = "who"
    """Field that holds the user's id."""
    what: str = "what"
    """Field that holds the item's id."""
    at: str = "at"
    """Field that holds the seconds since 1970 (UTC)."""


def read(path: Path, **options: object) -> Tables:
    """Read one file of JSON lines into the tables of the contract.

    Raises:
        SourceError: The file is missing or no JSON, a field is missing, or an option is unknown.
        DataError: A value does not convert.
    """
    try:
        chosen = Options.model_validate(options)
        rows = pa_json.read_json(path)
    except (ValidationError, OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"source {_NAME!r}: {path} cannot be read: {error}. Give a file of JSON lines.") from error
    if missing := [name for name in (chosen.who, chosen.what, chosen.at) if name not in rows.column_names]:
        raise SourceError(f"source {_NAME!r}: {path} has no field {missing[0]!r}; it has {rows.column_names}.")
    moments = pc.multiply(rows[chosen.at].cast(pa.int64()), 1_000_000).cast(pa.timestamp("us"))
    table = pa.table({USER_ID: rows[chosen.who], ITEM_ID: rows[chosen.what], TIMESTAMP: moments})
    interactions = normalise(table, source=_NAME)
    return Tables(
        name=path.stem,
        interactions=interactions,
        items=normalise_items(None, interactions, source=_NAME),
        users=normalise_users(None, interactions, source=_NAME),
    )
