"""Text as examples: drawn or from a file, and what spaces of either kind refuse."""

import gzip
import json
import os
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from nasctl import registry
from nasctl.api import Candidate, Fidelity, NasctlError, Setting
from nasctl.cli import cli
from nasctl.data import _words, sentences, source

SMALL = "rnn:vocabulary=50,length=9,layers=2,width=4,hidden=5"
LINES = "a b a\n c\n\nb a zebra\n"  # with ends of lines: a b a . c . . b a zebra .


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, list(arguments), catch_exceptions=False)


@pytest.fixture
def written(tmp_path):
    def write(content, name="a.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return source(str(path))

    return write


# --- words that are drawn ---


def test_drawn_words_are_as_frequent_as_in_texts():
    words = source("tokens").tokens(1000, 100, 2000, 0)
    expected = 1 / (np.arange(1, 1001) + 2.7)
    expected /= expected.sum()
    counts = np.bincount(words.ravel(), minlength=1000)
    error = (counts - words.size * expected) / np.sqrt(words.size * expected * (1 - expected))
    assert abs(error).max() < 5
    assert 0.9 < error.std() < 1.1
    assert set(source("tokens").tokens(2, 50, 4, 0).ravel()) == {0, 1}


@pytest.mark.parametrize("classes", [None, 3])
def test_batches_follow_from_seed_and_place(classes):
    def drawn(seed, place):
        return sentences(source("tokens"), 1000, 8, classes, 5, seed, place)

    first = drawn(0, 0)
    sentences.cache_clear()
    for one, again in zip(first, drawn(0, 0), strict=True):
        assert np.array_equal(one, again)
        assert not again.flags.writeable
    assert first[0].shape == (5, 8)
    assert first[1].shape == ((5, 8) if classes is None else (5,))
    for seed, place in ((0, 1), (1, 0)):
        assert (drawn(seed, place)[0] != first[0]).mean() > 0.5


# --- words of a file ---


def test_words_are_numbered_by_frequency(written):
    # The end of a line comes four times, a three times, b twice, c and zebra once.
    data = written(LINES)
    words = data.tokens(9, 11, 1, 0)[0].tolist()  # the whole text: a b a . c . . b a zebra .
    assert words == [1, 2, 1, 0, 3, 0, 0, 2, 1, 4, 0]
    assert data.tokens(3, 11, 1, 0)[0].tolist() == [1, 2, 1, 0, 2, 0, 0, 2, 1, 2, 0]  # 2 is any other word


def test_rows_are_pieces_of_the_text_and_labels_the_next_words(written):
    data = written(" ".join(map(str, range(100))))
    rows, labels = sentences(data, 101, 7, None, 50, 0)
    assert all(after == before + 1 for row in rows for before, after in pairwise(row))
    assert np.array_equal(labels, rows + 1)
    assert len({row[0] for row in rows.tolist()}) > 20


def test_packed_text_is_the_same_text(written):
    plain, packed = written(LINES), written(gzip.compress(LINES.encode(), mtime=0), "b.txt.gz")
    assert np.array_equal(plain.tokens(9, 4, 5, 1), packed.tokens(9, 4, 5, 1))
    assert str(plain).startswith("a.txt#")
    assert str(packed).startswith("b.txt.gz#")


def test_identity_is_name_and_content(written, tmp_path):
    one = written(LINES)
    (tmp_path / "elsewhere").mkdir()
    assert written(LINES, "elsewhere/a.txt") == one
    assert written(LINES + "more", "elsewhere/a.txt") != one


def test_texts_have_the_published_numbers_of_words(data):
    folder = data("text")
    for name, words, different in (("wikitext2_valid", 217_646, 13_777), ("wikitext2_test", 245_569, 14_143)):
        found = source(str(folder / f"{name}.txt.gz"))
        rows = found.tokens(10**6, words, 1, 0)
        assert rows.max() + 1 == different
        with pytest.raises(NasctlError, match=f"has {words} words, too few for a row of {words + 1}"):
            found.tokens(10**6, words + 1, 1, 0)


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"abc \xff\xfe", "a.txt", r"is no text in UTF-8 \(byte 4\)"),
        (gzip.compress(LINES.encode(), mtime=0)[:-9], "a.txt.gz", "cannot be unpacked"),
        (b"x" * 200, "a.txt", "too large"),
        (gzip.compress(b"x" * 200, mtime=0), "a.txt.gz", "too large"),
    ],
)
def test_a_bad_text_is_one_sentence(written, monkeypatch, content, name, reason):
    monkeypatch.setattr(_words, "LIMIT", 100)
    with pytest.raises(NasctlError, match=reason) as error:
        written(content, name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_pipe_is_no_text(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(NasctlError, match="no regular file"):
        source(str(tmp_path / "a.txt"))


# --- candidates ---


def test_a_language_model_is_asked_for_the_next_word():
    space = registry.create("spaces", SMALL)
    setting = Setting(source("tokens"), Fidelity(batch=6))
    candidate = Candidate(space, (0,) * len(space.genes), setting, frozenset({"gradients"}))
    examples, labels = candidate.batch()
    assert torch.equal(examples[:, 1:], labels[:, :-1])
    assert (examples.shape, labels.shape) == ((6, 9), (6, 9))
    module = candidate.module()
    weight = module.layer1.linear.h_new_0_0.weight
    loss = F.nll_loss(module(examples).log_softmax(2).transpose(1, 2), labels)
    (gradient,) = torch.autograd.grad(loss, weight)
    torch.testing.assert_close(candidate.gradients["layer1.linear.h_new_0_0.weight"].gradient, gradient)


@pytest.mark.parametrize("name", ["noise", "dead_leaves"])
def test_a_candidate_of_tokens_takes_no_images(name):
    space, genome = registry.create("spaces", SMALL), (0,) * 53
    with pytest.raises(NasctlError, match=f"{name} is data of images, and this space takes tokens; give tokens, or"):
        Candidate(space, genome, Setting(source(name)), frozenset()).batch()


# --- the command line ---


@pytest.mark.parametrize(
    ("space", "data", "why"),
    [
        (
            SMALL,
            "dead-leaves",
            "dead_leaves is data of images, and this space takes tokens; give tokens, or the path of",
        ),
        (SMALL, "pictures.npz", "is data of images, and this space takes tokens"),
        ("nb201", "tokens", "tokens is data of words, and this space takes images; give dead-leaves, digits, noise"),
        ("nb201", "a.txt", "is data of words, and this space takes images"),
        (
            "nb201",
            "texts/",
            "Cannot use 'texts': there are no images in it, only texts, and this space takes images. Give a folder with"
            " a folder of images for each class, such as texts/cat/1.jpg and texts/dog/2.jpg.",
        ),
        (SMALL, "empty.txt", "has 1 words, too few for a row of"),
    ],
)
@pytest.mark.parametrize("command", [["search", "--budget=3"], ["objective", "score", "--sample=3"]])
def test_data_that_does_not_suit_is_refused_at_once(nasctl, tmp_path, command, space, data, why):
    (tmp_path / "a.txt").write_text(LINES)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "readme.txt").write_text(LINES)
    (tmp_path / "empty.txt").touch()
    np.savez(tmp_path / "pictures.npz", images=np.zeros((2, 4, 4), np.uint8))
    done = nasctl(*command, f"--space={space}", "--objective=snip", f"--data={data}")
    assert done.exit_code == 2
    assert why in done.stderr
    assert not list(tmp_path.glob("*.db"))


@pytest.mark.parametrize(("data", "shown"), [(None, "tokens"), ("tokens", "tokens"), ("a.txt", "a.txt#")])
def test_scores_are_filed_under_their_text(nasctl, tmp_path, data, shown):
    (tmp_path / "a.txt").write_text(LINES * 20)
    given = [f"--data={data}"] if data else []
    done = nasctl("objective", "score", f"--space={SMALL}", "--objective=snip", "--sample=3", "--json", *given)
    assert done.exit_code == 0, done.stderr
    assert all(row["values"]["snip"] > 0 for row in json.loads(done.stdout))
    import sqlite3

    with sqlite3.connect("nasctl.db") as database:
        dump = "\n".join(database.iterdump())
    database.close()
    assert f"data={shown}" in dump
