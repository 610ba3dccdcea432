"""The trained state of a supernet: shared weights, their optimiser and a strategy, with one step of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils import clip_grad_norm_

from nasctl import registry
from nasctl.data import Part
from nasctl.errors import NasctlError
from nasctl.problem.space import Genome
from nasctl.problem.strategy import (
    ChoosesDistance,
    GivesLosses,
    HasCopies,
    HasMeanTeacher,
    MixesCopies,
    Pass,
    ReadsNorms,
    ScalesRate,
    ScoresGenomes,
    SplitsExamples,
    StartsAtZero,
    Strategy,
)
from nasctl.supernets.averages import averaged
from nasctl.supernets.calibration import calibrate, calibration_batches, calibration_examples
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.distances import distance_loss
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.given_weights import begin
from nasctl.supernets.gradients import StepSums, gradients_of, norm_since, reduced
from nasctl.supernets.hull import Hull
from nasctl.supernets.problem import SupernetProblem
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.supernets.step_networks import RankBatch, SharedNetworks, fitted
from nasctl.supernets.strategy_weights import (
    MODULES,
    check_recipe,
    copies_of,
    decayed_and_plain,
    module_parameters,
    module_tensors,
    own_modules,
    trained_state,
)
from nasctl.training.batches import part_batches, steps_per_epoch
from nasctl.training.checkpoint import Checkpoint
from nasctl.training.evaluation import Result, evaluate
from nasctl.training.events import Ranks
from nasctl.training.learner import WISHES, learning_of
from nasctl.training.losses import Prepared
from nasctl.training.optimiser import load_optimiser, optimiser_of, optimiser_tensors, set_rate
from nasctl.training.streams import generator, seed_torch

HARMLESS = 3.0  # times the loss of chance, up to which the loss of a network that varies never counts as diverged

Visit = tuple[list[str], int]  # slots that a pass has trained, and their copy

SAMPLED = 3  # random networks that each evaluation judges, beside the largest and the smallest


class SupernetLearner:
    """The shared weights of a space in training, from their initial values on.

    Args:
        problem: The space, the data, the strategy and the recipe.
        ranks: The place of this process among those that train together.

    Raises:
        NasctlError: The task cannot train the networks of the space, or its weights cannot be shared.
    """

    def __init__(self, problem: SupernetProblem, ranks: Ranks) -> None:
        assert problem.space is not None
        recipe, data = problem.recipe, problem.data
        classes = None if data.class_names is None else len(data.class_names)
        self._problem, self._ranks = problem, ranks
        self.device = torch.device(problem.device)
        self.networks = ElasticNetworks(problem.space, problem.share, data.task)
        self.networks.check(problem.space.canonical((0,) * len(problem.space.genes)), classes)
        hull = Hull.of(self.networks)
        steps = recipe.epochs * steps_per_epoch(data, recipe.batch)
        self.context = TrainingContext(hull, problem.seed, steps, data)
        self.strategy: Strategy = registry.create("strategies", problem.strategy, self.context)
        check_recipe(self.strategy, problem)
        zero = isinstance(self.strategy, StartsAtZero) and self.strategy.zero_last_gains
        mixture = self.strategy.mixture if isinstance(self.strategy, MixesCopies) else None
        self.modules = own_modules(self.strategy, self.device)
        self.halves = isinstance(self.strategy, SplitsExamples) and self.strategy.splits_examples
        self.weights = SharedWeights(hull, problem.seed, copies_of(self.strategy), zero, self.device, mixture=mixture)
        self._given = begin(problem, self.strategy, self.weights, self.context.largest, self.fitted)
        self._steps_done = 0
        self.learning = learning_of(problem, ranks, self.device)
        if isinstance(self.strategy, GivesLosses):
            self.learning.chance = self.strategy.chance
        self._networks = SharedNetworks(self.weights, ranks, self.context)
        own = {f"{MODULES}{name}": one for name, one in module_parameters(self.modules).items() if one.requires_grad}
        self._tensors = self.weights.tensors | own
        self._names: dict[Tensor, str] = {value: name for name, value in self._tensors.items()}
        self.optimiser = optimiser_of(*decayed_and_plain(self._tensors, hull), recipe)
        self.wishes = torch.zeros(WISHES)
        self.on_untrained: Callable[[Sequence[str]], object] = lambda names: None  # networks that are not judged
        self._nominal = float(min(recipe.batch, data.size("train")))
        self._type = torch.bfloat16 if recipe.amp else None
        self._ema = {name: value.detach().clone() for name, value in self._tensors.items()} if recipe.ema else {}

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context of mixed precision, which does nothing without `amp`."""
        return nullcontext() if self._type is None else torch.autocast(self.device.type, self._type)

    def step(
        self, given: Tensor, labels: Tensor, number: int, rate: float, wishes: Sequence[float] = (0.0,) * WISHES
    ) -> tuple[Tensor, Tensor | None]:
        """Train on the rank's share of a batch, and return loss and number of correct answers of the first pass.

        Arguments are those of `nasctl.training.learner.Learner.step`.

        Raises:
            RanksLost: Another rank has ended. The state is as before the step.
        """
        if isinstance(self.strategy, HasCopies) and number == self.strategy.splits_at:
            self._split()
        prepared = self.learning.training(given.to(self.device), labels.to(self.device), number)
        weight = self.learning.weight(prepared.targets)
        self.optimiser.zero_grad(set_to_none=True)
        passes = self.strategy.passes(number)
        if isinstance(self.strategy, GivesLosses):
            weight = weight.new_tensor(float(len(given)))
            batch = RankBatch(self.learning, given.to(self.device), labels.to(self.device), number, prepared)
            visits, sums = self._back_propagate_own(self.strategy, passes, batch, number, weight)
        else:
            visits, sums = self._back_propagate(passes, prepared, number, weight)
        if self._ranks.world > 1:
            gradients = [one.grad for one in self._tensors.values() if one.grad is not None]
            given_sums = sums._replace(wishes=torch.tensor(wishes))
            sums = reduced(gradients, given_sums, weight, self._nominal, self._ranks)
            self.wishes = sums.wishes
        for slots, copy in visits:
            self.weights.count_visits(slots, copy)
        factor = self.strategy.rate_factor(number) if isinstance(self.strategy, ScalesRate) else 1.0
        self._update(number, rate * factor)
        self.strategy.told(number, sums.losses.tolist(), sums.norms)
        self._steps_done = number + 1
        return sums.losses[0], sums.correct

    @torch.no_grad()
    def _split(self) -> None:
        """Give every copy of the weights, and of their average, the values of the first; none keeps a momentum."""
        self.weights.split()
        for first in self.weights.parameters[0].values():
            self.optimiser.state.pop(first, None)
        for name, value in self._ema.items():
            value.copy_(self._ema[name.partition("@")[0]])

    def copy_of(self, genome: Genome) -> int:
        """Return the copy that has the weights of a genome, which is copy 0 before the split."""
        strategy = self.strategy
        split = isinstance(strategy, HasCopies) and self._steps_done > strategy.splits_at
        return strategy.copy_of(genome) if split and isinstance(strategy, HasCopies) else 0

    def _back_propagate(
        self, passes: Sequence[Pass], prepared: Prepared, number: int, weight: Tensor
    ) -> tuple[list[Visit], StepSums]:
        """Add up the gradients of all passes, and return the slots that they have trained, losses and norms."""
        visits, losses, norms, correct = [], [], [], None
        with self.precision():
            teacher = None if self._given is None else self._given(prepared.inputs)
        reads = isinstance(self.strategy, ReadsNorms) and self.strategy.reads_norms
        for place, one in enumerate(passes):
            seed_torch(self._problem.seed, "dropout", number, self._ranks.rank)
            genome = self._chosen(one, prepared)
            with self.precision():
                outputs = self.run(genome, prepared.inputs, one.copy)
                loss = self._loss(one, outputs, prepared.targets, teacher)
            teacher = outputs.detach() if one.teaches else teacher
            before = gradients_of(self._tensors) if reads else {}
            self._backward(loss * one.weight, weight)
            if reads:
                norms.append(norm_since(self._tensors, before))
            if place == 0 and prepared.targets.ndim == 1 and prepared.rows is None:
                correct = (outputs.detach().argmax(1) == prepared.targets).sum()
            visits.append(([slot for _, slot, _ in self.weights.hull.cuts(genome)], one.copy))
            losses.append(loss.detach())
        return visits, StepSums(torch.stack(losses), correct, norms, self.wishes)

    def _back_propagate_own(
        self, strategy: GivesLosses, passes: Sequence[Pass], batch: RankBatch, number: int, weight: Tensor
    ) -> tuple[list[Visit], StepSums]:
        """Add up the gradients of a strategy's own losses, and return the slots that they have trained, and losses."""
        networks, losses = self._networks, []
        networks.visits.clear()
        seed_torch(self._problem.seed, "dropout", number, self._ranks.rank)
        given = strategy.losses(number, passes, batch, networks)
        while True:
            with self.precision():
                loss = next(given, None)
            if loss is None:
                break
            if loss.requires_grad:
                self._backward(loss, weight)
            losses.append(loss.detach().float())
        reached = {name for name, one in self._tensors.items() if one.grad is not None}
        visits = [
            ([slot for slot in slots if (slot if copy == 0 else f"{slot}@{copy}") in reached], copy)
            for slots, copy in networks.visits
        ]
        return visits, StepSums(torch.stack(losses), None, [], self.wishes)

    def _backward(self, loss: Tensor, weight: Tensor) -> None:
        """Add the gradient of a loss, which counts by this rank's share of the batch."""
        weighted = loss if self._ranks.world == 1 else loss * (weight / self._nominal)
        weighted.backward()  # type: ignore[no-untyped-call]

    def run(self, genome: Genome, inputs: Sequence[Tensor], copy: int = 0) -> Tensor:
        """Return the outputs of a genome's network with its slices of the shared weights.

        Args:
            genome: The genome.
            inputs: Inputs as `Learning` prepares them. Images are scaled to the network's resolution.
            copy: The copy of the weights.
        """
        fitted = self.fitted(genome, inputs)
        found: Tensor = functional_call(self.networks.module(genome), self.weights.views(genome, copy), fitted)
        return found

    def fitted(self, genome: Genome, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return inputs with images scaled to the resolution of a genome's network."""
        return fitted(self.networks, genome, inputs)

    def _loss(self, one: Pass, outputs: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        """Return the loss of a pass."""
        if one.learns == "labels" or teacher is None:
            return self.learning.loss(outputs, targets)
        distance = self.strategy.distance if isinstance(self.strategy, ChoosesDistance) else "kl"
        taught = distance_loss(outputs.flatten(0, -2), teacher.flatten(0, -2), distance)
        if one.learns == "teacher":
            return taught
        return one.labels * self.learning.loss(outputs, targets) + (1 - one.labels) * taught

    @torch.no_grad()
    def _chosen(self, one: Pass, prepared: Prepared) -> Genome:
        """Return the genome that a pass trains."""
        if one.pick == "only" or len(one.genomes) == 1:
            return one.genomes[0]
        losses = []
        for genome in one.genomes:
            with self.precision():
                losses.append(self.learning.loss(self.run(genome, prepared.inputs, one.copy), prepared.targets))
        found = torch.stack(losses).float()
        if self._ranks.world > 1:
            found = found * self.learning.weight(prepared.targets)
            self._ranks.reduce(found)
        place = found.argmin() if one.pick == "best" else found.argmax()
        return one.genomes[int(place)]

    def _update(self, number: int, rate: float) -> None:
        """Change the weights by the gradient. Slots that no pass has used keep weights and momentum."""
        recipe = self._problem.recipe
        touched = [one for one in self._tensors.values() if one.grad is not None]
        if recipe.clip:
            clip_grad_norm_(touched, recipe.clip)
        set_rate(self.optimiser, rate)
        self.optimiser.step()
        if isinstance(self.strategy, HasMeanTeacher) and self.strategy.mean_teacher:
            self._follow(self.strategy.teacher_decay(number))
        with torch.no_grad():
            decay = min(recipe.ema, (1 + number) / (10 + number))
            for name, value in self._ema.items():
                value.lerp_(self._tensors[name], 1 - decay)
        self.optimiser.zero_grad(set_to_none=True)  # gradients would lie beside evaluations and checkpoints

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """Move the mean teacher, which is copy 1, towards copy 0, where the step has trained copy 0."""
        own, average = self.weights.parameters
        for name, value in own.items():
            if value.grad is not None:
                average[name].lerp_(value, 1 - decay)

    @cached_property
    def harmless_loss(self) -> float:
        """The loss up to which no step counts as diverged: that of chance, if all steps begin with the same teacher.

        Otherwise each step reports the loss of another network. One that is hardly trained may be worse than chance
        while the others are good, so a multiple of the loss of chance is harmless.
        """
        teaches = any(one.teaches for one in self.strategy.passes(0)[:1])
        return self.learning.chance * (1.0 if teaches else HARMLESS)

    @cached_property
    def judged(self) -> dict[str, Genome]:
        """The networks that evaluations judge, by name: largest, smallest, and some random ones."""
        rng = generator(self._problem.seed, "calibration")
        names = {"largest": self.context.largest, "smallest": self.context.smallest}
        return names | {f"sample {k + 1}": self.context.draw(rng) for k in range(SAMPLED)}

    def evaluate(
        self, part: Part, reduce: Callable[[Tensor], None] | None, stop: Callable[[], bool]
    ) -> dict[str, Result]:
        """Return the results of the largest, the smallest and some random networks; the largest one's first.

        Where the strategy scores networks by itself, the loss of a result is the score, and there is no accuracy. There
        is no result before there is a score, and none of a network some of whose weights no step has reached.

        Arguments and errors are those of `nasctl.training.learner.Learner.evaluate`.
        """
        problem, ranks, found = self._problem, self._ranks, {}
        if isinstance(self.strategy, ScoresGenomes):
            scores = {name: self.strategy.score(genome) for name, genome in self.judged.items()}
            examples = problem.data.size("train")  # scores come from training examples, whatever part is asked for
            return {name: Result(one, None, None, examples, 0.0) for name, one in scores.items() if one is not None}
        judged = {name: one for name, one in self.judged.items() if self.weights.is_trained(one, self.copy_of(one))}
        if untrained := self.judged.keys() - judged.keys():
            self.on_untrained(sorted(untrained))
        for name, genome in judged.items():
            with averaged(self._tensors, self._ema):
                module = self.weights.module(genome, self.copy_of(genome)).to(self.device)
            calibrate(module, self._calibration(genome))
            batches = part_batches(problem.data, part, problem.recipe.batch, problem.workers, ranks.rank, ranks.world)

            def run(*inputs: Tensor, genome: Genome = genome, module: torch.nn.Module = module) -> Tensor:
                outputs: Tensor = module(*self.fitted(genome, inputs))
                return outputs

            found[name] = evaluate(run, self.learning, batches, self.device, self.precision, reduce, stop)
        return found

    def _calibration(self, genome: Genome) -> Iterator[tuple[Tensor, ...]]:
        """Yield the inputs that norms are calibrated with: the first training examples of an order of the seed."""
        for given, labels in zip(*map(calibration_batches, self.calibration_examples), strict=True):
            prepared = self.learning.evaluation(given.to(self.device), labels.to(self.device))
            yield self.fitted(genome, prepared.inputs)

    @cached_property
    def calibration_examples(self) -> tuple[Tensor, Tensor]:
        """The training examples that norms are calibrated with, and their labels."""
        return calibration_examples(self._problem.data, self._problem.seed)

    def tensors(self) -> dict[str, Tensor]:
        """Return the whole state by "KIND/NAME", without copies."""
        found: dict[str, Tensor] = {f"slots/{name}": value for name, value in self.weights.tensors.items()}
        found |= {f"optimiser/{name}": value for name, value in optimiser_tensors(self.optimiser, self._names).items()}
        found |= {f"ema/{name}": value for name, value in self._ema.items()}
        found |= {f"strategy/{name}": torch.from_numpy(value) for name, value in self.strategy.arrays.items()}
        found |= {f"modules/{name}": value for name, value in module_tensors(self.modules).items()}
        return found | {"visits/slots": torch.from_numpy(self.weights.visits)}

    def scaler_state(self) -> dict[str, Any]:
        """Return the state of the loss scaling of float16, which supernets do not use."""
        return {}

    @torch.no_grad()
    def load(self, checkpoint: Checkpoint) -> None:
        """Restore the state of a checkpoint.

        Raises:
            NasctlError: Another version of nasctl, which names or shapes the slots otherwise, wrote it.
        """
        stored, average = checkpoint.part("slots"), checkpoint.part("ema")
        own = {
            **self.weights.tensors,
            **{f"{MODULES}{name}": one for name, one in module_tensors(self.modules).items()},
        }
        stored |= {f"{MODULES}{name}": one for name, one in checkpoint.part("modules").items()}
        if {name: one.shape for name, one in own.items()} != {name: one.shape for name, one in stored.items()}:
            raise NasctlError(
                f"Cannot continue from the checkpoint of step {checkpoint.step}: nasctl"
                f" {checkpoint.versions.get('nasctl', 'of another version')} shared this space's weights otherwise."
                " Continue with that version of nasctl, or give another --name."
            )
        for name, value in own.items():
            value.copy_(stored[name])
        load_optimiser(self.optimiser, self._names, checkpoint.part("optimiser"))
        for name, value in average.items():
            self._ema[name].copy_(value)
        for name, array in checkpoint.part("strategy").items():
            self.strategy.arrays[name][...] = array.numpy()
        self.weights.visits[...] = checkpoint.part("visits")["slots"].numpy()
        self._steps_done = checkpoint.step

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the shared weights on the CPU, averaged if the recipe asks, and of all visits."""
        return trained_state({**self._tensors, **self._ema}, self.weights, self.modules, self.strategy)


__all__ = ["SupernetLearner"]
