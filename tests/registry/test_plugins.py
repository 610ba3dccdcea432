"""Another distribution adds spaces, objectives, searchers, devices and data by installing them, and nothing else.

Its code runs only where somebody names it, or trusts it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings

import pytest
from click.testing import CliRunner
from paths import TESTS

from nasctl import registry
from nasctl.analysis import score
from nasctl.cli import cli
from nasctl.data import source
from nasctl.errors import BadOption, NasctlError, RenamedWarning
from nasctl.hardware.importers import _table
from nasctl.hardware.kinds import best_table
from nasctl.registry import old_names, plugins

PLUGIN = TESTS / "plugin"
NAMES = {
    "spaces": "demo_tower",
    "objectives": "demo_spread",
    "searchers": "demo_climb",
    "strategies": "demo_pairs",
    "devices": "demo-board",
}


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
    path = os.pathsep.join(filter(None, (str(installed), os.environ.get("PYTHONPATH"))))
    return lambda *arguments: _python(arguments, {**os.environ, "PYTHONPATH": path}, tmp_path)


def _python(arguments, environment, folder=None):
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_plugins_keep_the_contracts(python):
    said = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", PLUGIN / "contracts.py")
    assert (
        int(re.search(r"(\d+) passed", said)[1]) >= 20
    )  # 6 of a space, 3 of data, 2 of an objective, 5 of a strategy, 4 of a searcher
    assert "skipped" not in said


@pytest.mark.slow
def test_the_plugins_are_listed_and_only_where_they_are_installed(python):
    for kind in ("space", "objective", "device"):
        listed = {row["name"]: row for row in json.loads(python("-m", "nasctl", kind, "list", "--json"))}
        assert NAMES[f"{kind}s"] in listed
        assert len(listed) > 1, "they are listed beside nasctl's own"
    assert all(name not in registry.names(kind) for kind, name in NAMES.items())
    assert "demo_pairs" in {
        row["name"] for row in json.loads(python("-m", "nasctl", "supernet", "strategies", "--json"))
    }
    everything = {(row["kind"], row["name"]) for row in json.loads(python("-m", "nasctl", "plugins", "--json"))}
    assert {("data", "demo_stripes"), *NAMES.items()} <= everything


def test_a_search_with_them_from_front_to_latency(python):
    objectives = ["--objective", "demo-spread", "--searcher", "demo-climb:batch=5", "--budget", "12"]
    objectives += ["--data", "demo-stripes:width=3"]
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
    best_table("gpu", "nbmacro")
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


ODD = """
import numpy as np
from nasctl.api import StoredImages

class Odd:
    kind, classes = "images", None
    def __str__(self):
        return "odd"
    def images(self, shape, number, seed, place=0):
        return np.full((number, *shape), 7, np.float32), None

class Content:
    labels = None
    def __len__(self):
        return 3
    def pictures(self, indices):
        return (np.full((3, 2, 2), k, np.uint8) for k in indices)

class OddImages(StoredImages):
    accepted = "an .odd file"
    @classmethod
    def claims(cls, path):
        return path.suffix == ".odd"
    @classmethod
    def read(cls, path):
        return Content()
"""


@pytest.fixture
def odd(install, tmp_path, monkeypatch):
    """A distribution with data of its own, and a file that it can read."""
    install("odd_things", "[nasctl.data]\nodd = odd_data:Odd\nodd_images = odd_data:OddImages\n", odd_data=ODD)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.odd"
    path.write_bytes(b"odd")
    return path


def test_data_of_strangers_runs_only_where_it_is_named(odd):
    with pytest.raises(NasctlError, match=r"a\.odd is of no kind that can be read"):
        source("a.odd")
    with pytest.raises(NasctlError, match="no data is called 'odds'"):
        source("odds")
    said = {row["name"]: row["said"] for row in listed("plugins") if row["kind"] == "data"}
    assert (said["odd"], said["noise"]) == ("runs only when named", "")
    (odd.parent / "odd").write_text("a file of that name")  # comes before the plug-in
    with pytest.raises(NasctlError, match="odd is of no kind that can be read"):
        source("odd")
    assert "odd_data" not in sys.modules
    (odd.parent / "odd").unlink()
    assert source("odd").images((1, 2, 2), 1, 0)[0].tolist() == [[[[7, 7], [7, 7]]]]
    assert str(source("odd-images:a.odd")).startswith("a.odd#")


def test_trusted_data_claims_paths(odd, monkeypatch):
    monkeypatch.setenv(plugins.TRUST, "odd-things")
    assert str(source("a.odd")).startswith("a.odd#")
    with pytest.raises(NasctlError, match=r"give dead-leaves, digits, noise, odd, or the path of .*, or an \.odd file"):
        source("odds")


# --- old names ---


@pytest.fixture
def renamed(monkeypatch):
    """Tables by which a space, one of its options and a kind of data have had other names."""
    monkeypatch.setattr(old_names, "PLUGINS", {"spaces": {"nas_bench_201": "nb201"}, "data": {"grain": "noise"}})
    monkeypatch.setattr(old_names, "OPTIONS", {("spaces", "nb201"): {"width": "channels"}})


@pytest.mark.parametrize("spec", ["nas_bench_201:channels=4,cells=1", "nb201:width=4,cells=1"])
def test_an_old_name_works_and_warns(renamed, spec):
    old = "'nas_bench_201' is now called 'nb201'" if spec.startswith("nas") else "'width' is now called 'channels'"
    for call in (registry.create, registry.normal, registry.spelled_out):
        with pytest.warns(RenamedWarning, match=f"{old}; use the new name"):
            found = call("spaces", spec)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            now = call("spaces", "nb201:channels=4,cells=1")
        same = [space.network((0,) * 6) for space in (found, now)] if call is registry.create else [found, now]
        assert same[0] == same[1]


def test_an_old_name_with_hyphens_works(renamed):
    with pytest.warns(RenamedWarning, match="is now called 'nb201'"):
        assert registry.normal("spaces", "nas-bench-201") == "nb201"


def test_an_old_name_of_data_works(renamed):
    with pytest.warns(RenamedWarning, match="the data 'grain' is now called 'noise'"):
        assert source("grain") == source("noise")


def test_an_old_name_of_a_switch_works(monkeypatch):
    monkeypatch.setattr(old_names, "OPTIONS", {("objectives", "expected_synflow"): {"straight": "linear"}})
    for spec in ("expected_synflow:straight", "expected_synflow:straight=on"):
        with pytest.warns(RenamedWarning, match="'straight' is now called 'linear'"):
            assert registry.normal("objectives", spec) == "expected_synflow:linear=true"


def test_an_old_option_beside_the_new_one_is_given_twice(renamed):
    with pytest.warns(RenamedWarning), pytest.raises(BadOption, match="gives 'channels' twice"):
        registry.create("spaces", "nb201:width=4,channels=8")


def test_a_name_that_never_was_is_refused(renamed):
    for spec in ("nas_bench_2001", "nb201:widths=4", "nbmacro:width=4"):
        with pytest.raises(NasctlError):
            registry.create("spaces", spec)


def test_installed_distributions_are_looked_through_once(strange, monkeypatch):
    registry.names("spaces")
    monkeypatch.setattr(plugins, "entry_points", None)
    for kind in plugins.KINDS:
        assert registry.names(kind)
