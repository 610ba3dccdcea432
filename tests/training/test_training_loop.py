"""Training loops: equality with plain PyTorch, with one process instead of two, and after every interruption."""

import math
import subprocess
import sys
import time
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from paths import TESTS
from torch import nn
from torch.nn.functional import cross_entropy
from training.examples import QUICK, colour, equal, images, plain_network, problem, space_problem, words

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.networks.python_source import source
from nasctl.networks.weights import initialised
from nasctl.training.batches import train_batches
from nasctl.training.checkpoint import path_of, steps
from nasctl.training.evaluation import accuracy_error
from nasctl.training.events import Checkpointed, Diverged, Evaluated, Ranks, Resumed, StepDone, TrainingDiverged
from nasctl.training.learner import Learner
from nasctl.training.loop import train
from nasctl.training.optimiser import rates
from nasctl.training.recipe import Recipe, usual

PLAIN = replace(QUICK, crop=0, flip=False, cutout=0, epochs=2)


def run(asked, folder, **options):
    events = []
    return train(asked, folder, events.append, **options), events


def plain_training(asked, steps):
    """Train the exported Python file of a network in plain PyTorch, as a user would write it."""
    scope = {"__name__": "exported"}
    exec(source(asked.network), scope)
    net = scope["Net"]()
    net.load_state_dict(initialised(asked.network, asked.seed).state_dict())
    norms = {id(p) for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    decayed = [p for p in net.parameters() if p.ndim > 1 and id(p) not in norms]
    others = [p for p in net.parameters() if p.ndim <= 1 or id(p) in norms]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
    batches = train_batches(asked.data, asked.recipe.batch, asked.seed, 0, 0)
    mean, deviation = (torch.tensor(one).view(1, -1, 1, 1) for one in (asked.data.mean, asked.data.deviation))
    total = asked.recipe.epochs * (len(asked.data.inputs) // asked.recipe.batch)
    net.train()
    losses = []
    for rate in rates(asked.recipe, total, total // asked.recipe.epochs)[:steps]:
        pixels, labels = next(batches)
        images = ((pixels.float() - mean) / deviation).contiguous(memory_format=torch.channels_last)
        loss = cross_entropy(net(images), labels, label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        losses.append(loss.item())
    return losses, net.state_dict()


@pytest.mark.parametrize(
    "spec",
    [
        "nb201:resolution=8,cells=1,classes=3",
        pytest.param("nbmacro:resolution=8,classes=3", marks=pytest.mark.slow),
        pytest.param("vit:resolution=32,classes=3", marks=pytest.mark.slow),
        pytest.param("mbconv:resolution=32,classes=3", marks=pytest.mark.slow),
    ],
)
def test_a_genome_is_trained_as_its_exported_file_is_in_plain_pytorch(tmp_path, spec):
    data = images(side=registry.create("spaces", spec).input.shape[1])
    asked = space_problem(spec, colour(data), replace(PLAIN, evaluate=0))
    outcome, events = run(asked, tmp_path, until=10)
    losses, state = plain_training(asked, 10)
    assert [event.loss for event in events if isinstance(event, StepDone)] == losses
    assert equal(outcome.state, state)


def test_two_ranks_of_half_the_batch_equal_one(tmp_path):
    """Each rank augments its own rows; gradients are weighted by the weights of the classes."""
    recipe = Recipe(epochs=4, batch=18, warmup=0.5, class_weights="balanced")
    asked = problem(recipe)
    one, two = Learner(asked, Ranks()), [Learner(asked, Ranks(rank, 2, lambda flat: None)) for rank in (0, 1)]
    flats = []
    for rank, learner in enumerate(two):
        learner._ranks = Ranks(rank, 2, flats.append)
    whole = train_batches(asked.data, 18, 0, 0, 0)
    shares = [train_batches(asked.data, 18, 0, 0, 0, rank, 2) for rank in (0, 1)]
    for step in range(10):
        expected, _ = one.step(*next(whole), step, 0.05)
        # The two ranks run one after the other: the first passes find the gradients, the second ones use their sum.
        batches = [next(share) for share in shares]
        before = [{name: value.clone() for name, value in learner.tensors().items()} for learner in two]
        flats.clear()
        for learner, batch in zip(two, batches, strict=True):
            learner._update = lambda number, rate: None
            learner.step(*batch, step, 0.05)
            del learner._update
        total = flats[0] + flats[1]
        assert before[0].keys() == before[1].keys()
        found = []
        for rank, (learner, batch) in enumerate(zip(two, batches, strict=True)):
            learner._ranks = Ranks(rank, 2, lambda flat, total=total: flat.copy_(total))
            found.append(learner.step(*batch, step, 0.05)[0])
            learner._ranks = Ranks(rank, 2, flats.append)
        assert found[0] == found[1] == pytest.approx(expected.item(), abs=1e-5)
    assert equal(two[0].state(), two[1].state())


ALL_PARTS = replace(
    QUICK, optimiser="adamw", rate=0.01, ema=0.9, mixup=0.4, schedule="onecycle", class_weights="balanced"
)


@pytest.mark.parametrize("recipe", [QUICK, ALL_PARTS], ids=["sgd", "adamw"])
def test_a_training_that_is_resumed_at_every_step_ends_in_the_same_bits(tmp_path, recipe):
    asked = problem(recipe)
    straight, _ = run(asked, tmp_path / "straight")
    for step in range(1, straight.steps + 1):
        outcome, events = run(asked, tmp_path / "parts", until=step)
        assert not outcome.finished or step == straight.steps
        assert [event.step for event in events if isinstance(event, Resumed)] == ([step - 1] if step > 1 else [])
    assert equal(outcome.state, straight.state)
    assert outcome.results == straight.results


def test_averaged_weights_follow_the_weights_with_a_decay(tmp_path):
    """Statistics of norms are averaged as the weights are; the decay is lower at first."""
    asked = space_problem("nb201:resolution=8,cells=1,classes=3", colour(images(number=48)), QUICK)
    expected = initialised(asked.network, 0).state_dict()
    for step in range(4):
        current = run(asked, tmp_path / "plain", until=step + 1)[0].state
        decay = min(0.5, (1 + step) / (10 + step))
        expected = {name: decay * expected[name] + (1 - decay) * value for name, value in current.items()}
    averaged = replace(asked, recipe=replace(QUICK, ema=0.5))
    found = run(averaged, tmp_path / "averaged", until=4)[0].state
    floats = [name for name, value in found.items() if value.is_floating_point()]
    assert any("running_var" in name for name in floats)
    for name in floats:
        assert torch.allclose(found[name], expected[name], atol=1e-6), name


def test_global_generators_are_left_alone(tmp_path):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    run(problem(replace(QUICK, epochs=1)), tmp_path)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002


def test_a_request_to_stop_writes_a_checkpoint_first(tmp_path):
    def stop(event):
        if isinstance(event, StepDone) and event.step == 3:
            raise KeyboardInterrupt

    asked = problem()
    straight, _ = run(asked, tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        train(asked, tmp_path / "parts", stop)
    assert list(steps(tmp_path / "parts")) == [3]
    assert equal(run(asked, tmp_path / "parts")[0].state, straight.state)


KILLED = """
import sys, time
from pathlib import Path
from training.examples import QUICK, problem
from dataclasses import replace
from nasctl.training.loop import train
recipe = replace(QUICK, epochs=10, recovery=7, checkpoint=1e-4, ema=0.9)
print("ready", flush=True)
train(problem(recipe), Path(sys.argv[1]), lambda event: time.sleep(0.002))
"""


def killed(folder, rounds, seed):
    """Kill a training at random moments; return whether weights and results then equal those of an undisturbed one."""
    draw = Random(seed)
    asked = problem(replace(QUICK, epochs=10, recovery=7, checkpoint=1e-4, ema=0.9))
    straight, _ = run(asked, folder / "straight")
    deaths = 0
    for _ in range(rounds):
        command = [sys.executable, "-c", KILLED, str(folder / "killed")]
        process = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(draw.random() * 0.3)
        process.kill()
        deaths += process.wait() != 0
        process.stdout.close()
    outcome, _ = run(asked, folder / "killed")
    assert deaths
    return equal(outcome.state, straight.state), outcome.results == straight.results


def test_a_killed_training_ends_in_the_same_bits(tmp_path):
    assert killed(tmp_path, 1, 0) == (True, True)


@pytest.mark.slow
def test_a_training_that_is_killed_twenty_times_ends_in_the_same_bits(tmp_path):
    assert killed(tmp_path, 20, 1) == (True, True)


def test_the_newest_checkpoints_and_the_recovery_point_stay(tmp_path):
    _, events = run(problem(replace(QUICK, recovery=5, checkpoint=1e-9)), tmp_path)
    assert sorted(steps(tmp_path)) == [10, 11, 12]
    assert [event.step for event in events if isinstance(event, Checkpointed)] == list(range(1, 13))


def spoiled(times):
    """Return a start that spoils the weights of a module a few steps later, a number of times."""
    left = [times]

    def hook(module, given, output):
        hook.calls += module.training
        if hook.calls == 6 and left[0] and module.training:
            left[0] -= 1
            hook.calls = 4  # as after going back to step 4
            return output * math.nan
        return None

    hook.calls = 0
    return lambda module: module.register_forward_hook(hook)


@pytest.mark.parametrize(("times", "message"), [(1, ""), (2, "diverged at step 6 .* for the second time. Lower rate")])
def test_divergence(tmp_path, times, message):
    asked = problem(replace(PLAIN, recovery=4, evaluate=0), start=spoiled(times))
    if message:
        with pytest.raises(TrainingDiverged, match=message):
            run(asked, tmp_path)
        assert 4 in steps(tmp_path)
        return
    outcome, events = run(asked, tmp_path)
    assert [(event.step, event.back_to, event.rate_factor) for event in events if isinstance(event, Diverged)] == [
        (6, 4, 0.5)
    ]
    done = [event.step for event in events if isinstance(event, StepDone)]
    assert done == [1, 2, 3, 4, 5, *range(5, 13)]
    assert outcome.halvings == 1
    expected = rates(asked.recipe, 12, 6) * np.where(np.arange(12) < 4, 1, 0.5)
    by_step = {event.step: event.rate for event in events if isinstance(event, StepDone)}
    assert [by_step[step] for step in range(1, 13)] == expected.tolist()


def test_a_training_that_diverges_before_the_first_recovery_point_begins_anew(tmp_path):
    asked = problem(replace(PLAIN, recovery=100, evaluate=0), start=spoiled(1))
    outcome, events = run(asked, tmp_path)
    assert [(event.step, event.back_to) for event in events if isinstance(event, Diverged)] == [(6, 0)]
    assert (outcome.step, outcome.halvings) == (12, 1)


def test_one_example_a_step_is_too_few_for_a_batch_norm(tmp_path):
    asked = space_problem("nb201:resolution=4,cells=1,classes=3", colour(images(side=4)), replace(PLAIN, batch=1))
    with pytest.raises(NasctlError, match="needs the statistics of several"):
        run(asked, tmp_path)


def test_examples_that_vanish_end_the_training_with_a_checkpoint(tmp_path):
    class Vanishing(type(images())):
        reads = 0

        def examples(self, part, indices):
            Vanishing.reads += 1
            if Vanishing.reads == 4:
                raise NasctlError("Cannot read photo.jpg: it has vanished.")
            return super().examples(part, indices)

    data = images()
    vanishing = Vanishing(data.inputs, data.labels, class_names=data.class_names)
    straight, _ = run(problem(), tmp_path / "straight")
    with pytest.raises(NasctlError, match="has vanished"):
        run(problem(data=vanishing), tmp_path / "parts")
    assert list(steps(tmp_path / "parts")) == [3]
    assert equal(run(problem(data=vanishing), tmp_path / "parts")[0].state, straight.state)


def test_checkpoints_of_another_run_are_refused(tmp_path):
    run(problem(), tmp_path, until=2)
    with pytest.raises(NasctlError, match="checkpoint of another network or run"):
        run(problem(identity="other"), tmp_path)


def test_a_checkpoint_of_a_module_that_was_built_otherwise_is_refused(tmp_path):
    train(problem(), tmp_path, until=1)
    other = problem(network=plain_network(classes=3, width=5))
    with pytest.raises(NasctlError, match=r"step 1: nasctl \S+ built another module .* 'conv\.weight' differs"):
        train(other, tmp_path)
    assert list(steps(tmp_path)) == [1]


def test_a_torn_checkpoint_is_skipped(tmp_path):
    asked = problem(replace(QUICK, checkpoint=1e-9))
    straight, _ = run(asked, tmp_path / "straight")
    run(asked, tmp_path / "torn", until=6)
    content = path_of(tmp_path / "torn", 6).read_bytes()
    path_of(tmp_path / "torn", 6).write_bytes(content[: len(content) // 2])
    outcome, events = run(asked, tmp_path / "torn")
    assert [event.step for event in events if isinstance(event, Resumed)] == [5]
    assert equal(outcome.state, straight.state)


@pytest.mark.parametrize(
    ("spec", "task", "rate", "epochs", "below"),
    [
        ("rnn:vocabulary=20,length=12,layers=1,width=16,hidden=16", "next words", 0.01, 15, 8),
        ("bert:vocabulary=20,length=12", "masked words", 0.003, 12, 18),
        ("flexibert:vocabulary=20,length=12", "masked words", 0.003, 12, 18),
        pytest.param("bert:vocabulary=20,length=12", "masked words", 0.003, 80, 9.5, marks=pytest.mark.slow),
    ],
)
def test_language_models_learn(tmp_path, spec, task, rate, epochs, below):
    """Ten words occur, of 20 in the vocabulary: only a model that reads the context gets below a perplexity of 10."""
    recipe = replace(usual(task), epochs=epochs, batch=16, warmup=0.5, rate=rate, evaluate=0)
    asked = space_problem(spec, words(task), recipe)
    outcome, _ = run(asked, tmp_path)
    result = outcome.results["validation"]
    assert result.perplexity == pytest.approx(math.exp(result.loss))
    assert result.perplexity < below
    assert result.accuracy is None
    assert 0 < result.error < 1
    asked.network.module().load_state_dict(outcome.state)


def test_images_are_learnt_and_the_result_has_its_standard_error(tmp_path):
    outcome, events = run(problem(replace(QUICK, epochs=12, flip=False, crop=0, rate=1.0)), tmp_path)
    result = outcome.results["test"]
    assert result.accuracy > 0.8
    assert result.error == accuracy_error(result.accuracy, 96)
    assert [event.epoch for event in events if isinstance(event, Evaluated)] == [*range(1, 12), 12, 12]
