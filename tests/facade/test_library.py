"""The library face: what `import nasctl` offers, and that it works in any order of imports."""

import ast
import inspect
import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from paths import ROOT

import nasctl
from nasctl.cli import cli
from nasctl.commands.search import command as search_command

HEAVY = ("click", "matplotlib", "moocore", "numpy", "pymoo", "scipy", "sklearn", "torch")


def python(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light(tmp_path):
    code = f"import nasctl, sys; dir(nasctl); print([name for name in {HEAVY} if name in sys.modules])"
    assert python(code, tmp_path).strip() == "[]"


def test_every_name_is_listed_loads_and_has_documentation():
    assert set(nasctl.__all__) <= set(dir(nasctl))
    page = (ROOT / "docs" / "library.md").read_text()
    for name in nasctl.__all__:
        found = getattr(nasctl, name)
        assert name == "__version__" or inspect.getdoc(found)
        assert re.search(rf"`(nasctl\.)?{name}\b", page), name


def test_type_checkers_see_the_names_that_are_offered():
    tree = ast.parse((ROOT / "nasctl" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    typed = {alias.name: node.module for node in block.body for alias in node.names}
    assert set(typed) == set(nasctl.__all__)
    for name in typed.keys() - {"search", "export", "__version__"}:
        assert getattr(nasctl, name).__module__ == typed[name]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'nasctl' has no attribute 'serach'"):
        nasctl.serach  # noqa: B018


@pytest.mark.slow  # a process for each, which imports torch
@pytest.mark.parametrize(
    "before",
    [
        "",
        "import nasctl.search.run",
        "from nasctl.search.run import Run",
        "import nasctl.search, nasctl.export",
        "from nasctl.export import export",  # the module
        "from nasctl import search, export; from nasctl.search import from_python",
        "import nasctl.export.formats; import importlib; importlib.reload(nasctl.search)",
    ],
)
def test_search_and_export_can_be_called_whatever_was_imported_before(before, tmp_path):
    code = f"""
import inspect
import nasctl
{before}
found = nasctl.search("nbmacro", objectives=["params", "macs"], budget=5, store="s.db")
print(len(found.front), "budget" in inspect.signature(nasctl.search).parameters)
print(*nasctl.export(found.front[0].id, formats="json", output="net.json", store="s.db").values())
from nasctl.search.run import Run
from nasctl.export.formats import FORMATS
import nasctl.search.loop
assert nasctl.Run is Run and nasctl.search.run.Run is Run and callable(nasctl.search)
"""
    front, path = python(code, tmp_path).splitlines()
    assert int(front.split()[0]) >= 1
    assert front.split()[1] == "True"
    assert json.loads((tmp_path / path).read_text())["space"].startswith("nbmacro")


def test_a_search_has_the_defaults_of_the_command_line():
    parameters = inspect.signature(nasctl.search).parameters
    defaults = {name: one.default for name, one in parameters.items()}
    options = {one.name: one.to_info_dict()["default"] for one in search_command.params}
    same = {"searcher": "searcher", "seed": "seed", "budget": "budget", "store": "store", "run": "name"}
    assert {name: defaults[name] for name in same} == {name: options[option] for name, option in same.items()}
    setting = nasctl.SettingOptions()
    for name in ("fidelity", "data", "weights_seed", "torch_device", "threads"):
        assert getattr(setting, name) == options[name]
    assert all(defaults[name] == () for name in ("device", "objectives", "record", "constraints"))


def test_a_search_is_the_run_of_the_same_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = nasctl.search("nbmacro", device="gpu", budget=12, constraints="params<=2M", store="library.db")
    asked = ["--space=nbmacro", "--device=gpu", "--budget=12", "--constraint=params<=2M", "--json"]
    done = CliRunner().invoke(cli, ["search", *asked])
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["run"] == found.name
    assert report["front"] == [solution.id for solution in found.front]
    shown = json.loads(CliRunner().invoke(cli, ["pareto", "show", "--json"]).stdout)
    assert [row["values"] for row in shown] == [solution.values for solution in found.front]


def test_the_same_call_resumes(tmp_path):
    options = {"objectives": "params,macs", "store": tmp_path / "s.db", "searcher": "random"}
    first = nasctl.search("nbmacro", budget=5, **options)
    again = nasctl.search("nbmacro", budget=8, **options)
    assert again.name == first.name
    assert again.evaluations[:5] == first.evaluations
    assert len(again.evaluations) == 8


def test_a_doubtful_constraint_is_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="perhaps no candidate can meet params<=1k"):
        found = nasctl.search("nb101", objectives="macs", constraints="params<=1K", budget=3, store=tmp_path / "s.db")
    assert (found.front, len(found.evaluations)) == ([], 3)


def test_plugins_and_architectures_are_loaded_by_name(tmp_path):
    space = nasctl.load_space("nb201:channels=8")
    assert len(space.genes) == 6
    assert nasctl.load_objective("params").unit == "parameters"
    assert nasctl.load_objective("latency@gpu", space="nb201").label == "latency@gpu"
    loaded = nasctl.load_architecture("0,0,0,0,0,0", space="nb201", store=tmp_path / "none.db")
    assert loaded.genome == (0,) * 6
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(nasctl.NasctlError, match="did you mean 'nb201'"):
        nasctl.load_space("nb202")


@pytest.mark.slow  # mypy reads torch's types
def test_mypy_knows_what_can_be_called(tmp_path):
    (tmp_path / "call.py").write_text(
        "import nasctl\nfrom nasctl.search.run import Run\n"
        'found = nasctl.search("nb201", budget=3)\nreveal_type(found.front[0].id)\nreveal_type(nasctl.Run)\n'
        'paths = nasctl.export(found.front[0].id, output="net.py")\nnasctl.search(budget="3")\nnasctl.serach\n'
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(tmp_path / "call.py")]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    found = [line.partition("call.py:")[2] for line in lines if "call.py:" in line]
    assert [line.split(":")[0] for line in found] == ["4", "5", "7", "7", "8"], lines
    assert '"str"' in found[0]


@pytest.mark.slow
def test_the_examples_of_the_page_work(tmp_path):
    page = (ROOT / "docs" / "library.md").read_text()
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    code = re.sub(r"budget=\d+", "budget=4", blocks).replace("mbconv", "nbmacro")
    assert python(code, tmp_path).count("synflow") >= 4
    assert {path.name for path in tmp_path.iterdir()} >= {"nasctl.db", "network.py"}
