"""An objective against its own direction: its spec, its values, and a search with it."""

import pickle

import pytest

from nasctl import registry
from nasctl.candidates.objective import closed_form
from nasctl.candidates.reversed_objective import ReversedObjective, measured_name, parse_direction
from nasctl.errors import BadOption, UnknownName
from nasctl.search.applicability import inapplicable_reasons
from nasctl.search.metrics import make_objective
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.store.store import Store

SMALL = SettingOptions("size=8,batch=4,repeats=1")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("min:snip", ("min", "snip")),
        ("max: params", ("max", "params")),
        ("max:hidden_covariance:layer=2", ("max", "hidden_covariance:layer=2")),
        ("snip", (None, "snip")),
        ("maximum:snip", (None, "maximum:snip")),
        ("min", (None, "min")),
    ],
)
def test_a_direction_stands_before_a_spec(spec, expected):
    assert parse_direction(spec) == expected
    assert measured_name(spec) == expected[1]


def test_a_reversed_objective_differs_in_its_direction_only():
    name, found = make_objective("min:snip")
    _, plain = make_objective("snip")
    assert (name, found.direction, plain.direction) == ("min:snip", "min", "max")
    assert isinstance(found, ReversedObjective)
    assert (found.unit, found.needs, found.version, found.transform) == (
        plain.unit,
        plain.needs,
        plain.version,
        plain.transform,
    )
    assert pickle.loads(pickle.dumps(found)).direction == "min"
    name, size = make_objective("max:params")
    assert (name, size.direction, size.monotone, closed_form(size)) == ("max:params", "max", True, True)


def test_the_own_direction_of_an_objective_is_the_objective():
    assert make_objective("max:snip")[0] == "snip"
    assert make_objective("min:latency@gpu", "nbmacro")[0] == "latency@gpu"
    assert make_objective("max:hidden_covariance:layer=1")[0] == make_objective("hidden_covariance:layer=1")[0]


def test_what_cannot_be_reversed_or_does_not_exist_is_refused():
    with pytest.raises(BadOption, match="Cannot optimise max:latency@gpu: its direction is min"):
        make_objective("max:latency@gpu", "nbmacro")
    with pytest.raises(UnknownName, match="no objective is called 'snpi'"):
        make_objective("min:snpi")


def test_it_applies_where_the_objective_applies():
    space = registry.create("spaces", "nbmacro")
    metrics = dict(map(make_objective, ("max:head_confidence", "min:head_confidence", "min:naswot")))
    assert set(inapplicable_reasons(space, metrics)) == {"head_confidence", "min:head_confidence"}


def test_its_values_are_those_of_the_objective_and_its_front_is_the_other_end(tmp_path):
    store = Store(tmp_path / "nasctl.db")
    fronts = {}
    for objectives in (("params", "snip"), ("max:params", "min:snip")):
        run = SearchRequest("nbmacro", objectives=objectives, searcher="random").run(SMALL)
        visits = list(run.search(store, 12))
        fronts[objectives] = run, [visit.evaluation for visit in visits]
        measured = [visit.fresh for visit in visits]
    assert not any(measured)  # the second run has the values of the first
    (_, plain), (run, reversed_) = fronts.values()
    values = {one.genome: one.values for one in plain}
    for one in reversed_:
        mine = values[one.genome]
        assert one.values == {"max:params": mine["params"], "min:snip": mine["snip"]}
    assert [goal.direction for goal in run.task.objectives] == ["max", "min"]
    assert store.run(run.name)[1].labels["max:params"] == "params v1"
