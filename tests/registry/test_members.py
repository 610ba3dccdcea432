"""The members that a plug-in needs: one message names all that is missing or wrong."""

from dataclasses import fields
from typing import get_args

import pytest

from nasctl import registry
from nasctl.candidates.shared_pass import SharedPass
from nasctl.errors import BadOption, NasctlError
from nasctl.problem.searcher import Direction, Transform
from nasctl.registry.members import MEMBERS, NEEDS, WORDS, check_members


class Right:
    unit, direction, transform, version = "m", "max", "log10", "1"
    needs = frozenset({"module"})

    def __call__(self, candidate):
        return 1.0


def message(kind, made):
    with pytest.raises(BadOption) as refused:
        check_members(kind, "own.py:Own", made)
    return str(refused.value)


def test_one_message_names_all_missing_members_and_the_page():
    assert message("objectives", type("Own", (), {"__call__": lambda self, candidate: 1.0})()) == (
        "Cannot use own.py:Own as an objective: it has no unit, direction, transform, needs, version. Write the class"
        " as in docs/metrics.md, 'A metric of your own'."
    )
    assert (
        "as a space: it has no input, genes, canonical (a method that may return its genome), network, reduced (a"
        " method that may return self)."
    ) in message("spaces", object())
    assert "as a searcher: it has no ask, tell." in message("searchers", object())


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"direction": "up"}, "direction is 'up', and must be 'max' or 'min'"),
        ({"direction": []}, "direction is [], and must be 'max' or 'min'"),
        ({"transform": "log"}, "transform is 'log', and must be 'identity', 'log10' or '-log10(-s)'"),
        ({"unit": None}, "unit is None, and must be a text"),
        ({"version": 1}, "version is 1, and must be a text"),
        ({"needs": "module"}, "needs is 'module', and must be a set of names"),
        ({"needs": {"modul"}}, "needs has 'modul', which no candidate has (did you mean 'module'?)"),
        ({"needs": {"xyz", 3}}, "needs has 3, which no candidate has (there is: network, scored"),
        ({"__call__": lambda self: 1.0}, "__call__ must take one argument, the candidate"),
    ],
)
def test_wrong_values_are_named(members, fault):
    assert fault in message("objectives", type("Own", (Right,), members)())


def test_several_faults_are_one_message():
    said = message("objectives", type("Own", (Right,), {"direction": "up", "transform": 3, "needs": ()})())
    assert all(f"{name} is" in said for name in ("direction", "transform", "needs"))


def test_a_right_class_passes():
    check_members("objectives", "own.py:Right", Right())
    check_members("objectives", "own.py:Right", type("Own", (Right,), {"needs": {"network"}})())
    check_members("data", "digits", object())  # a kind without required members


def test_the_words_are_those_of_the_protocol():
    assert {*WORDS["direction"]} == {*get_args(Direction)}
    assert {*WORDS["transform"]} == {*get_args(Transform)}
    passes = {field.name for field in fields(SharedPass)} - {"failures"}
    assert passes <= {*NEEDS}


def test_nasctls_own_plugins_pass_without_an_exception():
    for name in ("nb201", "nbmacro"):
        check_members("spaces", name, registry.create("spaces", name))
    for name in registry.names_without_options("objectives"):
        check_members("objectives", name, registry.create("objectives", name))
    for name in registry.names("searchers"):
        assert all(hasattr(registry.load("searchers", name), member) for member in MEMBERS["searchers"])


OWN = """
class Module:
    unit, direction, transform, version, needs = "m", "max", "identity", "1", frozenset({"network"})

    def __call__(self, candidate):
        return float(len(candidate.READ))


class Bare:
    pass
"""


@pytest.mark.parametrize(
    ("read", "what"),
    [("module()", "a module"), ("batch()", "a batch of examples"), ("activations", "a module")],
)
def test_a_metric_that_declares_arithmetic_gets_no_module(tmp_path, read, what):
    from nasctl.candidates.setting import DEFAULT_SETTING
    from nasctl.evaluation.measure import measure
    from nasctl.evaluation.task import Task
    from nasctl.search.metrics import make_objective
    from nasctl.testing import Chain

    path = tmp_path / "own.py"
    path.write_text(OWN.replace("READ", read))
    name, objective = make_objective(f"{path}:Module")
    task = Task(Chain(), {name: objective, "depth": registry.create("objectives", "depth")}, DEFAULT_SETTING)
    with pytest.raises(NasctlError, match=f"Cannot make {what} for a metric whose `needs` name network: "):
        measure(task, (1, 1), {"depth": "depth", name: name})
    with pytest.raises(BadOption, match=r"own\.py:Bare as an objective"):
        make_objective(f"{path}:Bare")


def test_a_file_without_a_class_says_so(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("")
    with pytest.raises(NasctlError, match=r"Cannot find X in .*empty.py: the file defines no class. Write one"):
        registry.load("objectives", f"{path}:X")
