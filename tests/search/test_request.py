"""The options of a search make its run: defaults that apply, devices as latencies, and every option in its place."""

from dataclasses import replace

import pytest

from nasctl import registry
from nasctl.candidates.setting import Setting
from nasctl.correlations.table import shipped
from nasctl.data import source
from nasctl.errors import BadOption, UnknownName
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import default_fidelity
from nasctl.search.default_objectives import default_objectives, past_defaults
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.search.run import Run
from nasctl.store.store import Store

DEFAULT = SettingOptions()
SMALL = SettingOptions("size=8,batch=4,repeats=1")


def test_a_setting_has_every_option():
    made = SettingOptions("size=8,batch=4", "noise", 3, "meta", 2).setting(registry.create("spaces", "nbmacro"))
    assert made == Setting(source("noise"), Fidelity(size=8, batch=4), 3, "meta", 2)


def test_a_space_completes_the_setting():
    images, tokens = (registry.create("spaces", spec) for spec in ("nbmacro", "rnn:vocabulary=50,length=9,width=4"))
    assert DEFAULT.setting(images) == Setting(source("dead_leaves"), default_fidelity(images), 0, "cpu", 1)
    assert str(DEFAULT.setting(tokens).data) == "tokens"


def test_a_run_has_every_option():
    options = {"space": "nbmacro", "quiet": True}
    asked = SearchRequest(
        "nbmacro",
        ("v100-b64",),
        ("macs",),
        ("depth,params",),
        ("macs<=90M",),
        "random:batch=5",
        4,
        "mine",
    )
    run = asked.run(SettingOptions("size=8,batch=4", "noise"), options)
    setting = Setting(source("noise"), Fidelity(size=8, batch=4))
    assert run == Run(
        "nbmacro", ("macs", "latency@v100-b64"), "random:batch=5", 4, setting, ("depth", "params"), ("macs<=90M",)
    )
    assert (run.called, run.options) == ("mine", options)


def defaults(spec, with_device=False):
    return default_objectives(spec, registry.create("spaces", spec), "", with_device).objectives


def test_a_run_has_the_defaults_of_its_space():
    run = SearchRequest("nbmacro").run(DEFAULT)
    assert run.objectives == defaults("nbmacro")
    assert run.objectives[-1] == "macs"
    assert (run.searcher, run.seed, run.record, run.constraints) == ("guided", 0, (), ())
    assert (run.called, run.options) == ("", {})
    tokens = SearchRequest("rnn:vocabulary=50,length=9,width=4").run(DEFAULT)
    assert "hidden_covariance" in tokens.objectives


def test_a_device_takes_the_place_of_the_default_cost():
    expected = (*defaults("nbmacro", with_device=True), "latency@v100-b64")
    assert "macs" not in expected
    assert SearchRequest("nbmacro", ("v100-b64",)).run(DEFAULT).objectives == expected


@pytest.mark.parametrize(
    ("devices", "objectives", "expected"),
    [
        (("v100-b64, mine.json", "cpu"), ("macs",), ("macs", "latency@v100-b64", "latency@mine.json", "latency@cpu")),
        (("cpu",), ("latency", "params"), ("params", "latency@cpu")),
        ((), ("latency", "params"), ("latency", "params")),
        (("cpu",), ("latency@cpu", "params"), ("latency@cpu", "params")),
        (("cpu", "cpu"), ("params",), ("params", "latency@cpu")),
        ((), ("params,swap:mu=30,sigma=700", "macs"), ("params", "swap:mu=30,sigma=700", "macs")),
        ((), ("macs,params", "macs"), ("macs", "params")),
    ],
)
def test_each_device_adds_its_latency_and_nothing_is_optimised_twice(devices, objectives, expected):
    assert SearchRequest("nbmacro", devices, objectives).run(DEFAULT).objectives == expected


def test_what_has_no_name_or_does_not_exist_is_refused():
    with pytest.raises(BadOption, match="lacks a name"):
        SearchRequest("nbmacro", ("cpu,",)).run(DEFAULT)
    with pytest.raises(UnknownName, match="no space is called 'nbmacor'; did you mean 'nbmacro'"):
        SearchRequest("nbmacor").run(DEFAULT)


def started(store, request, objectives):
    """Start a run of a request with given objectives, as an earlier version would have done."""
    run = replace(request, objectives=objectives).run(SMALL)
    for _ in run.search(store, 2):
        pass
    return run


def test_the_same_words_resume_a_run_with_the_defaults_of_an_earlier_version(tmp_path):
    store, asked = Store(tmp_path / "nasctl.db"), SearchRequest("nbmacro", searcher="random")
    assert asked.run(SMALL, store=store).objectives == defaults("nbmacro")  # an empty store
    past = past_defaults("nbmacro", registry.create("spaces", "nbmacro"), "", with_device=False)[-1]
    assert past == ("synflow", "jacov", "snip", "macs")
    old = started(store, asked, past)
    found = asked.run(SMALL, store=store)
    assert (found.name, found.objectives) == (old.name, past)
    assert "goes on with the run's own objectives" in " ".join(asked.remarks(found))
    # Another question is another run, and so is one whose objectives are given.
    assert replace(asked, seed=1).run(SMALL, store=store).objectives == defaults("nbmacro")
    assert replace(asked, objectives=("swap",)).run(SMALL, store=store).objectives == ("swap",)
    # A run with today's defaults comes before one with earlier defaults.
    new = started(store, asked, defaults("nbmacro"))
    assert asked.run(SMALL, store=store).name == new.name != old.name


