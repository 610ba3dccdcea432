"""Scores from ranks, and how well an order agrees with a true one."""

import csv
import gzip
import io
from itertools import combinations
from math import ceil, log

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from nasctl.analysis.aggregate import METHODS, Score, log_rank, mean_rank, orient, ranks, vote
from nasctl.analysis.rank_correlation import _in_top, agreement
from nasctl.errors import BadOption, UnknownName

NAN = float("nan")
A, B = [10.0, 20.0, 20.0, NAN], [4.0, 3.0, NAN, NAN]  # ranks 2, 3.5, 3.5, 1 and 4, 3, 1.5, 1.5 of 4


def test_scores_of_ranks_by_hand():
    scores = np.array([A, B])
    assert ranks(scores[0]) == pytest.approx([0.5, 0.875, 0.875, 0.25])
    assert log_rank(scores) == pytest.approx([log(0.5), log(0.875 * 0.75), log(0.875 * 0.375), log(0.25 * 0.375)])
    assert mean_rank(scores) == pytest.approx([0.75, 0.8125, 0.625, 0.3125])
    # The first draws with the second and the third, the second beats the third, and all of them beat the last.
    assert vote(scores) == pytest.approx([2 / 3, 5 / 6, 1 / 2, 0])


def drawn_scores(rng, metrics, count):
    scores = rng.integers(0, 9, (metrics, count)).astype(float)
    scores[rng.random(scores.shape) < 0.1] = NAN
    return scores


@pytest.mark.parametrize("cells", [1, 300, 1 << 22])
def test_a_vote_is_that_of_every_pair(monkeypatch, cells):
    monkeypatch.setattr("nasctl.analysis.aggregate.CELLS", cells)
    scores = drawn_scores(np.random.default_rng(0), 3, 60)
    known = np.nan_to_num(scores, nan=-1)
    wins = np.zeros(60)
    for a, b in combinations(range(60), 2):
        margin = sum(int(row[a] > row[b]) - int(row[a] < row[b]) for row in known)
        wins[a] += 1 if margin > 0 else 0.5 * (margin == 0)
        wins[b] += 1 if margin < 0 else 0.5 * (margin == 0)
    assert vote(scores) == pytest.approx(wins / 59)


@pytest.mark.parametrize("method", METHODS)
def test_what_every_aggregation_holds(method):
    aggregate = METHODS[method]
    scores = drawn_scores(np.random.default_rng(1), 4, 50)
    score = aggregate(scores)
    order = np.random.default_rng(2).permutation(50)
    assert aggregate(scores[:, order]) == pytest.approx(score[order])
    assert aggregate(scores[::-1]) == pytest.approx(score)
    assert aggregate(np.where(np.isnan(scores), -np.inf, np.exp(scores))) == pytest.approx(score)  # only ranks count
    best = np.column_stack([scores, np.full(4, 99)])
    worst = np.column_stack([scores, np.full(4, NAN)])
    assert np.argmax(aggregate(best)) == 50
    assert aggregate(worst)[50] == aggregate(worst).min()
    assert np.ptp(aggregate(np.full((2, 5), NAN))) == 0  # all failed: nobody is better
    assert np.isfinite(aggregate(np.ones((2, 1)))).all()
    assert aggregate(np.empty((2, 0))).shape == (0,)


def test_a_score_says_what_it_is_made_of():
    score = Score.parse("log-rank:b+swap:regular=on,width=2", ["a", "b", "swap:regular=on,width=2"])
    assert str(score) == "log_rank(b, swap:regular=on,width=2)"
    table = {"a": np.array(B), "b": np.array(A)}
    assert (Score("vote", ("b",)).of(table) == vote(np.array([A]))).all()


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("log_rnk:a", UnknownName, "no aggregation is called 'log_rnk'; did you mean 'log_rank'"),
        ("vote:a+jacof", UnknownName, "'jacof'; did you mean 'jacov'"),
        ("vote", BadOption, "'vote' is no score; name each metric once, as in log_rank:synflow\\+jacov"),
        ("vote:", BadOption, "no score"),
        ("vote:a++b", BadOption, "no score"),
        ("vote:a+a", BadOption, "no score"),
        ("", BadOption, "no score"),
    ],
)
def test_a_mistyped_score(text, error, says):
    with pytest.raises(error, match=says):
        Score.parse(text, ["a", "jacov"])


def test_orientation():
    assert list(orient(np.array([1.0, 2.0]), "min")) == [-1, -2]
    assert list(orient(np.array([1.0, 2.0]), "max")) == [1, 2]


def column(path, name):
    with io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline="") as file:
        return np.array([float(row[name] or "nan") for row in csv.DictReader(file)])


