"""`nasctl train` and its subcommands, from the command line."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from training.examples import save_photos

from nasctl.cli import cli
from nasctl.store.store import Store
from nasctl.system.wording import share_text
from nasctl.training import trained_weights
from nasctl.training.recipe import Recipe

ARCH, SPACE = "0,0,0,0,0,0,0,0", "nbmacro:resolution=8"
QUICK = ("--epochs=2", "--set=batch=8", "--set=rate=0.5")
NETWORK = (f"--arch={ARCH}", f"--space={SPACE}")
OTHER = "--arch=22222222"  # another network of the space
PHOTOS = ("--data=photos.npz",)


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NASCTL_STORE", raising=False)
    save_photos("photos.npz")

    def call(*words, code=0):
        done = CliRunner().invoke(cli, list(words), catch_exceptions=False)
        assert done.exit_code == code, done.stderr
        return done

    return call


def test_a_network_is_trained_listed_shown_drawn_and_deleted(nasctl):
    done = nasctl("train", *NETWORK, *PHOTOS, *QUICK)
    assert "3 classes, images by class in the training part: " in done.stderr
    (name,) = [one.name for one in Store.reading("nasctl.db").trainings()]
    result = Store.reading("nasctl.db").training(name).result["test"]
    expected = f"test accuracy {share_text(result['accuracy'], result['error'])} on "
    assert f"{expected}{result['examples']} test images" in done.stderr
    assert f"--weights {name} --format python,onnx" in done.stderr
    (row,) = json.loads(nasctl("train", "list", "--json").stdout)
    assert (row["training"], row["state"], row["results"]["test"]) == (name, "finished", result)
    assert trained_weights.read(Path(row["weights"]))[1].training == name
    assert name in nasctl("train", "list").stdout
    shown = nasctl("train", "show", name[:-2]).stdout
    assert "usual for classes but batch=8, epochs=2, rate=0.5" in shown
    assert json.loads(nasctl("train", "show", name, "--json").stdout) == row
    assert nasctl("train", "plot", name, "-o", "c.png").stdout == "c.png\n"
    assert "c.png exists" in nasctl("train", "plot", name, "-o", "c.png", code=2).stderr
    refusal = nasctl("train", "delete", name, code=2).stderr  # the test's stdin is no terminal
    assert f"Cannot ask whether to delete training {name}: stdin is no terminal. Give --yes." in refusal
    nasctl("train", "delete", name, "--yes")
    assert json.loads(nasctl("train", "list", "--json").stdout) == []
    assert not Path(row["folder"]).exists()


def test_the_same_command_reads_a_finished_training(nasctl):
    first = json.loads(nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--json").stdout)
    again = nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--json")
    assert json.loads(again.stdout) == first
    assert f"training {first[0]['training']} is finished (took " in again.stderr


def test_several_networks_are_trained_by_id_and_from_files(nasctl):
    nasctl("export", "--space", SPACE, "--arch=1,0,0,0,0,0,0,0", "--format=json", "-o", "net.json")
    Path("list.txt").write_text("0,0,0,0,0,0,0,0\n")
    words = ("--arch=net.json", "--arch=list.txt", f"--space={SPACE}", *PHOTOS, "--epochs=1", "--set=batch=16")
    rows = json.loads(nasctl("train", *words, "--json", "--log=all.jsonl").stdout)
    assert [row["genome"][0] for row in rows] == [1, 0]
    entries = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert {one["training"] for one in entries} == {row["training"] for row in rows}
    by_id = json.loads(
        nasctl("train", "--arch", rows[1]["id"], *PHOTOS, "--epochs=1", "--set=batch=16", "--json").stdout
    )
    assert by_id == rows[1:]


def test_a_training_begins_with_another_by_its_name(nasctl):
    nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--name=first")
    save_photos("other.npz", classes=4)
    tuned = (*NETWORK, "--data=other.npz", *QUICK, "--from", "first")
    done = nasctl("train", *tuned, "--json")
    assert "the layer classifier_logits_linear begins anew, because the classes differ" in done.stderr
    (row,) = json.loads(done.stdout)
    assert row["spec"]["start"]
    shown = nasctl("train", "show", row["training"]).stdout
    assert f"begins with  weights {row['spec']['start']}" in shown
    assert "--from nobody is no file, and no training" in nasctl("train", *tuned[:-1], "nobody", code=2).stderr


def test_weights_of_another_network_are_refused_before_any_training(nasctl):
    nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--name=first")
    own, space = NETWORK
    for words in ((OTHER,), (own, OTHER), (OTHER, "--dry-run")):
        done = nasctl("train", *words, space, *PHOTOS, *QUICK, "--from=first", code=2)
        assert "are of another network" in done.stderr
        assert "training" not in done.stderr.partition("Error")[0]
    assert len(json.loads(nasctl("train", "list", "--json").stdout)) == 1


def test_a_dry_run_writes_nothing(nasctl):
    done = nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--dry-run")
    assert "2 epochs of 6 steps of 8 images" in done.stderr
    assert "sgd, rate 0.5 (0.01562 at batch 8), cosine" in done.stderr
    assert [path.name for path in Path().iterdir()] == ["photos.npz"]
    (row,) = json.loads(nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--dry-run", "--json").stdout)
    assert f"would train {row['training']}: {row['id']}" in done.stderr
    assert (row["state"], row["results"], row["weights"], row["started"]) == ("not begun", {}, None, 0.0)
    assert [path.name for path in Path().iterdir()] == ["photos.npz"]
    (done,) = json.loads(nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--json").stdout)
    (again,) = json.loads(nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--dry-run", "--json").stdout)
    assert done == again
    assert {key: done[key] for key in ("training", "id", "space", "genome", "spec", "folder")}.items() <= row.items()


def test_the_recipe_is_printed_with_every_field_and_read_back(nasctl):
    text = nasctl("train", "--print-recipe", "--set=rate=0.25").stdout
    Path("recipe.toml").write_text(text)
    assert Recipe.read("recipe.toml") == Recipe(rate=0.25)
    again = nasctl("train", "--print-recipe", "--recipe=recipe.toml", "--epochs=7").stdout
    assert Recipe(rate=0.25, epochs=7).toml() == again
    assert 'optimiser = "adamw"' in nasctl("train", "--print-recipe", "--space=rnn").stdout


@pytest.mark.slow  # it waits for another process
def test_a_killed_training_goes_on_to_the_same_bits(nasctl, tmp_path):
    words = ["train", *NETWORK, *PHOTOS, "--epochs=40", "--set=batch=8", "--set=recovery=10", "--seed=3"]
    whole = json.loads(nasctl(*words, "--json", "--store=whole.db").stdout)[0]
    killed = subprocess.Popen(
        [sys.executable, "-m", "nasctl", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    folder = Path("nasctl-trainings") / whole["training"]
    deadline = time.monotonic() + 120
    while not list(folder.glob("step-*")) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert not (folder / "weights.safetensors").exists()
    done = nasctl(*words, "--json")
    assert "goes on after step" in done.stderr
    (resumed,) = json.loads(done.stdout)
    assert resumed["results"] == whole["results"]
    found = [trained_weights.read(Path(one["weights"]))[0] for one in (whole, resumed)]
    assert all(np.array_equal(found[0][key].numpy(), found[1][key].numpy()) for key in found[0])


def refused(nasctl, *words):
    """Return the message of a command that ends with code 2, having written nothing."""
    before = {path.name for path in Path().rglob("*")}
    done = nasctl("train", *words, code=2)
    assert {path.name for path in Path().rglob("*")} - before <= {"nasctl.db", "nasctl-trainings"}
    assert not Path("nasctl.db").exists() or Store.reading("nasctl.db").trainings() == []
    message = done.stderr.splitlines()[-1]
    assert message.startswith("Error: ")
    return message


def test_data_that_cannot_be_trained_on_is_one_sentence(nasctl):
    save_photos("one.npz", classes=1)
    np.savez("unlabelled.npz", x=np.zeros((20, 8, 8, 3), np.uint8))
    assert "labels" in refused(nasctl, *NETWORK, "--data=unlabelled.npz")
    assert "all images have the label 0" in refused(nasctl, *NETWORK, "--data=one.npz")
    assert "no labels" in refused(nasctl, *NETWORK, "--data=dead-leaves")
    assert "none.npz" in refused(nasctl, *NETWORK, "--data=none.npz")
    assert "split" in refused(nasctl, *NETWORK, *PHOTOS, "--split=0.99,0.005,0.005")
    assert "split" in refused(nasctl, *NETWORK, *PHOTOS, "--split=0.8,0,0.2")
    large = ("--arch=0,0,0,0,0,0,0,0", "--space=nbmacro:resolution=224")
    assert "28 times smaller" in refused(nasctl, *large, *PHOTOS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say what to train: --arch ID"),
        (NETWORK, "say what to train on: --data digits"),
        ((*NETWORK, *PHOTOS, "--set=epocs=3"), "is called 'epocs'; did you mean 'epochs'?"),
        ((*NETWORK, *PHOTOS, "--set=epochs"), "--set takes FIELD=VALUE"),
        ((*NETWORK, *PHOTOS, "--set=rate=fast"), 'rate = "fast"'),
        ((*NETWORK, *PHOTOS, "--name="), "Cannot name a training '': a name has 1 to 100 characters"),
        ((*NETWORK, *PHOTOS, "--epochs=2", "--set=epochs=3"), "both --epochs 2 and --set epochs=3"),
        ((*NETWORK, *PHOTOS, "--recipe=none.toml"), "Cannot read the recipe none.toml"),
        ((*NETWORK, *PHOTOS, "--from=none.pt"), "none.pt cannot be read"),
        ((*NETWORK, *PHOTOS, "--from=none"), "--from none is no file, and the store nasctl.db holds no training yet"),
        ((*NETWORK, *PHOTOS, "--name=a/b"), "a training cannot be called 'a/b'"),
        ((*NETWORK, *PHOTOS, "--torch-device=cuda:77"), "torch cannot use 'cuda:77'"),
        (("--arch=nbmacro-zzz", *PHOTOS), "nbmacro-zzz"),
        ((*NETWORK, "--arch=1,1,1,1,1,1,1,1", *PHOTOS, "--name=both"), "--name both is for one training"),
        (("--store=x.db", "list"), "--store before 'list'"),
        (("lits",), "no command is called 'lits'; did you mean 'list'?"),
        (("show", "mine"), "holds no training yet"),
        (("plot", "mine"), "holds no training yet"),
        (("delete", "mine", "--yes"), "holds no training yet"),
    ],
)
def test_a_bad_command_is_one_sentence_and_writes_nothing(words, message, nasctl):
    assert message in refused(nasctl, *words)


def test_an_unknown_field_of_a_recipe_file_names_the_nearest(nasctl):
    Path("mine.toml").write_text("epochs = 2\nwarm_up = 1\n")
    message = refused(nasctl, *NETWORK, *PHOTOS, "--recipe=mine.toml")
    assert "'warm_up'" in message
    assert "did you mean 'warmup'?" in message


def test_tensorboard_is_an_extra(nasctl, monkeypatch):
    monkeypatch.setattr("nasctl.training.progress_report.find_spec", lambda name: None)
    message = refused(nasctl, *NETWORK, *PHOTOS, "--tensorboard")
    assert "pip install 'nasctl[tensorboard]'" in message


def test_a_training_in_another_process_is_refused(nasctl):
    from nasctl.training.folder import TrainingFolder

    nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--name=mine")
    question = json.loads(Path("nasctl-trainings/mine/training.json").read_text())
    with TrainingFolder(Path("nasctl-trainings/mine")).held(question):
        done = nasctl("train", *NETWORK, *PHOTOS, *QUICK, "--name=mine", code=2)
    assert "training mine is running in another process" in done.stderr


def test_help_needs_no_torch():
    shown = "from nasctl.cli import cli; cli(['train', '--help'], standalone_mode=False)"
    code = f"import sys; {shown}; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Recipe:" in done.stdout
    assert "delete" in done.stdout
