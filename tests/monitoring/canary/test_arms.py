import numpy as np
import pytest
from pydantic import ValidationError

from monitoring.canary import ArmUnits, CanaryConfig


def test_users_are_those_with_impressions():
    assert ArmUnits(np.array([1.0, 0.0, 3.0]), np.zeros(3)).users == 2


def test_arm_is_refused_when_a_column_is_not_one_entry_a_user():
    with pytest.raises(ValueError, match=r"'slow' has shape \(2,\), expected \(3,\)"):
        ArmUnits(np.ones(3), np.zeros(3), flags={"slow": np.zeros(2, dtype=bool)})
    with pytest.raises(ValueError, match="'covariate'"):
        ArmUnits(np.ones(3), np.zeros(3), covariate=np.zeros(4))


def test_budget_is_the_sum_of_the_rules_that_roll_back():
    assert CanaryConfig().false_rollback_budget == pytest.approx(0.02 + 5 * 0.005)


def test_terms_are_those_of_the_design_by_default():
    config = CanaryConfig()
    assert config.steps == (0.01, 0.05, 0.25, 0.5)
    assert (config.alpha, config.promotion_alpha, config.guardrail_alpha, config.srm_alpha) == (
        0.02,
        0.02,
        0.005,
        0.001,
    )
    assert (config.delta, config.tolerance, config.minimum_users) == (0.05, 0.0, 1000)
    assert config.on_inconclusive == "hold"


def test_fewer_than_a_thousand_users_is_a_demonstration():
    assert CanaryConfig(minimum_users=999).is_demonstration
    assert not CanaryConfig(minimum_users=1000).is_demonstration


@pytest.mark.parametrize("steps", [(), (0.5, 0.1), (0.1, 0.1), (0.0, 0.5), (0.1, 0.6)])
def test_steps_are_refused_when_they_do_not_rise_to_a_half_at_most(steps):
    with pytest.raises(ValidationError):
        CanaryConfig(steps=steps)


@pytest.mark.parametrize("field", [{"on_inconclusive": "promote"}, {"aplha": 0.1}, {"alpha": 0.0}, {"delta": -0.1}])
def test_terms_are_refused_when_unknown_or_out_of_range(field):
    with pytest.raises(ValidationError):
        CanaryConfig(**field)
