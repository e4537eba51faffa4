"""The report a person opens: reference beside current, column by column, drawn by Evidently from a sample.

The decision is not made here: at a day's size Evidently's tests alarm on almost every stable day (see `judge`).
"""

import tempfile
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data import schema
from recmodels.errors import DataError

_NUMBERS = (schema.RATING, schema.WATCH_SECONDS, schema.DURATION_SECONDS)
_NAMES = (schema.SURFACE, *schema.FEEDBACK_COLUMNS)
_POPULARITY = "popularity_of_item"
_HOUR = "hour_utc"
_BUCKETS = ("top 1 %", "top 20 %", "others", "unseen")
_PROJECT = "everfeed drift"
_KNOWN_WARNINGS = (
    r"numpy\.core is deprecated",  # Evidently 0.7.23 imports it; goes with a newer Evidently
    r"Use of deprecated class 'DependencyKwarg'",  # and declares its own web server so
    r"Call to deprecated function 'Dependency'",
    r"invalid value encountered in divide",  # it correlates columns that are constant
)


def write_report(
    reference: pa.Table,
    current: pa.Table,
    path: Path,
    *,
    items: pa.Table | None = None,
    sample: int = 50_000,
    seed: int = 0,
    workspace: Path | None = None,
    as_of: datetime | None = None,
) -> Path:
    """Write Evidently's data drift report of two windows as one HTML file.

    Items appear as popularity buckets of the reference and, where `items` is given, as their main category; users and
    raw ids do not appear.

    Args:
        reference: Past events, in the schema `INTERACTIONS`.
        current: Newer events.
        path: File to write; the folder is made, and the file appears whole or not at all.
        items: Rows in the schema `ITEMS`.
        sample: At most this many rows of each window are drawn from.
        seed: Which rows.
        workspace: Folder of an Evidently workspace that the report is added to as well.
        as_of: Time of the report within the workspace.

    Returns:
        `path`.

    Raises:
        DataError: A window is empty, or they have no column in common that can be drawn.
    """
    for name, table in (("reference", reference), ("current", current)):
        if table.num_rows == 0:
            raise DataError(
                f"the {name} window has no rows, so there is nothing to draw. Choose one that holds events."
            )
    drawn = [_sampled(table, sample, seed) for table in (reference, current)]
    frames = [_frame(table, reference, items) for table in drawn]
    columns = [name for name in frames[0] if all(frame[name].notna().any() for frame in frames)]
    if not columns:
        raise DataError("the two windows have no column with values in common. Compare windows of one data set.")
    _draw(frames[0][columns], frames[1][columns], path, workspace=workspace, as_of=as_of)
    return path


def _draw(
    reference: pd.DataFrame, current: pd.DataFrame, path: Path, *, workspace: Path | None, as_of: datetime | None
) -> None:
    with warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message)
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
        from evidently.ui.workspace import Workspace

        numbers = [name for name in reference if pd.api.types.is_float_dtype(reference[name])]
        names = [name for name in reference if name not in numbers]
        definition = DataDefinition(numerical_columns=numbers, categorical_columns=names)
        before, after = (Dataset.from_pandas(frame, data_definition=definition) for frame in (reference, current))
        snapshot = Report([DataDriftPreset()], include_tests=False).run(after, before, timestamp=as_of)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            partial = Path(folder) / path.name
            snapshot.save_html(str(partial))
            partial.replace(path)
        if workspace is not None:
            opened = Workspace.create(str(workspace))
            known = opened.search_project(_PROJECT)
            opened.add_run((known[0] if known else opened.create_project(_PROJECT)).id, snapshot)


def _sampled(table: pa.Table, sample: int, seed: int) -> pa.Table:
    if table.num_rows <= sample:
        return table
    rows = np.random.default_rng(seed).choice(table.num_rows, size=sample, replace=False)
    return table.take(pa.array(np.sort(rows)))


def _frame(table: pa.Table, reference: pa.Table, items: pa.Table | None) -> pd.DataFrame:
    """Return one row an event with the columns that are drawn: numbers as floats, names as strings, null as missing."""
    columns: dict[str, object] = {
        name: pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False)
        for name in _NUMBERS
        if name in table.column_names
    }
    columns[_HOUR] = pc.cast(pc.hour(table[schema.TIMESTAMP]), pa.float64()).to_numpy(zero_copy_only=False)
    for name in _NAMES:
        if name in table.column_names:
            columns[name] = pc.cast(table[name], pa.string()).to_pylist()
    columns[_POPULARITY] = _popularity(table, reference)
    if items is not None:
        columns[schema.CATEGORY] = _categories(table, items)
    return pd.DataFrame(columns)


def _popularity(table: pa.Table, reference: pa.Table) -> NDArray[np.object_]:
    """Return the popularity bucket of each event's item by its count in the reference."""
    counted = reference.group_by(schema.ITEM_ID).aggregate([(schema.ITEM_ID, "count")])
    counts = counted[f"{schema.ITEM_ID}_count"].to_numpy()
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    edges = (max(1, len(counts) // 100), max(1, len(counts) // 5))
    bucket = np.append(np.searchsorted(edges, rank, side="right"), len(_BUCKETS) - 1)
    place = pc.fill_null(pc.index_in(table[schema.ITEM_ID], value_set=counted[schema.ITEM_ID].combine_chunks()), -1)
    named: NDArray[np.object_] = np.asarray(_BUCKETS, dtype=object)[bucket[place.to_numpy()]]
    return named


def _categories(table: pa.Table, items: pa.Table) -> NDArray[np.object_]:
    """Return the main category of each event's item; None where it has none."""
    place = pc.index_in(table[schema.ITEM_ID], value_set=items[schema.ITEM_ID].combine_chunks())
    main = pc.list_element(pc.split_pattern(pc.fill_null(items[schema.CATEGORY], ""), "|"), 0)
    return np.asarray(main.take(place).to_pylist(), dtype=object)
