"""What another distribution writes to have its plug-ins held to nasctl's contracts."""

import pytest

from nasctl import registry
from nasctl.data import source
from nasctl.search.run import Run
from nasctl.testing import (
    DataContract,
    ObjectiveContract,
    SearcherContract,
    SpaceContract,
    StrategyContract,
    strategy_context,
)


class TestSpace(SpaceContract):
    @pytest.fixture
    def space(self):
        return registry.create("spaces", "demo_tower")


class TestData(DataContract):
    @pytest.fixture
    def data(self):
        return source("demo_stripes:width=2")


class TestObjective(ObjectiveContract):
    @pytest.fixture
    def run(self):
        return Run("demo_tower", ("demo_spread",), "random")


class TestStrategy(StrategyContract):
    @pytest.fixture
    def strategy(self):
        return "demo_pairs:labels=0.3"

    @pytest.fixture(scope="class")
    def context(self):
        return strategy_context(registry.create("spaces", "demo_tower"))


class TestSearcher(SearcherContract):
    @pytest.fixture
    def run(self):
        return Run("demo_tower", ("demo_spread", "macs"), "demo_climb")
