"""`nasctl supernet train`, `list`, `show` and `delete`, from the command line."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from supernets import small_space
from training.examples import save_photos

from nasctl.cli import cli
from nasctl.supernets.trained_supernet import TrainedSupernet

SPACE = Path(small_space.__file__).read_text()
TRAIN = ("supernet", "train", "--space=two.py:Two", "--data=photos.npz", "--set=batch=8", "--set=rate=0.5")
JUDGED = ["largest", "smallest", "sample 1", "sample 2", "sample 3"]


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NASCTL_STORE", raising=False)
    monkeypatch.setenv("NASCTL_TRUST", "two.py")
    save_photos("photos.npz")
    Path("two.py").write_text(SPACE)

    def call(*words, code=0):
        done = CliRunner().invoke(cli, list(words), catch_exceptions=False)
        assert done.exit_code == code, done.stderr
        return done

    return call


def test_a_supernet_is_trained_listed_shown_drawn_and_deleted(nasctl):
    done = nasctl(*TRAIN, "--epochs=2", "--json", "--log=mine.jsonl")
    row = json.loads(done.stdout)
    name = row["supernet"]
    assert name.startswith("two-sandwich-entangled-")
    assert "3 classes, images by class in the training part: " in done.stderr
    assert f"next: nasctl search --space two.py:Two:classes=3 -o accuracy@{name},macs" in done.stderr
    assert f"nasctl export --arch {row['judged']['largest']['id']} --weights {name}" in done.stderr
    assert [row["judged"][one]["genome"] for one in JUDGED[:2]] == [[1] * 4, [0] * 4]
    assert (row["state"], row["step"], row["steps"]) == ("finished", 12, 12)
    assert [list(row["results"][part]) for part in ("validation", "test")] == [JUDGED] * 2
    trained = TrainedSupernet(Path(row["weights"]))
    assert (trained.facts.name, trained.facts.strategy) == (name, "sandwich:distance=kl,random=2")
    assert trained.facts.result == row["results"]
    assert {one: trained.facts.judged[one] for one in JUDGED} == {one: row["judged"][one]["genome"] for one in JUDGED}
    assert sorted(path.name for path in Path(row["folder"]).iterdir()) == [
        "lock",
        "log.jsonl",
        "step-000000012.safetensors",
        "training.json",
        "weights.safetensors",
    ]
    assert {json.loads(line)["training"] for line in Path("mine.jsonl").read_text().splitlines()} == {name}
    assert json.loads(nasctl("supernet", "list", "--json").stdout) == [row]
    assert name in nasctl("supernet", "list").stdout
    assert len(nasctl("supernet", "list", "--csv").stdout.splitlines()) == 1 + 2 * len(JUDGED)
    shown = json.loads(nasctl("supernet", "show", name[:-2], "--json", "--plot", "s.png").stdout)
    assert shown.items() >= row.items()
    assert max(shown["visits"]["each"][0]) == 4 * 12  # the passes of all steps
    assert Path("s.png").stat().st_size > 10_000
    assert "s.png exists" in nasctl("supernet", "show", name, "--plot", "s.png", code=2).stderr
    sampled = nasctl("supernet", "show", name, "--plot", "n.svg", "--sample", "7").stderr
    assert "evaluated: 9/9" in sampled
    text = Path("n.svg").read_text()
    assert "validation accuracy (%)" in text
    assert "the space is not installed" not in text
    assert "--sample without --plot" in nasctl("supernet", "show", name, "--sample", "7", code=2).stderr
    assert "never" not in nasctl("supernet", "show", name).stdout
    refusal = nasctl("supernet", "delete", name, code=2).stderr  # the test's stdin is no terminal
    assert f"Cannot ask whether to delete supernet {name}: stdin is no terminal. Give --yes." in refusal
    assert "Give all of it." in nasctl("supernet", "delete", name[:-2], "--yes", code=2).stderr
    Path("nasctl-supernets/broken").mkdir()
    Path("nasctl-supernets/broken/training.json").write_text("{")
    listed = nasctl("supernet", "list").stdout
    assert "damaged" in listed
    assert name in listed
    assert len(nasctl("supernet", "list", "--csv").stdout.splitlines()) == 2 + 2 * len(JUDGED)
    Path("nasctl-supernets/broken/training.json").unlink()
    nasctl("supernet", "delete", name, "--yes")
    assert json.loads(nasctl("supernet", "list", "--json").stdout) == []
    assert not Path(row["folder"]).exists()


def test_a_trained_network_becomes_elastic(nasctl):
    """Without a step, the starting network of a supernet is the trained one; `elastic` needs one."""
    own = ("--data=photos.npz", "--set=batch=8", "--set=evaluate=0", "--epochs=1")
    smaller, trained = (
        json.loads(nasctl("train", "--space=two.py:Two", f"--arch={arch}", *own, "--json").stdout)[0]
        for arch in ("1,0,1,0", "1,1,1,1")
    )
    words = ("supernet", "train", "--space=two.py:Two", *own, "--strategy=elastic", "--set=warmup=0")
    assert "elastic from drawn weights: it trains a trained network further" in nasctl(*words, code=2).stderr
    done = nasctl(*words, f"--from={trained['training']}", "--set=rate=0", "--set=weight_decay=0", "--json")
    row = json.loads(done.stdout)
    assert "begins with the weights of " in done.stderr
    path = Path(row["weights"])
    views = TrainedSupernet(path).weights.views((1, 1, 1, 1))
    given = load_file(trained["weights"])
    assert all(torch.equal(view, given[name]) for name, view in views.items())
    torch.save(given, "given.pt")  # as a user's own code writes it
    done = nasctl(*words, "--from=given.pt", "--set=rate=0", "--set=weight_decay=0", "--name=file", "--json")
    views = TrainedSupernet(Path(json.loads(done.stdout)["weights"])).weights.views((1, 1, 1, 1))
    assert all(torch.equal(view, given[name]) for name, view in views.items())
    again = json.loads(nasctl(*words, f"--from={trained['training']}", "--set=rate=0", "--json", "--dry-run").stdout)
    assert again["spec"]["start_genome"] == [1, 1, 1, 1]
    assert "--from nope is no file" in nasctl(*words, "--from=nope", code=2).stderr
    other = nasctl(*words, f"--from={smaller['training']}", code=2).stderr
    assert "it is not the largest of the space, whose genome is 1,1,1,1" in other
    experts = [one.replace("elastic", "experts") for one in words]
    assert "equal copies stay equal" in nasctl(*experts, f"--from={smaller['training']}", code=2).stderr
    split = nasctl(*words, f"--from={trained['training']}", "--split-seed=1", "--set=rate=0")
    assert "Warning: what --from names was trained on another split of this data" in split.stderr


def test_a_strategy_that_scores_networks_says_scores(nasctl):
    words = ("--data=photos.npz", "--set=batch=8", "--set=evaluate=0", "--epochs=4", "--strategy=blockwise:paths=2")
    done = nasctl("supernet", "train", "--space=two.py:Two", *words, "--name=blocks")
    assert "largest score " in done.stderr
    assert done.stderr.splitlines()[-1] == "its strategy scores networks and trains no classifier: less is better"
    table = ("supernet", "show", "blocks", "--table=scores.csv")
    done = nasctl(*table, "--networks=16")
    assert "score" in done.stdout
    assert "-o score@blocks,macs --searcher additive_front:table=scores.csv" in done.stderr
    assert Path("scores.csv").read_text().startswith("gene,choice,score@blocks\n0.kernel,1,")
    assert "scores.csv exists; give another name" in nasctl(*table, code=2).stderr
    assert "tables are CSV files" in nasctl(*table[:-1], "--table=scores.txt", code=2).stderr
    assert "Add --table" in nasctl("supernet", "show", "blocks", "--networks=16", code=2).stderr
    refused = nasctl("objective", "score", "--space=two.py:Two", "--sample=1", "-o", "accuracy@blocks", code=2)
    assert "blockwise, scores networks and trains no classifier" in refused.stderr


def test_the_same_command_reads_a_finished_supernet_and_another_question_is_refused(nasctl):
    words = (*TRAIN, "--epochs=1", "--set=evaluate=0", "--strategy=single-path", "--share=blocks", "--name=mine")
    first = json.loads(nasctl(*words, "--json").stdout)
    again = nasctl(*words, "--json")
    assert json.loads(again.stdout) == first
    assert "supernet mine is finished (took " in again.stderr
    assert (first["strategy"], first["share"]) == ("single_path:calr=false,sampling=uniform", "blocks")
    weights = Path(first["weights"])
    weights.write_bytes(weights.read_bytes()[:100])
    assert "damaged" in nasctl("supernet", "list").stdout
    assert "damaged, step 6 of 6 (100%)" in nasctl("supernet", "show", "mine").stdout
    assert json.loads(nasctl(*words, "--json").stdout)["results"] == first["results"]
    other = nasctl(*words[:-2], "--share=entangled", "--name=mine", code=2).stderr
    assert "holds a training of another share; give this one another --name" in other


def test_an_unfinished_supernet_is_listed_with_its_progress_and_drawn(nasctl):
    from nasctl.supernets.request import SupernetRequest
    from nasctl.supernets.running import run_supernet
    from nasctl.training.request import RecipeOptions

    recipe = RecipeOptions(epochs=2, fields=("batch=8", "rate=0.5"))
    asked = SupernetRequest("two.py:Two", "photos.npz", recipe=recipe)
    supernet, data = asked.supernet()
    run_supernet(supernet, data, "nasctl.db", until=9)
    row = json.loads(nasctl("supernet", "list", "--json").stdout)[0]
    assert (row["state"], row["step"], row["steps"], row["weights"]) == ("unfinished", 9, 12, None)
    assert list(row["results"]) == ["validation"]
    assert "unfinished, step 9 of 12 (75%)" in nasctl("supernet", "list").stdout
    nasctl("supernet", "show", supernet.name, "--plot", "new dir/")
    assert Path(f"new dir/{supernet.name}.png").exists()
    nasctl("supernet", "show", supernet.name, "--plot", "s.svg")
    assert Path("s.svg").exists()
    early = nasctl("supernet", "show", supernet.name, "--plot", "n.svg", "--sample", "2", code=2).stderr
    assert "its training has not ended. Let it run to its end, or leave out --sample." in early
    done = nasctl(*TRAIN, "--epochs=2", "--json")
    assert "goes on after step 9" in done.stderr
    assert json.loads(done.stdout)["supernet"] == supernet.name
    log = [json.loads(line) for line in (Path(row["folder"]) / "log.jsonl").read_text().splitlines()]
    assert [one["step"] for one in log if one["event"] == "step"] == list(range(1, 13))


def test_a_dry_run_writes_nothing(nasctl):
    before = sorted(path.name for path in Path().iterdir())
    done = nasctl(*TRAIN, "--dry-run", "--json")
    row = json.loads(done.stdout)
    assert f"would train {row['supernet']}: the networks of two.py:Two:classes=3 by sandwich" in done.stderr
    assert row["params"] == 8 * 3 * 9 + 8 * 2 + 8 * 8 * 9 + 8 * 2 + 8 * 3 + 3  # those of the largest network
    assert sorted(path.name for path in Path().iterdir() if path.name != "__pycache__") == before


def test_a_dry_run_refuses_what_the_first_step_would(nasctl):
    words = ("supernet", "train", "--space=nb201:channels=4,cells=1,resolution=8", "--data=digits", "--dry-run")
    done = nasctl(*words, "--strategy=darts:select=perturbation", "--epochs=1", "--set=batch=512", code=2)
    assert "Cannot decide 6 genes in the last third of" in done.stderr


def test_the_recipe_is_that_of_the_task(nasctl):
    assert "epochs = 7" in nasctl(*TRAIN, "--print-recipe", "--epochs=7").stdout
    words = nasctl("supernet", "train", "--space=rnn:length=8,vocabulary=100", "--print-recipe").stdout
    assert 'optimiser = "adamw"' in words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data=photos.npz",), "say which search space: --space SPEC"),
        (("--space=two.py:Two",), "say what to train on: --data digits"),
        ((*TRAIN[2:], "--strategy=sandwhich"), "no strategy is called 'sandwhich'; did you mean 'sandwich'?"),
        ((*TRAIN[2:], "--strategy=sandwich:random=-1"), "Give random=0 or more"),
        ((*TRAIN[2:], "--share=all"), "'all' is not one of"),
        ((*TRAIN[2:], "--space=rnn"), "this space takes tokens; give tokens, or the path of a text"),
        ((*TRAIN[2:], "--name=a/b"), "cannot be called 'a/b'"),
        ((*TRAIN[2:], "--name=a.json"), "accuracy@a.json would name a file"),
        (
            (*TRAIN[2:], "--strategy=sandwich:distance=alpha0"),
            "Give distance=kl, distance=alpha, or",
        ),
        ((*TRAIN[2:], "--torch-device=cuda:77"), "torch cannot use 'cuda:77'"),
        ((*TRAIN[2:], "--set=epocs=3"), "did you mean 'epochs'?"),
    ],
)
def test_a_bad_command_is_one_sentence_and_writes_nothing(words, message, nasctl):
    done = nasctl("supernet", "train", *words, code=2)
    assert message in done.stderr.splitlines()[-1]
    assert not list(Path().glob("nasctl-supernets/*"))


def test_a_space_without_an_output_for_each_class_is_refused(nasctl):
    Path("two.py").write_text(SPACE.replace("self, classes: int = 10", "self").replace("= classes", "= 10"))
    assert "Cannot train on 3 classes: the network has 10 outputs." in nasctl(*TRAIN, code=2).stderr


@pytest.mark.parametrize("words", [("show", "mine"), ("delete", "mine", "--yes")])
def test_an_unknown_supernet_is_one_sentence(words, nasctl):
    assert (
        "Cannot find the supernet 'mine': there is none beside nasctl.db." in nasctl("supernet", *words, code=2).stderr
    )


FORKS = """
import json, os, sys
import nasctl.supernets.report
from nasctl.cli import cli
for line in sys.stdin:
    child = os.fork()
    if not child:
        cli.main(json.loads(line))
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.mark.slow  # it waits for other processes
@pytest.mark.parametrize(
    ("space", "strategy", "number"),
    [
        ("nbmacro:resolution=8", "single_path", 20),
        ("nb201:channels=4,cells=1,resolution=8", "darts:select=perturbation", 4),
        ("nb201:channels=4,cells=1,resolution=8", "enas:memory=on", 4),
    ],
)
def test_a_supernet_that_is_killed_many_times_has_the_same_bits(space, strategy, number, nasctl):
    """Processes are forked from one that has imported torch, and are killed at random times of their training."""
    rng, kills, seed = random.Random(0), 0, 0
    words = ["supernet", "train", f"--space={space}", "--data=digits", f"--strategy={strategy}"]
    words += ["--epochs=2", "--set=evaluate=0", "--set=recovery=10"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", FORKS], text=True, **pipes) as server:

        def killed(asked, folder):
            """Begin a training and kill it, perhaps before its first step; return False if it ended before."""
            server.stdin.write(f"{json.dumps(asked)}\n")
            server.stdin.flush()
            child, begun = int(server.stdout.readline()), (folder / "log.jsonl").exists()
            deadline = time.monotonic() + 120
            while not begun and time.monotonic() < deadline:
                time.sleep(0.01)
                begun = (folder / "log.jsonl").exists()
            time.sleep(rng.uniform(0, 4))
            is_alive = not (folder / "weights.safetensors").exists()
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(child, signal.SIGKILL)
            assert server.stdout.readline() == "ended\n"
            return is_alive

        while kills < number:
            asked, seed = [*words, f"--seed={seed}"], seed + 1
            whole = json.loads(nasctl(*asked, "--json", "--store=whole.db").stdout)
            while kills < number and killed(asked, Path("nasctl-supernets") / whole["supernet"]):
                kills += 1
            resumed = json.loads(nasctl(*asked, "--json").stdout)
            assert resumed["results"] == whole["results"]
            assert len({TrainedSupernet(Path(one["weights"])).digest for one in (whole, resumed)}) == 1
        server.stdin.close()


@pytest.mark.slow  # it starts two processes
def test_two_processes_train_a_supernet_together(nasctl):
    alone, together = (
        json.loads(nasctl(*TRAIN, "--epochs=1", "--json", *more).stdout) for more in ((), ("--processes=2",))
    )
    assert alone["supernet"] != together["supernet"]
    assert together["spec"]["processes"] == 2
    losses = [one["results"]["test"]["largest"]["loss"] for one in (alone, together)]
    assert losses[0] == pytest.approx(losses[1], rel=0.2)  # each process has statistics of norms of its own
