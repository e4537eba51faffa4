"""Each way of the training benchmark does what it is compared for; how fast is for the benchmark to say."""

import numpy as np
import pytest

from benchmarks.training import assembly, memory, ranking
from benchmarks.training.building import build, build_by_polars, scan
from benchmarks.training.events import Size, write_events
from benchmarks.training.measure import Cost, in_turn, ratio
from recmodels.data.histories import Histories

SIZE = Size(events=4_000, items=300, users=60)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_events(tmp_path_factory.mktemp("events"), SIZE, seed=1)


@pytest.fixture(scope="module")
def built(files, tmp_path_factory):
    return build(files, tmp_path_factory.mktemp("built") / "out", threads=1)


def test_the_same_seed_gives_the_same_events(files, tmp_path):
    assert scan(files, threads=1) == scan(write_events(tmp_path, SIZE, seed=1), threads=1)
    other = tmp_path / "other"
    other.mkdir()
    assert scan(files, threads=1) != scan(write_events(other, SIZE, seed=2), threads=1)


def test_polars_builds_histories_of_the_same_users_and_times(files, built, tmp_path):
    pytest.importorskip("polars")
    build_by_polars(files, tmp_path / "out")
    theirs = Histories.load(tmp_path / "out")
    assert len(theirs.items) == len(built.histories.items) == SIZE.events
    assert np.sort(theirs.lengths).tolist() == np.sort(built.histories.lengths).tolist()
    assert len(np.unique(theirs.items)) == len(built.vocabulary)


def test_both_ways_assemble_every_event_of_an_epoch():
    histories = assembly.random_histories(300, seed=0)
    expected = int(np.minimum(histories.lengths, assembly.LENGTH).sum())
    rows = [histories.row(number) for number in range(len(histories))]
    for batches in (assembly.epoch(histories, seed=1), assembly.epoch_by_rows(rows, seed=2)):
        assert sum(int(batch.count_nonzero()) for batch in batches) == expected


def test_the_lists_are_those_of_a_full_sort():
    world = ranking.make_world(20, 12_000, seed=0)
    assert world.lists._bundle.scorer.coarse is not None
    assert ranking.exactness(world) == 1
    ranking.product(world)


@pytest.mark.slow
def test_a_training_runs_on_mapped_histories(built, tmp_path):
    found = memory.train_a_little(built.folder, seed=0, checkpoints=tmp_path / "checkpoints")
    assert found["events"] == SIZE.events
    assert found["optimizer"] > 2 * found["table"] > 0
    assert (tmp_path / "checkpoints").exists()


def test_a_ratio_is_the_median_of_the_rounds():
    costs = {"a": [Cost(1, 1), Cost(4, 1), Cost(9, 1)], "b": [Cost(1, 1), Cost(2, 1), Cost(3, 1)]}
    assert ratio(costs, "a", "b") == 2
    order = []
    ways = {name: lambda name=name: order.append(name) or Cost(1, 1) for name in "xy"}
    assert len(in_turn(ways, rounds=2)["x"]) == 2
    assert order == ["x", "y", "x", "y"]
