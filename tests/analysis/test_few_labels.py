"""Picks by a few labels: known answers, directions, certainty, and the command."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.analysis.correlate import looks_reversed
from nasctl.analysis.few_labels import CERTAIN, pick_by_few_labels, pick_metrics, score
from nasctl.analysis.labelled_networks import LabelledNetworks
from nasctl.analysis.rank_correlation import spearman
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.cli import cli
from nasctl.commands.objective import objective_task
from nasctl.evaluation.task import Task
from nasctl.problem.defaults import SIZES
from nasctl.problem.fidelity import Fidelity
from nasctl.search.request import SettingOptions
from nasctl.testing import drawn
from perf.evidence_sets import RankedNetworks, choose_set, ordering_metrics

RNG = np.random.default_rng(3)
TRUTH = RNG.normal(size=32)


def noisy(sign, noise):
    return sign * TRUTH + noise * RNG.normal(size=len(TRUTH))


VALUES = {
    "good": noisy(1, 0.3),
    "reversed": noisy(-1, 0.35),
    "weak": noisy(1, 4),
    "params": noisy(1, 1.5),
    "macs": noisy(1, 1.5),
    "broken": np.full(32, np.nan),
}


def test_the_pick_has_signs_and_neither_weak_nor_failed_metrics():
    picked = pick_metrics(LabelledNetworks(VALUES, TRUTH))
    assert picked == {"good": 1, "reversed": -1}


def test_a_metric_that_repeats_another_one_is_not_picked():
    values = {"good": VALUES["good"], "again": VALUES["good"] ** 3, "macs": VALUES["macs"], "params": VALUES["params"]}
    assert "again" not in pick_metrics(LabelledNetworks(values, TRUTH))


ORDERS = {"best": TRUTH.argsort()[::-1], "worst": TRUTH.argsort(), "random": np.random.default_rng(1).permutation(32)}


def failed_on(failing, values):
    values = values.copy()
    values[ORDERS[failing][:12]] = np.nan
    return values


def test_a_metric_that_fails_on_the_best_networks_is_not_picked_in_the_other_direction():
    values = {"m": failed_on("best", -TRUTH), "o": VALUES["good"]}
    assert pick_metrics(LabelledNetworks(values, TRUTH)) == {"o": 1}


def test_a_reversed_metric_is_picked_where_the_worst_networks_fail():
    values = {"m": failed_on("worst", -TRUTH), "weak": VALUES["weak"]}
    networks = LabelledNetworks(values, TRUTH)
    assert pick_metrics(networks) == {"m": -1}
    assert spearman(score(networks, {"m": -1}), TRUTH) > 0.9


@pytest.mark.parametrize("failing", ORDERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_first_metric_is_the_best_of_both_directions_whichever_networks_fail(failing, sign):
    other = TRUTH + 0.7 * np.random.default_rng(2).normal(size=32)
    values = {"m": failed_on(failing, sign * VALUES["good"]), "o": other, "params": VALUES["params"]}
    networks = LabelledNetworks(values, TRUTH)
    rhos = {(name, s): spearman(score(networks, {name: s}), TRUTH) for name in ("m", "o") for s in (1, -1)}
    rhos["params", 1] = spearman(values["params"], TRUTH)
    assert next(iter(pick_metrics(networks).items())) == max(rhos, key=lambda one: rhos[one])


def test_a_size_of_which_less_is_better_is_not_picked():
    values = {"weak": VALUES["weak"], "params": -TRUTH, "macs": -TRUTH}
    assert set(pick_metrics(LabelledNetworks(values, TRUTH))) == {"weak"}


def test_a_score_is_the_log_rank_of_signed_metrics_and_a_failed_network_is_worst_in_both_directions():
    networks = LabelledNetworks({"a": np.array([3.0, 1.0, np.nan, 2.0])}, np.arange(4.0))
    assert score(networks, {"a": 1}).argsort().tolist() == [2, 1, 3, 0]
    assert score(networks, {"a": -1}).argsort().tolist() == [2, 0, 3, 1]
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 9.0])) == pytest.approx(1)
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))


def test_the_certainty_is_high_where_a_metric_is_far_better_than_the_sizes():
    sizes = {"params": RNG.normal(size=32), "macs": RNG.normal(size=32)}
    found = pick_by_few_labels(LabelledNetworks(VALUES | sizes, TRUTH))
    assert found.verdict == "better"
    assert found.beats > 0.95
    mean, low, high = found.unseen
    assert low <= mean <= high
    assert mean > 0.8


def test_the_certainty_is_low_where_a_size_is_the_truth():
    values = {"weak": VALUES["weak"], "macs": TRUTH, "params": VALUES["params"]}
    found = pick_by_few_labels(LabelledNetworks(values, TRUTH))
    assert next(iter(found.signs)) == "macs"
    assert found.verdict != "better"


def test_noise_is_no_evidence():
    rng, said = np.random.default_rng(0), []
    for seed in range(6):
        values = {name: rng.normal(size=32) for name in ("a", "b", "c", "params", "macs")}
        said.append(pick_by_few_labels(LabelledNetworks(values, rng.normal(size=32)), seed).verdict)
    assert "better" not in said


def random_networks(seed, metrics=6):
    """Return 32 networks whose labels say nothing; metrics share a part with the sizes, as those of networks do."""
    rng = np.random.default_rng(seed)
    width = rng.normal(size=32)
    sizes = {"params": width, "macs": width + 0.3 * rng.normal(size=32)}
    values = {f"m{k}": k % 2 * width + rng.normal(size=32) for k in range(metrics)}
    return LabelledNetworks(values | sizes, rng.normal(size=32))


def test_on_random_labels_it_is_certain_no_more_often_than_it_says(monkeypatch):
    monkeypatch.setattr("nasctl.analysis.few_labels.RESAMPLES", 60)
    found = [pick_by_few_labels(random_networks(seed), seed) for seed in range(30)]
    assert np.mean([one.verdict == "better" for one in found]) <= 1 - CERTAIN


def test_sizes_are_compared_in_the_direction_that_the_labels_favour():
    found = pick_by_few_labels(LabelledNetworks({"m": noisy(-1, 0.5), "params": -TRUTH, "macs": -TRUTH}, TRUTH))
    assert dict(found.size_signs) == {"params": -1, "macs": -1}
    assert found.sizes["params"][0] == pytest.approx(1)
    assert (dict(found.signs), found.verdict) == ({"m": -1}, "worse")
    asked = replace(found, looks_reversed=True).sentences(Task(registry.create("spaces", SPACE), {}))
    assert "rank by it" not in asked[-1]
    said = replace(found, looks_reversed=False).sentences(Task(registry.create("spaces", SPACE), {}))
    assert "params reversed 1.00" in said[1]
    assert said[-1].endswith("params reversed orders these networks better; rank by it: fewer params first")


def test_a_column_of_losses_is_asked_about_and_its_options_are_conditional():
    values = {"good": VALUES["good"], "fair": noisy(1, 0.8), "params": noisy(1, 0.8), "macs": noisy(1, 0.8)}
    right, wrong = (pick_by_few_labels(LabelledNetworks(values, sign * TRUTH)) for sign in (1, -1))
    assert (right.looks_reversed, wrong.looks_reversed) == (False, True)
    task = objective_task("nb201", ("naswot",), SettingOptions())
    named = [replace(one, signs={"naswot": s}, beats=0.9) for one, s in ((right, 1), (wrong, -1))]
    said = ["\n".join(one.sentences(task)) for one in named]
    assert "--lower-is-better" not in said[0]
    assert "\nuse: -o naswot,macs" in said[0]
    assert "most metrics say the opposite" in said[1]
    assert "\nif the direction is right, use: -o min:naswot,macs" in said[1]


def test_sizes_that_are_a_little_against_the_labels_are_no_reason_to_ask():
    assert not looks_reversed({"a": -0.5, "params": -0.2, "macs": -0.3}, SIZES)
    assert not looks_reversed({"a": 0.5, "b": 0.4, "c": -0.1, "params": -0.6, "macs": -0.6}, SIZES)
    assert looks_reversed({"a": 0.5, "b": -0.4, "c": -0.1, "params": -0.6, "macs": -0.6, "depth": 0.1}, SIZES)
    assert looks_reversed({"a": -0.5, "b": -0.6}, SIZES)
    assert not looks_reversed({}, SIZES)


def test_options_are_printed_only_where_the_pick_is_better():
    task = objective_task("nb201", ("max:macs", "min:snip", "naswot"), SettingOptions())
    found = replace(pick_by_few_labels(LabelledNetworks(VALUES, TRUTH)), beats=0.9, looks_reversed=False)
    one = replace(found, signs={"naswot": 1, "min:snip": -1, "max:macs": 1})
    assert one.sentences(task)[-1].startswith("use: -o naswot,max:snip,macs, and")
    assert one.sentences(task)[-1].endswith("log_rank:naswot+max:snip+macs")
    said = replace(one, beats=0.5).sentences(task)
    assert said[-1].endswith("cannot tell; label more networks, or keep the defaults of the space")
    assert "use:" not in "".join(said)
    assert "but its own interval holds 0: cannot tell" in replace(one, unseen=(0.1, -0.4, 0.6)).sentences(task)[-1]
    of_size = replace(found, signs={"max:macs": 1})
    assert of_size.sentences(task)[-1] == "no metric adds to the size; rank networks by it"


def test_an_interval_that_holds_0_is_no_certainty():
    found = pick_by_few_labels(LabelledNetworks(VALUES, TRUTH))
    assert replace(found, unseen=(0.3, 0.01, 0.6), beats=0.9).verdict == "better"
    assert replace(found, unseen=(0.3, -0.01, 0.6), beats=0.9).verdict == "cannot tell"


def test_labels_that_are_equal_pick_nothing():
    found = pick_by_few_labels(LabelledNetworks({"a": TRUTH, "params": TRUTH, "macs": TRUTH}, np.ones(32)))
    assert (dict(found.signs), found.verdict) == ({}, "cannot tell")


def test_the_smallest_set_that_is_as_good_is_chosen():
    values = {"a": TRUTH, "b": VALUES["good"], "c": VALUES["reversed"]}
    spaces = {"one": [RankedNetworks(values, TRUTH)], "two": [RankedNetworks(values, TRUTH)]}
    assert choose_set(spaces, ["b", "a"]) == ("a",)
    assert ordering_metrics(spaces, ["b", "c", "a"]) == ["a", "b"]


SPACE = "nb201:channels=4,cells=1"
SMALL = "--fidelity=size=8,cells=1,batch=4"


@pytest.fixture
def truth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = registry.create("spaces", SPACE)
    metric = registry.create("objectives", "expected_synflow")
    with (tmp_path / "truth.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["arch", "good", "bad"])
        cells = [genome for genome in dict.fromkeys(map(space.canonical, drawn(space, 60))) if 3 in genome]
        for genome in cells:
            value = metric(Candidate(space, genome, Setting(fidelity=Fidelity(8, 1, 4)), frozenset({"scored"})))
            table.writerow([space.spell(genome), value, -value])
    return "truth.csv"


def nasctl(*words):
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done


def test_the_command_says_what_to_use_and_with_what_certainty(truth):
    words = ["objective", "correlate", f"--space={SPACE}", f"--truth={truth}", SMALL, "--few=24", "-oexpected_synflow"]
    done = nasctl(*words, "--column=good", "--column=bad")
    said = done.stdout  # an answer, unlike progress and warnings
    assert "good, by 24 labels:" in said
    assert "use: -o expected_synflow,macs, and pareto show --score log_rank:expected_synflow" in said
    assert "use: -o min:expected_synflow,macs, and pareto show --score log_rank:min:expected_synflow" in said
    report = json.loads(nasctl(*words, "--column=bad", "--json").stdout)
    assert list(report) == ["columns", "picks"]
    pick = report["picks"]["bad"]
    assert pick["objectives"] == ["min:expected_synflow"]
    assert pick["signs"] == {"expected_synflow": -1}
    assert (pick["verdict"], pick["labels"]) == ("better", 24)
    # What it says can be typed.
    nasctl("search", f"--space={SPACE}", "-omin:expected_synflow,macs", "--budget=8", "--searcher=random", SMALL)
    assert json.loads(nasctl("pareto", "show", "--score=log_rank:min:expected_synflow", "--json").stdout)


def refused(*words):
    done = CliRunner().invoke(cli, ["objective", "correlate", f"--space={SPACE}", SMALL, "-oexpected_synflow", *words])
    assert done.exit_code == 2, done.stderr
    return done.stderr


def shortened(truth, rows):
    with open(truth) as file:
        lines = file.readlines()
    with open("short.csv", "w") as file:
        file.writelines(lines[: rows + 1])
    return "--truth=short.csv"


@pytest.mark.parametrize("rows", [1, 7])
def test_a_table_shorter_than_the_minimum_is_refused(truth, rows):
    said = refused(shortened(truth, rows), "--column=good", "--few=32")
    assert f"cannot pick metrics by {rows} different networks of short.csv with every value: --few needs 8" in said


def test_a_table_shorter_than_asked_is_used_and_said(truth):
    words = ("objective", "correlate", f"--space={SPACE}", SMALL, "-oexpected_synflow", "--column=good", "--few=32")
    assert "Warning: --few 32 has 9 different networks of short.csv" in nasctl(*words, shortened(truth, 9)).stderr


def test_a_sample_beside_few_is_refused(truth):
    said = refused(f"--truth={truth}", "--column=good", "--few=24", "--sample=20")
    assert "--sample and --few both set the number of networks" in said
