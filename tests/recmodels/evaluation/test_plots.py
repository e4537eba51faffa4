from dataclasses import dataclass

import numpy as np
import pytest

from recmodels.evaluation import plots
from recmodels.evaluation.bootstrap import Interval


@dataclass(frozen=True)
class Epoch:
    epoch: int
    loss: float
    ndcg_at_10: float


EPOCHS = [Epoch(1, 6.5, 0.02), Epoch(2, 5.9, 0.05), Epoch(3, 5.7, 0.04)]


def size(path):
    from matplotlib.image import imread

    return imread(path).shape[:2]


def test_loss_curve_is_the_same_file_when_it_is_drawn_twice(tmp_path):
    plots.loss_curve(EPOCHS, tmp_path / "new" / "loss.png")
    plots.loss_curve(EPOCHS, tmp_path / "again.png")
    assert (tmp_path / "new" / "loss.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    assert size(tmp_path / "again.png") == (480, 768)


def test_loss_curve_is_drawn_when_there_is_no_epoch(tmp_path):
    plots.loss_curve([], tmp_path / "loss.png")
    assert size(tmp_path / "loss.png") == (480, 768)


def test_recall_by_k_depends_on_the_values_when_models_are_several(make_evaluation, tmp_path):
    metrics = {"recall_at_10": 0.2, "recall_at_50": 0.4, "ndcg_at_10": 0.1}
    intervals = {"recall_at_10": Interval(0.1, 0.3), "recall_at_50": Interval(0.3, 0.5)}
    one = make_evaluation(metrics=metrics, intervals=intervals)
    two = make_evaluation(metrics=metrics | {"recall_at_50": 0.45}, intervals=intervals)
    plots.recall_by_k({"ease": one, "sasrec": two}, tmp_path / "a.png")
    plots.recall_by_k({"ease": one, "sasrec": one}, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_popularity_is_drawn_when_nothing_was_recommended(make_evaluation, tmp_path):
    nothing = make_evaluation(recommended_counts=np.zeros(6, dtype=np.int64))
    plots.popularity_of_recommended(nothing, np.array([0, 0, 4, 3, 2, 1]), tmp_path / "popularity.png")
    assert size(tmp_path / "popularity.png") == (480, 768)


def test_cumulative_share_reaches_one_when_there_are_counts():
    assert plots._cumulative_share(np.array([3, 1])).tolist() == pytest.approx([0, 3 / 4, 1])
