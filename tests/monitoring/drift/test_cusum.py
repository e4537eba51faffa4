import numpy as np
import pytest

from monitoring.drift.cusum import CusumConfig, Track, run

CONFIG = CusumConfig(learning_days=8, guard_days=7, distinct_days=10**12)  # the level is as good as known
UNSURE = CusumConfig(learning_days=8, guard_days=7)
# Eight days of 10 +- 1: level 10, spread sqrt(8 * 1 / (8 - 2)) by two estimated levels, no persistence.
PAST = [11.0, 9.0] * 4
SPREAD = np.sqrt(8 / 6)


def judge(values, *, config=CONFIG, units=None, floors=0.0, weekend=None, num_figures=20) -> Track:
    values = np.asarray(values, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    return run(
        values,
        usable=np.ones(values.shape, dtype=bool),
        units=np.ones(values.shape) if units is None else np.asarray(units, dtype=np.float64)[:, None],
        floors=np.full(values.shape, floors),
        weekend=np.zeros(len(values), dtype=bool) if weekend is None else weekend,
        config=config,
        num_figures=num_figures,
    )


def after_past(*deviations: float, **options) -> Track:
    return judge([*PAST, *(10 + d * SPREAD for d in deviations)], **options)


@pytest.mark.parametrize(
    ("figures", "threshold"), [(1, 6.0), (20, 6.0), (200, 8.0), (2000, 10.0), (round(20 * np.sqrt(10)), 7.0)]
)
def test_threshold_rises_with_the_figures_when_not_given(figures, threshold):
    assert CusumConfig().threshold_for(figures) == pytest.approx(threshold, abs=0.01)


def test_threshold_is_the_given_one_when_given():
    assert CusumConfig(threshold=3.5).threshold_for(200) == 3.5


def test_level_and_spread_are_those_of_the_past_when_it_is_full():
    track = after_past(0)
    assert track.is_learning[:8, 0].all()
    assert not track.is_judged[:8, 0].any()
    assert track.is_judged[8, 0]
    assert track.expected[8, 0] == pytest.approx(10)
    assert track.spread[8, 0] == pytest.approx(SPREAD)


@pytest.mark.parametrize(
    ("deviations", "sums", "alarms"),
    [
        ((3, 3, 3), (2, 4, 6), (False, False, True)),  # 3 - k each day
        ((-3, -3, -3), (2, 4, 6), (False, False, True)),
        ((4.2, 4.2), (3.2, 6.4), (False, True)),
        ((8, 0, 0), (3.3, 2.3, 1.3), (False, False, False)),  # one odd day adds at most 0.55 x 6
        ((9,), (8,), (True,)),  # beyond 1.35 x 6 no second day is needed
        ((-9,), (8,), (True,)),
        ((1, 1, 1), (0, 0, 0), (False, False, False)),
        ((3, -3, 3, -3), (2, 2, 2, 2), (False,) * 4),
    ],
)
def test_sums_and_alarms_are_the_hand_worked_ones(deviations, sums, alarms):
    track = after_past(*(d + 1e-9 * np.sign(d) for d in deviations))
    assert track.statistic[8:, 0] == pytest.approx(sums, abs=1e-6)
    assert tuple(track.is_alarm[8:, 0]) == alarms


def test_alarm_ends_when_two_days_in_a_row_are_within_the_allowance():
    track = after_past(9, 0.5, 2, 0.5, 0.5, 0.5)
    assert track.is_alarm[8:, 0].tolist() == [True, True, True, True, False, False]
    assert track.statistic[12:, 0] == pytest.approx([0, 0])


def test_alarm_of_one_side_ends_when_the_other_side_deviates():
    assert after_past(9, -1.5, -1.5).is_alarm[8:, 0].tolist() == [True, True, False]


def test_alarm_lasts_when_the_shift_lasts():
    track = after_past(*[4.5] * 60)
    assert track.is_alarm[10:, 0].all()
    assert track.expected[-1, 0] == pytest.approx(10)


def test_first_day_and_mean_are_of_the_running_deviation_when_in_alarm():
    track = after_past(0, 0, 3.5, 4, 3)
    assert track.is_alarm[12, 0]
    assert track.change(12, 0) == (10, pytest.approx(3.5))
    falling = after_past(0, 0, -3.5, -4, -3)
    assert falling.change(12, 0) == (10, pytest.approx(-3.5))


@pytest.mark.parametrize(
    ("deviations", "first", "size"),
    [
        ((0, 1.3, 6, 7), 10, 6.5),  # the day before left zero by chance
        ((0, -1.3, -6, -7), 10, -6.5),
        ((2, 2.5, 3, 3), 8, 2.625),  # a slow beginning belongs to it
        ((1.6, 1.7, 7.5, 1.7, 1.8, 1.7), 8, 16 / 6),  # and one odd day is not the beginning
        ((1.3, np.nan, 9), 10, 9.0),  # nor does a day without a value count
    ],
)
def test_change_began_where_one_step_explains_most(deviations, first, size):
    track = after_past(*deviations)
    last = len(PAST) + len(deviations) - 1
    assert track.is_alarm[last, 0]
    assert track.change(last, 0) == (first, pytest.approx(size))


def test_change_is_found_on_its_day_more_often_than_by_the_day_the_sum_left_zero():
    rng = np.random.default_rng(0)
    deviations = rng.normal(size=(20, 400))
    deviations[12:] += 4
    track = judge(np.concatenate([np.tile(np.asarray(PAST)[:, None], 400), 10 + deviations * SPREAD]))
    shifted = len(PAST) + 12
    first = track.is_alarm[shifted:].argmax(axis=0) + shifted
    columns = np.flatnonzero(track.is_alarm[first, np.arange(400)] & ~track.is_alarm[:shifted].any(axis=0))
    found = np.array([track.change(first[column], column)[0] for column in columns])
    assert (found == shifted).mean() >= 0.9
    assert (track.since[first[columns], columns] == shifted).mean() <= 0.8


def test_state_stays_when_a_day_cannot_be_judged():
    track = judge([*PAST, 10 + 4.2 * SPREAD, np.nan, np.nan, 10 + 4.2 * SPREAD])
    assert not track.is_judged[9:11, 0].any()
    assert track.statistic[8:, 0] == pytest.approx([3.2, 3.2, 3.2, 6.4])
    assert track.is_alarm[11, 0]


def test_spread_doubles_when_a_day_has_a_quarter_of_the_units():
    track = after_past(0, units=[16.0] * 8 + [4.0])
    assert track.spread[8, 0] == pytest.approx(2 * SPREAD)


def test_spread_is_the_floor_when_the_past_never_moved():
    track = judge([5.0] * 8 + [5.3], floors=0.1)
    assert track.residual[8, 0] == pytest.approx(3)


def test_weekends_have_their_own_level_when_the_past_holds_six():
    config = CusumConfig(learning_days=28, guard_days=7)
    weekend = np.arange(56) % 7 >= 5
    values = np.where(weekend, 20.0, 10.0) + np.tile([0.5, -0.5], 28)
    track = judge(values, config=config, weekend=weekend)
    assert not track.is_alarm.any()
    assert track.expected[-1, 0] == pytest.approx(20, abs=0.3)
    assert track.expected[-3, 0] == pytest.approx(10, abs=0.3)


def test_weekends_share_the_level_when_the_past_holds_few():
    weekend = np.asarray([False] * 6 + [True] * 3)
    track = judge([*PAST, 10.0], weekend=weekend)
    assert track.expected[8, 0] == pytest.approx(10)


def test_newest_days_do_not_teach_when_the_past_is_full():
    track = after_past(*[0.9] * 7)
    assert track.expected[-1, 0] == pytest.approx(10)
    assert after_past(*[0.9] * 14).expected[-1, 0] > 10.3


def test_threshold_is_higher_when_the_past_itself_strayed():
    config = CusumConfig(learning_days=40, guard_days=0)
    days = np.tile([1.0, -1.0], 20)
    assert judge([*days, 0.0], config=config).threshold[40, 0] == 6
    days[20] = 12.0
    # Level 0.09 (12 is clipped at 2.97), spread sqrt((39 * 1 + 4.4^2) / 38) or so: 12 lies about 9.6 spreads out.
    assert judge([*days, 0.0], config=config).threshold[40, 0] == pytest.approx(1.25 * (11.93 / 1.245 - 1), rel=0.05)


def test_spread_is_wider_when_days_resemble_the_day_before():
    rng = np.random.default_rng(3)
    white = rng.normal(size=(57, 40))
    red = white.copy()
    for day in range(1, 57):
        red[day] = 0.8 * red[day - 1] + 0.6 * white[day]
    config = CusumConfig(learning_days=56)
    assert np.median(judge(white, config=config).spread[56]) == pytest.approx(1.0, abs=0.1)
    assert np.median(judge(red, config=config).spread[56]) > 1.6


def test_series_are_independent_when_judged_together():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 5))
    values[20:, 3] += 5
    together = judge(values)
    for column in range(5):
        alone = judge(values[:, column])
        assert np.array_equal(together.is_alarm[:, column], alone.is_alarm[:, 0])
        assert np.array_equal(together.residual[:, column], alone.residual[:, 0], equal_nan=True)


