import hashlib
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recmodels.assignment import BUCKETS, Arm, arm_of, bucket_of

STEPS = (0.01, 0.05, 0.25, 0.5)
MILLION = 1_000_000


@pytest.fixture(scope="module")
def buckets():
    """The bucket of each of a million users; an arm is a function of the bucket alone, which is tested below."""
    return np.fromiter((bucket_of(f"user-{n}", salt="rollout-7") for n in range(MILLION)), np.int64, count=MILLION)


@pytest.fixture(scope="module")
def unit_in():
    """A unit for every bucket."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < BUCKETS:
        found.setdefault(bucket_of(f"u{number}", salt="s"), f"u{number}")
        number += 1
    return found


@pytest.fixture(scope="module")
def arms(unit_in):
    """The arm of each bucket at each step, asked of `arm_of` itself."""
    return {
        share: np.array([arm_of(unit_in[bucket], salt="s", share=share) for bucket in range(BUCKETS)])
        for share in STEPS
    }


@pytest.mark.parametrize(
    ("unit", "salt", "bucket"), [("user-1", "rollout-7", 5186), ("ann", "s", 4617), ("", "", 9876), ("Zoë", "é", 2088)]
)
def test_bucket_is_a_known_number_when_unit_and_salt_are_known(unit, salt, bucket):
    digest = hashlib.blake2b(unit.encode("utf-8"), digest_size=8, key=salt.encode("utf-8")).hexdigest()
    assert bucket_of(unit, salt=salt) == int(digest, 16) % 10_000 == bucket


def test_no_user_changes_arm_when_the_share_grows(buckets, arms):
    for smaller, larger in pairwise(STEPS):
        before, after = arms[smaller][buckets], arms[larger][buckets]
        in_an_arm = before != Arm.REST
        assert int((before[in_an_arm] != after[in_an_arm]).sum()) == 0
        assert in_an_arm.any()


@pytest.mark.parametrize("share", STEPS)
def test_split_is_exact_to_a_tenth_of_a_percentage_point_when_users_are_a_million(buckets, arms, share):
    held = arms[share][buckets]
    assert abs((held == Arm.CANARY).mean() - share) < 0.001
    assert abs((held == Arm.CONTROL).mean() - share) < 0.001


@pytest.mark.parametrize("share", STEPS)
def test_arms_are_equally_many_buckets_when_the_share_is_a_step(arms, share):
    size = round(share * BUCKETS)
    assert np.flatnonzero(arms[share] == Arm.CANARY).tolist() == list(range(size))
    assert np.flatnonzero(arms[share] == Arm.CONTROL).tolist() == list(range(5000, 5000 + size))


def test_nobody_is_in_the_rest_when_the_canary_has_half(arms):
    assert not (arms[0.5] == Arm.REST).any()


@settings(max_examples=25, deadline=None)
@given(st.text(), st.text(max_size=16))
def test_everybody_is_in_the_rest_when_the_share_is_zero(unit, salt):
    assert arm_of(unit, salt=salt, share=0) is Arm.REST


def test_arms_are_independent_of_an_earlier_rollout_when_the_salt_differs(buckets):
    users = 100_000
    other = np.fromiter((bucket_of(f"user-{n}", salt="rollout-8") for n in range(users)), np.int64, count=users)
    both = ((buckets[:users] < 5000) & (other < 5000)).mean()
    assert both == pytest.approx(1 / 4, abs=0.01)


def test_assignment_is_the_same_when_another_process_hashes_with_another_seed():
    code = "from recmodels.assignment import bucket_of; print([bucket_of(f'user-{n}', salt='r') for n in range(5)])"
    answers = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {f"{[bucket_of(f'user-{n}', salt='r') for n in range(5)]}\n"}


@pytest.mark.parametrize("share", [-0.01, 0.5001, 1.0, float("nan")])
def test_share_is_refused_when_the_control_could_not_be_as_large(share):
    with pytest.raises(ValueError, match=r"is not between 0 and 0\.5: the control must be as large"):
        arm_of("ann", salt="s", share=share)
