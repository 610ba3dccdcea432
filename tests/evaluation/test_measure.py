"""One genome is measured by several metrics: values, failures, draws, seconds, and what is printed meanwhile."""

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.errors import BadOption, NasctlError
from nasctl.evaluation import measure as measure_module
from nasctl.evaluation.measure import LocalExecutor, mean_of_draws, measure, score
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.store.measurements import Measurement
from nasctl.testing import Chain

NOISE = source("noise")


class Metric:
    """Computes a function of the candidate, and keeps the candidates that it is given."""

    unit, direction, transform, version = "s", "min", "identity", "1"

    def __init__(self, function=lambda candidate: 1.0, *needs):
        self.function, self.needs, self.seen = function, frozenset(needs or {"module"}), []

    def __call__(self, candidate):
        self.seen.append(candidate)
        return self.function(candidate)


def raising(error):
    def function(candidate):
        raise error

    return Metric(function, "network")


def measured(setting=None, genome=(1, 0), **metrics):
    task = Task(Chain(), metrics, setting or Setting(NOISE))
    return measure(task, genome, {name: f"label of {name}" for name in metrics})


def test_values_are_filed_under_the_labels_that_were_asked_for():
    metrics = {"one": Metric(lambda c: c.genome[0]), "two": Metric(lambda c: 7 - c.genome[1], "network")}
    task = Task(Chain(), metrics, Setting(NOISE))
    found = measure(task, (1, 0), {"two": "a", "one": "b"})
    assert list(found) == ["a", "b"]
    assert {label: one.value for label, one in found.items()} == {"a": 7.0, "b": 1.0}
    assert all(one.error is None and one.seconds > 0 for one in found.values())
    assert list(measure(task, (1, 0), {"one": "b"})) == ["b"]
    assert len(metrics["two"].seen) == 1
    assert measure(task, (1, 0), {}) == {}


