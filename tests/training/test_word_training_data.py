"""Rows of words with their labels: parts, vocabulary and refusals."""

import numpy as np
import pytest

from nasctl.errors import NasctlError
from nasctl.problem.space import Input
from nasctl.training.labelled import training_data


def opened(path, length=4, vocabulary=1000, classes=None, split="0.5,0.25,0.25", task=None):
    return training_data(str(path), Input((length,), "tokens", vocabulary), classes, split, 0, task)


def every(data, part):
    return data.examples(part, np.arange(data.size(part)))


@pytest.fixture
def text(tmp_path):
    """One line of 39 words and the end of the line: words of the second half are unknown to the first, but for "a"."""
    words = ["a", "b", "a", "c"] * 5 + [f"w{k}" for k in range(18)] + ["a"]
    (tmp_path / "a.txt").write_text(" ".join(words) + "\n")
    return tmp_path / "a.txt"


def test_next_words_are_the_words_that_follow(text):
    data = opened(text)
    assert data.task == "next words"
    assert (data.class_names, data.mean, data.deviation) == (None, (), ())
    assert data.class_counts("train") is None
    rows, labels = every(data, "train")
    assert [data.size(part) for part in ("train", "validation", "test")] == [4, 2, 2]  # of 20, 10 and 10 words
    np.testing.assert_array_equal(rows, [[0, 1, 0, 2]] * 4)
    np.testing.assert_array_equal(labels, [[1, 0, 2, 0]] * 4)
    assert str(data).endswith(" split=0.5-0.25-0.25")


def test_no_text_leaks_between_parts(tmp_path):
    """Each word stands in one place, so other parts have no word that the training part has, and no number of it."""
    (tmp_path / "a.txt").write_text(" ".join(f"w{k // 2}" for k in range(400)))
    data = opened(tmp_path / "a.txt")
    rows, _ = every(data, "train")
    np.testing.assert_array_equal(rows.ravel(), np.arange(196) // 2)
    for part in ("validation", "test"):
        for words in every(data, part):
            assert (words == 999).all()


def test_words_are_numbered_by_the_training_part(text):
    data = opened(text)
    rows, labels = every(data, "test")
    assert set(np.concatenate([rows, labels], axis=None).tolist()) <= {0, 999}
    assert data.notes == (
        "Words: 20 train, 10 validation, 10 test.",
        "3 words have a number of their own, of 3 that the training part repeats; one number stands for all others"
        " (0.0% of train, 100.0% of validation, 90.0% of test).",
    )
    small = opened(text, vocabulary=2)
    assert every(small, "train")[0].tolist() == [[0, 1, 0, 1]] * 4


def test_masked_words_keep_the_last_number_for_the_mask(text):
    data = opened(text, vocabulary=3, classes=2)
    assert data.task == "masked words"
    rows, labels = every(data, "train")
    np.testing.assert_array_equal(rows, [[0, 1, 0, 1]] * 5)
    np.testing.assert_array_equal(labels, rows)
    assert max(words.max() for part in ("train", "validation", "test") for words in every(data, part)) == 1


def test_files_of_a_folder_are_used_by_their_names(tmp_path):
    (tmp_path / "wiki.train.txt").write_text("a b a c\n" * 40)
    (tmp_path / "wiki_valid.txt").write_text("c b a d\n" * 10)
    (tmp_path / "README.txt").write_text("not used\n")
    data = opened(tmp_path)
    # The training words give 2 parts to 1 to the training and the test part: 133 and 67 of 200.
    assert [data.size(part) for part in ("train", "validation", "test")] == [33, 12, 16]
    assert "README.txt: not used, because the name tells no part of the data." in data.notes
    other = tmp_path / "other"
    other.mkdir()
    for name in ("2.txt", "1.txt"):
        (other / name).write_text(f"{name} a a a\n" * 20)
    rows = every(opened(other, length=5, split="0.5,0.25"), "train")[0]
    assert len(np.unique(rows[:, 0])) == 1  # 1.txt comes first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 30}, r"its train part has 20 words, too few for a row of 30"),
        ({"length": 10}, r"its validation part has 10 words, too few for a row of 10"),
        ({"vocabulary": 2, "classes": 2}, "the vocabulary has 2 words"),
        ({"task": "classes"}, "it is no text with labels"),
    ],
)
def test_what_cannot_be_learned_is_refused(text, options, message):
    with pytest.raises(NasctlError, match=message):
        opened(text, **options)


def test_drawn_words_are_refused():
    with pytest.raises(NasctlError, match="it is no text with labels"):
        opened("tokens")
