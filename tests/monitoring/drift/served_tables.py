"""Impressions and outcomes for the tests of what was served: seeded, in the contract's schemas."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.data import schema

MICROSECONDS_A_DAY = 86_400_000_000
START_DAY = 20_000
SLATE = 5


def serve(
    *,
    days: int,
    lists: int = 120,
    seed: int = 0,
    score_shift: NDArray[np.float64] | None = None,
    click_factor: NDArray[np.float64] | None = None,
    item_shift: NDArray[np.int64] | None = None,
    version: NDArray[np.int64] | None = None,
    fallback: NDArray[np.float64] | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Return what `lists` requests of five items a day showed, and its clicks; a click's chance is the score.

    Every argument from `score_shift` on holds one value a day: what is added to scores, what click chances are
    multiplied by, by how many places the items shown are turned, the model's version, the share of fallbacks.
    """
    rng = np.random.default_rng(seed)
    requests = days * lists
    day = np.repeat(np.arange(days), lists)
    stamp = (START_DAY + day) * MICROSECONDS_A_DAY + np.sort(rng.integers(MICROSECONDS_A_DAY // 2, size=requests))
    size = requests * SLATE
    of = np.repeat(np.arange(requests), SLATE)
    weights = 1 / np.arange(3, 63)
    item = np.argsort(-np.log(weights) - rng.gumbel(size=(requests, 60)), axis=1)[:, :SLATE].ravel()  # all different
    item = (item + (0 if item_shift is None else item_shift[day[of]])) % 60
    truth = np.clip(rng.beta(2, 8, size), 0.01, 0.9)
    score = truth + (0 if score_shift is None else score_shift[day[of]])
    is_hit = rng.random(size) < truth * (1 if click_factor is None else click_factor[day[of]])
    is_fallback = (rng.random(requests) < (0 if fallback is None else fallback[day]))[of]
    versions = np.ones(days, np.int64) if version is None else version
    columns = {
        schema.REQUEST_ID: np.char.add("r", of.astype(str)).tolist(),
        schema.TIMESTAMP: pa.array(stamp[of], pa.timestamp("us", tz="UTC")),
        schema.USER_KEY: np.char.add("u", rng.integers(50, size=requests)[of].astype(str)).tolist(),
        schema.SURFACE: np.where(rng.random(requests)[of] < 0.7, "video", "live").tolist(),
        schema.MODEL_VERSION: versions[day[of]].astype(str).tolist(),
        schema.ARM: ["rest"] * size,
        schema.POSITION: np.tile(np.arange(SLATE, dtype=np.int32), requests),
        schema.ITEM_ID: np.char.add("i", item.astype(str)).tolist(),
        schema.SCORE: np.where(is_fallback, np.nan, score),
        schema.PROPENSITY: np.ones(size),
        schema.IS_FALLBACK: is_fallback,
        schema.LATENCY_SECONDS: rng.lognormal(-6, 0.3, requests)[of],
        schema.ORIGIN: ["event"] * size,
    }
    impressions = in_schema(columns, schema.IMPRESSIONS, size)
    hits = np.flatnonzero(is_hit)
    outcomes = in_schema(
        {
            schema.EVENT_ID: np.char.add("e", hits.astype(str)).tolist(),
            schema.REQUEST_ID: impressions[schema.REQUEST_ID].take(hits),
            schema.ITEM_ID: impressions[schema.ITEM_ID].take(hits),
            schema.KIND: [schema.CLICKED] * len(hits),
            schema.VALUE: np.ones(len(hits)),
            schema.TIMESTAMP: pa.array(stamp[of[hits]] + 60_000_000, pa.timestamp("us", tz="UTC")),
        },
        schema.OUTCOMES,
        len(hits),
    )
    return impressions, outcomes


def in_schema(columns: dict[str, object], target: pa.Schema, size: int) -> pa.Table:
    arrays = [
        _column(columns[field.name], field.type) if field.name in columns else pa.nulls(size, field.type)
        for field in target
    ]
    return pa.table(arrays, schema=target)


def _column(values: object, kind: pa.DataType) -> pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray):
        return values
    return pa.chunked_array([values if isinstance(values, pa.Array) else pa.array(values, kind)])
