"""Strategies of supernets beside random search: what they choose is looked up in a table of trainings."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.analysis.strategy_comparison import Policy, StrategyComparison, paired_p, random_trainings
from nasctl.analysis.strategy_runs import StrategyStudy, compare_strategies
from nasctl.bench.benchmark import Scene, TrainingTable
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.supernets.request import SupernetRequest
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.training.request import RecipeOptions

SPACE = "nb201:channels=4,cells=1,resolution=8"


@pytest.fixture(scope="module")
def nb201(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASCTL_DATA", str(data("nb201").parent))
        yield registry.create("benchmarks", "nb201")


def study(store, notes, strategies=("darts",), **changes):
    recipe = RecipeOptions(fields=("epochs=1", "batch=512", "flip=false", "evaluate=0"))
    request = SupernetRequest(SPACE, "digits", recipe=recipe)
    given = {"seeds": 1, "samples": 2, "images": 20, "note": notes.append, **changes}
    return StrategyStudy("nb201", request, strategies, store=str(store), **given)


@pytest.mark.slow
def test_what_a_strategy_chooses_stands_beside_random_search(nb201, tmp_path):
    from nasctl.supernets.running import run_supernet

    notes, sessions = [], []
    asked = study(tmp_path / "nasctl.db", notes)

    def train(request):
        supernet, data = request.supernet()
        sessions.append(run_supernet(supernet, data, asked.store))
        return sessions[-1].folder / "weights.safetensors"

    found = compare_strategies(asked, train)
    names = [one.name for one in found.policies]
    assert notes == []
    chosen = [f"darts, {words}" for words in ("learned", "perturbation", "best of 2 draws", "best of 2 random")]
    number = round(found.policies[2].cost)
    trained, metrics = f"best of {number} trained", "expressivity+zen"
    front = f"{trained} on the front of {metrics}"
    assert names == [*chosen, "random network", trained, f"best by {metrics}", front]
    by_name = {one.name: one for one in found.policies}
    genome = TrainedSupernet(sessions[0].folder / "weights.safetensors").strategy.chosen()
    assert by_name["darts, learned"].genomes == (genome,)
    row = nb201.genomes.index(nb201.space.canonical(genome))
    assert found.accuracies(by_name["darts, learned"], "cifar10").tolist() == [nb201.scenes["cifar10"].accuracy[row]]
    assert 1.5 < by_name["darts, learned"].cost < 4  # two passes a step, each of five operations on half of the batch
    assert by_name["darts, best of 2 draws"].cost > by_name["darts, learned"].cost
    # The mean over the 15,625 cells as they are written.
    assert found.accuracies(by_name["random network"], "cifar10").mean() == pytest.approx(87.1, abs=1.2)
    (row,) = by_name[front].choices["cifar10"]
    best = nb201.trainings["cifar10"].labels[by_name[f"best by {metrics}"].choices["cifar10"][0]]
    assert nb201.trainings["cifar10"].labels[row] >= best  # the last network of the front is the best by metrics
    again = compare_strategies(asked, train)
    assert sessions[1].session_steps == 0  # a finished training is only read
    assert again.figures() == found.figures()


@pytest.mark.parametrize(
    ("strategies", "changes", "reason"),
    [
        (("darts:order=3",), {}, "order=3"),
        pytest.param(("gdas", "tangle"), {"share": "blocks"}, "Give --share entangled", marks=pytest.mark.slow),
    ],
)
def test_strategies_that_cannot_train_are_refused_before_the_first_training(
    nb201, tmp_path, monkeypatch, strategies, changes, reason
):
    monkeypatch.setattr("nasctl.analysis.training_cost.STEPS", 1)
    asked = study(tmp_path / "nasctl.db", [], strategies)
    asked = replace(asked, supernet=replace(asked.supernet, **changes))
    with pytest.raises(NasctlError, match=re.escape(reason)):
        compare_strategies(asked, lambda request: pytest.fail("trained"))


@pytest.mark.slow
def test_a_strategy_that_needs_slices_gets_them(nb201, tmp_path):
    class Begun(Exception):
        pass

    requests, notes = [], []

    def train(request):
        requests.append(request)
        if request.strategy == "tangle":
            raise Begun
        return tmp_path

    with pytest.raises(Begun):
        compare_strategies(study(tmp_path / "nasctl.db", notes, ("single_path", "tangle")), train)
    assert [one.share for one in requests] == [None, "entangled"]
    assert notes == ["tangle trains with --share entangled, without which it cannot learn the choices of this space"]


def test_random_search_takes_the_best_label_and_is_judged_by_the_test(nb201):
    table = nb201.trainings["cifar10"]
    one, many = (random_trainings(nb201, {"cifar10": table}, number, number, "random") for number in (1, 20))
    labels = [table.labels[policy.choices["cifar10"]].mean() for policy in (one, many)]
    tests = [table.test.accuracy[policy.choices["cifar10"]].mean() for policy in (one, many)]
    assert labels[1] > labels[0] + 3
    assert tests[1] == pytest.approx(93.3, abs=0.3)  # NAS-Bench-201 reports 93.7 for many more trainings
    toy = TrainingTable(-table.labels, 0.0, table.test, "")
    worst = random_trainings(nb201, {"cifar10": toy}, 20, 20, "random")
    assert toy.test.accuracy[worst.choices["cifar10"]].mean() < tests[0]


def comparison(*policies, accuracies):
    scene = Scene(1 - np.array(accuracies) / 100, np.linspace(0, 1, len(accuracies)), np.array(accuracies))
    return StrategyComparison({"scene": scene}, policies, 4)


def policy(name, rows, **changes):
    return Policy(name, 1.0, {"scene": np.array(rows)}, **changes)


def test_policies_with_the_same_weights_are_paired():
    values = [90.0, 80.0, 70.0, 60.0, 91.0, 81.5, 71.0, 61.0]
    other = policy("b", [0, 1, 2, 3])
    for paired, p in ((frozenset("b"), 0.002), (frozenset(), 0.686)):
        own = policy("a", [4, 5, 6, 7], against=("b",), paired=paired)
        found = comparison(own, other, accuracies=values)
        (test,) = found.tests()
        assert test.p == pytest.approx(p, abs=0.005)
        assert test.d > 0
        said = found.verdict()
        assert ("a beats b on scene" in said) == bool(paired)
        assert "no network was chosen by learned choices" in said
    assert found.standard_error(other, "scene") == pytest.approx(np.std(values[:4], ddof=1) / 2)
    assert paired_p(np.array([1.0, 2.0]), np.array([0.0, 0.5])) == 1  # two pairs are too few
    assert paired_p(np.ones(4), np.zeros(4)) == 1  # differences that do not vary have no test


GOOD, FAIR, BAD = [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]

ACCURACIES = [93.0, 93.3, 93.7, 94.0, 90.0, 90.2, 90.5, 91.1, 70.0, 71.0, 73.0, 74.0]

SAME = "no learned choice beats random draws with the same weights beyond noise"

EQUAL = "no learned choice beats random search among trained networks at equal cost (best of 4 trained) beyond noise"


@pytest.mark.parametrize(
    ("learned", "drawn", "trained", "one", "said"),
    [
        (BAD, GOOD, FAIR, BAD, {EQUAL, SAME}),  # random draws win, which learned nothing
        (FAIR, FAIR, GOOD, BAD, {EQUAL, SAME}),  # better than a random network alone
        (GOOD, GOOD, BAD, BAD, {SAME}),  # whatever is drawn with these weights is good
        (FAIR, BAD, GOOD, BAD, {EQUAL}),  # learned, but dear
        (GOOD, FAIR, BAD, BAD, set()),
    ],
)
def test_the_verdict_is_about_learned_choices_and_equal_cost(learned, drawn, trained, one, said):
    names = ("best of 4 trained", "random network")
    rows = [trained * 10, one * 10]  # as many runs as make the tests sure
    own = policy("s, draws", drawn * 4, against=names, rival=names[0])
    chosen = policy(
        "s, learned", learned * 4, against=("s, draws", *names), paired=frozenset(["s, draws"]), learned=True,
        rival=names[0],
    )  # fmt: skip
    given = [chosen, own, *map(policy, names, rows)]
    found = comparison(*given, accuracies=np.array(ACCURACIES))
    if drawn == GOOD and learned == BAD:
        assert "s, draws beats s, learned on scene" in found.verdict()
    assert {one for one in found.verdict() if one.startswith("no ")} == said
    other = Scene(*(np.full(len(ACCURACIES), value) for value in (0.1, 0.5, 90.0)))  # where nothing differs
    both = StrategyComparison({"scene": next(iter(found.scenes.values())), "flat": other}, [
        replace(one, choices={"scene": one.choices["scene"], "flat": one.choices["scene"]}) for one in given
    ], 4, equal_cost=False)  # fmt: skip
    sentences = [one for one in both.verdict() if one.startswith("no ")]
    assert len(sentences) == 2
    assert all("at equal cost" not in one for one in sentences)
    assert [one.endswith(" on flat") for one in sentences] == [EQUAL not in said, SAME not in said]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("nb201", "--data", "digits", "-o", "swap"), "Leave -o out"),
        (("nb201", "--samples", "5"), "Cannot use --samples without --data"),
        (("nb201", "--epochs", "5"), "Cannot use --epochs without --data"),
        (("nb201", "--data", "digits", "--searcher", "nsga2"), "nsga2"),
        (("nb201", "--data", "digits", "--space", "nbmacro"), "the space has other genes"),
        (("darts", "--data", "digits"), "its table has no trainings"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(nb201, words, reason):
    done = CliRunner().invoke(cli, ["bench", "run", *words])
    assert done.exit_code == 2, done.output
    assert reason in done.stderr


@pytest.mark.slow
def test_the_command_prints_a_comparison_and_reads_finished_trainings(nb201, tmp_path):
    words = ["bench", "run", "nb201", "--searcher", "darts,single_path", "--data", "digits", "--space", SPACE]
    words += ["--epochs", "2", "--set", "flip=false", "--seeds", "2", "--samples", "3", "--images", "50"]
    words += ["--store", str(tmp_path / "nasctl.db")]
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.stderr
    figures = json.loads(done.stdout)
    names = [one["name"] for one in figures["policies"]]
    assert names[:3] == ["darts, learned", "darts, perturbation", "darts, best of 3 draws"]
    assert "single_path, best of 3 random" in names
    costs = {one["name"]: one["trainings"] for one in figures["policies"]}
    assert costs["darts, learned"] > 1.5 * costs["single_path, best of 3 random"]
    table = CliRunner().invoke(cli, [*words, "--csv"])
    assert len(table.stdout.splitlines()) == 1 + 3 * (5 * 2 + 2 + 2)
    assert "supernet 4 of 4" in table.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("nbmacro", "resolution=8"), ("tnb101_micro", "channels=4,cells=1,resolution=32,classes=10")],
)
def test_strategies_are_compared_on_other_benchmarks_with_trainings(data, monkeypatch, tmp_path, name, options):
    monkeypatch.setenv("NASCTL_DATA", str(data("nb201").parent))
    monkeypatch.setattr("nasctl.analysis.training_cost.STEPS", 1)
    words = ["bench", "run", name, "--searcher", "darts:select=perturbation", "--data", "digits", "--epochs", "1"]
    words += ["--space", f"{name}:{options}", "--seeds", "1", "--samples", "2", "--images", "20"]
    words += ["--set", "batch=32", "--set", "flip=false", "--set", "evaluate=0", "--store", str(tmp_path / "nasctl.db")]
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.stderr
    learned = json.loads(done.stdout)["policies"][0]
    benchmark = registry.create("benchmarks", name)
    row = benchmark.genomes.index(benchmark.space.canonical(tuple(learned["genomes"][0])))
    accuracies = {scene: found["accuracies"] for scene, found in learned["scenes"].items()}
    assert accuracies == {scene: [table.accuracy[row]] for scene, table in benchmark.scenes.items()}
