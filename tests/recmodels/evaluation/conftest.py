"""A catalogue of six films and evaluations with known values, for every test of the evaluation package."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recmodels.bundle import load_bundle, write_bundle
from recmodels.data.histories import Histories
from recmodels.data.schema import CATEGORY, ITEM_ID, ITEMS, SAFETY, USER_ID
from recmodels.data.splits import Queries
from recmodels.data.vocabulary import Vocabulary
from recmodels.evaluation.bootstrap import Interval
from recmodels.evaluation.record import SLICE, Evaluation
from recmodels.ranker import Ranker
from recmodels.recipe import Recipe, parse_recipe
from recmodels.scorers import Scorer, StaticScorer

FILMS = ("a", "b", "c", "d", "e", "f")  # indices 2 to 7
GENRES = ("comedy", "comedy|drama", "drama", "war", None, "comedy")
COUNTS = (0, 0, 32, 16, 8, 4, 2, 0)  # of indices 0 to 7


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe({"name": "films", "model": {"name": "popularity"}})


@pytest.fixture
def make_ranker(tmp_path: Path, recipe: Recipe) -> Callable[..., Ranker]:
    def make(
        scores: Sequence[float] | Scorer,
        *,
        ids: Sequence[str] = FILMS,
        counts: Sequence[int] = COUNTS,
        blocked: Sequence[str] = (),
    ) -> Ranker:
        genres = dict(zip(FILMS, GENRES, strict=True))
        rows = {
            ITEM_ID: list(ids),
            CATEGORY: [genres.get(raw) for raw in ids],
            SAFETY: ["blocked" if raw in blocked else "ok" for raw in ids],
        }
        scorer = scores if not isinstance(scores, Sequence) else StaticScorer(np.array([0, 0, *scores], np.float32))
        digest = write_bundle(
            tmp_path,
            scorer=scorer,
            vocabulary=Vocabulary(np.array(ids)),
            items=pa.table(
                {field.name: pa.array(rows.get(field.name, [None] * len(ids)), field.type) for field in ITEMS}
            ),
            item_counts=np.array(counts, dtype=np.int64),
            recipe=recipe,
            snapshot="5eed",
            trained_until=datetime(2026, 1, 1, tzinfo=UTC),
            metrics={"ndcg_at_10": 0.5},
        )
        return Ranker(load_bundle(tmp_path, digest))

    return make


@pytest.fixture
def queries() -> Queries:
    """Ann asks twice and Bob once; Bob is new, and one of his two targets is outside the catalogue."""
    return Queries(
        histories=Histories.from_lists([[2], [2, 3], []]),
        targets=Histories.from_lists([[3], [5, 7], [4, 1]]),
        user_ids=np.array(["ann", "ann", "bob"]),
        surfaces=np.array(["video", "search", "video"]),
        is_new_user=np.array([False, False, True]),
    )


@pytest.fixture
def make_evaluation() -> Callable[..., Evaluation]:
    def make(
        values: dict[str, float] | Sequence[float] = (0.2, 0.4),
        *,
        slices: dict[str, dict[str, float]] | None = None,
        queries_digest: str = "same",
        **fields: object,
    ) -> Evaluation:
        by_user = values if isinstance(values, dict) else {f"u{n:04}": value for n, value in enumerate(values)}
        parts = slices or {}
        mean = float(np.mean(list(by_user.values()))) if by_user else 0.0
        known: dict[str, object] = {
            "metrics": {"ndcg_at_10": mean, "recall_at_10": mean, "coverage_at_10": 0.5, "gini_at_10": 0.6},
            "intervals": {"ndcg_at_10": Interval(mean - 0.01, mean + 0.01), "recall_at_10": Interval(mean, mean)},
            "per_user": _table(by_user),
            "slices": {name: {"ndcg_at_10": 0.1, "num_users": float(len(part))} for name, part in parts.items()},
            "per_user_slices": pa.concat_tables(
                [
                    _table({}).add_column(0, SLICE, pa.array([], pa.string())),
                    *(_table(part).add_column(0, SLICE, pa.array([name] * len(part))) for name, part in parts.items()),
                ]
            ),
            "chance": {"ndcg_at_10": 0.01, "recall_at_10": 0.01},
            "num_users": max(len(by_user), 1),
            "num_queries": 100,
            "missing_target_share": 0.125,
            "blocked_shown": 0,
            "non_finite": 0,
            "recommended_counts": np.array([0, 0, 3, 1]),
            "queries_digest": queries_digest,
            "num_candidates": 1000,
        }
        return Evaluation(**(known | fields))  # type: ignore[arg-type]

    return make


def _table(values: dict[str, float]) -> pa.Table:
    users = sorted(values)
    return pa.table(
        {USER_ID: pa.array(users, pa.string()), "ndcg_at_10": pa.array([values[u] for u in users], pa.float64())}
    )
