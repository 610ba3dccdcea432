"""Paths of modules from before the packages can still be imported, with a warning that gives the new path."""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from nasctl.errors import RenamedWarning
from nasctl.system.old_modules import MODULES


@pytest.mark.parametrize("old", MODULES)
def test_an_old_path_gives_the_names_of_its_new_modules(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(RenamedWarning, match=MODULES[old][0]):
        module = import_module(old)
    for home in MODULES[old]:
        for name, value in vars(import_module(home)).items():
            if getattr(value, "__module__", None) == home:
                assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=old):
        module.no_such_name  # noqa: B018


def test_from_imports_of_old_paths():
    code = (
        "from nasctl import truth; from nasctl.candidate import Candidate, Setting;"
        "from nasctl.networks.source import source; from nasctl.values import Evaluation, Genome;"
        "import nasctl.candidates.candidate as c; assert c.Candidate is Candidate; print(truth.read.__module__)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "nasctl.architectures.known_values"


def test_a_path_that_never_was_is_no_module():
    assert find_spec("nasctl.truths") is None
    with pytest.raises(ModuleNotFoundError):
        import_module("nasctl.networks.sources")