def test_a_table_that_changes_the_defaults_leaves_runs_where_they_are(tmp_path, monkeypatch):
    store, asked = Store(tmp_path / "nasctl.db"), SearchRequest("nbmacro", searcher="random")
    old = started(store, asked, defaults("nbmacro"))
    table = shipped()
    changed = [replace(one, objectives=("zen",)) if one.family == "skeleton" else one for one in table.choices]
    later = replace(table, choices=changed, earlier=[one for one in table.choices if one.family == "skeleton"])
    for module in ("nasctl.correlations.defaults", "nasctl.search.default_objectives"):
        monkeypatch.setattr(f"{module}.shipped", lambda: later)
    assert asked.run(SMALL).objectives == ("zen", "macs")
    assert asked.run(SMALL, store=store).name == old.name


def test_a_named_run_is_resumed_with_the_defaults_that_it_was_started_with(tmp_path):
    store, asked = Store(tmp_path / "nasctl.db"), SearchRequest("nbmacro", searcher="random", name="mine")
    old = started(store, asked, ("synflow", "jacov", "snip", "macs"))
    assert asked.run(SMALL, store=store).objectives == old.objectives


def test_remarks_name_the_measurements_or_what_they_hold_against_an_objective():
    asked = SearchRequest("nbmacro")
    lines = asked.remarks(asked.run(SMALL))
    assert all(len(line) <= 80 for line in lines)
    said = " ".join(line.strip() for line in lines)
    assert said.startswith("evidence: over 500 networks of nbmacro with known CIFAR-10 test accuracy, swap orders them")
    other = SearchRequest("resnet")
    assert "of nbmacro, not of this space" in " ".join(map(str.strip, other.remarks(other.run(SMALL))))
    given = replace(asked, objectives=("min:swap,progressivity", "macs"))
    said, *evidence = given.remarks(given.run(SMALL))
    assert evidence[0].startswith("evidence: over 500 networks of nbmacro")
    assert not any(line.startswith("Warning") for line in evidence)
    assert said.startswith("Warning: measurements on skeletons contradict the direction of min:swap (Spearman -.9")
    assert said.endswith(" on nbmacro); swap has the other")


def test_an_unknown_task_is_refused():
    with pytest.raises(UnknownName, match="no task is called 'densee'; did you mean 'dense'"):
        SearchRequest("nbmacro", task="densee").run(DEFAULT)


# Specs of small spaces whose `balanced` changed, its bounds before, and the names that runs had then: with the
# objectives `params,macs`, and with the default objectives of then.
PAST_LEVELS = [
    ("darts:channels=4,cells=3", "size=16,cells=2,batch=32", "darts-3705e1b0", "darts-b4f67737"),
    ("nb101:channels=8,cells=2", "size=16,cells=1,batch=32", "nb101-b4fe403d", "nb101-3956518e"),
    ("rnn:vocabulary=50,length=9,width=4", "size=16,batch=40", "rnn-7b1b6123", "rnn-d253b17b"),
]


def recorded(store, run):
    """Record a run that has visited nothing."""
    list(run.search(store, 0))
    return run.name


@pytest.mark.parametrize(("space", "bounds", "with_costs", "with_defaults"), PAST_LEVELS)
def test_the_same_words_resume_a_run_at_earlier_bounds_of_a_level(tmp_path, space, bounds, with_costs, with_defaults):
    store, old = Store(tmp_path / "nasctl.db"), SettingOptions(bounds)
    asked = SearchRequest(space, searcher="random")
    costs = replace(asked, objectives=("params,macs",))
    assert recorded(store, replace(costs.run(old), references=None)) == with_costs
    assert asked.run(DEFAULT, store=store).name != with_defaults  # not in the store yet
    past = past_defaults(space, registry.create("spaces", space), "", with_device=False)[-1]
    assert recorded(store, replace(replace(asked, objectives=past).run(old), references=None)) == with_defaults
    for level in ("", "balanced"):
        options = SettingOptions(level)
        assert costs.run(options, store=store).name == with_costs
        found = asked.run(options, store=store)
        assert found.name == with_defaults
        assert f"the run's own fidelity, {Fidelity.parse(bounds, {'full': Fidelity()})}" in " ".join(
            line.strip() for line in asked.remarks(found, options)
        )
    # Today's bounds as numbers, another seed and another level are other questions.
    today = str(default_fidelity(registry.create("spaces", space)))
    assert costs.run(SettingOptions(today), store=store).name not in (with_costs, with_defaults)
    assert str(replace(costs, seed=1).run(DEFAULT, store=store).setting.fidelity) == today
    assert costs.run(SettingOptions("fast"), store=store).name != with_costs
    # A run at today's bounds comes before one at earlier bounds.
    new = recorded(store, costs.run(DEFAULT))
    assert costs.run(DEFAULT, store=store).name == new != with_costs
    assert not any("own fidelity" in line for line in costs.remarks(costs.run(DEFAULT), DEFAULT))


def test_a_named_run_is_resumed_at_the_bounds_that_it_was_started_with(tmp_path):
    store, asked = Store(tmp_path / "nasctl.db"), SearchRequest("nb101", (), ("macs",), searcher="random", name="mine")
    recorded(store, asked.run(SettingOptions("size=16,cells=1,batch=32,repeats=2")))
    assert str(asked.run(DEFAULT, store=store).setting.fidelity) == "size=16,batch=32,repeats=1"
    found = asked.run(SettingOptions("balanced,repeats=2"), store=store)
    assert str(found.setting.fidelity) == "size=16,cells=1,batch=32,repeats=2"
