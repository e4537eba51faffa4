"""Reports of what was served: scores, popularity, novelty and personalisation of the lists, and where their items lie.

Evidently draws them from a sample of lists. Ranks are judged by our own metrics, since Evidently 0.7.23 labels the
ranks of its NDCG and MRR from 2 on. No user and no raw item appears: a list is a number, an item its popularity rank.
"""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.drift._vectors import Anchors
from monitoring.drift.served import Served, clicked_within, shown_by_champions
from monitoring.drift.workspace import Label, keep, quiet, run_report
from recmodels.data import schema
from recmodels.errors import DataError

NEW_DAYS = 7
"""Newest days that are drawn beside those before."""
_BEFORE_DAYS = 28
_TOP_K = 10
_LEAST_LISTS = 20
_RELEVANT = "relevant"
_RANKING = ("hit", "mrr", "ndcg_shown")


def add_served_report(served: Served, workspace: Path, label: Label, *, lists: int = 2_000, seed: int = 0) -> str:
    """Add recommender metrics of the newest lists beside those of the days before.

    Args:
        served: What was shown, and what came of it.
        workspace: Folder of the workspace.
        label: Time and model version of the run.
        lists: At most this many lists of each window are drawn from.
        seed: Which.

    Returns:
        Number of the project in the workspace.

    Raises:
        DataError: A window holds fewer than 20 lists with scores.
    """
    current, reference = (_frame(one, served) for one in _windows(served, lists, seed))
    ranks = _popularity_rank(reference)
    for frame in (current, reference):
        frame[schema.ITEM_ID] = frame[schema.ITEM_ID].map(ranks).fillna("not shown before")
    with quiet():
        from evidently import DataDefinition, Dataset, Recsys, Report
        from evidently.metrics import MeanValue, Novelty, Personalization, PopularityBiasMetric, ScoreDistribution

        ranking = Recsys(
            user_id=schema.REQUEST_ID,
            item_id=schema.ITEM_ID,
            prediction=schema.SCORE,
            target=_RELEVANT,
            recommendations_type="score",
        )
        definition = DataDefinition(numerical_columns=[schema.SCORE, _RELEVANT], ranking=[ranking])
        after, before = (Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference))
        metrics = [one(k=_TOP_K) for one in (ScoreDistribution, PopularityBiasMetric, Personalization, Novelty)]
        taught = {"current_train_data": before, "reference_train_data": before}
        report = Report(metrics, include_tests=False)
        keep(run_report(report, after, before, name="served lists", label=label, additional=taught), workspace)
        columns = DataDefinition(numerical_columns=list(_RANKING))
        rated = [Dataset.from_pandas(_ranking(frame), data_definition=columns) for frame in (current, reference)]
        means = Report([MeanValue(column=name) for name in _RANKING], include_tests=False)
        return keep(run_report(means, *rated, name="ranking of served lists", label=label), workspace)


def add_embedding_report(served: Served, workspace: Path, label: Label, *, rows: int = 2_000, seed: int = 0) -> str:
    """Add the drift of the served items' vectors on fixed anchors.

    Args:
        served: What was shown; its anchors hold the vectors.
        workspace: Folder of the workspace.
        label: Time and model version of the run.
        rows: At most this many impressions of each window are drawn from.
        seed: Which.

    Returns:
        Number of the project in the workspace.

    Raises:
        DataError: There are no anchors, or a window holds fewer than 20 impressions of items that have one.
    """
    if served.anchors is None:
        raise DataError("no champion had item vectors yet, so there are no anchors to measure embeddings on.")
    current, reference = (_vectors(one, served.anchors, rows, seed) for one in _split(served))
    with quiet():
        from evidently import DataDefinition, Dataset, Report
        from evidently.legacy.metrics.data_drift.embedding_drift_methods import distance
        from evidently.metrics.embeddings import EmbeddingsDrift

        definition = DataDefinition(embeddings={"anchors": list(current)}, numerical_columns=[], categorical_columns=[])
        after, before = (Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference))
        metric = EmbeddingsDrift(embeddings_name="anchors", drift_method=distance(dist="euclidean", bootstrap=False))
        snapshot = run_report(
            Report([metric], include_tests=False), after, before, name="embeddings of served items", label=label
        )
        return keep(snapshot, workspace)


