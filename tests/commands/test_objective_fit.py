"""The command `nasctl objective fit`, and a search on its predictor."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from prediction.small_predictors import SMALL, known_result

from nasctl import registry
from nasctl.cli import cli
from nasctl.problem.sampling import unseen

MODEL = ("--model", "gaussian_process+ridge")


def run(*words):
    return CliRunner().invoke(cli, list(map(str, words)))


@pytest.fixture
def truth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = registry.create("spaces", SMALL)
    genomes = unseen(space, np.random.default_rng(0), 40)
    lines = [f'"{",".join(map(str, one))}",{known_result(space.network(space.canonical(one)))},0.1' for one in genomes]
    (tmp_path / "truth.csv").write_text("\n".join(["genome,acc,error", *lines]) + "\n")
    return "truth.csv"


def fit(truth, *more):
    given = ("--space", SMALL, "--truth", truth, "--column", "acc", "-o", "params,macs")
    return run("objective", "fit", *given, *MODEL, *more)


def test_a_fit_leads_to_a_search_on_it(truth):
    done = fit(truth, "--labels", 24, "--held-out", 16, "--error-column", "error", "--unlabelled", 10)
    assert done.exit_code == 0, done.output
    assert "acc, 24 labels; figures on 16 labels, which were left out" in done.stderr
    assert {"predictor", "params", "macs"} <= {line.split("\t")[0] for line in done.stdout.splitlines()}
    last = done.stdout.splitlines()[-1]
    assert last == f"wrote nb201-fit.json; next: nasctl search --space {SMALL} -o accuracy@nb201-fit.json,macs"
    content = json.loads(Path("nb201-fit.json").read_text())
    assert (len(content["labelled"]), len(content["unlabelled"]), content["setting"]) == (24, 10, None)
    assert content["labelled"][0]["error"] == 0.1
    searched = run(*last.partition("nasctl ")[2].split(), "--budget", 8, "--searcher", "random")
    assert searched.exit_code == 0, searched.output
    assert "held-out Kendall" in searched.stderr
    again = fit(truth)
    assert (again.exit_code, "it exists already" in again.stderr) == (2, True)


def test_without_networks_left_out_it_is_cross_validated(truth):
    done = fit(truth, "--json", "--output", "other.json")
    found = json.loads(done.stdout)
    assert (found["file"], found["labels"], found["held_out"]["networks"]) == ("other.json", 40, 40)
    assert found["held_out"]["how"] == "cross-validated in 5 folds"
    kendall = {name: one["kendall"][0] for name, one in found["held_out"]["figures"].items()}
    assert kendall["predictor"] > 0.7
    assert kendall["params"] == 1  # the made-up result


def test_metrics_that_do_not_apply_to_the_space_are_left_out(truth):
    given = ("--space", SMALL, "--truth", truth, "--column", "acc", "--fidelity", "size=8,batch=2", "--labels", 10)
    done = run("objective", "fit", *given, *MODEL, "--json")
    assert done.exit_code == 0, done.output
    metrics = json.loads(Path("nb201-fit.json").read_text())["metrics"]
    assert {"params", "synflow", "zico"} <= metrics.keys()
    assert not {"head_importance", "trained"} & metrics.keys()
    words = (
        "search",
        "--space",
        SMALL,
        "-o",
        "accuracy@nb201-fit.json,macs",
        "--store",
        "search.db",
        "--data",
        "noise",
    )
    refused = run(*words)
    assert (refused.exit_code, "Give --data of the fit" in refused.stderr) == (2, True), refused.output
    assert not Path("search.db").exists()  # no run without candidates


def test_lower_labels_may_be_better(truth):
    done = fit(truth, "--lower-is-better", "--json")
    figures = json.loads(done.stdout)["held_out"]["figures"]
    assert figures["predictor"]["kendall"][0] > 0.7
    assert figures["params"]["kendall"][0] == -1
    searched = run(
        "search", "--space", SMALL, "-o", "accuracy@nb201-fit.json,macs", "--budget", 5, "--searcher", "random"
    )
    assert "accuracy@nb201-fit (down)" in searched.stderr, searched.output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--held-out", 36), "Cannot fit a predictor to 40 labelled networks beside --held-out 36: it needs 8"),
        (("--labels", 9), "Cannot fit a predictor to 9 labelled networks: it needs 10, because 5 folds"),
        (("--model", "forest"), "Cannot fit the model 'forest'"),
        (("--output", "fit.txt"), "End it in .json"),
        (("--output", "a+b.json"), "name it with letters"),
        (("--output", "none/fit.json"), "there is no folder none"),
        (("--error-column", "errors"), "errors"),
        (("--column", "accuracy"), "accuracy"),
        (("-o", "head_importance"), "head_importance"),
    ],
)
def test_refusals(truth, more, message):
    done = fit(truth, *more)
    assert (done.exit_code, message in done.stderr) == (2, True), done.output
    assert len(done.stderr.strip().splitlines()) == 1


def test_equal_labels_and_no_trainings_are_refused(truth):
    first, *lines = Path(truth).read_text().splitlines()
    Path(truth).write_text("\n".join([first, *(f"{one.rsplit(',', 2)[0]},1,0" for one in lines)]))
    done = fit(truth)
    assert (done.exit_code, "40 equal labels" in done.stderr) == (2, True), done.output
    done = run("objective", "fit", "--space", SMALL)
    assert (done.exit_code, "the store has no finished training of this space" in done.stderr) == (2, True), done.output
