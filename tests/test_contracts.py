"""What every plug-in promises, asked of every plug-in there is: a new file in its folder needs no change here."""

import pytest

from nasctl import registry
from nasctl.run import Run
from nasctl.testing import ObjectiveContract, SearcherContract, SpaceContract

SMALL = "nb201:channels=4,cells=1"
OPTIONS = {"latency": ("nbmacro", "latency:device=titan-xp-b64")}  # objectives that cannot do without


class TestSpaces(SpaceContract):
    @pytest.fixture(params=registry.names("spaces"))
    def space(self, request):
        return registry.create("spaces", request.param)


class TestObjectives(ObjectiveContract):
    @pytest.fixture(params=registry.names("objectives"))
    def run(self, request):
        space, objective = OPTIONS.get(request.param, (SMALL, request.param))
        return Run(space, (objective,), "random:batch=2", seed=1)


class TestSearchers(SearcherContract):
    @pytest.fixture(params=registry.names("searchers"))
    def run(self, request):
        return Run("nb201:channels=8,cells=1", ("naswot", "macs"), request.param)
