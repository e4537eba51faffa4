import math

import pytest
import torch

from recmodels.layers.relative import TIME_BUCKETS, RelativeBias, time_buckets

SECOND = 1_000_000
DAY = 86_400 * SECOND
NOW = 1_700_000_000 * SECOND


def buckets_of(*moments):
    return time_buckets(torch.tensor([moments]), rows=slice(None))[0]


@pytest.mark.parametrize(
    ("apart", "bucket"),
    [
        (0, 0),
        (SECOND, 0),  # ln 1 = 0
        (1_351_210, 1),  # ln 1.351210 = 0.3010005
        (1_351_200, 0),  # ln 1.351200 = 0.3009931
        (60 * SECOND, 13),  # 4.0943 / 0.301 = 13.60
        (DAY, 37),  # 11.3668 / 0.301 = 37.76
        (365 * DAY, 57),  # 17.2666 / 0.301 = 57.36
    ],
)
def test_a_bucket_is_the_logarithm_of_the_seconds_between(apart, bucket):
    assert buckets_of(NOW, NOW + apart).tolist() == [[0, 0], [bucket, 0]]


def test_neighbouring_seconds_of_years_ago_are_told_apart_when_a_bound_lies_between():
    """Float32 knows times of today to 128 s; the bound of bucket 54 is at e^(54 * 0.301) = 11,451,690.6 s or so."""
    bound = math.ceil(math.exp(54 * 0.301))
    found = buckets_of(NOW, NOW + (bound - 1) * SECOND, NOW + bound * SECOND)
    assert found[:, 0].tolist() == [0, 53, 54]


def test_the_last_bucket_takes_what_is_longest():
    assert buckets_of(0, 2**63 - 1)[1, 0] == TIME_BUCKETS - 1
    assert buckets_of(-(2**62), 2**62 - 1)[1, 0] == TIME_BUCKETS - 1


def test_buckets_stay_when_all_times_move():
    times = torch.cumsum(torch.randint(0, 3 * DAY, (4, 20)), dim=1)
    for moved in (-NOW, 1, 123_456_789, NOW):
        assert torch.equal(time_buckets(times + moved, rows=slice(None)), time_buckets(times, rows=slice(None)))


def test_rows_are_those_asked_for():
    times = torch.cumsum(torch.randint(0, 3 * DAY, (2, 6)), dim=1)
    whole = time_buckets(times, rows=slice(None))
    assert torch.equal(time_buckets(times, rows=slice(-2, None)), whole[:, -2:])


def test_a_bias_is_the_sum_of_both_numbers_when_it_has_time():
    bias = RelativeBias(3, has_time=True)
    bias.positions.data = torch.tensor([1.0, 2.0, 4.0])
    bias.times.data = torch.arange(TIME_BUCKETS) * 10.0
    found = bias(torch.tensor([[1, 0], [2, 1]]), torch.tensor([[[3, 0], [5, 3]]]))
    assert found.tolist() == [[[[32.0, 1.0], [54.0, 32.0]]]]


def test_a_bias_knows_positions_alone_when_it_has_no_time():
    bias = RelativeBias(3, has_time=False)
    bias.positions.data = torch.tensor([1.0, 2.0, 4.0])
    assert bias(torch.tensor([[1, 0], [2, 1]]), None).tolist() == [[[[2.0, 1.0], [4.0, 2.0]]]]
    assert sorted(name for name, _ in bias.named_parameters()) == ["positions"]
