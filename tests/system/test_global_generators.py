"""The guard against global random generators catches every way to them that a searcher may take."""

import random
from random import random as imported_earlier

import numpy as np
import pytest
import torch
from sklearn.svm import SVR

from nasctl.system.global_generators import GlobalGeneratorUsed, forbidden_global_generators

USES = {
    "numpy function": lambda: np.random.rand(3),  # noqa: NPY002
    "numpy function of the module": lambda: np.random.sample(),  # noqa: NPY002
    "numpy seed": lambda: np.random.seed(0),  # noqa: NPY002
    "numpy state": lambda: np.random.get_state(),  # noqa: NPY002
    "numpy hidden generator": lambda: np.random.mtrand._rand.randint(3),
    "numpy without a seed": lambda: np.random.default_rng(),
    "a library's default": lambda: SVR().fit([[1], [2]], [1, 2]),
    "python function": lambda: random.random(),
    "python shuffle": lambda: random.shuffle([1, 2]),
    "python state": lambda: random.getstate(),
    "python function by its name": lambda: imported_earlier(),
    "torch function": lambda: torch.rand(2),
    "torch permutation": lambda: torch.randperm(2),
    "torch method": lambda: torch.empty(2).normal_(),
    "torch seed": lambda: torch.manual_seed(0),
    "torch state": lambda: torch.get_rng_state(),
    "torch default generator": lambda: torch.default_generator.get_state(),
    "torch layer": lambda: torch.nn.Linear(2, 2),
    "torch dropout": lambda: torch.nn.Dropout()(torch.ones(3)),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_use_is_caught(use):
    with pytest.raises(GlobalGeneratorUsed), forbidden_global_generators():
        use()


def test_own_generators_are_allowed():
    with forbidden_global_generators():
        np.random.default_rng(3).random()
        np.random.RandomState(3).rand()
        random.Random(3).random()
        torch.rand(2, generator=torch.Generator().manual_seed(3))
        torch.empty(2).normal_(generator=torch.Generator().manual_seed(3))
        torch.nn.Linear(2, 2, device="meta")
        torch.nn.Dropout().eval()(torch.ones(3))


def test_everything_is_as_before_afterwards():
    before = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002
    with forbidden_global_generators():
        pass
    assert (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()) == before  # noqa: NPY002
    assert "normal_" not in vars(torch.Tensor)
    for use in USES.values():
        use()
