"""What another distribution writes to have its plug-ins held to nasctl's contracts."""

import pytest

from nasctl import registry
from nasctl.data import source
from nasctl.search.run import Run
from nasctl.testing import DataContract, ObjectiveContract, SearcherContract, SpaceContract


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


class TestSearcher(SearcherContract):
    @pytest.fixture
    def run(self):
        return Run("demo_tower", ("demo_spread", "macs"), "demo_climb")