def test_decision_of_a_day_is_the_same_when_later_days_follow():
    values = np.random.default_rng(4).normal(size=(60, 3))
    values[30:35] += 4
    whole = judge(values)
    for day in (20, 33, 45):
        part = judge(values[: day + 1])
        assert np.array_equal(part.is_alarm, whole.is_alarm[: day + 1])
        assert np.array_equal(part.statistic, whole.statistic[: day + 1])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_decision_does_not_depend_on_the_unit(scale):
    values = np.random.default_rng(5).normal(size=(40, 4))
    values[20:, 0] += 5
    assert np.array_equal(judge(values).is_alarm, judge(scale * values + 7 * scale).is_alarm)


def test_what_the_first_days_say_of_the_level_is_taken_off_when_the_history_holds_few_days():
    track = after_past(3, 3, config=UNSURE)
    # Day 1: 3 x sqrt(8/9) - 1. Day 2: the level is off by 3/9 as far as known, which leaves (3 - 1/3) x sqrt(9/10) - 1.
    first = 3 * np.sqrt(8 / 9) - 1
    assert track.statistic[8:, 0] == pytest.approx([first, first + (3 - 1 / 3) * np.sqrt(9 / 10) - 1])
    assert after_past(-3, -3, config=UNSURE).statistic[8:, 0] == pytest.approx(track.statistic[8:, 0])
    assert track.residual[8:, 0] == pytest.approx([3, 3])
    assert after_past(3, 3).statistic[8:, 0] == pytest.approx([2, 4])


