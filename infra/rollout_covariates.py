"""Each user's own rate before a rollout, computed once a rollout and kept while it lasts: the judge's covariate."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.lake import Lake
from infra.lake_rates import RATE, RATES, user_rates
from recmodels.data.schema import USER_KEY
from recmodels.errors import StoreError

WINDOW: Final = timedelta(days=28)
"""How far back a user's own rate looks: four whole weeks, so that every weekday weighs the same."""


class CovariateStore:
    """Users' rates before a rollout, one Parquet file a rollout.

    The rates are those of the first look: what the lake learns later of the same window would change the covariate
    between looks, and with it a verdict that had been valid.

    Args:
        folder: Where the files lie.
        lake: What the rates are computed from.
    """

    def __init__(self, folder: Path, lake: Lake) -> None:
        self._folder = folder
        self._lake = lake

    def rates(self, rollout_id: str, *, created_at: datetime, kind: str, cap: float | None = None) -> pa.Table:
        """Return the users' rates in the 28 days before a rollout, in the schema `RATES`, sorted by user key.

        Args:
            rollout_id: The rollout.
            created_at: When it began.
            kind: Outcome that the judge sums.
            cap: Winsorising cap of one outcome, as the judge has it.

        Raises:
            StoreError: The lake or the kept file is damaged.
        """
        path = self._path(rollout_id)
        if path.exists():
            return _read(path)
        table = user_rates(self._lake, start=created_at - WINDOW, end=created_at, kind=kind, cap=cap)
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        pq.write_table(table, partial)
        partial.replace(path)
        return table

    def forget(self, rollout_id: str) -> None:
        """Remove the rates of a rollout that is over; they are about people."""
        self._path(rollout_id).unlink(missing_ok=True)

    def _path(self, rollout_id: str) -> Path:
        return self._folder / f"{quote(rollout_id, safe='')}.parquet"


def align(rates: pa.Table, user_keys: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return the rate of each user, (n,); NaN for a user without one.

    Args:
        rates: Rows in the schema `RATES`, sorted by user key.
        user_keys: The users, (n,).
    """
    known = np.asarray(rates[USER_KEY].to_pylist(), dtype=np.str_)
    if not known.size or not user_keys.size:
        return np.full(user_keys.shape, np.nan)
    values = rates[RATE].to_numpy()
    places = np.minimum(np.searchsorted(known, user_keys), known.size - 1)
    return np.where(known[places] == user_keys, values[places], np.nan)


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, schema=RATES)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{path}, the users' rates before a rollout, cannot be read ({error}). Remove it: it is computed again."
        ) from error
