"""Trainings replayed on tables."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.bench.benchmark import HasTrainings
from nasctl.bench.compare_trainings import compare_trainings, replay_trainings
from nasctl.bench.replay_trainings import FITTED, TRAINING_FREE, TrainingReplayer, trained_indicators
from nasctl.cli import cli
from nasctl.commands.bench._tables import HV

POLICIES = (FITTED, TRAINING_FREE, "random", "regularized_evolution", "predictor")


@pytest.fixture(scope="module")
def tables(data):
    """Benchmarks by spec, each made once."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASCTL_DATA", str(data("nb201").parent))
        yield lambda spec: made.setdefault(spec, registry.create("benchmarks", spec))


def typed(*words):
    return CliRunner().invoke(cli, ["bench", "run", *map(str, words)])


def replayer(benchmark, trainings=8, measurements=80, rule="ehvi"):
    return TrainingReplayer(benchmark, benchmark.default_objectives, trainings, measurements, rule)


def test_labels_are_no_test_results(tables):
    nb201, macro, micro = map(tables, ("nb201", "nbmacro", "tnb101_micro"))
    for benchmark in (nb201, macro, micro):
        assert isinstance(benchmark, HasTrainings)
    # The best validation accuracies and their cells' test accuracies, as published for the table.
    for scene, label, test in (
        ("cifar10", 91.57, 94.2967),
        ("cifar100", 73.26, 73.26),
        ("ImageNet16-120", 47.33, 46.44),
    ):
        table = nb201.trainings[scene]
        best = table.labels.argmax()
        assert (table.labels[best], table.test.accuracy[best]) == pytest.approx((label, test), abs=0.005)
    table = macro.trainings["cifar10"]
    mean = macro.scenes["cifar10"].accuracy
    assert (table.labels + 2 * table.test.accuracy) / 3 == pytest.approx(mean)
    assert table.test.front.shape[1] == 2
    assert {table.about for table in micro.trainings.values()} == {micro.trainings["jigsaw"].about}


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_sees_a_test_result(tables, policy):
    benchmark = tables("nbmacro")
    table = benchmark.trainings["cifar10"]
    blank = np.full(len(table.labels), np.nan)
    hidden = replace(table, test=replace(table.test, error=blank, accuracy=blank))
    runs = [replayer(benchmark).run(policy, one, 3) for one in (table, hidden)]
    assert runs[0].places.tolist() == runs[1].places.tolist()
    assert len(set(runs[0].places.tolist())) == 8


def test_a_run_is_a_function_of_its_seed(tables):
    benchmark = tables("nbmacro")
    table = benchmark.trainings["cifar10"]
    first, again, other = (replayer(benchmark).run(FITTED, table, seed).places.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_the_costs_of_a_run_are_counted(tables):
    benchmark = tables("nb201")
    table = benchmark.trainings["cifar10"]
    run = replayer(benchmark).run(FITTED, table, 0)
    assert run.measured <= 80
    assert run.training_seconds == pytest.approx(table.seconds[run.places].sum())
    each = sum(benchmark.column(name).seconds for name in replayer(benchmark)._columns)
    assert run.metric_seconds == pytest.approx(run.measured * each)
    assert "val_acc_12" not in replayer(benchmark)._columns
    alone = replayer(benchmark).run("random", table, 0)
    assert (alone.measured, alone.metric_seconds) == (0, 0)


def test_labels_choose_among_the_trained(tables):
    table = tables("nb201").trainings["cifar10"]
    places = np.array([3, 700, 2000])
    found = trained_indicators(table, places)
    assert found.best == table.test.accuracy[places].max()
    assert found.chosen == table.test.accuracy[places[table.labels[places].argmax()]]


def test_a_comparison_tests_every_pair(tables):
    benchmark = tables("nbmacro")
    runs = list(replay_trainings(replayer(benchmark), benchmark.trainings, POLICIES[:3], 3))
    comparison = compare_trainings(benchmark.trainings, runs)
    assert len(comparison.tests()) == 3 * 3
    figures = comparison.figures()
    (scene,) = figures["scenes"].values()
    assert [len(scene["policies"][policy]) for policy in POLICIES[:3]] == [3, 3, 3]
    assert scene["policies"][FITTED][0]["training_seconds"] is None
    json.dumps(figures, allow_nan=False)


def test_the_command(tables):
    words = ["nbmacro", "--trainings", 6, "--evaluations", 40, "--seeds", 2, "--searcher", "random"]
    shown = typed(*words)
    assert shown.exit_code == 0, shown.output
    for word in (FITTED, TRAINING_FREE, "test of the chosen", "better, p, d", "mean of the two other trainings", HV):
        assert word in shown.output
    found = json.loads(typed(*words, "--json").stdout)
    assert (found["trainings"], found["evaluations"]) == (6, 40)
    assert found["scenes"]["cifar10"]["policies"][FITTED][0]["trainings"] == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nbmacro", "--trainings", 50, "--evaluations", 40), "Cannot choose 50 trainings from 40"),
        (("darts", "--trainings", 8), "Cannot replay trainings on darts"),
        (("nbmacro", "--trainings", 8, "--plot", "x.svg"), "Cannot draw"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(tables, words, sentence):
    shown = typed(*words)
    assert shown.exit_code == 2
    assert sentence in shown.output
