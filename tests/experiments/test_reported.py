"""The authors' numbers are one table, and are those of their runs."""

import numpy as np
import pytest

from lorantk.experiments.common import reported


def test_the_differences_and_deviations_are_those_of_the_runs():
    by_arm = reported.runs().groupby(["task", "poison", "arm"])["accuracy"]
    means, deviations = 100 * by_arm.mean().unstack(), 100 * by_arm.std().unstack()
    found = reported.differences().set_index(["task", "poison"])
    assert len(found) == len(means) == 4 * 8
    np.testing.assert_allclose(found["difference"], (means["lora"] - means["full"]).loc[found.index], atol=0.06)
    np.testing.assert_allclose(found["deviation"], deviations.max(axis=1).loc[found.index], atol=0.06)
    assert "39c53db" in reported.SOURCE


def test_what_lora_is_behind_is_the_difference_with_the_other_sign():
    assert reported.behind(0.3) == {"SST-2": 0.4, "COLA": 3.4, "QNLI": 2.4, "QQP": 6.0}
    with pytest.raises(ValueError, match=r"expected a share of flipped labels out of 0.05, .*, 0.4; got 0.5"):
        reported.behind(0.5)
