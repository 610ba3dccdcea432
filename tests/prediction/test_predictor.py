import numpy as np
import pytest
from scipy.stats import kendalltau

from nasctl.errors import BadOption, NasctlError
from nasctl.prediction.models import KINDS
from nasctl.prediction.predictor import CHOICES, AccuracyPredictor, folds

GROUPS = ("metrics",) * 3 + ("structure",) * 2 + ("genes",) * 4


def networks(number, seed=0):
    """Features and results of made-up networks: a smooth function of a metric, of the structure and of a gene."""
    rng = np.random.default_rng(seed)
    features = np.column_stack([rng.normal(size=(number, 5)), rng.integers(2, size=(number, 4))])
    results = 90 + 2 * np.tanh(features[:, 0]) + features[:, 3] + 1.5 * features[:, 5]
    return features, results + rng.normal(scale=0.1, size=number)


@pytest.fixture(scope="module")
def fitted():
    features, results = networks(40)
    return AccuracyPredictor(GROUPS).fit(features, results)


def test_a_known_function_is_recovered(fitted):
    features, results = networks(500, seed=1)
    mean, deviation = fitted.predict(features)
    assert kendalltau(mean, results).statistic > 0.8
    assert np.abs(mean - results).mean() < 0.5
    assert 0.4 < np.sqrt(np.mean(((mean - results) / deviation) ** 2)) < 2.5


def test_every_choice_was_compared_on_labels_left_out(fitted):
    assert set(fitted.compared) == {"+".join(choice) for choice in CHOICES}
    assert fitted.name in fitted.compared


@pytest.mark.parametrize("model", KINDS)
def test_every_model_orders_by_a_known_function_and_repeats_itself(model):
    features, results = networks(64)
    others, truth = networks(200, seed=1)
    first, again = (AccuracyPredictor(GROUPS, model, seed=3).fit(features, results).predict(others) for _ in range(2))
    assert np.array_equal(first, again)
    # Trees on the metrics alone see one of three parts of the result.
    assert kendalltau(first[0], truth).statistic > (0.4 if model == "metric_trees" else 0.6)
    assert (first[1] > 0).all()


def test_failed_metrics_are_features():
    features, results = networks(60)
    failing = np.random.default_rng(1).random(60) < 0.4
    features[failing, 1] = np.nan
    results = results + 20 * ~failing
    fitted = AccuracyPredictor(GROUPS, "gaussian_process").fit(features, results)
    mean, _ = fitted.predict(features)
    assert ((mean < 100) == failing).mean() > 0.95


def test_monotone_changes_of_a_metric_change_nothing_for_a_gaussian_process():
    features, results = networks(40)
    changed = features.copy()
    changed[:, 0] = np.exp(3 * features[:, 0])
    first, other = (AccuracyPredictor(GROUPS, "gaussian_process").fit(one, results) for one in (features, changed))
    assert np.allclose(first.predict(features), other.predict(changed))


def test_uncertain_labels_weigh_less():
    features, results = networks(60)
    wrong = np.arange(60) < 15
    labels = np.where(wrong, results + np.random.default_rng(2).normal(scale=8, size=60), results)
    others, truth = networks(300, seed=1)
    without, knowing = (
        kendalltau(AccuracyPredictor(GROUPS, "ridge").fit(features, labels, one).predict(others)[0], truth).statistic
        for one in (None, np.where(wrong, 8.0, 0.1))
    )
    assert knowing > without


def test_a_network_may_be_predicted_above_every_label():
    features = np.linspace(0, 1, 30)[:, None]
    fitted = AccuracyPredictor(("structure",), "ridge").fit(features, features[:, 0])
    assert fitted.predict(np.array([[1.5]]))[0][0] > 1.2


def test_refusals():
    features, results = networks(7)
    with pytest.raises(NasctlError, match="7 labelled networks: it needs 8"):
        AccuracyPredictor(GROUPS).fit(features, results)
    features, results = networks(12)
    with pytest.raises(NasctlError, match="12 equal labels"):
        AccuracyPredictor(GROUPS).fit(features, np.ones(12))
    with pytest.raises(NasctlError, match="no feature differs"):
        AccuracyPredictor(GROUPS).fit(np.ones((12, 9)), results)
    with pytest.raises(BadOption, match="Cannot fit the model 'forest'"):
        AccuracyPredictor(GROUPS, "ridge+forest")
    with pytest.raises(ValueError, match="every label finite"):
        AccuracyPredictor(GROUPS).fit(features, np.where(results > 90, np.nan, results))


def test_folds_leave_out_every_network_once():
    parts = list(folds(13, seed=0))
    assert len(parts) == 5
    assert sorted(np.concatenate([out for _, out in parts]).tolist()) == list(range(13))
    assert all(len({*rest.tolist(), *out.tolist()}) == 13 for rest, out in parts)
