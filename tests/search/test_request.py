"""The options of a search make its run: defaults that apply, devices as latencies, and every option in its place."""

import pytest

from nasctl import registry
from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.errors import BadOption, UnknownName
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import default_fidelity
from nasctl.search import request
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.search.run import Run

DEFAULT = SettingOptions()


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


def test_a_run_has_the_defaults_that_apply_to_its_space():
    run = SearchRequest("nbmacro").run(DEFAULT)
    assert run.objectives == ("synflow", "jacov", "snip", "macs")
    assert (run.searcher, run.seed, run.record, run.constraints) == ("guided", 0, (), ())
    assert (run.called, run.options) == ("", {})
    tokens = SearchRequest("rnn:vocabulary=50,length=9,width=4").run(DEFAULT)
    assert tokens.objectives == ("snip", "hidden_covariance", "macs")


@pytest.mark.parametrize(
    ("devices", "objectives", "expected"),
    [
        (("v100-b64",), (), ("synflow", "jacov", "snip", "latency@v100-b64")),
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


def test_the_number_of_default_metrics_is_limited(monkeypatch):
    monkeypatch.setattr(request, "DEFAULT_COUNT", 2)
    assert SearchRequest("nbmacro").run(DEFAULT).objectives == ("synflow", "jacov", "macs")
