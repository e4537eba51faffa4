from pathlib import Path

import pyarrow.compute as pc
import pytest

from recmodels.data.sampling import sample_users
from recmodels.data.schema import USER_ID
from recmodels.data.sources.synthetic import read


@pytest.fixture(scope="module")
def world():
    return read(Path(), users=400, items=60, creators=10, days=5)


def test_users_keep_all_of_their_events_when_they_are_kept(world):
    part = sample_users(world, share=0.25)
    kept = set(part.users[USER_ID].to_pylist())
    assert 60 <= len(kept) <= 140  # 100 expected, 4.6 standard errors either way
    own = world.interactions.filter(
        pc.is_in(world.interactions[USER_ID], value_set=part.users[USER_ID].combine_chunks())
    )
    assert part.interactions.equals(own)
    assert part.items.equals(world.items)
    assert part.notes[-1] == "only 25% of the users, by a hash of their id"


def test_smaller_samples_lie_within_larger_ones(world):
    small = set(sample_users(world, share=0.1).users[USER_ID].to_pylist())
    large = set(sample_users(world, share=0.3).users[USER_ID].to_pylist())
    assert small < large


def test_nothing_changes_when_everybody_is_kept(world):
    assert sample_users(world, share=1.0) is world


@pytest.mark.parametrize("share", [0.0, -0.5, 1.1])
def test_share_is_refused_when_it_is_no_part(world, share):
    with pytest.raises(ValueError, match="not above 0 and at most 1"):
        sample_users(world, share=share)
