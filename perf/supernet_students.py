"""AutoDistil: are students of a supernet that learns a teacher's attention better than the same students alone?

The teacher is the largest encoder with scaled dot-product attention of the space `bert`, trained on a part of
WikiText-2. Students have at most half of its parameters. Teacher, supernet and students alone train for equally many
steps; each step of the supernet trains the largest, the smallest and one random encoder. With --tuning, students of the
supernet are trained on for that many epochs, as AutoDistil does, and students alone for as many in all.
"""

from __future__ import annotations

import argparse
import gzip
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from supernet_trainings import Setup, random_genomes, spread, verdict
from torch import nn

from nasctl import registry
from nasctl.bench.published import published_path
from nasctl.networks.graph import Network
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Genome
from nasctl.registry.version import __version__
from nasctl.supernets.learner import SupernetLearner
from nasctl.training import trained_weights
from nasctl.training.batches import part_batches
from nasctl.training.evaluation import evaluate
from nasctl.training.learner import Learner
from nasctl.training.recipe import usual

TEXT = "wikitext2_valid.txt.gz"

SHARE = 0.5  # largest share of the teacher's parameters that a student has

LABELS = {
    "inherited": "students of the supernet",
    "tuned": "students of the supernet, trained on",
    "alone": "students alone",
    "alone, as long": "students alone, for as many steps in all",
}

FIXED = ("operation", "depth")  # genes of layers that keep their first choice: dot-product attention, one feed-forward


class AttentionEncoders:
    """The encoders of `bert` whose layers have scaled dot-product attention and one feed-forward layer.

    Args:
        length: Tokens of a sequence.
        vocabulary: Number of distinct tokens.
    """

    share = "entangled"

    def __init__(self, length: int = 16, vocabulary: int = 2000) -> None:
        self._whole = registry.create("spaces", f"bert:length={length},vocabulary={vocabulary}")
        genes = self._whole.genes
        self._free = [place for place, gene in enumerate(genes) if gene.name.rpartition(".")[2] not in FIXED]
        self.genes, self.input = [genes[place] for place in self._free], self._whole.input

    def canonical(self, genome: Genome) -> Genome:
        found = self._whole.canonical(self._full(genome))
        return tuple(found[place] for place in self._free)

    def network(self, genome: Genome) -> Network:
        found: Network = self._whole.network(self._full(genome))
        return found

    def reduced(self, fidelity: Fidelity) -> AttentionEncoders:
        return self

    def _full(self, genome: Genome) -> Genome:
        whole = [0] * len(self._whole.genes)
        for place, choice in zip(self._free, genome, strict=True):
            whole[place] = choice
        return tuple(whole)


def text(lines: int, work: Path) -> Path:
    """Write the first lines of the text into a file, and return its path."""
    archive = published_path(f"text/{TEXT}")
    path = work / f"wikitext2-{lines}.txt"
    if not path.exists():
        whole = gzip.decompress(archive.read_bytes()).decode().splitlines(keepends=True)
        path.write_text("".join(whole[:lines]))
    return path


