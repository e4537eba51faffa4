"""The evaluation of a bundle, through the very path that serves it: lists, then users, then the mean over users."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.data.histories import Histories
from recmodels.data.schema import CATEGORY, SAFETY, USER_ID
from recmodels.data.splits import Queries
from recmodels.data.vocabulary import FIRST_ITEM, PADDING, UNKNOWN, Vocabulary
from recmodels.evaluation import metrics
from recmodels.evaluation.bootstrap import Interval, bootstrap_means, percentile_interval
from recmodels.evaluation.exposure import Catalogue, Lists, calibration, measure_exposure
from recmodels.evaluation.fairness import Draws, Measured
from recmodels.evaluation.gaps import group_gaps, with_gaps
from recmodels.evaluation.record import SLICE, Evaluation
from recmodels.evaluation.slices import slices_of
from recmodels.ranker import Moment, Ranker
from recmodels.recipe import EvaluationConfig
from recmodels.reranking.facts import vectors_of

__all__ = ["Evaluation", "Interval", "evaluate", "translate"]

_BATCH = 256


def evaluate(
    ranker: Ranker,
    queries: Queries,
    *,
    config: EvaluationConfig,
    seed: int,
    vocabulary: Vocabulary | None = None,
    blocked: Collection[str] = (),
    since: datetime | None = None,
    groups: Mapping[str, NDArray[np.str_]] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure a bundle on queries.

    Args:
        ranker: The bundle, as it would serve.
        queries: Histories and targets; at least one query.
        config: Which list lengths, whether seen items are removed, and how intervals are made.
        seed: Fixes the bootstrap.
        vocabulary: The vocabulary that the indices of `queries` belong to. It is needed whenever it is not known to be
            the bundle's own, as with a champion of an earlier snapshot: items travel by raw id, and one that the
            bundle does not know becomes a miss. None means that it is the bundle's own.
        blocked: Ids that may not be shown by what is known today. Those that the bundle itself calls blocked are
            filtered; one that it does not know to be blocked may be listed, and is counted.
        since: Judge the users whose history lies mainly before this time as a slice of their own, as is done for a warm
            start and for the champion that it is compared with.
        groups: ``(Q,)`` group of each query's user by kind, such as an attribute; each becomes slices and a gap.
        on_progress: Told after each batch how many queries of how many are ranked.

    Raises:
        ValueError: There is no query, a query has no target, or an index is outside the vocabulary.
    """
    if len(queries) == 0:
        raise ValueError("there is no query to evaluate on; choose a longer test part.")
    bundle = ranker.bundle
    asked = queries if vocabulary is None else translate(queries, source=vocabulary, target=bundle.vocabulary)
    _check_indices(asked, bundle.vocabulary.size)
    ranked = _rank_all(ranker, asked, config, on_progress)
    users = _Users.of(queries.user_ids)
    variety = _variety(ranked.lists, asked.histories, bundle, config)
    values = metrics.accuracy_metrics(ranked.lists, asked.targets, top_ks=config.top_ks) | variety
    per_user = users.means(values)
    sliced = [
        (part.name, len(part.rows), _slice_table(ranked.lists, part.rows, part.targets, variety, users, config))
        for part in slices_of(asked, bundle.item_counts, since=since, groups=groups)
    ]
    counts = {k: metrics.count_recommended(ranked.lists, k=k, size=bundle.vocabulary.size) for k in config.top_ks}
    spread = {f"coverage_at_{k}": metrics.coverage(counts[k]) for k in counts}
    spread |= {f"gini_at_{k}": metrics.gini(counts[k]) for k in counts}
    fair = _fairness(
        ranked.lists, asked.histories, bundle, users, {name: part for name, _, part in sliced}, config, seed
    )
    return Evaluation(
        metrics=_column_means(per_user) | spread | fair.metrics,
        intervals=_intervals(per_user, config, seed) | fair.intervals,
        per_user=per_user,
        slices={
            name: _column_means(table) | {"num_users": float(table.num_rows), "num_queries": float(size)}
            for name, size, table in sliced
        },
        per_user_slices=_stack(sliced, like=per_user),
        chance=_column_means(users.means(_chance(asked, ranked, config))),
        num_users=len(users.ids),
        num_queries=len(queries),
        missing_target_share=float((asked.targets.flat().items == UNKNOWN).mean()),
        blocked_shown=int(_blocked(bundle, also=blocked)[ranked.lists].sum()),
        non_finite=int(ranked.non_finite.sum()),
        recommended_counts=counts[min(counts)],
        queries_digest=_digest(queries, remove_seen=config.remove_seen),
        num_candidates=bundle.vocabulary.size - FIRST_ITEM,
        fairness=fair.fairness,
    )


