"""Two processes that train a supernet together have the same weights, whatever a strategy measures on its own part."""

import pytest
from supernets.stack import problem as stacked
from supernets.test_mixed_choices import problem as mixed
from supernets.test_taught_strategies import MADE as TAUGHT
from training.examples import equal
from training.test_distributed import Group

from nasctl.supernets.learner import SupernetLearner

MADE = {
    **TAUGHT,
    **dict.fromkeys(("manas", "manas:estimate=ridge,zipf", "fair", "few_shot:by=first.kernel,after=0.3"), stacked),
    **dict.fromkeys(
        ("shift:sandwich,random=1", "single_path:sampling=gradient", "tangle:select=perturbation"), stacked
    ),
    "perturbation": lambda spec: stacked(spec, start_supernet=lambda strategy, weights: None),
    **dict.fromkeys(("darts:select=perturbation", "drnas:select=perturbation", "gdas:select=perturbation"), mixed),
}


@pytest.mark.parametrize(
    "name",
    [
        one if one in ("manas", "darts:select=perturbation") else pytest.param(one, marks=pytest.mark.slow)
        for one in MADE
    ],
)
def test_two_ranks_have_the_same_weights_and_choices(name, tmp_path):
    asked = MADE[name](tmp_path / "t.safetensors" if name in TAUGHT else name)
    outcomes, _ = Group(2).train(asked, tmp_path / "first", learner=SupernetLearner)
    first, second = ({key: one.double().nan_to_num(-1.0) for key, one in found.state.items()} for found in outcomes)
    assert equal(first, second)
    if "perturbation" in name:
        assert first["strategy/decided"].min() >= 0
    assert outcomes[0].results == outcomes[1].results
