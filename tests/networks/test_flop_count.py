"""Three counters of multiply-accumulates agree, or the comparison says why they do not."""

import pytest
import torch
from networks.product_modules import MODULES, Calls
from torch import nn

from nasctl.networks.flop_count import compare_counts, unread_macs

pytestmark = [  # fvcore still scripts and traces
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*:torch.jit.TracerWarning"),
]


@pytest.mark.parametrize("name", MODULES)
def test_differences_from_other_counters_are_explained(name):
    module, shape, macs = MODULES[name]
    compared = compare_counts(module.eval().to("meta").to_empty(device="cpu"), torch.zeros(1, *shape))
    assert compared.macs == macs
    assert compared.explained, compared.sentence()


def test_products_that_the_output_does_not_read():
    module = Calls(lambda m, x: (m.a(x), m.b(x)[..., :3])[1], a=nn.Linear(8, 5), b=nn.Linear(8, 4))
    assert unread_macs(module.to("meta"), torch.zeros(1, 8, device="meta")) == 8 * 5
    compared = compare_counts(module.to_empty(device="cpu"), torch.zeros(1, 8))
    assert (compared.macs, compared.fvcore.macs, compared.explained) == (72, 32, True)
    assert "40 fewer by fvcore, which leaves out what the output does not read" in compared.sentence()


def test_a_wrong_description_is_not_explained():
    compared = compare_counts(nn.Linear(8, 5), torch.zeros(1, 8), macs=41)
    assert not compared.explained
    assert "not the same: 1 fewer by the dispatched operators, which is not explained" in compared.sentence()


@pytest.mark.slow  # three counters on more than a hundred modules
def test_patterns_are_counted_alike():
    patterns = pytest.importorskip("networks.patterns", reason="the patterns of published families are absent")
    for pattern in patterns.PATTERNS.values():
        if pattern.negative:
            continue
        dtype = torch.long if pattern.vocabulary else torch.float32
        compared = compare_counts(pattern.make().eval(), torch.zeros(1, *pattern.shape, dtype=dtype))
        assert compared.explained, (pattern.name, compared.sentence())
        assert compared.macs - compared.torch == max(pattern.uncounted, 0), pattern.name  # below zero: unread layers
