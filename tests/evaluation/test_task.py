"""A task as searchers and the store see it."""

from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.evaluation.task import Task
from nasctl.problem.constraints import Constraint
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Input
from nasctl.store.run_record import Column
from nasctl.testing import Chain

NOISE = source("noise")


class Metric:
    unit, direction, transform, version = "s", "max", "log10", "7"

    def __init__(self, *needs):
        self.needs = frozenset(needs)

    def __call__(self, candidate):
        return 1.0


METRICS = {"module": Metric("module", "network"), "scored": Metric("scored"), "network": Metric("network")}
SETTING = Setting(NOISE, Fidelity(batch=8), seed=3, threads=2)


def test_the_objectives_are_the_metrics_that_are_not_only_recorded():
    task = Task(Chain(), METRICS, SETTING, frozenset({"scored"}))
    assert task.objectives == (Goal("module", "max", "log10", "module"), Goal("network", "max", "log10", "network"))
    assert len(Task(Chain(), METRICS).objectives) == 3


def test_the_record_files_values_by_all_that_they_depend_on():
    held = (Constraint("network", upper=True, bound=2.0),)
    task = Task(Chain(), METRICS, SETTING, frozenset({"scored"}), held)
    record = task.record("chain:depth=2", {"seed": 0}, {"nasctl": "9"}, {"network": ["rough", "old"]})
    setting = "data=noise,fidelity=batch=8,repeats=1,seed=3,device=cpu,threads=2"
    assert dict(record.columns) == {
        "module": Column(f"module v7 @ {setting}", "s", "module", task.objectives[0], ()),
        "scored": Column(f"scored v7 @ {setting}", "s", "network", None, ()),
        "network": Column("network v7", "s", "network", task.objectives[1], ("rough", "old")),
    }
    assert (record.space, record.constraints) == ("chain:depth=2", held)
    assert (record.asked, record.versions) == ({"seed": 0}, {"nasctl": "9"})
    plain = task.record("chain")
    assert (plain.asked, plain.versions, plain.columns["network"].remarks) == ({}, {}, ())


class Tokens(Chain):
    input = Input((3,), "tokens", vocabulary=7)


def test_default_data_is_of_the_kind_of_the_input():
    assert str(Task(Chain(), METRICS).setting.data) == "dead_leaves"
    assert str(Task(Tokens(), METRICS).setting.data) == "tokens"
    assert Task(Tokens(), METRICS, Setting(seed=3)).setting.seed == 3
    assert Task(Tokens(), METRICS, SETTING).setting == SETTING  # its data was chosen
