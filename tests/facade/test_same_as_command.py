"""A search from Python is the run of the same options of the command line, and wrong types get a sentence."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

import nasctl
from nasctl.candidates.setting import Setting
from nasctl.cli import cli
from nasctl.search.run import Run

# Arguments of `nasctl.search`, and the options of `nasctl search` that say the same.
OPTIONS = [
    ({}, []),
    ({"space": "mbconv", "device": "gpu"}, ["--space=mbconv", "--device=gpu"]),
    ({"device": ["gpu", "cpu"]}, ["--device=gpu", "--device=cpu"]),
    ({"device": "gpu", "objectives": "synflow"}, ["--device=gpu", "-o", "synflow"]),
    ({"objectives": ("params", "max:depth")}, ["-o", "params,max:depth"]),
    ({"record": "params,macs"}, ["--record=params,macs"]),
    ({"constraints": ["params<=2M", "macs<=60%"]}, ["-c", "params<=2M", "-c", "macs<=60%"]),
    ({"searcher": "nsga2", "seed": 3}, ["--searcher=nsga2", "--seed=3"]),
    ({"space": "nb201:channels=8", "task": "dense"}, ["--space=nb201:channels=8", "--task=dense"]),
    ({"setting": nasctl.SettingOptions(fidelity="fast", data="noise")}, ["--fidelity=fast", "--data=noise"]),
    ({"setting": nasctl.SettingOptions(weights_seed=2, threads=2)}, ["--weights-seed=2", "--threads=2"]),
    ({"run": "mine"}, ["--run=mine"]),
    ({"budget": np.int64(7), "seconds": 5}, ["--budget=7", "--time=5"]),
]


class Asked(nasctl.NasctlError):
    """Ends a search before its work, with the question and the name of its run."""


@pytest.fixture
def stopped(monkeypatch, tmp_path):
    def check(self, here=True):
        raise Asked(f"{self.asked} is {self.name}")

    monkeypatch.setattr(Run, "check", check)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"), OPTIONS, ids=lambda one: " ".join(one) if isinstance(one, list) else ""
)
def test_options_mean_the_same_run(arguments, words, stopped):
    with pytest.raises(Asked) as caught:
        nasctl.search(**{"space": "nbmacro", **arguments})
    space = [] if any(word.startswith("--space") for word in words) else ["--space=nbmacro"]
    done = CliRunner().invoke(cli, ["search", *space, *words])
    assert done.exit_code == 2, done.stderr
    assert str(caught.value) in re.sub(r"\s+", " ", done.stderr)


WRONG = {
    "Cannot search: budget is 'x', of type str. Give a whole number.": {"budget": "x"},
    "Cannot search: budget is 3.5, of type float. Give a whole number.": {"budget": 3.5},
    "Cannot search: budget is True, of type bool. Give a whole number.": {"budget": True},
    "Cannot search: budget is 0. Give 1 or more.": {"budget": 0},
    "Cannot search: seed is -1. Give 0 or more.": {"seed": -1},
    "Cannot search: seconds is '5m', of type str. Give a number or None.": {"seconds": "5m"},
    "Cannot search: seconds is nan. Give 0 or more.": {"seconds": float("nan")},
    "Cannot search: space is None, of type NoneType. Give a text.": {"space": None},
    "Cannot search: device is 3, of type int. Give a text or a list of texts.": {"device": 3},
    "Cannot search: objectives is [1], of type list. Give a text or a list of texts.": {"objectives": [1]},
    "Cannot search: setting is {}, of type dict. Give a SettingOptions.": {"setting": {}},
    "Cannot search: workers is 2, of type int. Give a WorkerOptions.": {"workers": 2},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_wrong_type_is_named(sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(nasctl.NasctlError) as caught:
        nasctl.search(**{"space": "nbmacro", **WRONG[sentence]})
    assert str(caught.value) == sentence
    assert list(tmp_path.iterdir()) == []


def searched(**given):
    """Begin the search of a run."""
    store = nasctl.Store.reading("none.db")
    return next(Run("nbmacro", ("macs",)).search(**{"store": store, "budget": 1, **given}))


CALLS = [
    (lambda: Run("nbmacro", "synflow"), "make a run: objectives is 'synflow', of type str. Give a list of texts."),
    (lambda: Run("nbmacro", ("macs",), seed="0"), "make a run: seed is '0', of type str. Give a whole number."),
    (lambda: Run("nbmacro", ("macs",), setting=None), "make a run: setting is None, of type NoneType. Give a Setting."),
    (lambda: nasctl.SettingOptions(threads=0), "set conditions of measurements: threads is 0. Give 1 or more."),
    (lambda: nasctl.WorkerOptions(gpus="0"), "start workers: gpus is '0', of type str. Give a list of texts."),
    (lambda: nasctl.export(formats=3), "export: formats is 3, of type int. Give a text or a list of texts."),
    (lambda: nasctl.Store(3), "open a store: path is 3, of type int. Give a path or a text."),
    (lambda: nasctl.Store.reading(None), "open a store: path is None, of type NoneType. Give a path or a text."),
    (lambda: nasctl.Store.reading("none.db").run(3), "find a run: name is 3, of type int. Give a text or None."),
    (lambda: searched(budget="3"), "search: budget is '3', of type str. Give a whole number."),
    (lambda: searched(deadline="5m"), "search: deadline is '5m', of type str. Give a number."),
    (lambda: searched(store="a.db"), "search: store is 'a.db', of type str. Give a Store."),
    (lambda: nasctl.load_space(3), "load a space: spec is 3, of type int. Give a text."),
    (lambda: nasctl.load_objective([]), "load an objective: spec is [], of type list. Give a text."),
    (lambda: nasctl.load_architecture(("a",)), "load an architecture: arch is ('a',), of type tuple. Give a text."),
]


@pytest.mark.parametrize(("call", "sentence"), CALLS)
def test_so_it_is_in_all_of_the_library(call, sentence):
    with pytest.raises(nasctl.NasctlError) as caught:
        call()
    assert str(caught.value) == f"Cannot {sentence}"


def test_lists_are_tuples_of_a_run():
    made = Run("nbmacro", ["params"], record=["macs"], constraints=["params<=2M"])
    assert made == Run("nbmacro", ("params",), record=("macs",), constraints=("params<=2M",))
    assert made.setting == Setting()
