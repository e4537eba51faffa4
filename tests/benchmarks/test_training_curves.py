"""What is read off a training's curve: its best, what it cost, and the share of that which ours took."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks.curves import Curve, Point, best, is_over, keep, load, seconds_to
from benchmarks.training_comparisons import figures
from benchmarks.training_peers import Record, best_unseen


def points(*values, seconds=10.0):
    return tuple(Point(number, number * seconds, value, 1.0) for number, value in enumerate(values, start=1))


def curve(library, *values, seconds, is_finished=True, loss="softmax"):
    return Curve(
        data="ml_1m",
        library=library,
        against="rectools",
        loss=loss,
        is_finished=is_finished,
        points=points(*values, seconds=seconds),
        queries=4000,
        items=3416,
        settings={},
        versions={library: "0.19.0"},
        processor="",
        command="",
        commit="",
        date="",
    )


def test_the_best_point_is_the_first_of_the_highest():
    assert best(points(0.1, 0.3, 0.2, 0.3)).epoch == 2


@pytest.mark.parametrize(("value", "seconds"), [(0.05, 10.0), (0.2, 20.0), (0.21, 30.0), (0.31, None)])
def test_a_value_costs_what_the_first_epoch_that_reaches_it_cost(value, seconds):
    assert seconds_to(points(0.1, 0.2, 0.3, 0.25), value) == seconds


@pytest.mark.parametrize(
    ("values", "is_over_now"),
    [((), False), ((0.1, 0.2), False), ((0.2, 0.1), False), ((0.2, 0.1, 0.2), True), ((0.1, 0.3, 0.2, 0.25), True)],
)
def test_training_is_over_when_two_epochs_brought_nothing_better(values, is_over_now):
    assert is_over(points(*values), patience=2) == is_over_now


@pytest.mark.parametrize(
    ("seconds", "holds", "words"),
    [(25.0, True, "1/4.0 of it"), (60.0, False, "1/1.7 of it"), (150.0, False, "1.5 times it")],
)
def test_the_target_holds_when_ours_took_at_most_half(seconds, holds, words):
    peer = curve("rectools", 0.1, 0.2, 0.15, seconds=100.0)
    (figure,) = figures([peer, curve("everfeed", 0.05, 0.2, seconds=seconds)])
    assert figure.holds is holds
    assert words in figure.measured


def test_a_best_that_ours_never_reached_is_a_failure():
    peer = curve("rectools", 0.2, seconds=100.0, is_finished=False)
    (figure,) = figures([peer, curve("everfeed", 0.05, 0.19, seconds=1.0)])
    assert (figure.measured, figure.holds) == ("not reached", False)
    assert "stopped before it ceased to improve" in figure.note


def test_a_peer_is_taken_by_the_loss_that_makes_it_best():
    worse = curve("rectools", 0.15, seconds=10.0, loss="sampled_softmax")
    better = curve("rectools", 0.1, 0.2, seconds=100.0)
    (figure,) = figures([worse, better, curve("everfeed", 0.2, seconds=50.0)])
    assert "1/4.0" in figure.measured
    assert "rectools 0.19.0, softmax: 0.2000 after 200 s" in figure.note


def test_a_peer_without_ours_has_no_line():
    assert figures([curve("rectools", 0.2, seconds=100.0)]) == []


def test_a_curve_takes_the_place_of_its_own_older_one_only(tmp_path):
    file = tmp_path / "results" / "curves.json"
    keep(curve("everfeed", 0.1, seconds=5.0), file=file)
    keep(curve("rectools", 0.2, seconds=100.0), file=file)
    keep(curve("rectools", 0.2, 0.3, seconds=90.0), file=file)
    peer, ours = load(file)
    assert (peer.library, peer.points) == ("rectools", points(0.2, 0.3, seconds=90.0))
    assert ours.library == "everfeed"


def test_lists_of_a_peer_leave_out_what_was_seen():
    scores = torch.arange(13.0).repeat(2, 1)
    scores[:, 0] = -torch.inf
    lists = best_unseen(scores, [np.array([12, 11]), np.array([], dtype=np.int64)])
    assert lists.tolist() == [[10, 9, 8, 7, 6, 5, 4, 3, 2, 1], [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]]


def test_the_clock_of_a_peer_stands_still_while_lists_are_made(tmp_path):
    pq.write_table(pa.table({"items": [[3, 4], [5]]}), tmp_path / "queries.parquet")
    record = Record(tmp_path, {"budget_seconds": 1e6})
    record.start()
    record.pause()
    spent = record.spent
    sum(range(1_000_000))  # takes processor time that is not the training's
    assert record.add(np.ones((2, 10)))
    (tmp_path / "stop").touch()
    assert not record.add(np.ones((2, 10)))
    lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["cpu_seconds"]) for line in lines] == [(1, spent), (2, spent)]
    assert [len(chunk) for chunk in record.chunks()] == [2]