def test_a_run_that_ended_says_nothing_of_the_level_when_the_next_begins():
    first = 3 * np.sqrt(8 / 9) - 1
    assert after_past(3, -3, -3, 3, config=UNSURE).statistic[11, 0] == pytest.approx(first)


def test_odd_day_hides_no_later_one_when_the_history_holds_few_days():
    # 8 lies beyond 0.55 x 6 + 1 = 4.3, so that it adds 3.3, and says 4.3 of the level, of which 4.3/9 is taken off.
    second = 3.3 + (4 - 4.3 / 9) * np.sqrt(9 / 10) - 1
    assert after_past(8, 4, config=UNSURE).statistic[8:, 0] == pytest.approx([3.3, second])


def test_a_history_of_seven_days_alarms_seldom_when_days_differ_and_nothing_moves():
    """Seven days drawn again and again say much of themselves and little of the days to come."""
    rng = np.random.default_rng(0)
    lived = rng.normal(size=(14, 3000))
    order = np.concatenate([rng.permutation(7) for _ in range(10)])
    values = np.concatenate([lived[order], lived[7:]])

    def share(distinct_days):
        config = CusumConfig(distinct_days=distinct_days)
        return judge(values, config=config, num_figures=76).is_alarm[-7:].any(axis=0).mean()

    assert share(None) > 0.02
    assert share(7) < 0.5 * share(None)
