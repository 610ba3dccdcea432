"""`nasctl train --run`, and the commands that show what it has trained."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from training.examples import save_photos

from nasctl.cli import cli
from nasctl.store.store import Store
from nasctl.training import trained_weights

SPACE = "nbmacro:resolution=8"
QUICK = ("--epochs=3", "--set=batch=16", "--set=rate=0.5", "--set=warmup=0")
SHORT = ("train", "--run=r", "--data=photos.npz", "--top=4", "--halving=3", *QUICK)


def invoke(*words, code=0):
    done = CliRunner().invoke(cli, list(words), catch_exceptions=False)
    assert done.exit_code == code, done.stderr
    return done


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A store with a run of eight candidates, as bytes."""
    path = tmp_path_factory.mktemp("searched") / "nasctl.db"
    words = (f"--space={SPACE}", "--objective=naswot,macs", "--budget=8", "--run=r", "--searcher=random")
    invoke("search", *words, f"--store={path}")
    return path.read_bytes()


@pytest.fixture
def nasctl(tmp_path, monkeypatch, searched):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NASCTL_STORE", raising=False)
    save_photos("photos.npz")
    Path("nasctl.db").write_bytes(searched)
    return invoke


def rows(path="nasctl.db"):
    return {one.name: (one.genome, one.state, one.result) for one in Store.reading(path).trainings()}


def test_candidates_of_a_run_are_trained_rung_by_rung_and_shown(nasctl):
    done = nasctl(*SHORT)
    assert "rung 1 of 2: 4 networks for 3 of 9 steps" in done.stderr
    assert "rung 1 of 2: 2 of 4 networks go on" in done.stderr
    heads, *lines = (line.split("\t") for line in done.stdout.splitlines())
    assert (heads, len(lines)) == (["id", "validation", "test", "macs", "training"], 2)
    first = rows()
    assert sorted(state for _, state, _ in first.values()) == ["finished"] * 2 + ["stopped at rung 1"] * 2
    assert all(list(result["rungs"]) == ["3"] for _, _, result in first.values())
    assert all("test" in result for _, state, result in first.values() if state == "finished")

    again = json.loads(nasctl(*SHORT, "--json").stdout)
    assert rows() == first
    assert {one["training"]: one["state"] for one in again} == {name: state for name, (_, state, _) in first.items()}

    shown = json.loads(nasctl("pareto", "show", "--json").stdout)
    found = [one["trained"] for one in shown if one["trained"]]
    assert {one["training"]: one["state"] for one in found}.items() <= {n: s for n, (_, s, _) in first.items()}.items()
    table = nasctl("pareto", "show")
    assert table.stdout.splitlines()[0].split("\t")[1] == "test accuracy (%)"
    assert "test accuracy is of 2 trained networks (photos.npz, 3 epochs, seed 0)" in table.stderr
    assert "rung 1" in table.stdout

    best = min(lines, key=lambda line: -float(line[1].partition("%")[0]))
    for word in ("trained", "accuracy"):
        picked = json.loads(nasctl("pareto", "pick", f"--best={word}", "--json").stdout)
        assert picked["trained"]["training"] == best[-1]
        assert picked["export"] == f"nasctl export --arch {best[0]} --weights {best[-1]} --format python,onnx"
    text = nasctl("pareto", "pick", "--best=trained").stdout
    assert f"training {best[-1]} on photos.npz, 3 epochs, seed 0" in text

    run = json.loads(nasctl("runs", "show", "--json").stdout)["trained"]
    assert (run["networks"], run["unfinished"], run["best"], run["training"]) == (2, 2, best[0], best[-1])
    assert f"best {best[0]}" in nasctl("runs", "show").stdout
    arch = json.loads(nasctl("show", best[0], "--device=gpu", "--json").stdout)
    assert [one["training"] for one in arch["trainings"]] == [best[-1]]
    assert f"training {best[-1]} on photos.npz" in nasctl("show", best[0], "--device=gpu").stdout
    nasctl("pareto", "plot", "-o", "r.svg")
    assert "trained (2)" in Path("r.svg").read_text().replace("\N{NO-BREAK SPACE}", " ")
    nasctl("report", "-o", "r.html")
    page = Path("r.html").read_text()
    assert "<h2>Trained networks</h2>" in page
    assert page.count('trained" r="4"') == 2
    assert page.count(">stopped at rung 1</td>") == 2


