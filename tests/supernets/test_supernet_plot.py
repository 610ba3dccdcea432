"""The picture of a supernet whose networks learn words, and of one that is not evaluated yet."""

import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from nasctl.errors import NasctlError
from nasctl.supernets.plot import draw_supernet
from nasctl.supernets.rows import last_results, visits_of, visits_text
from nasctl.training.folder import TrainingFolder

NAMES = ("largest", "smallest", "sample 1")


def entries():
    for epoch in (1, 2):
        for k, name in enumerate(NAMES):
            loss = 4.0 + k - epoch / 2
            result = {"loss": loss, "accuracy": None, "perplexity": math.exp(loss), "examples": 9, "error": 0.1}
            yield {"event": "evaluated", "part": "validation", "subnet": name, "epoch": epoch, "step": epoch, **result}


def test_the_perplexity_of_words_is_drawn(tmp_path):
    found = last_results(list(entries()))
    assert found["validation"]["largest"]["loss"] == 3.0  # the last one
    row = {"supernet": "words", "results": found, "judged": {name: {"macs": 10.0**k} for k, name in enumerate(NAMES)}}
    draw_supernet(tmp_path / "s.svg", row, list(entries()), np.array([[0, 4, 8]]))
    text = (tmp_path / "s.svg").read_text()
    assert all(title in text for title in ("validation perplexity", "random networks", "never trained: 1 of 3"))
    draw_supernet(tmp_path / "t.svg", {**row, "judged": {}}, list(entries()), np.array([[0, 4, 8]]))
    assert "the space is not installed" in (tmp_path / "t.svg").read_text()


def test_many_networks_have_one_bound_of_their_errors_in_place_of_bars(tmp_path):
    results = {f"sample {k}": {"loss": 2.0, "accuracy": 0.4, "error": 0.01 + k / 1000} for k in range(30)}
    row = {"supernet": "many", "results": {"validation": results}, "judged": {name: {"macs": 1e6} for name in results}}
    draw_supernet(tmp_path / "s.svg", row, list(entries()), np.array([[1, 2]]))
    assert "line: front; standard errors at most 3.9" in (tmp_path / "s.svg").read_text()


def test_a_supernet_without_an_evaluation_is_refused(tmp_path):
    with pytest.raises(NasctlError, match="none of its networks has been evaluated yet"):
        draw_supernet(tmp_path / "s.svg", {"supernet": "new", "results": {}, "judged": {}}, [], np.zeros((1, 3)))


def test_slots_that_training_has_not_reached_are_counted():
    assert visits_text(np.array([[0, 4], [8, 0]])) == "each of 4 slots 0 to 8 times, in the median 2; 2 slots never"


@pytest.mark.parametrize(("visits", "copies"), [([[0, 0], [0, 0]], 1), ([[1, 2], [0, 0]], 1), ([[1, 0], [3, 3]], 2)])
def test_moving_averages_and_copies_before_a_split_are_no_untrained_weights(visits, copies, tmp_path):
    save_file({"visits/slots": np.array(visits)}, tmp_path / "weights.safetensors")
    assert visits_of(TrainingFolder(tmp_path)).tolist() == visits[:copies]