@pytest.mark.parametrize("needs", ["network", "module"])
def test_a_metric_sees_the_network_of_the_genome(needs):
    (found,) = measured(metric=Metric(lambda c: c.network.params, needs)).values()
    assert found[:2] == (3 * 5 + 5 * 2, None)


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), True, "0.25", torch.tensor(2.0)])
def test_a_value_becomes_a_float(value):
    (found,) = measured(metric=Metric(lambda candidate: value)).values()
    assert (type(found.value), found.value, found.error) == (float, float(value), None)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda c: math.nan, "ArithmeticError: the score is nan"),
        (lambda c: math.inf, "ArithmeticError: the score is inf"),
        (lambda c: -math.inf, "ArithmeticError: the score is -inf"),
        (lambda c: 10**400, "OverflowError: int too large to convert to float"),
        (lambda c: None, "TypeError: float() argument must be a string or a real number, not 'NoneType'"),
        (lambda c: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
@pytest.mark.parametrize("needs", ["network", "module"])
def test_a_failure_has_its_class_and_message_and_no_value(function, error, needs):
    found = measured(broken=Metric(function, needs), sound=Metric(lambda c: 2.0, needs))
    assert found["label of broken"][:2] == (None, error)
    assert found["label of broken"].seconds > 0
    assert found["label of sound"][:2] == (2.0, None)


@pytest.mark.parametrize(
    ("error", "said"),
    [(MemoryError(), "MemoryError: "), (SystemExit(3), "SystemExit: 3"), (KeyError("k"), "KeyError: 'k'")],
)
def test_what_ends_a_program_ends_one_candidate(error, said):
    assert measured(broken=raising(error))["label of broken"].error == said


@pytest.mark.parametrize("error", [NasctlError("mend this"), BadOption("mend that"), KeyboardInterrupt("stop")])
def test_what_the_user_has_to_mend_ends_the_search(error):
    with pytest.raises(type(error), match=str(error)):
        measured(broken=raising(error))


def test_what_a_metric_prints_is_no_data(capsys):
    measured(loud=Metric(lambda c: print("noise") or 1.0))
    assert capsys.readouterr() == ("", "noise\n")


def test_a_module_is_scored_once_a_draw_and_a_network_once():
    module, network, scored = (
        Metric(lambda c: c.setting.seed),
        Metric(lambda c: 5.0, "network"),
        Metric(lambda c: 6.0, "scored"),
    )
    setting = Setting(NOISE, Fidelity(batch=4, repeats=3), seed=2)
    found = measured(setting, module=module, network=network, scored=scored)
    assert {label.removeprefix("label of "): one.value for label, one in found.items()} == {
        "module": (6 + 7 + 8) / 3,  # seeds of the draws: 2 * 3 + 0, 1, 2
        "network": 5.0,
        "scored": 6.0,
    }
    assert [candidate.setting.seed for candidate in module.seen] == [6, 7, 8]
    assert len(network.seen) == len(scored.seen) == 1
    first = module.seen[0]
    shared = (*network.seen, *scored.seen)  # metrics of a draw share what its candidate has computed
    assert all(vars(one) is vars(first) for one in shared)
    assert len(set(map(id, module.seen))) == 3
    assert {candidate.genome for candidate in module.seen} == {(1, 0)}


def test_a_candidate_knows_what_all_metrics_of_the_call_need():
    one, two = Metric(lambda c: 1.0, "gradients"), Metric(lambda c: 1.0, "saliences", "module")
    task = Task(Chain(), {"one": one, "two": two, "three": Metric(lambda c: 1.0, "samples")}, Setting(NOISE))
    measure(task, (0, 0), {"one": "1", "two": "2"})
    assert one.seen[0]._needs == {"gradients", "saliences", "module"}


@pytest.mark.parametrize("needs", [("network",), ("scored",), ("network", "scored")])
def test_arithmetic_alone_draws_nothing(needs):
    metric = Metric(lambda c: c.setting.seed, *needs)
    setting = Setting(NOISE, Fidelity(batch=4, repeats=3), seed=2)
    assert measured(setting, metric=metric)["label of metric"].value == 2.0  # the seed of the setting itself
    assert len(metric.seen) == 1


def test_metrics_find_shared_generators_at_the_seed_and_leave_them_as_they_were():
    def function(candidate):
        return random.random() + np.random.rand() + torch.rand(()).item()  # noqa: NPY002

    def generators():
        return random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    before = generators()
    one, again = (measured(a=Metric(function), b=Metric(function)) for _ in range(2))
    assert one["label of a"].value == one["label of b"].value == again["label of a"].value
    assert generators() == before
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
    assert one["label of a"].value == random.random() + np.random.rand() + torch.rand(()).item()  # noqa: NPY002


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_has_the_threads_of_the_setting_meanwhile(threads):
    before = torch.get_num_threads()
    metric = Metric(lambda c: torch.get_num_threads())
    assert measured(Setting(NOISE, threads=threads), metric=metric)["label of metric"].value == threads
    assert torch.get_num_threads() == before


def test_the_mean_of_draws_fails_with_the_first_error_and_adds_up_the_seconds():
    def draw(value, error=None, seconds=1.0):
        return Measurement(value, error, seconds)

    def mean(draws):
        return mean_of_draws(draws)[:3]

    assert mean([draw(3.0)]) == (3.0, None, 1.0)
    assert mean([draw(1.0), draw(2.0, None, 0.25), draw(6.0)]) == (3.0, None, 2.25)
    assert mean([draw(1e16), draw(1.0), draw(-1e16)]) == (1 / 3, None, 3.0)  # summed without rounding
    assert mean([draw(1.0), draw(None, "first"), draw(None, "second")]) == (None, "first", 3.0)
    assert mean([draw(None, "only")]) == (None, "only", 1.0)


def test_seconds_are_those_of_the_metric(monkeypatch):
    clock = iter([10.0, 10.5, 20.0, 23.0])
    monkeypatch.setattr(measure_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert score(Metric(), SimpleNamespace()) == Measurement(1.0, None, 0.5)
    assert score(raising(ValueError("no")), SimpleNamespace()) == Measurement(None, "ValueError: no", 3.0)


def test_the_local_executor_measures_one_genome_at_a_time():
    metric = Metric(lambda c: c.genome[0])
    executor = LocalExecutor(Task(Chain(), {"metric": metric}, Setting(NOISE)))
    assert not executor.full
    for genome in ((0, 1), (1, 1)):
        executor.submit(genome, {"metric": "label"})
        assert executor.full
        found, measurements = executor.result()
        assert (found, measurements["label"].value) == (genome, float(genome[0]))
        assert not executor.full
    assert len(metric.seen) == 2
