from dataclasses import replace

import numpy as np
import pytest

from recmodels.evaluation.bootstrap import Interval
from recmodels.evaluation.fairness import Exposure, Fairness, Gap
from recmodels.evaluation.fairness_card import render_fairness
from recmodels.evaluation.record import Evaluation

GAP = Gap("ndcg_at_10", "activity=heavy", "activity=light", 0.4, 0.3, 0.1, lower=0.02, upper=0.18, num_groups=3)
SMALL = Exposure(0.05, 0.04, 0.06, 0.1, 0.5)


@pytest.fixture
def evaluation(make_evaluation):
    found = make_evaluation([0.3] * 40, fairness=Fairness(10, {"creators=small": SMALL}, {"activity": GAP}))
    lift = {"popularity_lift_at_10": 2.0, "calibration_kl_at_10": 0.5, "creator_gini_at_10": 0.75}
    return replace(found, metrics=found.metrics | lift, intervals={"popularity_lift_at_10": Interval(1.9, 2.1)})


def test_card_tells_who_is_served_and_shown_less_in_words(evaluation):
    card = render_fairness(evaluation)
    assert "of 3 groups, activity=light is served worst and activity=heavy best: ndcg_at_10 0.3000" in card
    assert "(25% less); the gap of 0.1000 lies between 0.0200 and 0.1800, so the groups differ." in card
    assert "| 5.0% | 4.0% to 6.0% | 10.0% | 50.0% | shown 0.50 times what people took |" in card
    assert "2.00 times as popular as what the same users took before (1.90 to 2.10)" in card
    assert "by 0.50 nats" in card
    assert "50.0% of the items are shown to somebody" in card


def test_card_says_that_a_gap_may_be_chance_when_its_interval_holds_0(evaluation):
    unsure = replace(evaluation.fairness, gaps={"activity": replace(GAP, lower=-0.01)})
    assert "so it may be chance" in render_fairness(replace(evaluation, fairness=unsure))


def test_section_is_empty_when_an_earlier_version_measured_nothing(make_evaluation):
    assert render_fairness(make_evaluation([0.3])) == ""


def test_fairness_is_equal_when_it_is_saved_and_loaded(evaluation, tmp_path):
    evaluation.save(tmp_path)
    assert Evaluation.load(tmp_path).fairness == evaluation.fairness
    assert np.array_equal(Evaluation.load(tmp_path).recommended_counts, evaluation.recommended_counts)
