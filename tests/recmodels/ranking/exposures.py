"""Exposures of a small planted world, in which what a person saw before says what they click next."""

import numpy as np

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.ranking.examples import Examples, FeatureSpec

TOPICS = 6
SPEC = FeatureSpec(
    categorical=("topic", "hour"),
    cardinalities=(TOPICS + 1, 25),
    numeric=("quality", "age", "noise"),
    surfaces=("other", "video", "live", "search"),
    tasks=("clicked", "long_viewed", "liked"),
    num_items=FIRST_ITEM + 10 * TOPICS,
    max_history=8,
    query_buckets=TOPICS,
    max_query=2,
)
SECOND = 1_000_000


def exposures(count: int, *, seed: int = 0, spec: FeatureSpec = SPEC) -> Examples:
    """Return `count` exposures; item i is of topic (i - 2) % 6, and a person's history is of their favourite topic."""
    rng = np.random.default_rng(seed)
    favourites, others = rng.integers(0, TOPICS, (2, count))
    topics = np.where(rng.random(count) < 0.5, favourites, others)
    items = (FIRST_ITEM + topics + TOPICS * rng.integers(0, 10, count)).astype(np.int32)
    lengths = rng.integers(0, spec.max_history + 1, count)
    rows = [
        (FIRST_ITEM + f + TOPICS * rng.integers(0, 10, n)).tolist() for f, n in zip(favourites, lengths, strict=True)
    ]
    surfaces = rng.integers(1, len(spec.surfaces), count).astype(np.int32)
    quality = rng.normal(size=count)
    wanted = np.where(rng.random(count) < 0.5, topics, others)
    is_liked_topic = np.where(surfaces == 3, topics == wanted, (topics == favourites) & (lengths > 0))
    odds = 4.0 * is_liked_topic + 0.8 * quality * np.where(surfaces == 2, -1, 1) - 2
    clicked = rng.random(count) < 1 / (1 + np.exp(-odds))
    duration = np.exp(rng.normal(3, 0.7, count))
    watch = clicked * duration * rng.beta(2, 2, count)
    liked = (clicked & (rng.random(count) < 0.3)).astype(np.float32)
    liked[rng.random(count) < 0.2] = np.nan
    labels = np.stack([clicked, watch > 10, liked], axis=1).astype(np.float32)
    queries = np.where(surfaces[:, None] == 3, np.stack([wanted + 1, np.zeros(count)], axis=1), 0)
    return Examples(
        spec=spec,
        items=items,
        histories=Histories.from_lists(rows),
        categorical=np.stack([topics + 1, rng.integers(1, 25, count)], axis=1).astype(np.int32),
        numeric=np.stack([quality, rng.normal(size=count), rng.normal(size=count)], axis=1).astype(np.float32),
        surfaces=surfaces,
        users=favourites.astype(np.int32),
        timestamps=np.arange(count, dtype=np.int64) * SECOND,
        labels=labels,
        watch_seconds=watch.astype(np.float32),
        duration_seconds=duration.astype(np.float32),
        queries=queries.astype(np.int32) if spec.max_query else None,
    )
