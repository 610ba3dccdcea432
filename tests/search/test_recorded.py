"""A run that is rebuilt from its record asks the same question, also from records of older versions."""

from dataclasses import replace

import pytest

from nasctl import registry
from nasctl.candidates.setting import DEFAULT_DATA, Setting
from nasctl.data import source
from nasctl.errors import NasctlError
from nasctl.evaluation.measure import measure
from nasctl.problem.fidelity import Fidelity
from nasctl.search.recorded import filed_data, recorded_setting, run_from_record, setting_parts
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


FULL = Run(
    "nbmacro",
    ("naswot", "macs"),
    "random:batch=5",
    4,
    Setting(source("noise"), Fidelity(size=8, batch=4), 2, "meta", 3),
    ("params", "depth"),
    ("macs<=90M", "params<=3M"),
)


def test_every_part_of_a_question_is_rebuilt():
    rebuilt = run_from_record(record_of(FULL))
    assert rebuilt.asked == FULL.asked
    assert (rebuilt.space, rebuilt.objectives, rebuilt.seed) == (
        "nbmacro:canonical=true,classes=10,resolution=32",
        FULL.objectives,
        4,
    )
    assert (rebuilt.searcher, rebuilt.record) == ("random:batch=5", ("params", "depth"))
    assert rebuilt.constraints == ("macs<=90000000", "params<=3000000")
    setting = rebuilt.setting
    assert (str(setting.data), setting.fidelity, setting.seed) == ("noise", Fidelity(size=8, batch=4), 2)
    assert (setting.device, setting.threads) == ("meta", 3)


def test_the_parts_of_a_setting_have_the_names_that_people_see():
    assert setting_parts(record_of(FULL)) == {
        "data": "noise",
        "fidelity": "size=8,batch=4,repeats=1",
        "weights seed": "2",
        "torch device": "meta",
        "threads": "3",
    }


@pytest.mark.parametrize("read", [setting_parts, recorded_setting])
@pytest.mark.parametrize(("asked", "text"), [({}, ""), ({"setting": 3}, "3")])
def test_a_setting_that_cannot_be_read_is_refused(read, asked, text):
    with pytest.raises(NasctlError) as refused:
        read(replace(record_of(FULL), asked=asked))
    assert str(refused.value) == f"Cannot read the setting {text!r}: another version of nasctl wrote it."


def test_only_default_images_of_a_space_of_tokens_are_tokens():
    images, tokens = (registry.create("spaces", spec) for spec in ("nbmacro", TOKENS))
    misnamed = filed_data(DEFAULT_DATA, tokens)
    assert (str(misnamed), misnamed.tokens(50, 9, 2, 0, 0).shape) == (str(DEFAULT_DATA), (2, 9))
    for data, space in ((DEFAULT_DATA, images), (source("noise"), images), (source("tokens"), tokens)):
        assert filed_data(data, space) is data


@pytest.mark.parametrize(("name", "label"), [("params", "params v0"), ("naswot", "naswot v0 @ data=noise")])
def test_a_metric_of_another_version_is_refused(name, label):
    record = record_of(FULL)
    record.labels[name] = label
    with pytest.raises(NasctlError) as refused:
        run_from_record(record)
    assert str(refused.value) == f"{name} is of another version here"


def test_a_version_ends_at_the_setting_whatever_the_data_is_called():
    record = record_of(FULL)
    record.labels["naswot"] += " @ home"
    assert run_from_record(record).asked == FULL.asked