def test_without_halving_all_are_trained_to_the_end(nasctl):
    said = nasctl("train", "--run=r", "--data=photos.npz", "--top=2", *QUICK, "--epochs=1").stderr
    assert "2 trainings of " in said
    assert [state for _, state, _ in rows().values()] == ["finished"] * 2
    assert all("rungs" not in result for _, _, result in rows().values())


def test_a_dry_run_lists_the_candidates_and_writes_nothing(nasctl):
    said = nasctl(*SHORT, "--dry-run").stderr
    assert said.count("  would train nbmacro-") == 4
    found = json.loads(nasctl(*SHORT, "--dry-run", "--json").stdout)
    assert [one["state"] for one in found] == ["not begun"] * 4
    assert all(f"{one['id']}  would train {one['training']}" in said for one in found)
    assert rows() == {}
    assert not Path("nasctl-trainings").exists()


def test_nothing_changes_where_nothing_is_trained(nasctl):
    (one, *_) = json.loads(nasctl("pareto", "show", "--json").stdout)
    assert "trained" not in one
    assert "accuracy" not in nasctl("pareto", "show").stdout
    assert "trained" not in json.loads(nasctl("runs", "show", "--json").stdout)
    assert "trained" not in json.loads(nasctl("pareto", "pick", "--json").stdout)
    assert "no candidate of this run is trained" in nasctl("pareto", "pick", "--best=trained", code=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--run=r", "--top=0"), "0 is not in the range"),
        (("--run=r", "--arch=0,0,0,0,0,0,0,0"), "takes no --arch"),
        (("--run=r", f"--space={SPACE}"), "takes no --space"),
        (("--run=r", "--name=x"), "takes no --name"),
        (("--run=r", "--rungs=2"), "give --halving 3 too"),
        (("--run=other",), "'other'"),
        (("--top=3",), "give --run NAME too"),
        (("--run=r", "--halving=3", "--epochs=5"), "an epoch beyond the warm-up"),
        (("--run=rnn",), "is data of images, and this space takes tokens"),
        (("--run=empty",), "its front is empty"),
    ],
)
def test_bad_requests_are_refused_in_a_sentence_and_write_nothing(nasctl, words, said):
    if "--run=rnn" in words:
        nasctl("search", "--space=rnn", "--objective=params", "--budget=2", "--run=rnn", "--searcher=random")
    if "--run=empty" in words:
        bound = ("--constraint=naswot>=1e9", "--searcher=random")
        nasctl("search", f"--space={SPACE}", "--objective=naswot,macs", "--budget=2", "--run=empty", *bound)
    before = Path("nasctl.db").read_bytes()
    refused = nasctl("train", "--data=photos.npz", *words, code=2).stderr
    assert said in refused
    assert len(refused.strip().splitlines()) == 1
    assert Path("nasctl.db").read_bytes() == before
    assert not Path("nasctl-trainings").exists()


@pytest.mark.slow
def test_a_shortlist_that_is_killed_anywhere_ends_in_the_same_rows(nasctl, tmp_path):
    words = [sys.executable, "-m", "nasctl", *SHORT, "--set=recovery=1"]  # a checkpoint after every step
    stores = [tmp_path / name for name in ("whole.db", "killed.db")]
    for store in stores:
        store.write_bytes(Path("nasctl.db").read_bytes())
    subprocess.run([*words, "--store", stores[0].name], check=True, cwd=tmp_path)
    rng, kills, seen = np.random.default_rng(0), 0, set()
    while True:
        process = subprocess.Popen([*words, "--store", stores[1].name], cwd=tmp_path)
        limit, delay = len(seen) + rng.integers(1, 5), rng.uniform(0, 0.1)
        while process.poll() is None and len(seen) < limit:  # each round gets further, however slow the machine
            seen |= set((tmp_path / "killed-trainings").glob("*/*.safetensors"))
            time.sleep(0.002)
        if process.poll() is not None:
            break
        time.sleep(delay)
        process.kill()
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills > 2
    assert rows(stores[1]) == rows(stores[0])
    for name, (_, state, _) in rows(stores[0]).items():
        paths = [tmp_path / f"{store.stem}-trainings" / name / "weights.safetensors" for store in stores]
        assert [path.exists() for path in paths] == [state == "finished"] * 2
        if state == "finished":
            first, second = (trained_weights.read(path)[0] for path in paths)
            assert all(torch.equal(first[key], second[key]) for key in first | second)
