"""Labels from tables and from trainings."""

import numpy as np
import pytest

from nasctl import registry
from nasctl.analysis.accuracy_labels import labels_of_table, labels_of_trainings
from nasctl.errors import NasctlError
from nasctl.store.training_table import TrainingRecord

SPACE = registry.create("spaces", "nb201")
EMPTY = (0, 0, 0, 0, 0, 0)  # no path: the canonical genome of every cell without one
WITHOUT_A_PATH = (1, 0, 0, 0, 0, 0)


def row(genome, result, spec=None, state="finished"):
    return TrainingRecord("name", "nb201", genome, spec or {}, state, result)


def result(accuracy, error=0.01):
    return {"validation": {"loss": 1.0, "accuracy": accuracy, "error": error, "perplexity": None}}


def test_genomes_of_one_network_give_one_label(tmp_path):
    path = tmp_path / "truth.csv"
    rows = {EMPTY: 10.0, WITHOUT_A_PATH: 12.0, (3, 3, 3, 3, 3, 3): 94.0}
    path.write_text("\n".join(["genome,acc", *(f'"{",".join(map(str, k))}",{v}' for k, v in rows.items())]))
    found = labels_of_table(path, "nb201", SPACE, "acc", None, "max", 0)
    known = dict(zip(found.genomes, found.labels.tolist(), strict=True))
    assert known == {SPACE.canonical(EMPTY): 11.0, SPACE.canonical((3, 3, 3, 3, 3, 3)): 94.0}
    errors = dict(zip(found.genomes, found.errors.tolist(), strict=True))
    assert errors[SPACE.canonical(EMPTY)] == pytest.approx(1.0)  # of the mean of 10 and 12
    assert np.isnan(errors[SPACE.canonical((3, 3, 3, 3, 3, 3))])


def test_errors_of_a_column_are_read_and_checked(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text('genome,acc,err\n"3,3,3,3,3,3",94,0.5\n')
    assert labels_of_table(path, "nb201", SPACE, "acc", "err", "min", 0).errors.tolist() == [0.5]
    assert labels_of_table(path, "nb201", SPACE, "acc", "err", "min", 0).ascending.tolist() == [-94]
    path.write_text('genome,acc,err\n"3,3,3,3,3,3",94,-0.5\n')
    with pytest.raises(NasctlError, match=r"negative standard error -0\.5"):
        labels_of_table(path, "nb201", SPACE, "acc", "err", "max", 0)


def test_trainings_of_one_recipe_are_compared():
    one, other = {"recipe": "a", "seed": 0, "world": 1}, {"recipe": "a", "seed": 0, "start": "weights"}
    rows = [
        row(EMPTY, result(0.5), one),
        row(EMPTY, result(0.7), {"recipe": "a", "seed": 1, "processes": 2}),
        row((3, 3, 3, 3, 3, 3), result(0.9, 0.02), one),
        row((2, 2, 2, 2, 2, 2), result(0.8), other),
        row((2, 2, 2, 2, 2, 2), result(0.8), one, "unfinished"),
    ]
    found, notes = labels_of_trainings(rows, SPACE, "validation", 0)
    known = dict(zip(found.genomes, zip(found.labels.tolist(), found.errors.tolist(), strict=True), strict=True))
    assert known[SPACE.canonical(EMPTY)] == pytest.approx((60, 10))  # the spread of two trainings
    assert known[SPACE.canonical((3, 3, 3, 3, 3, 3))] == pytest.approx((90, 2))
    assert (len(known), found.column, found.direction) == (2, "validation accuracy, %", "max")
    assert notes == ["1 trainings with another recipe or other data are left out; 3 are compared"]


def test_networks_that_predict_words_are_compared_by_perplexity():
    words = {"validation": {"loss": 4.5, "accuracy": None, "error": 0.1, "perplexity": 90.0}}
    found, _ = labels_of_trainings([row(EMPTY, words)], SPACE, "validation", 0)
    assert (found.labels.tolist(), found.column, found.direction) == ([4.5], "validation log perplexity", "min")


def test_without_results_there_are_no_labels():
    with pytest.raises(NasctlError, match="no finished training of this space with a test result"):
        labels_of_trainings([row(EMPTY, result(0.5))], SPACE, "test", 0)


def test_labels_of_the_test_part_are_told_to_bias_it():
    rows = [row(EMPTY, {"test": result(0.5)["validation"]})]
    assert "Warning: labels are of the test part" in labels_of_trainings(rows, SPACE, "test", 0)[1][0]
