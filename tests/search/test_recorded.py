"""A run that is rebuilt from its record asks the same question, also from records of older versions."""

import pytest

from nasctl.evaluation.measure import measure
from nasctl.search.recorded import recorded_setting, run_from_record
from nasctl.search.retry import task_from_record
from nasctl.search.run import Run
from nasctl.store.run_record import RunRecord

TOKENS = "rnn:vocabulary=50,length=9,layers=2,width=4,hidden=5"


def record_of(run):
    return run.task.record(run.asked["space"], run.asked)


@pytest.mark.parametrize("space", [TOKENS, "nb201:channels=4,cells=1"])
def test_a_rebuilt_run_is_filed_as_before(space):
    run = Run(space, ("synflow" if space != TOKENS else "hidden_covariance", "params"), "nsga2", 3)
    record = record_of(run)
    rebuilt = run_from_record(record)
    assert str(recorded_setting(record)) == record.asked["setting"]
    assert rebuilt.asked == record.asked
    assert (rebuilt.name, record_of(rebuilt).labels) == (run.name, record.labels)


def test_tokens_that_were_filed_as_images_are_still_measured_on_tokens():
    run = Run(TOKENS, ("hidden_covariance",))
    old = RunRecord.parsed(record_of(run).json().replace("data=tokens", "data=dead_leaves"))
    assert run_from_record(old).asked["setting"] == old.asked["setting"]
    task, genome = task_from_record(old, ["hidden_covariance"], None), (0,) * 53
    assert task.record(old.space).labels == old.labels
    now = measure(run.task, genome, {"hidden_covariance": "value"})["value"]
    then = measure(task, genome, {"hidden_covariance": "value"})["value"]
    assert now.value is not None
    assert then.value == now.value
