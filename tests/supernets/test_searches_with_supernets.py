"""Searches for quality with shared weights: searchers, workers, kills, devices, fronts and reports."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from supernets.trained import SPACE, supernet

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.supernets.folder import CURRENT_STORE
from nasctl.supernets.inherited_quality import DEFAULT_IMAGES
from nasctl.supernets.mixture_loss import MixtureLoss
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.testing import found

BUDGET = 8

# It reads a table of losses; see tests/searchers/test_additive_front.py.
OTHERS = {"additive_front"}


@pytest.fixture
def folder(tmp_path):
    """A folder with a store and a supernet beside it, whose weights are the same in each test."""
    return made(tmp_path / "one")


def made(folder):
    supernet(folder / "nasctl.db", steps=20)  # all slots are trained, as prune needs it
    return folder


def command(folder, *words):
    return [sys.executable, "-m", "nasctl", *map(str, words), "--store", str(folder / "nasctl.db")]


def nasctl(folder, *words):
    done = subprocess.run(command(folder, *words), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def evaluated(folder):
    """Return genomes with their values in the order of the only run of a store."""
    store = Store(folder / "nasctl.db")
    return [(one.genome, one.values) for one in store.evaluations(store.run()[0])]


def test_prune_measures_the_loss_of_mixtures_with_shared_weights(tmp_path):
    path = supernet(tmp_path / "nasctl.db", steps=20)
    found = Run(SPACE, (f"loss@{path}", "macs"), "prune", seed=0).task
    loss = MixtureLoss(TrainedSupernet(path), DEFAULT_IMAGES)
    allowed = [[1, 3], [2], [1, 2, 3, 4], [3, 4], [1], [4]]
    value = SearchProblem(found).evaluate_mixture(allowed)[0]
    assert value == pytest.approx(loss(allowed, {1, 4, 5})[0])
    first = registry.create("searchers", "prune", SearchProblem(found), np.random.default_rng(0))
    assert len(first.ask()) == 20
    with pytest.raises(NasctlError, match=r"of networks that sum choices, which prune measures\. Give loss@tiny"):
        registry.create(
            "searchers", "prune", SearchProblem(Run(SPACE, (f"accuracy@{path}",), "prune", seed=0).task),
            np.random.default_rng(0),
        ).ask()  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("searcher", [one for one in registry.trusted("searchers") if one not in OTHERS])
def test_every_searcher_takes_the_loss_with_shared_weights(searcher, folder, tmp_path):
    token = CURRENT_STORE.set(str(folder / "nasctl.db"))
    try:
        evaluations = found(Run(SPACE, ("loss@tiny", "macs"), searcher), tmp_path / "store", BUDGET)
    finally:
        CURRENT_STORE.reset(token)
    assert len(evaluations) == BUDGET
    assert all(0 < one.values["loss@tiny"] < 10 and not one.errors for one in evaluations)


@pytest.mark.slow
def test_two_workers_and_a_killed_search_find_what_an_undisturbed_process_finds(folder, tmp_path):
    words = ["search", SPACE, "-o", "accuracy@tiny,macs", "--seed", 7, "--no-references", "--budget", 50]
    words += ["--searcher", "nsga2"]
    process = subprocess.Popen(
        command(folder, *words, "--workers", 2), cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while "generation 0" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 0 < len(evaluated(folder)) < 50
    nasctl(folder, *words, "--workers", 2)
    whole = made(tmp_path / "other")
    nasctl(whole, *words)
    assert len(evaluated(whole)) == 50
    assert evaluated(folder) == evaluated(whole)


@pytest.mark.slow
def test_fronts_reports_and_devices_know_shared_weights(folder):
    words = ["search", SPACE, "-o", "accuracy@tiny", "--device", "mobile", "--budget", BUDGET, "--run", "phone"]
    said = nasctl(folder, *words).stderr
    assert "objectives: accuracy@tiny (up), latency@mobile (down)" in said
    assert "accuracy@tiny: weights of supernet tiny" in said
    assert "--weights tiny --store" in said
    rows = json.loads(nasctl(folder, "pareto", "show", "--run", "phone", "--json").stdout)
    assert all({"accuracy@tiny", "latency@mobile"} <= row["values"].keys() for row in rows)
    nasctl(folder, "report", "--run", "phone", "-o", folder / "phone.html")
    page = (folder / "phone.html").read_text()
    assert "accuracy@tiny" in page
    assert TrainedSupernet(folder / "nasctl-supernets/tiny/weights.safetensors").digest in page
