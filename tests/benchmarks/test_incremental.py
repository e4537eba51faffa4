"""What the benchmark compares: cuts that follow each other, and targets that the champion cannot know."""

import numpy as np
import pytest

from benchmarks.incremental import SHARES, new_targets, paired, splits
from recmodels.data.sources import SOURCES
from recmodels.data.vocabulary import UNKNOWN, Vocabulary
from recmodels.presets import sasrec


@pytest.fixture(scope="module")
def parts():
    tables = SOURCES.module("synthetic").read(users=40, items=60, creators=6, days=20)
    return splits(tables, sasrec())


def test_the_champion_saw_nothing_of_the_test_part(parts):
    before, after = parts
    assert before.train_until < before.validation_until < before.test_until <= after.train_until
    assert after.train_until < after.validation_until < after.test_until
    assert before.train.timestamps.max() < before.train_until.timestamp() * 1e6
    events = [int(part.train.lengths.sum()) for part in parts]
    assert events[0] / events[1] == pytest.approx(SHARES[0] / SHARES[2], rel=0.1)  # repeats are clipped


def test_only_targets_that_are_new_to_the_champion_are_asked_for(parts):
    _, after = parts
    known = Vocabulary(after.vocabulary.ids[::2])  # every second item is new
    asked = new_targets(after, known)
    items = asked.targets.flat().items
    assert (known.encode(after.vocabulary.decode(items)) == UNKNOWN).all()
    everything = after.test.targets.flat().items
    expected = int((everything % 2 == 1).sum() - (everything == UNKNOWN).sum())  # index 2 is known, 3 is not
    assert len(items) == expected > 0
    assert (asked.targets.lengths > 0).all()


def test_a_figure_is_the_mean_over_users_with_the_range_of_the_seeds():
    figure = paired(np.array([[0.0, 0.2], [0.4, 0.6]]))
    assert (figure.value, figure.least, figure.most, figure.users) == (pytest.approx(0.3), 0.2, pytest.approx(0.4), 2)
    assert figure.lower == pytest.approx(0.1)  # the worse user drawn twice
    assert figure.upper == pytest.approx(0.5)
