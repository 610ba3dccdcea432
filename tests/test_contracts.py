"""What every plug-in promises, asked of every plug-in there is: a new file in its folder needs no change here."""

import pytest
from compression.exit_networks import exits_spec, exits_table
from prediction.small_predictors import small_predictor
from supernets.trained import SPACE as SUPERNET_SPACE
from supernets.trained import supernet

from nasctl import registry
from nasctl.candidates.setting import Setting
from nasctl.data import default_source, source
from nasctl.problem.fidelity import Fidelity
from nasctl.search.run import Run
from nasctl.testing import ObjectiveContract, SearcherContract, SpaceContract

SMALL = "nb201:channels=4,cells=1"
TRANSFORMERS = (
    "head_confidence",
    "softmax_confidence",
    "activation_distance",
    "synaptic_diversity",
    "synaptic_saliency",
    "head_importance",
)
OPTIONS = {  # objectives that cannot do without
    "trained": ("nbmacro:resolution=8,classes=10", "trained:epochs=1,split=0.05-0.05"),
    "latency": ("nbmacro", "latency:device=titan-xp-b64"),
    "hidden_covariance": ("rnn:vocabulary=50,length=8,layers=2,width=8,hidden=9", "hidden_covariance"),
    **{name: ("flexibert:hidden=8,16,length=8,units=16,vocabulary=50", name) for name in TRANSFORMERS},
}


class TestSpaces(SpaceContract):
    @pytest.fixture(params=registry.names_without_options("spaces"))
    def space(self, request):
        return registry.create("spaces", request.param)


class TestObjectives(ObjectiveContract):
    @pytest.fixture(params=registry.trusted("objectives"))
    def run(self, request, tmp_path_factory):
        space, objective = OPTIONS.get(request.param, (SMALL, request.param))
        if objective == "loss":  # its option is a supernet that is trained first
            space = SUPERNET_SPACE
            objective = f"loss:supernet={supernet(tmp_path_factory.mktemp('supernet') / 'store')},images=100"
        if objective == "score":  # its option is a supernet whose strategy scores networks
            path = supernet(
                tmp_path_factory.mktemp("supernet") / "store", strategy="blockwise:paths=2,hidden=8,width=4", steps=40
            )
            space, objective = SUPERNET_SPACE, f"score:supernet={path}"
        if objective == "accuracy":  # its option is a file that is fitted first
            path = tmp_path_factory.mktemp("fit") / "small.json"
            small_predictor(path.parent, metrics=("params", "snip"), setting=Setting(seed=0)).predictor.save(path)
            objective = f"accuracy:file={path}"
        if (
            request.param.startswith("expected_") and request.param != "expected_synflow"
        ):  # of networks with early exits
            folder = tmp_path_factory.mktemp("exits")
            request.getfixturevalue("monkeypatch").chdir(folder)  # trained exits lie beside the store
            space = exits_spec(folder)
            latency = request.param == "expected_latency"
            objective = f"expected_latency:device={exits_table(space, folder)}" if latency else request.param
        data = (
            source("digits")
            if request.param == "trained" or space.startswith("exits")
            else default_source(registry.create("spaces", space).input.kind)
        )
        return Run(space, (objective,), "random:batch=2", seed=1, setting=Setting(data=data))

    @pytest.mark.slow  # seconds for each of many
    def test_has_the_same_values_in_another_process(self, run, tmp_path):
        super().test_has_the_same_values_in_another_process(run, tmp_path)


class TestSearchers(SearcherContract):
    @pytest.fixture(params=registry.trusted("searchers"))
    def run(self, request):
        small = Setting(fidelity=Fidelity(size=16, batch=16))  # for those that measure supernets
        setting = small if "supernet" in getattr(registry.load("searchers", request.param), "needs", ()) else Setting()
        return Run("nb201:channels=8,cells=1", ("naswot", "macs"), request.param, setting=setting)

    @pytest.mark.slow  # seconds for each of many; tests/system/test_signals.py kills searches too
    def test_resume_is_replay(self, run, tmp_path):
        super().test_resume_is_replay(run, tmp_path)

    def test_stops_when_the_space_is_used_up(self, run, tmp_path):
        if needs := getattr(registry.load("searchers", run.searcher), "needs", ()):
            pytest.skip(f"the space of this contract has no {', '.join(needs)}")
        super().test_stops_when_the_space_is_used_up(run, tmp_path)