def distil(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the claim of AutoDistil."""
    recipe = usual("masked words").changed({"batch": given.batch, "evaluate": 0, "checkpoint": 2.0, "warmup": 0.5})
    source = given.data or str(text(given.lines, given.work))
    work = given.work / f"{Path(source).name}-batch-{given.batch}"
    work.mkdir(exist_ok=True)
    setup = Setup(given.space, source, recipe, work, "0.8,0.1,0.1", "masked words")
    space, rows = setup.searched(), []
    largest = space.canonical(tuple(len(gene.choices) - 1 for gene in space.genes))
    most = SHARE * space.network(largest).params
    students = [one for one in random_genomes(space, given.drawn, 0) if space.network(one).params <= most]
    for seed in given.seeds:
        teacher, seconds = setup.alone(largest, seed, given.epochs)
        path = write_teacher(setup, teacher, largest, work / f"teacher-{given.epochs}-{seed}.safetensors")
        learner, more = setup.supernet(f"distil:teacher={path},random=1", seed, given.epochs)
        row = {"seed": seed, "steps": learner.context.steps, "teacher": held_out(teacher)}
        row |= {"teacher seconds": seconds, "supernet seconds": more, "pairs": []}
        for one in students[: given.networks]:
            own, own_seconds = setup.alone(one, seed, given.epochs)
            pair = {"genome": one, "params": space.network(one).params, "inherited": inherited_loss(learner, one)}
            pair |= {"alone": held_out(own), "seconds": own_seconds}
            if given.tuning:
                pair["tuned"] = held_out(tuned(setup, learner, one, seed, given))
                pair["alone, as long"] = held_out(setup.alone(one, seed, given.epochs + given.tuning)[0])
            row["pairs"].append(pair)
        rows.append(row)
        print(f"  {row}", flush=True)
    return {"rows": rows}


def tuned(setup: Setup, learner: SupernetLearner, genome: Genome, seed: int, given: argparse.Namespace) -> Learner:
    """Train the encoder of a student on, and return its trained state. The head begins anew, as in `nasctl train`."""
    state = learner.weights.module(genome, learner.copy_of(genome)).get_submodule("body").state_dict()
    further = replace(setup, work=setup.work / f"from-{given.epochs}-epochs")

    def start(module: nn.Module) -> None:
        assert not module.load_state_dict(state, strict=False).unexpected_keys

    return further.alone(genome, seed, given.tuning, start=start)[0]


def write_teacher(setup: Setup, teacher: Learner, genome: Genome, path: Path) -> Path:
    """Write a trained network as `nasctl train` does, and return the absolute path."""
    data = setup.data()
    facts = trained_weights.Facts(
        setup.space, genome, path.stem, data.task, None, (), (), str(data), setup.recipe.asdict(), {}, __version__
    )
    trained_weights.write(path, teacher.state(), facts)
    return path.absolute()


def held_out(learner: Learner) -> float:
    """Return the loss of a network that was trained alone, in nats for each masked word, on the test part."""
    return float(learner.evaluate("test", None, lambda: False)[""].loss)


def inherited_loss(learner: SupernetLearner, genome: Genome) -> float:
    """Return the loss of a network with shared weights, in nats for each masked word, on the test part."""
    problem, module = learner._problem, learner.weights.module(genome, learner.copy_of(genome))
    batches = part_batches(problem.data, "test", problem.recipe.batch, 0, 0, 1)

    def run(*inputs: Any) -> Any:
        return module(*learner.fitted(genome, inputs))

    found = evaluate(run, learner.learning, batches, learner.device, learner.precision, None, lambda: False)
    return float(found.loss)


def distil_lines(found: dict[str, Any]) -> list[str]:
    """Return the Markdown of `distil`."""
    rows = found["rows"]
    means = {"teacher": [row["teacher"] for row in rows]}
    for name in LABELS:
        if name in rows[0]["pairs"][0]:
            means[name] = [float(np.mean([one[name] for one in row["pairs"]])) for row in rows]
    lines = ["| encoder | loss (nats) | perplexity |", "| --- | --- | --- |"]
    for name, losses in means.items():
        perplexities = [math.exp(one) for one in losses]
        lines.append(f"| {LABELS.get(name, name)} | {spread(losses)} | {spread(perplexities, 1)} |")
    for name, other in (("inherited", "alone"), ("tuned", "alone"), ("tuned", "alone, as long")):
        if name in means and other in means:
            pairs = [alone - own for alone, own in zip(means[other], means[name], strict=True)]
            claim = f"{LABELS[name]} better than {LABELS[other]}"
            lines += ["", f"AutoDistil: {claim}: {spread(pairs)} nats, {verdict(pairs)}"]
    seconds = {name: [row[f"{name} seconds"] for row in rows] for name in ("teacher", "supernet")}
    seconds["a student"] = [float(np.mean([one["seconds"] for one in row["pairs"]])) for row in rows]
    shown = ", ".join(f"{name} {spread(one, 0)}" for name, one in seconds.items())
    return [*lines, f"{rows[0]['steps']} steps; seconds: {shown}"]


SPACE = f"{Path(__file__).absolute()}:{AttentionEncoders.__name__}"
