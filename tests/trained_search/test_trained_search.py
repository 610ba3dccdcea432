"""The search that ends in trained networks."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl.analysis.score import score_genomes
from nasctl.candidates.setting import Setting
from nasctl.cli import cli
from nasctl.data import source
from nasctl.errors import NasctlError
from nasctl.evaluation.measure import LocalExecutor
from nasctl.problem.fidelity import Fidelity
from nasctl.search.command_line import command_line
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.trained_search.feature_metrics import feature_metrics
from nasctl.trained_search.trained_run import TrainedRun
from nasctl.trained_search.trained_watch import CandidatesTrainedWatch, TrainedWatch
from nasctl.training.candidate_training import CandidateTraining, labelled_classes
from nasctl.training.evaluation import accuracy_error

SPACE = "nbmacro:resolution=8,classes=10"
HOW = CandidateTraining(epochs=1, split="0.1-0.1-0.1")


@pytest.fixture
def first():
    setting = Setting(data=source("digits"), fidelity=Fidelity(size=8, batch=16))
    return Run(SPACE, ("naswot", "macs"), "random", setting=setting, record=("snip",))


def trained(run, store, trainings=4):
    """Search and train in a store, and return the visits of the second run."""
    second = TrainedRun.after(run, HOW, trainings, 9)
    list(run.search(store, second.plan.searched))
    return second, list(second.search(store, trainings))


def test_trains_a_shortlist_and_then_what_a_predictor_prefers(first, tmp_path):
    store = Store(tmp_path / "s.db")
    run, visits = trained(first, store)
    assert len(visits) == 4
    assert [one.evaluation.values.keys() for one in visits] == 4 * [{"trained:epochs=1,split=0.1-0.1-0.1", "macs"}]
    assert all(one.state == "finished" for one in store.trainings())
    assert len(store.trainings()) == 4
    best = max(visits, key=lambda one: next(iter(one.evaluation.values.values()))).evaluation.genome
    (row,) = run.records(store, [best]).values()
    accuracy, images = row.result["validation"]["accuracy"], row.result["validation"]["examples"]
    assert run.label_errors(store, [best])[0] == pytest.approx(100 * accuracy_error(accuracy, images))


def test_a_recommended_network_that_is_no_better_than_guessing_is_said_to_be_so(first, tmp_path, monkeypatch):
    store = Store(tmp_path / "s.db")
    run, visits = trained(first, store, 1)
    (row,) = run.records(store, [visits[0].evaluation.genome]).values()
    result = row.result["validation"]
    counts = np.array([19] + 9 * [18])  # of the 181 validation images
    guessed = replace(row, result={"validation": {**result, "accuracy": 0.11, "error": 0.02}})
    monkeypatch.setattr(type(run.data), "class_counts", lambda data, part: counts)
    monkeypatch.setattr(TrainedRun, "records", lambda run, store, genomes: dict.fromkeys(genomes, guessed))
    watch = TrainedWatch(run, store.path, None)
    watch.follow(store, LocalExecutor(run.task))
    ended, judged, *_, warning, plot, export = watch.closing()
    assert ended.startswith(f"run {run.name}: 1 candidate in ")
    assert judged == "accuracies are on 178 validation images and 179 test images"
    (*_, macs), ((*_, value),) = watch.table()
    assert (macs.name, macs.unit, value > 1000) == ("macs", "MACs", True)  # a terminal shows "53.46 M"
    assert warning == (
        "Warning: validation accuracy is within two standard errors of guessing: always answering the most frequent"
        " class has 10.5%. Train for more --epochs, or on more data."
    )
    assert plot.startswith("next: ")
    assert f" --weights {row.name} " in export
    right = replace(row, result={"validation": {**result, "accuracy": 0.5, "error": 0.04}})
    assert run.guessing_note(right) == ""


def test_a_replay_trains_nothing_again_and_takes_the_same_path(first, tmp_path, monkeypatch):
    store = Store(tmp_path / "s.db")
    _, visits = trained(first, store)
    monkeypatch.setattr("nasctl.training.training.train", None)
    _, again = trained(first, store)
    assert [one.evaluation for one in again] == [one.evaluation for one in visits]
    assert not any(one.fresh for one in again)


def test_a_replay_does_not_see_what_the_first_search_finds_later(first, tmp_path, monkeypatch):
    store = Store(tmp_path / "s.db")
    _, visits = trained(first, store)
    list(first.search(store, 12))
    monkeypatch.setattr("nasctl.training.training.train", None)
    _, again = trained(first, store)
    assert [one.evaluation for one in again] == [one.evaluation for one in visits]


def test_a_run_of_an_earlier_choice_goes_on_with_its_own(first, tmp_path):
    store = Store(tmp_path / "s.db")
    list(first.search(store, 6))
    today = TrainedRun.after(first, HOW, 4, 9)
    assert today.as_begun(store) == today
    earlier = replace(today, choice=1)
    assert "choice" not in earlier.asked  # so that its name is the one that it had
    assert earlier.name != today.name
    begun = list(earlier.search(store, 2))
    resumed = today.as_begun(store)
    assert (resumed.choice, resumed.name) == (1, earlier.name)
    visits = list(resumed.search(store, 4))
    assert [one.evaluation for one in visits[:2]] == [one.evaluation for one in begun]
    assert TrainedWatch(resumed, store.path, None).opening()[2].startswith("goes on with the run's own choice")
    named = replace(today, called="mine")
    assert named.as_begun(store).choice == today.choice
    list(replace(named, choice=1).search(store, 1))
    assert named.as_begun(store).choice == 1
    list(today.search(store, 1))
    assert today.as_begun(store) == today


def test_networks_that_break_a_constraint_are_neither_measured_again_nor_trained(first, tmp_path, monkeypatch):
    store = Store(tmp_path / "s.db")
    known = [one.evaluation.values for one in first.search(store, 6)]
    bounds = {name: sorted(one[name] for one in known)[2] for name in ("macs", "naswot")}
    run = replace(first, constraints=tuple(f"{name}>={bound!r}" for name, bound in bounds.items()))
    visits = [one.evaluation for one in run.search(store, 6)]
    cheap = {one.genome for one in visits if one.values["macs"] >= bounds["macs"]}
    held = {one.genome for one in visits if one.genome in cheap and one.values["naswot"] >= bounds["naswot"]}
    asked = []

    def noted(task, space, genomes, *rest):
        asked.extend(genomes)
        return score_genomes(task, space, genomes, *rest)

    monkeypatch.setattr("nasctl.trained_search.trained_run.score_genomes", noted)
    assert 0 < len(held) < len(cheap)
    assert set(TrainedRun.after(run, HOW, 24, 24)._make_searcher(store).ask()) == held
    assert set(asked) == cheap


def test_a_changed_recipe_is_another_run(first, tmp_path):
    recipe = tmp_path / "recipe.toml"
    names = []
    for rate in ("0.1", "0.2"):
        recipe.write_text(f"epochs = 1\nrate = {rate}\n")
        names.append(TrainedRun.after(first, replace(HOW, recipe=str(recipe)), 2, 6).name)
    assert names[0] != names[1]


def test_networks_whose_outputs_cannot_follow_the_data_are_refused_before_the_search(first, monkeypatch):
    monkeypatch.setattr("nasctl.training.request.trained_space", lambda spec, classes: spec)  # as without the option
    run = TrainedRun.after(replace(first, space="nbmacro:resolution=8,classes=7"), HOW, 2, 6)
    with pytest.raises(NasctlError, match="Cannot train on 10 classes: the network has 7 outputs"):
        run.check()


@pytest.mark.slow
def test_another_store_takes_the_same_path(first, tmp_path):
    paths = [[one.evaluation for one in trained(first, Store(tmp_path / name))[1]] for name in ("a.db", "b.db")]
    assert paths[0] == paths[1]


def test_failed_metrics_and_unknown_errors_are_no_obstacle(first, tmp_path):
    store = Store(tmp_path / "s.db")
    list(first.search(store, 6))
    run = TrainedRun.after(first, HOW, 2, 6)
    assert np.isnan(run.label_errors(store, [(0,) * 8])).all()


def test_it_is_said_what_the_budget_is_spent_on(first):
    few = TrainedRun.after(first, HOW, 2, 12)
    said = "2 trainings of 1 epoch, 2 steps each: 4 steps in all. The time left is shown after the first steps"
    assert said in TrainedWatch(few, "a.db", None).opening()
    assert few.budget_sentences == []
    assert f"2 trainings, chosen among the 12 networks of {first.name}" in TrainedWatch(few, "a.db", None).opening()[0]
    assert replace(few, choice=2).plan.searched == 8  # runs of earlier versions keep what they began with
    many = TrainedRun.after(first, HOW, 12, 2000)
    assert many.budget_sentences == [
        "this search measures 1,400 of the 2,000 networks of --budget. Up to 600 more are measured between trainings,"
        " as their results suggest"
    ]
    assert "chosen among up to 2,000 networks of" in TrainedWatch(many, "a.db", None).opening()[0]
    assert TrainedRun.after(first, HOW, 1, 1).budget_sentences == []


@pytest.mark.parametrize(("data", "also"), [("my photos", " --data 'my photos'"), ("digits", ""), ("", "")])
def test_the_export_command_names_the_path_of_the_data(data, also, first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    run = TrainedRun.after(first, HOW, 2, 6)
    watches = [TrainedWatch(run, "a.db", None, data=data), CandidatesTrainedWatch(run, 2, None, "", "a.db", data)]
    for one in watches:
        assert one._export_options("nbmacro-1") == f" --weights nbmacro-1 --format python,onnx{also}"


def test_a_run_without_costs_is_refused(first):
    with pytest.raises(NasctlError, match=r"without a cost\. Give one"):
        TrainedRun.after(replace(first, objectives=("naswot",)), HOW, 2, 6)


def test_trainings_are_filed_beside_the_store_wherever_a_worker_runs(first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = TrainedRun.after(first, HOW, 2, 6)
    run.file_under("s.db")
    assert next(iter(run.task.metrics.values()))._filed == (run.asked["space"], str(tmp_path / "s.db"))


def test_a_network_is_trained_once_though_its_metrics_are_means_of_several_draws(first):
    setting = replace(first.setting, seed=3, fidelity=Fidelity(size=8, batch=16, repeats=2))
    run = TrainedRun.after(replace(first, setting=setting), HOW, 2, 6)
    assert [one.seed for one in run.task.setting.draws()] == [3]
    assert [one.seed for one in run.first.task.setting.draws()] == [6, 7]


def test_options_of_trainings_are_part_of_the_objective():
    assert CandidateTraining().objective() == "trained"
    assert CandidateTraining(epochs=3).objective("loss") == "trained:epochs=3,measure=loss"


def test_all_candidates_share_the_decoded_images(first):
    network = first.task.space.network((0,) * 8)
    found = [HOW.data(first.setting, network, first.task.space.input) for _ in range(2)]
    assert found[0] is found[1]
    other = replace(HOW, split_seed=1).data(first.setting, network, first.task.space.input)
    assert str(other) == "digits split=0.1-0.1-0.1 seed=1"


def test_metrics_of_a_predictor_apply_to_the_space(first):
    space = first.task.space
    assert "naswot" not in feature_metrics(SPACE, space, ["naswot"])
    assert {"l2_norm", "snip", "params"} <= set(feature_metrics(SPACE, space, []))
    assert labelled_classes(space, first.setting) == 10


def nasctl(folder, *words):
    command = [sys.executable, "-m", "nasctl", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_ends_in_a_front_of_trained_networks_and_the_next_command(tmp_path):
    words = ["search", "--space", "nbmacro:resolution=8", "-o", "swap,macs", "--data", "digits", "--budget", "8"]
    words += ["--trainings", "3", "--epochs", "1", "--split", "0.1,0.1,0.1", "--json"]
    done = nasctl(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["front"]
    assert found["trained"].keys() == set(found["front"])
    arch, training = found["front"][0], found["trained"][found["front"][0]]["training"]
    assert f"--weights {training}" in done.stderr or len(found["front"]) > 1
    exported = done.stderr.partition(" --weights ")[2].split()[0]
    assert exported in {one["training"] for one in found["trained"].values()}
    assert arch.startswith("nbmacro.")
    assert "classes=10" in done.stderr  # the data decides the outputs


@pytest.mark.slow
def test_the_recorded_command_and_configuration_repeat_the_search(tmp_path):
    words = ["search", "--space", "nbmacro:resolution=8", "-o", "swap,macs", "--data", "digits", "--budget", "8"]
    done = nasctl(tmp_path, *words, "--trainings", "3", "--epochs", "1", "--split", "0.1,0.1,0.1")
    assert done.returncode == 0, done.stderr
    names = sorted(one.name for one in Store(tmp_path / "nasctl.db").runs())
    assert len(names) == 2
    (tmp_path / "repeat.toml").write_text(nasctl(tmp_path, "runs", "show", "--config").stdout)
    name, record = Store(tmp_path / "nasctl.db").run()
    line, notes = command_line(name, record, 3)
    assert notes == []
    for command in (["search", "--config", "repeat.toml"], shlex.split(line)[1:]):
        again = nasctl(tmp_path, *command)
        assert (again.returncode, f"run {name}: 3 candidates" in again.stderr) == (0, True), again.stderr
        assert sorted(one.name for one in Store(tmp_path / "nasctl.db").runs()) == names
    assert nasctl(tmp_path, "report", "-o", "report.html").returncode == 0
    assert "not known here" not in nasctl(tmp_path, "pareto", "hypervolume").stdout
    scale = json.loads(nasctl(tmp_path, "pareto", "hypervolume", "--json").stdout)["scale"]
    assert scale["normalisation"].startswith("as in the search")


@pytest.mark.slow
def test_each_candidate_may_be_a_training(tmp_path):
    words = ["search", "--space", "nbmacro:resolution=8,classes=10", "-o", "trained:epochs=1,split=0.1-0.1,macs"]
    done = nasctl(tmp_path, *words, "--data", "digits", "--trainings", "2", "--searcher", "random")
    assert done.returncode == 0, done.stderr
    assert "2/2 trainings" in done.stderr
    trainings = {row.name for row in Store(tmp_path / "nasctl.db").trainings()}
    assert done.stderr.partition(" --weights ")[2].split()[0] in trainings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trainings", "3"], "say what to train on"),
        (["--trainings", "3", "--data", "noise"], "noise: its images have no labels"),
        (["--epochs", "3"], "give --trainings N"),
        (["-o", "trained,macs", "--data", "digits"], "each costs a whole training. Give --trainings N"),
        (["-o", "min:trained,macs", "--data", "digits"], "each costs a whole training. Give --trainings N"),
        (
            ["--trainings", "5", "--data", "digits", "-o", "swap,macs"],
            "Cannot train 5 networks of 4 that are measured.",
        ),
        (
            ["--trainings", "3", "--data", "digits", "--epochs", "3", "--split", "0.5,0.2,0.3", "-o", "trained,macs"],
            "Write --objective trained:epochs=3,split=0.5-0.2-0.3.",
        ),
        (["--trainings", "3", "--data", "digits", "--recipe", "none.toml"], "none.toml"),
        (["--trainings", "3", "--data", "digits", "--recipe", "a,b.toml"], "'a,b.toml' in a search: its path is part"),
        (["--trainings", "3", "--data", "digits", "-o", "naswot"], "without a cost"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_work(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    arguments = ["search", "--space", "nbmacro:resolution=8", "--budget", "4", *words]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.strip().splitlines()) < 4
    assert not list(tmp_path.iterdir())  # neither a store nor a folder
