"""Another distribution adds a space, an objective, a searcher and a device by installing them, and nothing else.

Its code runs only where somebody names it, or trusts it.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner
from paths import TESTS

from nasctl import registry
from nasctl.analysis import score
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.hardware.importers import _table
from nasctl.hardware.kinds import best
from nasctl.registry import plugins

PLUGIN = TESTS / "plugin"
NAMES = {"spaces": "demo_tower", "objectives": "demo_spread", "searchers": "demo_climb", "devices": "demo-board"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the distribution was installed in, as `pip install` does it."""
    source, target = tmp_path_factory.mktemp("plugin") / "source", tmp_path_factory.mktemp("installed")
    shutil.copytree(PLUGIN, source)  # building leaves files behind
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    _python(["-m", "pip", "install", "--quiet", *offline, "--target", target, source], os.environ)
    return target


@pytest.fixture
def python(installed, tmp_path):
    """Run Python where the distribution is installed, in an empty folder; returns stdout."""
    return lambda *arguments: _python(arguments, {**os.environ, "PYTHONPATH": str(installed)}, tmp_path)


def _python(arguments, environment, folder=None):
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_plugins_keep_the_contracts(python):
    said = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", PLUGIN / "contracts.py")
    assert int(re.search(r"(\d+) passed", said)[1]) >= 12  # 6 of a space, 2 of an objective, 4 of a searcher
    assert "skipped" not in said


def test_the_plugins_are_listed_and_only_where_they_are_installed(python):
    for kind in ("space", "objective", "device"):
        listed = {row["name"]: row for row in json.loads(python("-m", "nasctl", kind, "list", "--json"))}
        assert NAMES[f"{kind}s"] in listed
        assert len(listed) > 1, "they are listed beside nasctl's own"
    assert all(name not in registry.names(kind) for kind, name in NAMES.items())


def test_a_search_with_them_from_front_to_latency(python):
    objectives = ["--objective", "demo-spread", "--searcher", "demo-climb:batch=5", "--budget", "12"]
    found = json.loads(
        python("-m", "nasctl", "search", "--space", "demo-tower", "--device", "demo-board", *objectives, "--json")
    )
    front = json.loads(python("-m", "nasctl", "pareto", "show", "--json"))
    assert (found["distinct"], found["failed"]) == (12, 0)
    assert sorted(found["front"]) == sorted(row["id"] for row in front)
    for row in front:
        assert row["id"].startswith("demo_tower-")
        assert set(row["values"]) == {"demo_spread", "latency@demo-board"}
        assert row["values"]["latency@demo-board"] > 0.5  # the table's overhead


# --- trust ---

STRANGE = """
[nasctl.spaces]
strange_space = strange:Space

[nasctl.objectives]
params = strange:Params
strange_metric = strange:Params
lost = strange.nowhere:Params
unwritten = strange
../up = strange:Params

[nasctl.searchers]
leaver = strange_leaver:Searcher
number = strange:NUMBER

[nasctl.devices]
strange-board = strange:PATH

[nasctl.benchmarks]
strange_bench = strange:Space
"""
CODE = """
from nasctl.spaces.nbmacro import NBMacro as Space

class Params:
    \"\"\"A stranger's.\"\"\"
    unit, direction, transform, needs, version = "", "min", "identity", frozenset({"network"}), "1"
    def __call__(self, candidate):
        return 1.0

NUMBER, PATH = 3, "missing.json"
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay out a distribution as an installer does."""

    def laid_out(name, points, **modules):
        folder = tmp_path / name
        (folder / f"{name}-2.1.dist-info").mkdir(parents=True)
        (folder / f"{name}-2.1.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.1\n"
        )
        (folder / f"{name}-2.1.dist-info" / "entry_points.txt").write_text(points)
        for module, code in modules.items():
            (folder / f"{module}.py").write_text(code)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(folder)

    monkeypatch.delenv(plugins.TRUST, raising=False)
    return laid_out


@pytest.fixture
def strange(install):
    install("Strange_Things", STRANGE, strange=CODE, strange_leaver="raise SystemExit('gone')")


