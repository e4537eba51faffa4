"""`everfeed canary off-policy`: a file of logged slots in, estimates or refusals out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from flows.off_policy import estimate_file
from recmodels.errors import DataError
from tests.flows.commands import Terminal

SLOTS = 4000


@pytest.fixture
def everfeed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    return Terminal(capsys, monkeypatch)


def a_log(*, share_explored: float = 1.0) -> pa.Table:
    """Four items drawn evenly; the challenger shows the first half of the time, and it alone earns something."""
    rng = np.random.default_rng(7)
    item = rng.integers(4, size=SLOTS)
    is_explored = rng.random(SLOTS) < share_explored
    return pa.table(
        {
            "user_key": [f"user-{n // 4}" for n in range(SLOTS)],
            "propensity": np.where(is_explored, 0.25, 1.0),
            "reward": (item == 0).astype(float),
            "challenger_probability": np.where(item == 0, 0.5, 1 / 6),
            "predicted_reward": (item == 0).astype(float),
            "predicted_challenger_reward": np.full(SLOTS, 0.5),
        }
    )


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_three_estimates_are_given_when_the_log_explores(tmp_path, everfeed, suffix):
    path = tmp_path / f"log.{suffix}"
    (csv.write_csv if suffix == "csv" else pq.write_table)(a_log(), path)
    found = everfeed("canary", "off-policy", str(path), "--json").document
    assert (found["slots"], found["deterministic"]) == (SLOTS, 0)
    for name in ("ips", "snips"):
        assert found["estimates"][name]["value"] == pytest.approx(0.5, abs=0.05)
    assert found["estimates"]["doubly_robust"]["value"] == pytest.approx(0.5)
    assert found["estimates"]["ips"]["overlap"]["users"] == SLOTS / 4


def test_deterministic_slots_are_left_out_and_counted(tmp_path):
    pq.write_table(a_log(share_explored=0.25), tmp_path / "log.parquet")
    found = estimate_file(tmp_path / "log.parquet")
    explored = found["estimates"]["ips"]["overlap"]["slots"]
    assert found["deterministic"] == SLOTS - explored
    assert 800 < explored < 1200
    assert found["estimates"]["ips"]["value"] == pytest.approx(0.5, abs=0.1)


def test_a_log_without_exploration_is_refused_in_words(tmp_path, everfeed):
    pq.write_table(a_log(share_explored=0.0), tmp_path / "log.parquet")
    ended = everfeed("canary", "off-policy", str(tmp_path / "log.parquet"))
    words = " ".join(ended.err.split())
    assert ended.code == 0
    assert "4,000 slots, 4,000 of propensity 1 left out" in words
    assert "snips: refused: the log holds no slot" in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log.drop_columns(["reward"]), "lacks reward; it has user_key, propensity"),
        (lambda log: log.set_column(1, "propensity", pa.array(["?"] * SLOTS)), "column 'propensity' is no number"),
        (lambda log: log.set_column(1, "propensity", pa.array([2.0] * SLOTS)), "a probability from 0 to 1"),
    ],
)
def test_a_log_is_refused_when_it_is_none(tmp_path, change, words):
    pq.write_table(change(a_log()), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=words.replace("?", r"\?")):
        estimate_file(tmp_path / "log.parquet")


def test_a_file_is_refused_when_it_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read as Parquet or CSV"):
        estimate_file(tmp_path / "nowhere.parquet")
