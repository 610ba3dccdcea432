"""Other names of plug-ins."""

import json

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.cli import cli
from nasctl.errors import UnknownName
from nasctl.registry.aliases import ALIASES, aliases
from nasctl.search.run import Run

EVERY = [(kind, name, alias) for kind, table in ALIASES.items() for name in table for alias in aliases(kind, name)]


@pytest.mark.parametrize(("kind", "name", "alias"), EVERY)
def test_an_alias_stands_for_a_plugin_and_hides_none(kind, name, alias):
    assert registry.known(kind, alias) == registry.known(kind, alias.replace("-", "_").upper()) == name
    assert alias.replace("-", "_") not in registry.names(kind)


def test_names_that_papers_use():
    assert registry.known("spaces", "NAS-Bench-201") == registry.known("spaces", "nasbench201") == "nb201"
    assert registry.normal("spaces", "ofa:width=1.0") == registry.normal("spaces", "mobilenetv3:width=1.0")
    assert registry.known("objectives", "flops") == "macs"
    with pytest.raises(UnknownName):
        registry.known("spaces", "nas-bench-999")


def test_a_run_has_the_real_names():
    typed, real = Run("nas-bench-201", ("flops", "params"), "nsga-ii"), Run("nb201", ("macs", "params"), "nsga2")
    assert (typed.asked, typed.name) == (real.asked, real.name)


@pytest.mark.parametrize(
    ("kind", "name", "alias"),
    [("space", "mbconv", "ofa"), ("objective", "macs", "flops"), ("searcher", "nsga2", "nsga-ii")],
)
def test_lists_show_aliases(kind, name, alias):
    rows = json.loads(CliRunner().invoke(cli, [kind, "list", "--json"]).stdout)
    (row,) = (one for one in rows if one["name"] == name)
    assert "Also called" in row["summary"]
    assert alias in row["summary"]