def test_log_rank_of_synflow_and_jacov_on_nasbench201(data):
    metrics, table = data("reference") / "nb201_metrics.csv.gz", data("nb201") / "nb201_table.csv.gz"
    score = log_rank(np.array([column(metrics, name) for name in ("synflow_log10", "jacov")]))
    for dataset, expected in {"cifar10": 0.759, "cifar100": 0.754, "ImageNet16-120": 0.738}.items():
        found = agreement(score, column(table, f"test_acc_200_{dataset}"), resamples=0)
        assert found.kendall.value == pytest.approx(expected, abs=0.001)


def test_naswot_alone_on_nasbench201(data):
    naswot = column(data("reference") / "nb201_metrics.csv.gz", "naswot")
    accuracy = column(data("nb201") / "nb201_table.csv.gz", "test_acc_200_cifar10")
    found = agreement(naswot, accuracy, resamples=0)
    assert (found.n, found.failed) == (15_625, 341)
    assert (found.spearman.value, found.kendall.value) == pytest.approx((0.805, 0.623), abs=0.001)


@pytest.mark.parametrize("levels", [3, 10**6])
def test_an_agreement_is_that_of_scipy(levels):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, levels, 200).astype(float)
    scores = truth + rng.integers(0, levels, 200)
    scores[:7] = NAN
    found = agreement(scores, truth, resamples=50)
    filled = np.nan_to_num(scores, nan=-1)
    assert found.spearman.value == pytest.approx(spearmanr(filled, truth).statistic)
    assert found.kendall.value == pytest.approx(kendalltau(filled, truth).statistic)
    assert (found.n, found.failed) == (200, 7)
    for estimate in (found.spearman, found.kendall, found.top):
        assert estimate.low <= estimate.value <= estimate.high
    assert found == agreement(scores, truth, resamples=50)
    assert found.spearman[1:] != agreement(scores, truth, resamples=50, seed=1).spearman[1:]


def test_the_interval_is_that_of_the_resamples_one_by_one():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 30).astype(float)
    scores = truth + rng.integers(0, 4, 30)
    drawn = np.random.default_rng(7)
    places = [drawn.integers(30, size=30) for _ in range(200)]
    found = agreement(scores, truth, seed=7, resamples=200)
    for estimate, statistic in ((found.spearman, spearmanr), (found.kendall, kendalltau)):
        values = [estimate.value, *(statistic(scores[one], truth[one]).statistic for one in places)]
        assert estimate[1:] == pytest.approx(np.percentile(values, [2.5, 97.5]))


def test_the_interval_is_that_of_theory():
    # Of a normal sample Fisher's z of Spearman's coefficient has variance 1.06 / (n - 3) (Fieller et al., 1957).
    rng = np.random.default_rng(0)
    truth = rng.normal(size=500)
    found = agreement(truth + rng.normal(size=500), truth, resamples=2000).spearman
    width = np.arctanh(found.high) - np.arctanh(found.low)
    assert width == pytest.approx(2 * 1.96 * np.sqrt(1.06 / 497), rel=0.1)


def test_the_overlap_of_the_best_tenth():
    truth = np.arange(100.0)
    assert agreement(truth**3, truth, resamples=0).top.value == 1
    assert agreement(-truth, truth, resamples=0).top.value == 0
    scores = truth.copy()
    scores[90:94] = 0  # four of the ten best are missed
    assert agreement(scores, truth, resamples=0).top.value == pytest.approx(0.6)
    assert agreement(truth[:11], truth[:11], resamples=0).top.value == 1  # a tenth of 11 is 2
    scores = np.where(truth >= 80, 1.0, 0.0)  # twenty equals for ten places: as chance has it, half of them
    assert agreement(scores, truth, resamples=0).top.value == pytest.approx(0.5)


def test_the_overlap_is_the_mean_over_ways_to_break_ties():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, (2, 40))
    best = [
        len({*np.lexsort((rng.random(40), x))[-4:]} & {*np.lexsort((rng.random(40), y))[-4:]}) / ceil(40 / 10)
        for _ in range(20_000)
    ]
    assert agreement(x, y, resamples=0).top.value == pytest.approx(np.mean(best), abs=0.01)
    assert _in_top(x[None]).sum() == 4


@pytest.mark.parametrize(
    ("scores", "truth"), [([NAN] * 5, range(5)), ([1] * 5, range(5)), (range(5), [2] * 5), ([1], [1])]
)
def test_no_order_no_agreement(scores, truth):
    found = agreement(np.array(scores, dtype=float), np.array(truth, dtype=float))
    assert (found.spearman, found.kendall, found.top) == (None, None, None)


def test_resamples_without_an_order_are_left_out():
    found = agreement(np.array([1.0, 2.0]), np.array([1.0, 2.0]))  # half of them draw one candidate twice
    assert found.spearman == pytest.approx((1, 1, 1))
    assert found.kendall == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(("scores", "truth"), [([], []), ([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, NAN])])
def test_what_cannot_be_compared(scores, truth):
    with pytest.raises(ValueError, match="of the same candidates"):
        agreement(np.array(scores), np.array(truth))
