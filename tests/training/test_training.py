"""One training from its question to its row: resumed in the same bits, refused where it is another, read when done."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training.conftest import ARCH, SPACE
from training.examples import equal

from nasctl.errors import NasctlError
from nasctl.networks.weights import initialised
from nasctl.registry import create
from nasctl.store.store import Store
from nasctl.training import trained_weights
from nasctl.training.events import StepDone, TrainingDiverged
from nasctl.training.request import RecipeOptions, TrainRequest, trained_space
from nasctl.training.training import Work, run_training
from nasctl.training.training_log import read_log

RECIPE = RecipeOptions(epochs=2, fields=("batch=8", "rate=0.5", "recovery=4"))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "s.db")


def asked(photos, store, **options):
    request = TrainRequest((ARCH,), str(photos), SPACE, **{"recipe": RECIPE, **options})
    ((training, data),) = request.trainings(store)
    return training, data


def weights(trained):
    return trained_weights.read(trained.folder.weights)[0]


def logged(trained):
    return [(one["step"], one["loss"]) for one in read_log(trained.folder.log) if one["event"] == "step"]


def test_a_training_is_a_row_a_log_and_weights(photos, store):
    training, data = asked(photos, store)
    trained = run_training(training, data, store)
    (row,) = store.trainings()
    assert (row.name, row.state, row.genome) == (training.name, "finished", (0,) * 8)
    assert row.space == "nbmacro:canonical=true,classes=10,resolution=8"  # as asked
    assert row.spec["trained_space"] == "nbmacro:canonical=true,classes=3,resolution=8"
    assert set(row.result) == {"validation", "test"}
    assert row.result["test"]["examples"] == data.size("test")
    assert Path(store.path).parent / row.folder == trained.folder.path
    _, facts = trained_weights.read(trained.folder.weights)
    assert facts.training == training.name
    assert facts.space == row.spec["trained_space"]
    assert facts.result == row.result
    assert [step for step, _ in logged(trained)] == list(range(1, 13))
    events = [one["event"] for one in read_log(trained.folder.log)]
    assert (events[0], events[-1]) == ("begun", "finished")


def test_a_finished_training_is_read_and_not_repeated(photos, store):
    training, data = asked(photos, store)
    first = run_training(training, data, store)
    events = []
    again = run_training(training, data, store, follow=events.append)
    assert (again.record, again.session_steps, events) == (first.record, 0, [])


def test_a_training_that_was_stopped_ends_in_the_same_bits_with_every_step_logged_once(photos, tmp_path):
    stores = [Store(tmp_path / name) for name in ("whole.db", "stopped.db")]
    training, data = asked(photos, stores[0])
    whole = run_training(training, data, stores[0])

    def stop(event):
        if isinstance(event, StepDone) and event.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(training, data, stores[1], follow=stop)
    assert stores[1].training(training.name).state == "unfinished"
    paused = run_training(training, data, stores[1], until=9)
    assert (paused.record.state, set(paused.results)) == ("unfinished", {"validation"})
    ended = run_training(training, data, stores[1])
    assert equal(weights(whole), weights(ended))
    assert ended.record.parts == whole.record.parts
    assert ended.record.rungs == {"9": paused.record.parts["validation"]}
    assert logged(ended) == logged(whole)
    evaluations = [(one["step"], one["part"]) for one in read_log(ended.folder.log) if one["event"] == "evaluated"]
    assert len(evaluations) == len(set(evaluations))
    assert ended.session_steps == 3


def test_the_name_follows_from_everything_that_changes_the_weights(photos, store):
    training, _ = asked(photos, store)
    others = [
        asked(photos, store, seed=1)[0],
        asked(photos, store, split="0.6,0.2,0.2")[0],
        asked(photos, store, threads=2)[0],
        asked(photos, store, recipe=RecipeOptions(epochs=3))[0],
        replace(training, world=2),
        replace(training, genome=(1,) * 8),
    ]
    assert len({training.name, *(one.name for one in others)}) == 7
    kept = RecipeOptions(RECIPE.file, RECIPE.epochs, (*RECIPE.fields, "checkpoint=1", "evaluate=0"))
    assert asked(photos, store, recipe=kept)[0].name == training.name
    assert replace(training, torch_device="cuda:0").name == replace(training, torch_device="cuda:1").name


def test_a_name_belongs_to_one_training(photos, store):
    training, data = asked(photos, store, name="mine")
    trained = run_training(training, data, store)
    kept = trained.folder.weights.read_bytes()
    other, _ = asked(photos, store, name="mine", seed=1)
    refused = "training 'mine' of the store is of another seed; give this one another name with --name"
    with pytest.raises(NasctlError, match=refused):
        run_training(other, data, store)
    assert trained.folder.weights.read_bytes() == kept
    with pytest.raises(NasctlError, match="holds a training of another seed; give this one another --name"):
        run_training(other, data, Store(Path(store.path).with_name("s.sqlite")))  # another store, the same folder
    shutil.rmtree(trained.folder.path)
    with pytest.raises(NasctlError, match=refused):
        run_training(other, data, store)
    again = run_training(training, data, store)  # the row says that it is finished, but its folder is gone
    assert equal(weights(again), trained_weights.read(_written(store, kept))[0])


def _written(store, content):
    path = Path(store.path).with_name("kept.safetensors")
    path.write_bytes(content)
    return path


def test_a_checkpoint_of_another_training_is_refused(photos, store):
    first, data = asked(photos, store, name="first")
    second, _ = asked(photos, store, name="second", seed=1)
    source = run_training(first, data, store, until=5).folder
    target = run_training(second, data, store, until=3).folder
    shutil.copy(source.checkpoints[-1], target.path)
    with pytest.raises(NasctlError, match="is a checkpoint of another network or run"):
        run_training(second, data, store)
    assert store.training("second").state == "unfinished"


def test_a_training_that_diverges_twice_is_filed_as_such(photos, store, tmp_path):
    path = tmp_path / "nan.pt"
    state = initialised(create("spaces", "nbmacro:resolution=8,classes=3").network((0,) * 8), 0).state_dict()
    torch.save({key: value * float("nan") for key, value in state.items()}, path)
    training, data = asked(photos, store, start=path)
    with pytest.raises(TrainingDiverged, match="Cannot train this network further"):
        run_training(training, data, store, Work(start=path))
    assert store.training(training.name).state == "diverged"


def test_what_cannot_be_trained_leaves_nothing_behind(photos, store, tmp_path):
    training, data = asked(photos, store)
    with pytest.raises(NasctlError, match="the network has 7 outputs"):
        run_training(replace(training, trained_space="nbmacro:classes=7,resolution=8"), data, store)
    assert store.trainings() == []
    assert not (tmp_path / "s-trainings").exists()


def test_a_further_log_holds_several_trainings(photos, store, tmp_path):
    path = tmp_path / "all.jsonl"
    names = []
    for seed in (0, 1):
        training, data = asked(photos, store, seed=seed)
        run_training(training, data, store, Work(log=path))
        names.append(training.name)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["training"] for one in entries if one["event"] == "finished"] == names


def test_a_training_begins_with_the_weights_of_a_file(photos, store, tmp_path):
    first, data = asked(photos, store)
    source = run_training(first, data, store).folder.weights
    tuned, _ = asked(photos, store, start=source, recipe=RecipeOptions(epochs=1, fields=("rate=0", "batch=8")))
    assert tuned.start != ""
    found = weights(run_training(tuned, data, store, Work(start=source)))
    before = trained_weights.read(source)[0]
    parameters = [key for key in found if "running" not in key and "num_batches" not in key]
    assert all(torch.equal(found[key], before[key]) for key in parameters)  # a rate of 0 moves no parameter
    saved = tmp_path / "w.pt"
    torch.save({"state_dict": before}, saved)
    other, _ = asked(photos, store, start=saved, name="pt")
    assert run_training(other, data, store, Work(start=saved), until=1).session_steps == 1


def test_weights_of_another_network_are_refused(photos, store, tmp_path):
    path = tmp_path / "w.pt"
    torch.save(initialised(create("spaces", "nbmacro:resolution=8").network((2,) * 8), 0).state_dict(), path)
    training, data = asked(photos, store, start=path)
    with pytest.raises(NasctlError, match="are of another network"):
        run_training(training, data, store, Work(start=path))
    torch.save([1, 2], path)
    with pytest.raises(NasctlError, match="have changed since"):
        run_training(training, data, store, Work(start=path))
    training, data = asked(photos, store, start=path)
    with pytest.raises(NasctlError, match="holds no state dict"):
        run_training(training, data, store, Work(start=path))


def test_only_the_output_layer_may_have_other_classes(photos, store, tmp_path):
    path = tmp_path / "w.pt"
    state = initialised(create("spaces", "nbmacro:resolution=8,classes=7").network((0,) * 8), 3).state_dict()
    torch.save(state, path)
    recipe = RecipeOptions(epochs=1, fields=("rate=0", "batch=8"))
    training, data = asked(photos, store, start=path, recipe=recipe)
    found = weights(run_training(training, data, store, Work(start=path)))
    shapes = {key: found[key].shape == state[key].shape for key in state}
    assert [key for key, unchanged in shapes.items() if not unchanged] == [
        f"classifier_logits_linear.{key}" for key in ("weight", "bias")
    ]
    assert torch.equal(found["stem_conv.weight"], state["stem_conv.weight"])


@pytest.mark.parametrize(
    ("spec", "classes", "expected"),
    [
        ("nbmacro", 3, "nbmacro:canonical=true,classes=3,resolution=32"),
        ("nbmacro:classes=10", None, "nbmacro:canonical=true,classes=10,resolution=32"),
        ("attentivenas:resolution=32", 5, "classes=5"),
        ("rnn", 3, "rnn:"),
    ],
)
def test_the_trained_space_has_the_classes_of_the_data(spec, classes, expected):
    found = trained_space(spec, classes)
    assert expected in found
    assert found.count("classes=") == ("rnn" not in spec)


def test_torn_weights_of_a_finished_training_are_written_anew(photos, store):
    training, data = asked(photos, store)
    done = run_training(training, data, store)
    whole = done.folder.weights.read_bytes()
    done.folder.weights.write_bytes(whole[: len(whole) // 2])
    again = run_training(training, data, store)
    assert again.folder.weights.read_bytes() == whole
    assert again.record.result == done.record.result
    assert again.session_steps == 0  # from the last checkpoint


def test_a_finished_training_keeps_the_newest_checkpoint_alone(photos, store):
    training, data = asked(photos, store)
    paused = run_training(training, data, store, until=7)
    assert len(paused.folder.checkpoints) == 2
    done = run_training(training, data, store)
    (last,) = done.folder.checkpoints
    assert last.name == "step-000000012.safetensors"
    (done.folder.path / "step-000000007.safetensors").write_bytes(last.read_bytes())  # as a kill may leave
    run_training(training, data, store)
    assert done.folder.checkpoints == [last]
