"""The rules of the layout that no other tool checks."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter

import pytest
from paths import ROOT

import nasctl

FOLDERS = ("spaces", "objectives", "hardware")
FILES = [path for folder in ("nasctl", *FOLDERS, "tests", "perf") for path in (ROOT / folder).rglob("*.py")]
SOURCES = [path for path in FILES if path.relative_to(ROOT).parts[0] not in ("tests", "perf")]
# What an objective may stand on: tables of latency, trained networks, predictors of accuracy, supernets, and trainings.
OBJECTIVE_ROOMS = ("nasctl.compression", "nasctl.hardware", "nasctl.prediction", "nasctl.supernets", "nasctl.training")
SPACE_ROOMS = ("nasctl.compression",)  # what a space of a trained network stands on
PLUGIN_FOLDERS = ("spaces", "objectives", "nasctl/searchers", "nasctl/supernets/strategies")
PLUGINS = [path for path in FILES if str(path.parent.relative_to(ROOT)) in PLUGIN_FOLDERS]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "nasctl" else ("nasctl", *parts)).removesuffix(".__init__")


def _home(name, modules):
    """The module that an imported name is in, or the name itself if it is none of ours."""
    return max((module for module in modules if f"{name}.".startswith(f"{module}.")), key=len, default=name)


def _faces_excluded():
    """The modules by their paths, without package faces, which only offer what their package holds."""
    for path in SOURCES:
        kinds = (ast.FunctionDef, ast.ClassDef)
        if path.name != "__init__.py" or any(isinstance(node, kinds) for node in ast.parse(path.read_text()).body):
            yield path


def _room(module):
    """The package that a module belongs to, or a module that stands alone: a folder or a file of nasctl/."""
    return ".".join(module.split(".")[:2])


@cache
def _graph():
    """The packages that each package imports."""
    paths = {_module(path): path for path in SOURCES}
    graph = {_room(name): set() for name in paths if name != "nasctl"}
    for path in _faces_excluded():
        here = _room(_module(path))
        homes = {_room(_home(found, paths)) for found in imported(path)}
        graph[here] |= {room for room in homes if room in graph} - {here}
    return graph


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_nothing_of_the_engine_but_its_api(path):
    rooms = {"objectives": OBJECTIVE_ROOMS, "spaces": SPACE_ROOMS, "searchers": ("pymoo", "moocore", "sklearn")}
    more = rooms.get(path.parent.name, ())
    allowed = {*sys.stdlib_module_names, "numpy", "torch", "nasctl.api", *more}
    found = {name for name in imported(path) if not any(f"{name}.".startswith(f"{one}.") for one in allowed)}
    private = f"{_module(path.parent)}._"  # what several plug-ins of a kind share
    assert {name for name in found if not name.startswith(private)} == set()


def test_the_engine_imports_no_plugin():
    folders = tuple(f"nasctl.{kind}." for kind in ("spaces", "objectives", "searchers", "supernets.strategies"))
    engine = [path for path in (ROOT / "nasctl").rglob("*.py") if path not in PLUGINS]
    assert [(path, name) for path in engine for name in imported(path) if name.startswith(folders)] == []


def test_no_import_goes_in_a_circle():
    paths = {_module(path): path for path in SOURCES}
    graph = {name: {_home(found, paths) for found in imported(path)} for name, path in paths.items()}
    list(TopologicalSorter(graph).static_order())  # CycleError names the circle


def test_packages_stand_on_few_floors():
    floors = {}
    for room in TopologicalSorter(_graph()).static_order():  # CycleError names the circle
        floors[room] = 1 + max((floors[one] for one in _graph()[room]), default=0)
    assert len(floors) <= 35
    assert max(floors.values()) <= 12


def test_the_guide_lists_every_package_above_what_it_imports():
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## The packages")[2].partition("## Adding")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = [[f"nasctl.{word}" for word in re.findall(r"`(?:nasctl/)?(\w+)(?:/|\.py)`", row)] for row in rows]
    places = {room: place for place, row in enumerate(listed) for room in row}
    assert places.keys() - {"nasctl.__init__"} == _graph().keys() - {"nasctl.__main__"}
    pairs = [(room, below) for room in places if room in _graph() for below in _graph()[room]]
    assert [pair for pair in pairs if places[pair[0]] > places[pair[1]]] == []


def test_no_module_imports_the_library_face():
    face = {"nasctl", *(f"nasctl.{name}" for name in nasctl.__all__)} - {"nasctl.search", "nasctl.export"}
    assert [(path, name) for path in SOURCES for name in imported(path) if name in face] == []


def test_every_package_has_a_face_that_says_what_it_is():
    faces = {path.parent / "__init__.py" for path in SOURCES}
    assert [face for face in faces if not face.exists() or not ast.get_docstring(ast.parse(face.read_text()))] == []


def test_tests_mirror_the_packages():
    packages = {".".join(path.parent.relative_to(ROOT).parts).removeprefix("nasctl.") for path in SOURCES}
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert {".".join(folder.parts) for folder in folders if folder.parts} <= packages


def test_no_two_public_classes_share_a_name():
    homes = defaultdict(list)
    for path in SOURCES:
        own = path.relative_to(ROOT).parts
        # Blocks of search spaces may share names. A benchmark or an importer has the name of its space or format, and
        # the torch module of a layer the name of the layer.
        if path in PLUGINS or {"benchmarks", "importers", "torch_modules.py"} & set(own):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append("/".join(own))
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_a_type_checker_finds_the_plugins_under_nasctl():
    from mypy.fscache import FileSystemCache
    from mypy.modulefinder import FindModuleCache, SearchPaths
    from mypy.options import Options

    finder = FindModuleCache(SearchPaths((str(ROOT),), (), (), ()), FileSystemCache(), Options())
    for name in ("nasctl.spaces.nb201", "nasctl.objectives.synflow", "nasctl.hardware.table"):
        assert str(finder.find_module(name)).endswith(".py")
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    ignored = [name for one in overrides if one.get("ignore_missing_imports") for name in one["module"]]
    assert [name for name in ignored if name.startswith("nasctl")] == []


@pytest.mark.slow  # mypy reads torch's types
def test_a_wrong_type_across_a_plugin_import_is_an_error(tmp_path):
    (tmp_path / "wrong.py").write_text(
        "from nasctl.hardware.table import LatencyTable\nfrom nasctl.objectives.params import Params\n"
        "from nasctl.spaces.nb201 import NB201\n\n"
        'def wrong(table: LatencyTable) -> None:\n    table.latency("text")\n    Params()("text")\n    NB201("text")\n'
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(tmp_path / "wrong.py")]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    found = [line.partition("wrong.py:")[2].partition(":")[0] for line in lines if "wrong.py:" in line]
    assert found == ["6", "7", "8"], lines


def test_the_api_only_re_exports():
    *statements, last = ast.parse((ROOT / "nasctl" / "api.py").read_text()).body[1:]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.test) == "not TYPE_CHECKING"
    statements += last.body
    assert {type(statement) for statement in statements} == {ast.ImportFrom}


def test_every_package_is_shipped():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [".".join(path.parent.relative_to(ROOT).parts) for path in SOURCES if path.name == "__init__.py"]
    assert sorted(name if name.startswith("nasctl") else f"nasctl.{name}" for name in found) == sorted(listed)


def test_no_file_is_seen_twice():
    """Links in nasctl/ lead to spaces/, objectives/ and hardware/, for type checkers."""
    assert len({path.resolve() for path in FILES}) == len(FILES)
    assert [(ROOT / "nasctl" / folder).resolve() for folder in FOLDERS] == [ROOT / folder for folder in FOLDERS]


def test_no_file_is_long():
    assert [path for path in FILES if len(path.read_text().splitlines()) > 400] == []


def test_no_function_is_long():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                # Options of the command line are declared as arguments, a line each.
                body = node.body[-1].end_lineno - node.body[0].lineno + 1
                assert body <= 50, f"{path}: {node.name} has {body} lines"
