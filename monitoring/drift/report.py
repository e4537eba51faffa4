"""The report a person opens: reference beside current, column by column, drawn by Evidently from a sample.

The decision is not made here: at a day's size Evidently's tests alarm on almost every stable day (see `judge`).
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.drift.workspace import Label, keep, quiet, run_report
from recmodels.data import schema
from recmodels.errors import DataError

_NUMBERS = (schema.RATING, schema.WATCH_SECONDS, schema.DURATION_SECONDS)
_NAMES = (schema.SURFACE, *schema.FEEDBACK_COLUMNS)
_POPULARITY = "popularity_of_item"
_HOUR = "hour_utc"
_BUCKETS = ("top 1 %", "top 20 %", "others", "unseen")


def write_report(
    reference: pa.Table,
    current: pa.Table,
    path: Path,
    *,
    items: pa.Table | None = None,
    sample: int = 50_000,
    seed: int = 0,
    workspace: Path | None = None,
    label: Label | None = None,
) -> str:
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
        label: Time and model version of the report within the workspace.

    Returns:
        Number of the project in the workspace; empty without one.

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
    return _draw(frames[0][columns], frames[1][columns], path, workspace=workspace, label=label)


def _draw(
    reference: pd.DataFrame, current: pd.DataFrame, path: Path, *, workspace: Path | None, label: Label | None
) -> str:
    with quiet():
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        numbers = [name for name in reference if pd.api.types.is_float_dtype(reference[name])]
        names = [name for name in reference if name not in numbers]
        definition = DataDefinition(numerical_columns=numbers, categorical_columns=names)
        before, after = (Dataset.from_pandas(frame, data_definition=definition) for frame in (reference, current))
        report = Report([DataDriftPreset()], include_tests=False)
        snapshot = run_report(report, after, before, name="data drift", label=label)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            partial = Path(folder) / path.name
            snapshot.save_html(str(partial))
            partial.replace(path)
        return "" if workspace is None else keep(snapshot, workspace)


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
