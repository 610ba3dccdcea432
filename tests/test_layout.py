"""The rules of the layout that no other tool checks."""

import ast
import sys
import tomllib
from graphlib import TopologicalSorter

import pytest
from paths import ROOT

FOLDERS = ("spaces", "objectives", "hardware")
FILES = [path for folder in ("nasctl", *FOLDERS, "tests", "perf") for path in (ROOT / folder).rglob("*.py")]
PLUGIN_FOLDERS = ("spaces", "objectives", "nasctl/searchers")
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


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_nothing_of_the_engine_but_its_api(path):
    more = {"objectives": ("nasctl.hardware",), "searchers": ("pymoo", "moocore", "sklearn")}.get(path.parent.name, ())
    allowed = {*sys.stdlib_module_names, "numpy", "torch", "nasctl.api", *more}
    found = {name for name in imported(path) if not any(f"{name}.".startswith(f"{one}.") for one in allowed)}
    private = f"nasctl.{path.parent.name}._"  # what several plug-ins of a kind share
    assert {name for name in found if not name.startswith(private)} == set()


def test_the_engine_imports_no_plugin():
    folders = tuple(f"nasctl.{kind}." for kind in ("spaces", "objectives", "searchers"))
    engine = [path for path in (ROOT / "nasctl").rglob("*.py") if path not in PLUGINS]
    assert [(path, name) for path in engine for name in imported(path) if name.startswith(folders)] == []


def test_no_import_goes_in_a_circle():
    paths = {_module(path): path for path in FILES if path.parts[len(ROOT.parts)] not in ("tests", "perf")}
    graph = {name: {_home(found, paths) for found in imported(path)} for name, path in paths.items()}
    list(TopologicalSorter(graph).static_order())  # CycleError names the circle


def test_the_api_only_re_exports():
    *statements, last = ast.parse((ROOT / "nasctl" / "api.py").read_text()).body[1:]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.test) == "not TYPE_CHECKING"
    statements += last.body
    assert {type(statement) for statement in statements} == {ast.ImportFrom}


def test_every_package_is_shipped():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [".".join(path.parent.relative_to(ROOT).parts) for path in FILES if path.name == "__init__.py"]
    assert sorted(name if name.startswith("nasctl") else f"nasctl.{name}" for name in found) == sorted(listed)


def test_no_file_is_long():
    assert [path for path in FILES if len(path.read_text().splitlines()) > 400] == []


def test_no_function_is_long():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                # Options of the command line are declared as arguments, a line each.
                body = node.body[-1].end_lineno - node.body[0].lineno + 1
                assert body <= 50, f"{path}: {node.name} has {body} lines"
