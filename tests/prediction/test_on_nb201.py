"""A predictor on NAS-Bench-201, with the shipped metrics and the published accuracies."""

import numpy as np
import pytest
from paths import DATA
from scipy.stats import kendalltau

from nasctl import registry
from nasctl.analysis.accuracy_labels import labels_of_table
from nasctl.bench.listed import shipped_scores
from nasctl.prediction.features import FeatureBuilder
from nasctl.prediction.predictor import AccuracyPredictor

TABLE = DATA / "nb201" / "nb201_table.csv.gz"
NETWORKS, LABELS = 500, 128


@pytest.mark.slow  # features of 500 networks
@pytest.mark.skipif(not TABLE.exists(), reason=f"needs the published table {TABLE}")
def test_128_labels_order_cells_that_gave_none():
    space = registry.create("spaces", "nb201")
    known = labels_of_table(TABLE, "nb201", space, "test_acc_200_cifar10", None, "max", seed=0)
    known = known.part(np.arange(NETWORKS))
    columns = shipped_scores("nb201", space)
    builder = FeatureBuilder.of(space, tuple(columns), known.genomes)
    features = builder.features(known.genomes, [{k: v[one] for k, v in columns.items()} for one in known.genomes])
    fitted = AccuracyPredictor(builder.groups).fit(features[:LABELS], known.labels[:LABELS], known.errors[:LABELS])
    predicted = fitted.predict(features[LABELS:])[0]
    assert kendalltau(predicted, known.labels[LABELS:]).statistic > 0.78