def moments_of(queries: Queries, rows: NDArray[np.int64]) -> list[Moment]:
    """Return when and where some queries were asked: what is known of them beside their histories."""
    targets = queries.targets
    nows = targets.timestamps[targets.starts[rows]].tolist()
    has_times = not queries.is_order_only
    surfaces = queries.surfaces[rows].tolist()
    return [Moment(now, has_times, surface) for now, surface in zip(nows, surfaces, strict=True)]


def translate(queries: Queries, *, source: Vocabulary, target: Vocabulary) -> Queries:
    """Return the queries with the indices of another vocabulary; an item that it does not know becomes `UNKNOWN`."""
    table = np.concatenate([np.array([PADDING, UNKNOWN], dtype=np.int32), target.encode(source.ids)])
    histories = replace(queries.histories, items=table[queries.histories.items])
    return replace(queries, histories=histories, targets=replace(queries.targets, items=table[queries.targets.items]))


@dataclass(frozen=True, eq=False)
class _Ranked:
    lists: NDArray[np.int32]  # (Q, K)
    non_finite: NDArray[np.bool_]  # (Q,)
    num_candidates: NDArray[np.int64]  # (Q,) items that may be shown
    reachable: NDArray[np.int64]  # (Q,) targets among them


@dataclass(frozen=True, eq=False)
class _Users:
    ids: NDArray[np.str_]  # (U,) distinct, sorted
    rows: NDArray[np.int64]  # (Q,) user number of each query

    @classmethod
    def of(cls, user_ids: NDArray[np.str_]) -> "_Users":
        ids, rows = np.unique(user_ids, return_inverse=True)
        return cls(ids, rows)

    def take(self, queries: NDArray[np.int64]) -> "_Users":
        """Return the users of some queries."""
        numbers, rows = np.unique(self.rows[queries], return_inverse=True)
        return _Users(self.ids[numbers], rows)

    def means(self, values: Mapping[str, NDArray[np.float64]]) -> pa.Table:
        """Return the mean over each user's queries, NaN left out; one row a user, one column a metric."""
        columns = {USER_ID: pa.array(self.ids.tolist(), pa.string())}
        for name, column in values.items():
            present = np.isfinite(column)
            sums = np.bincount(self.rows, weights=np.where(present, column, 0.0), minlength=len(self.ids))
            counts = np.bincount(self.rows, weights=present, minlength=len(self.ids))
            columns[name] = pa.array(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
        return pa.table(columns)


def _rank_all(
    ranker: Ranker, queries: Queries, config: EvaluationConfig, on_progress: Callable[[int, int], None] | None
) -> _Ranked:
    """Rank in batches of histories of similar length, so that little is padded."""
    total = len(queries)
    allowed = ~_blocked(ranker.bundle)
    allowed[:FIRST_ITEM] = False
    lists = np.zeros((total, max(config.top_ks)), dtype=np.int32)
    non_finite = np.zeros(total, dtype=np.bool_)
    candidates, reachable = np.zeros(total, dtype=np.int64), np.zeros(total, dtype=np.int64)
    order = np.argsort(queries.histories.lengths, kind="stable")
    for start in range(0, total, _BATCH):
        rows = order[start : start + _BATCH]
        histories, targets = queries.histories.take(rows), queries.targets.take(rows)
        top = ranker.top_k(
            histories, k=lists.shape[1], remove_seen=config.remove_seen, moments=moments_of(queries, rows)
        )
        lists[rows], non_finite[rows] = top.items, top.non_finite
        showable = np.repeat(allowed[None, :], len(rows), axis=0)  # (b, V)
        if config.remove_seen:
            showable[*histories.flat()] = False
        candidates[rows] = showable.sum(axis=1)
        reachable[rows] = (_marks(targets, len(allowed)) & showable).sum(axis=1)
        if on_progress is not None:
            on_progress(min(start + _BATCH, total), total)
    return _Ranked(lists, non_finite, candidates, reachable)


def _marks(rows: Histories, size: int) -> NDArray[np.bool_]:
    marks = np.zeros((len(rows), size), dtype=np.bool_)
    marks[*rows.flat()] = True
    return marks


def _variety(
    lists: NDArray[np.int32], histories: Histories, bundle: Bundle, config: EvaluationConfig
) -> dict[str, NDArray[np.float64]]:
    bits = metrics.category_bits(bundle.items[CATEGORY].to_pylist())
    values = {f"novelty_at_{k}": metrics.novelty(lists, bundle.item_counts, k=k) for k in config.top_ks}
    values |= {f"diversity_at_{k}": metrics.diversity(lists, bits, k=k) for k in config.top_ks if k > 1}
    catalogue = Catalogue(bundle.items, bundle.item_counts)
    values |= calibration(Lists(lists, histories), catalogue, top_ks=config.top_ks)
    vectors = vectors_of(bundle)
    if vectors is None:
        return values
    return values | {f"distance_at_{k}": metrics.distance(lists, vectors, k=k) for k in config.top_ks if k > 1}


def _fairness(
    lists: NDArray[np.int32],
    histories: Histories,
    bundle: Bundle,
    users: _Users,
    slices: Mapping[str, pa.Table],
    config: EvaluationConfig,
    seed: int,
) -> Measured:
    draws = Draws(config.bootstrap_samples, config.confidence, seed)
    catalogue = Catalogue(bundle.items, bundle.item_counts)
    shown = measure_exposure(Lists(lists, histories), catalogue, users.means, top_ks=config.top_ks, draws=draws)
    return with_gaps(shown, group_gaps(slices, f"ndcg_at_{min(config.top_ks)}", draws))


def _slice_table(
    lists: NDArray[np.int32],
    rows: NDArray[np.int64],
    targets: Histories,
    variety: Mapping[str, NDArray[np.float64]],
    users: _Users,
    config: EvaluationConfig,
) -> pa.Table:
    values = metrics.accuracy_metrics(lists[rows], targets, top_ks=config.top_ks)
    return users.take(rows).means(values | {name: column[rows] for name, column in variety.items()})


def _chance(queries: Queries, ranked: _Ranked, config: EvaluationConfig) -> dict[str, NDArray[np.float64]]:
    num_targets = metrics.judge_lists(ranked.lists[:, :1], queries.targets).num_targets
    values: dict[str, NDArray[np.float64]] = {}
    for k in config.top_ks:
        values |= metrics.chance_metrics(ranked.num_candidates, ranked.reachable, num_targets, k=k)
    return values


def _intervals(per_user: pa.Table, config: EvaluationConfig, seed: int) -> dict[str, Interval]:
    names = list(_column_means(per_user))
    values = np.stack([per_user[name].to_numpy() for name in names], axis=1)
    means = bootstrap_means(values, samples=config.bootstrap_samples, seed=seed)
    return {
        name: percentile_interval(means[:, column], confidence=config.confidence) for column, name in enumerate(names)
    }


def _column_means(per_user: pa.Table) -> dict[str, float]:
    """Return the mean of every metric over the users who have a value; a metric that nobody has is left out."""
    means: dict[str, float] = {}
    for name in per_user.column_names[1:]:
        values = per_user[name].to_numpy()
        present = np.isfinite(values)
        if present.any():
            means[name] = float(values[present].mean())
    return means


def _stack(sliced: list[tuple[str, int, pa.Table]], *, like: pa.Table) -> pa.Table:
    schema = pa.schema([pa.field(SLICE, pa.string()), *like.schema])
    tables = [
        table.add_column(0, SLICE, pa.array([name] * table.num_rows, pa.string()))
        for name, _, table in sorted(sliced, key=lambda part: part[0])
    ]
    return pa.concat_tables([schema.empty_table(), *tables])


def _blocked(bundle: Bundle, *, also: Collection[str] = ()) -> NDArray[np.bool_]:
    safety = np.array(bundle.items[SAFETY].to_pylist(), dtype=np.str_)
    is_blocked = np.concatenate([np.zeros(FIRST_ITEM, dtype=np.bool_), safety == "blocked"])
    is_blocked[bundle.vocabulary.encode(list(also))] = True
    is_blocked[:FIRST_ITEM] = False  # where ids end up that the bundle does not know
    return is_blocked


def _check_indices(queries: Queries, size: int) -> None:
    largest = max(int(events.flat().items.max(initial=0)) for events in (queries.histories, queries.targets))
    if largest >= size:
        raise ValueError(
            f"the queries name item index {largest}, but the bundle's catalogue ends at {size - 1}. "
            "Give evaluate the vocabulary that the queries were encoded with."
        )


def _digest(queries: Queries, *, remove_seen: bool) -> str:
    targets = queries.targets.compact()
    digest = hashlib.sha256(b"seen items removed" if remove_seen else b"seen items kept")
    digest.update("\0".join(queries.user_ids.tolist()).encode())
    digest.update(targets.lengths.astype("<i8").tobytes())
    digest.update(targets.timestamps.astype("<i8").tobytes())
    return digest.hexdigest()