def listed(*command):
    done = CliRunner().invoke(cli, [*command, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_what_nobody_named_is_not_imported(strange):
    assert "strange_metric" not in score.expand_specs(["all"])
    best("gpu", "nbmacro")
    list(_table._spaces([]))
    for kind in ("space", "objective", "device", "bench"):
        rows = {row["name"]: row for row in listed(kind, "list")}
        (row,) = (row for name, row in rows.items() if name.startswith("strange"))
        assert "of Strange_Things 2.1: runs only when named" in " ".join(map(str, row.values()))
        assert CliRunner().invoke(cli, [kind, "list"]).exit_code == 0
    listed("plugins")
    listed("device", "predict", "0,0,0,0,0,0,0,0", "--space", "nbmacro")
    assert "strange" not in sys.modules
    assert registry.normal("spaces", "strange-space") == "strange_space"
    assert "strange" in sys.modules


def test_what_is_trusted_takes_part(strange, monkeypatch):
    monkeypatch.setenv(plugins.TRUST, "other, strange-things")
    assert "strange_metric" in score.expand_specs(["all"])
    assert "lost" not in score.expand_specs(["all"])
    spans = registry.create("spaces", "nbmacro").network((0,) * 8).spans
    specs = [spec for spec, _ in _table._spaces([span.emission for span in spans])]
    assert any(spec.startswith("strange_space:") for spec in specs)
    summaries = {row["name"]: row["summary"] for row in listed("objective", "list")}
    assert summaries["strange_metric"] == "A stranger's."
    assert summaries["lost"] == "of Strange_Things 2.1: there is no module strange.nowhere (see nasctl plugins)"
    (row,) = (row for row in listed("plugins") if row["name"] == "strange_space")
    assert (row["trusted"], row["said"]) == (True, "trusted")


def test_nasctls_own_come_first(strange, monkeypatch):
    monkeypatch.setenv(plugins.TRUST, "strange-things")
    assert registry.load("objectives", "params").__module__ == "nasctl.objectives.params"
    ours, theirs = (row for row in listed("plugins") if row["name"] == "params")
    assert (ours["distribution"], ours["said"]) == ("nasctl", "")
    assert (theirs["distribution"], theirs["said"]) == ("Strange_Things", "shadowed: params is built in")


def test_what_is_broken_is_said_without_importing_it(strange):
    said = {row["name"]: row["said"] for row in listed("plugins")}
    assert said["lost"] == "broken: there is no module strange.nowhere"
    assert said["unwritten"] == "broken: 'strange' is not written module:name"
    assert said["../up"] == "broken: its name is not made of letters, digits, '.', '_' and '-'"
    assert said["leaver"] == "runs only when named"
    assert "../up" not in registry.names("objectives")
    assert "strange" not in sys.modules


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("searchers", "leaver", "SystemExit: gone"),
        ("searchers", "number", "TypeError: strange:NUMBER is no class"),
        ("objectives", "lost", "ModuleNotFoundError: No module named 'strange.nowhere'; 'strange' is not a package"),
        ("objectives", "unwritten", "TypeError: strange is no class"),
    ],
)
def test_what_cannot_be_imported_is_one_sentence_that_names_the_distribution(strange, kind, name, reason):
    with pytest.raises(NasctlError) as error:
        registry.load(kind, name)
    assert str(error.value) == (
        f"{name!r} of the distribution Strange_Things 2.1 cannot be imported ({reason}); mend or uninstall it"
    )


def test_of_two_strangers_with_one_name_neither_runs(strange, install, monkeypatch):
    install("aaa", "[nasctl.spaces]\nstrange_space = aaa:Space\n", aaa="raise RuntimeError")
    with pytest.raises(
        NasctlError, match=r"is in Strange_Things 2\.1 and in aaa 2\.1; uninstall one, or trust one alone"
    ):
        registry.load("spaces", "strange_space")
    monkeypatch.setenv(plugins.TRUST, "strange.things")
    assert registry.load("spaces", "strange_space").__name__ == "NBMacro"


def test_installed_distributions_are_looked_through_once(strange, monkeypatch):
    registry.names("spaces")
    monkeypatch.setattr(plugins, "entry_points", None)
    for kind in plugins.KINDS:
        assert registry.names(kind)