def _split(served: Served) -> tuple[pa.Table, pa.Table]:
    """Return what champions showed in the newest days, and in the days before."""
    shown = shown_by_champions(served.impressions)
    times = shown[schema.TIMESTAMP]
    middle, start = (pa.scalar(served.as_of - timedelta(days=days)) for days in (NEW_DAYS, NEW_DAYS + _BEFORE_DAYS))
    before = pc.and_(pc.less(times, middle), pc.greater_equal(times, start))
    return shown.filter(pc.greater_equal(times, middle)), shown.filter(before)


def _windows(served: Served, lists: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Return both windows with the rows of at most `lists` lists that a model scored."""
    newest, before = (_of_lists(one, lists, seed, name) for one, name in zip(_split(served), _NAMES, strict=True))
    return newest, before


_NAMES = ("newest days", "days before")


def _of_lists(table: pa.Table, lists: int, seed: int, name: str) -> pa.Table:
    scored = table.filter(pc.fill_null(pc.is_finite(table[schema.SCORE]), fill_value=False))
    ids = pc.unique(scored[schema.REQUEST_ID])
    if len(ids) < _LEAST_LISTS:
        raise DataError(f"the {name} hold {len(ids)} lists with scores; a report needs at least {_LEAST_LISTS}.")
    if len(ids) > lists:
        ids = ids.take(pa.array(np.random.default_rng(seed).choice(len(ids), size=lists, replace=False)))
    return scored.filter(pc.is_in(scored[schema.REQUEST_ID], value_set=ids))


def _frame(table: pa.Table, served: Served) -> pd.DataFrame:
    """Return one row an impression: the list's number, item, score, position, and whether it was clicked."""
    codes = table[schema.REQUEST_ID].combine_chunks().dictionary_encode().indices
    return pd.DataFrame(
        {
            schema.REQUEST_ID: codes.to_numpy(zero_copy_only=False),
            schema.ITEM_ID: table[schema.ITEM_ID].to_pylist(),
            schema.SCORE: table[schema.SCORE].to_numpy(),
            schema.POSITION: table[schema.POSITION].to_numpy(),
            _RELEVANT: clicked_within(table, served.outcomes).astype(np.int64),
        }
    )


def _popularity_rank(frame: pd.DataFrame) -> dict[str, str]:
    counted = frame[schema.ITEM_ID].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return {item: f"item {place}" for place, item in enumerate(counted.index, start=1)}


def _ranking(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a list: hit, reciprocal rank of the first click, and NDCG among what was shown.

    A list without a click counts 0 in all three.

    Source: Jarvelin and Kekalainen 2002, equation 2, with binary gains and log2(position + 2) from position 0.
    """
    gain = frame[_RELEVANT] / np.log2(frame[schema.POSITION] + 2.0)
    reciprocal = frame[_RELEVANT] / (frame[schema.POSITION] + 1.0)
    grouped = pd.DataFrame({"list": frame[schema.REQUEST_ID], "gain": gain, "mrr": reciprocal, "n": frame[_RELEVANT]})
    by_list = grouped.groupby("list").agg(gain=("gain", "sum"), mrr=("mrr", "max"), n=("n", "sum"))
    ideal = np.concatenate([[1.0], np.cumsum(1.0 / np.log2(np.arange(int(by_list["n"].max())) + 2.0))])
    count = by_list["n"].to_numpy(dtype=np.int64)
    return pd.DataFrame(
        {"hit": (count > 0).astype(float), "mrr": by_list["mrr"], "ndcg_shown": by_list["gain"] / ideal[count]}
    )


def _vectors(table: pa.Table, anchors: Anchors, rows: int, seed: int) -> pd.DataFrame:
    place: NDArray[np.int64] = pc.fill_null(
        pc.index_in(table[schema.ITEM_ID], value_set=pa.array(anchors.item_ids.tolist(), pa.string())), -1
    ).to_numpy()
    known = place[place >= 0]
    if len(known) < _LEAST_LISTS:
        raise DataError(f"a window holds {len(known)} impressions of items with a vector; at least {_LEAST_LISTS}.")
    if len(known) > rows:
        known = known[np.random.default_rng(seed).choice(len(known), size=rows, replace=False)]
    vectors = anchors.vectors[known]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"anchor_{number}" for number in range(vectors.shape[1])]
    return pd.DataFrame(vectors / np.where(lengths > 0, lengths, 1.0), columns=names)
