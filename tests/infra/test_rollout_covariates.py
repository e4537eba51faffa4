"""Users' rates before a rollout: computed once, kept while it lasts, and laid beside the judge's users."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.lake import Lake
from infra.lake_rates import RATES
from infra.rollout_covariates import WINDOW, CovariateStore, align
from recmodels.data.schema import IMPRESSIONS, OUTCOMES
from recmodels.errors import StoreError
from tests.infra.test_lake_rates import _outcome, _shown

CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(str(tmp_path / "lake"))
    rows = [*_shown("r1", "u1", "ab", at=CREATED - WINDOW), *_shown("r0", "u0", "a", at=CREATED - WINDOW - HOUR)]
    made.append("impressions", pa.Table.from_pylist(rows, schema=IMPRESSIONS))
    clicks = [_outcome("r1", "a", 1.0, at=CREATED - HOUR)]
    made.append("outcomes", pa.Table.from_pylist(clicks, schema=OUTCOMES))
    return made


@pytest.fixture
def store(tmp_path: Path, lake: Lake) -> CovariateStore:
    return CovariateStore(tmp_path / "covariates", lake)


def _rates(store: CovariateStore) -> dict[str, float]:
    table = store.rates("ease-1/2", created_at=CREATED, kind="clicked")
    return dict(zip(table["user_key"].to_pylist(), table["rate"].to_pylist(), strict=True))


def test_rates_are_of_the_four_weeks_before_the_rollout(store: CovariateStore) -> None:
    assert _rates(store) == {"u1": 0.5}


def test_rates_stay_those_of_the_first_look_when_the_lake_learns_more(store: CovariateStore, lake: Lake) -> None:
    before = _rates(store)
    late = _shown("r2", "u2", "a", at=CREATED - HOUR)
    lake.append("impressions", pa.Table.from_pylist(late, schema=IMPRESSIONS))
    assert _rates(store) == before
    store.forget("ease-1/2")
    assert _rates(store) == {"u1": 0.5, "u2": 0.0}


def test_no_partial_file_is_left_and_forgetting_twice_is_fine(store: CovariateStore, tmp_path: Path) -> None:
    _rates(store)
    assert [path.name for path in (tmp_path / "covariates").iterdir()] == ["ease-1%2F2.parquet"]
    store.forget("ease-1/2")
    store.forget("ease-1/2")
    assert list((tmp_path / "covariates").iterdir()) == []


def test_a_damaged_file_is_refused_with_what_to_do(store: CovariateStore, tmp_path: Path) -> None:
    _rates(store)
    (tmp_path / "covariates" / "ease-1%2F2.parquet").write_bytes(b"nonsense")
    with pytest.raises(StoreError, match="Remove it: it is computed again"):
        _rates(store)


def test_users_without_a_past_have_no_rate_when_rates_are_laid_beside_them() -> None:
    rates = pa.table({"user_key": ["b", "d"], "rate": [0.25, 0.5]}, schema=RATES)
    found = align(rates, np.array(["a", "b", "c", "d", "e"]))
    np.testing.assert_array_equal(found, [np.nan, 0.25, np.nan, 0.5, np.nan])
    assert np.isnan(align(RATES.empty_table(), np.array(["a", "b"]))).all()
    assert align(rates, np.empty(0, dtype=np.str_)).shape == (0,)
