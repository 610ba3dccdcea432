"""Augmentation, losses, evaluation and the rule of divergence, each against a known answer."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from training.examples import images, space_problem

from nasctl.errors import NasctlError
from nasctl.training.augmentation import Augmentation
from nasctl.training.divergence import DivergenceRule
from nasctl.training.evaluation import accuracy_error, evaluate
from nasctl.training.losses import ClassLearning, MaskedWordLearning, NextWordLearning
from nasctl.training.recipe import Recipe
from nasctl.training.streams import STREAMS, generator
from nasctl.training.trainable import check_task, token_features

PIXELS = torch.arange(2 * 3 * 8 * 8).remainder(251).to(torch.uint8).view(2, 3, 8, 8)
BATCH = PIXELS.repeat(8, 1, 1, 1)  # (16, 3, 8, 8)


def augmentation(**fields):
    return Augmentation(Recipe(**fields), (128.0,) * 3, (64.0,) * 3, (3, 8, 8))


def test_streams_share_no_number():
    seen = [
        tuple(generator(seed, stream, step, part).integers(2**62, size=8))
        for seed in (0, 2**64 - 1)
        for stream in STREAMS
        for step in (0, 1, 2**64 - 1)
        for part in (0, 1)
    ]
    numbers = [number for row in seen for number in row]
    assert len({*numbers}) == len(numbers)


def test_images_are_normalised():
    found = augmentation(crop=0, flip=False, cutout=0).augmented(BATCH, 0, 0)
    assert torch.equal(found, (BATCH.float() - 128) / 64)


def test_crop_moves_each_image_by_at_most_the_padding():
    plain = augmentation().plain(BATCH)
    found = augmentation(crop=0.25, flip=False, cutout=0).augmented(BATCH, 0, 0)
    padded = torch.nn.functional.pad(plain, (2, 2, 2, 2))
    moves = {
        (k, top, left)
        for k in range(16)
        for top in range(5)
        for left in range(5)
        if torch.equal(found[k], padded[k, :, top : top + 8, left : left + 8])
    }
    assert {k for k, _, _ in moves} == {*range(16)}
    assert len({(top, left) for _, top, left in moves}) > 5


def test_flip_mirrors_about_half_of_the_images():
    plain = augmentation().plain(BATCH)
    found = augmentation(crop=0, flip=True, cutout=0).augmented(BATCH, 0, 0)
    mirrored = [torch.equal(one, other.flip(-1)) for one, other in zip(found, plain, strict=True)]
    assert all(torch.equal(one, other) != flipped for one, other, flipped in zip(found, plain, mirrored, strict=True))
    assert 2 < sum(mirrored) < 14


@pytest.mark.parametrize("side", [1, 3, 6])
def test_cutout_erases_a_square(side):
    ones = torch.full((16, 1, 8, 8), 200, dtype=torch.uint8)
    made = Augmentation(Recipe(crop=0, flip=False, cutout=side / 8), (100.0,), (10.0,), (1, 8, 8))
    erased = made.augmented(ones, 0, 0) == 0
    assert (erased.sum((1, 2, 3)) == side**2).all()
    assert (erased.any(2).sum(2) == side).all()


def test_every_step_has_its_own_changes_on_any_number_of_ranks():
    made = augmentation()
    whole = made.augmented(BATCH, 0, 3)
    assert torch.equal(whole, augmentation().augmented(BATCH, 0, 3))
    assert not torch.equal(whole, made.augmented(BATCH, 0, 4))
    assert not torch.equal(whole, made.augmented(BATCH, 1, 3))
    shares = [made.augmented(BATCH[:6], 0, 3, 0, 16), made.augmented(BATCH[6:], 0, 3, 6, 16)]
    assert torch.equal(whole, torch.cat(shares))


def test_mixup_mixes_images_as_it_mixes_labels():
    labels = torch.arange(16).remainder(4)
    found, mixed = augmentation(mixup=0.5).mixed(BATCH.float(), labels, 0, 0)
    partner = torch.from_numpy(generator(0, "mixing").permutation(16))
    share = mixed[:, 2].view(-1, 1, 1, 1)
    assert torch.allclose(found, torch.lerp(BATCH.float(), BATCH[partner].float(), share), atol=1e-4)
    assert torch.equal(mixed[:, :2].long(), torch.stack([labels, labels[partner]], 1))
    learning = ClassLearning(Recipe(smoothing=0.0), augmentation(), 4)
    outputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    soft = torch.zeros(16, 4)
    soft[torch.arange(16), labels] += 1 - mixed[:, 2]
    soft[torch.arange(16), labels[partner]] += mixed[:, 2]
    assert learning.loss(outputs, mixed) == pytest.approx(cross_entropy(outputs, soft).item(), rel=1e-5)


def test_balanced_weights_give_classes_the_same_weight():
    counts = np.array([60, 20, 0, 20])
    learning = ClassLearning(Recipe(class_weights="balanced"), augmentation(), 4, counts)
    weights = learning.weight(torch.arange(4)).item() - 0
    assert weights == pytest.approx(100 / 180 + 100 / 60 + 0 + 100 / 60)
    everything = torch.arange(4).repeat_interleave(torch.from_numpy(counts))
    assert learning.weight(everything).item() == pytest.approx(100)


def test_masked_words():
    learning = MaskedWordLearning(Recipe(masked=0.5), 1000, 0)
    words = torch.from_numpy(np.random.default_rng(0).integers(999, size=(200, 20)))
    words[0] = 999  # words without a number, whose number the mask has
    (rows, chosen), targets, index = learning.training(words, words, 3)
    assert (chosen[1:].sum(1) == 10).all()
    assert not chosen[0].any()
    assert torch.equal(targets, words[chosen])
    assert torch.equal(index, chosen.nonzero()[:, 0])
    assert torch.equal(rows[~chosen], words[~chosen])
    share = [(rows[chosen] == 999).float().mean(), (rows[chosen] == targets).float().mean()]
    assert share == pytest.approx([0.8, 0.1], abs=0.03)
    again = learning.training(words[100:], words[100:], 3)  # a row is masked alike in another batch
    assert torch.equal(again.inputs[0], rows[100:])
    assert not torch.equal(learning.training(words, words, 4).inputs[0], rows)
    first, second = (learning.evaluation(words, words).inputs[0] for _ in range(2))
    assert torch.equal(first, second)


def test_results_and_their_standard_errors():
    learning = ClassLearning(Recipe(), augmentation(), 3)
    answers = iter([torch.tensor([[5.0, 0, 0], [5, 0, 0]]), torch.tensor([[0.0, 5, 0]])])
    batches = [(PIXELS, torch.tensor([0, 1])), (PIXELS[:1], torch.tensor([1]))]
    found = evaluate(lambda x: next(answers), learning, batches)
    right, wrong = math.log(1 + 2 * math.exp(-5)), 5 + math.log(1 + 2 * math.exp(-5))
    assert (found.examples, found.perplexity) == (3, None)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.error == pytest.approx(math.sqrt(2 / 27 + 1 / 36) / (4 / 3))
    assert found.loss == pytest.approx((2 * right + wrong) / 3, rel=1e-6)


@pytest.mark.parametrize(
    ("right", "of", "error"),
    [
        (7, 7, 1 / 16),  # 7 / 8 * 1 / 14
        (0, 7, 1 / 16),
        (1, 1, 1 / 4),
        (1, 2, math.sqrt(3) / 6),  # 2 / 3 * sqrt(1 / 8 + 1 / 16)
        (900, 1000, 0.0094904),  # above sqrt(p (1 - p) / n) = .0094868 by the term with n^2
    ],
)
def test_the_error_of_an_accuracy_is_half_of_wilsons_interval(right, of, error):
    found = accuracy_error(right / of, of)
    assert found == pytest.approx(error, rel=1e-4)
    # Wilson's interval has the shares from which the accuracy is one standard error away.
    centre = (right / of + 1 / (2 * of)) / (1 + 1 / of)
    for end in (centre - found, centre + found):
        assert (right / of - end) ** 2 == pytest.approx(end * (1 - end) / of, abs=1e-12)


def test_without_examples_an_accuracy_has_no_error():
    assert math.isnan(accuracy_error(math.nan, 0))


def test_the_error_of_a_mean_loss_is_that_of_the_rows():
    learning = NextWordLearning(Recipe(smoothing=0.0), 4)
    words = torch.arange(24).remainder(4).view(6, 4)
    outputs = torch.randn(6, 4, 4, generator=torch.Generator().manual_seed(0))
    found = evaluate(lambda x: outputs, learning, [(words, words)])
    rows = cross_entropy(outputs.flatten(0, 1), words.flatten(), reduction="none").view(6, 4).mean(1)
    assert found.loss == pytest.approx(rows.mean().item())
    assert found.error == pytest.approx(rows.std().item() / math.sqrt(6), rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(found.loss))


def test_the_rule_of_divergence():
    rule = DivergenceRule(chance=2.0, warmup=30)
    assert not any(rule.diverged(step, 9.0) for step in range(5))
    assert not any(rule.diverged(step, 1.0) for step in range(5, 30))
    assert not rule.diverged(30, 2.9)  # below three times the median
    assert rule.diverged(31, 3.1)
    assert rule.diverged(0, math.nan)
    assert DivergenceRule(2.0, 30).diverged(3, math.inf)
    assert not any(rule.diverged(step, 0.01) for step in range(200))
    assert not rule.diverged(200, 1.9)  # below the loss of chance: a hard batch
    assert rule.diverged(201, 2.1)
    again = DivergenceRule(2.0, 30)
    again.restore(rule.recent)
    assert again.recent.tolist() == rule.recent.tolist()
    assert len(again.recent) == 100


@pytest.mark.parametrize(
    ("spec", "task", "classes", "message"),
    [
        ("nb201", "classes", 7, "on 7 classes: the network has 10 outputs. Choose a space of 7 outputs; most"),
        ("rnn", "classes", 2, "the networks of this space read tokens. Give a text"),
        ("nb201", "next words", None, "the networks of this space read images. Give labelled images"),
        ("bert", "next words", None, "not a logit for each word at each place. Choose a space of language models"),
    ],
)
def test_networks_that_a_task_cannot_train(spec, task, classes, message):
    asked = space_problem(spec, images())
    with pytest.raises(NasctlError, match=message):
        check_task(asked.network, asked.input, task, classes)


@pytest.mark.parametrize(("spec", "width"), [("bert", 128), ("flexibert", 128)])
def test_masked_words_are_learnt_from_the_last_features_of_every_token(spec, width):
    asked = space_problem(spec, images())
    node = asked.network.nodes[token_features(asked.network, asked.input)]
    assert node.out_shape == (128, width)
    assert node.name == "layer1.forward.norm"
