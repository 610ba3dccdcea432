"""The trained state: a module, its optimiser and its averaged weights, with one step of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nasctl.data import Part
from nasctl.errors import NasctlError
from nasctl.training.augmentation import Augmentation
from nasctl.training.batches import part_batches
from nasctl.training.checkpoint import Checkpoint
from nasctl.training.evaluation import Result, evaluate
from nasctl.training.events import LearningProblem, Ranks, RanksLost
from nasctl.training.losses import ClassLearning, Learning, MaskedWordLearning, NextWordLearning
from nasctl.training.optimiser import load_optimiser, optimiser, optimiser_tensors, set_rate
from nasctl.training.streams import seed_torch
from nasctl.training.trainable import learner, trainable

WISHES = 2  # numbers by which a rank asks all ranks for something after a step

EXTRAS = 3 + WISHES  # numbers that ranks add up with the gradient: weight, loss, correct answers, wishes

EMA_START = 10  # the average follows faster at first: its decay is at most (1 + n) / (EMA_START + n) at update n


class Learns(Protocol):
    """The trained state of a problem, as the loop of a training sees it; `Learner` documents its members."""

    device: torch.device
    learning: Learning
    wishes: Tensor
    halves: bool  # whether each batch is of two halves of the training examples; see `train_batches`

    @property
    def harmless_loss(self) -> float: ...

    def step(
        self, given: Tensor, labels: Tensor, number: int, rate: float, wishes: Sequence[float] = ...
    ) -> tuple[Tensor, Tensor | None]: ...

    def evaluate(
        self, part: Part, reduce: Callable[[Tensor], None] | None, stop: Callable[[], bool]
    ) -> dict[str, Result]: ...

    def tensors(self) -> dict[str, Tensor]: ...

    def scaler_state(self) -> dict[str, Any]: ...

    def load(self, checkpoint: Checkpoint) -> None: ...

    def state(self) -> dict[str, Tensor]: ...


class Learner:
    """A module in training, from its initial weights on.

    Args:
        problem: The network, the data and the recipe.
        ranks: The place of this process among those that train together.

    Raises:
        NasctlError: The task cannot train the network.
    """

    halves = False

    def __init__(self, problem: LearningProblem, ranks: Ranks) -> None:
        recipe, data = problem.recipe, problem.data
        classes = None if data.class_names is None else len(data.class_names)
        self.device = torch.device(problem.device)
        self.network = trainable(problem.network, problem.input, data.task, classes, problem.seed)
        if problem.start is not None:
            problem.start(self.network)
        made = learner(problem.network, self.network, problem.input, data.task, problem.seed)
        self.module = made.to(self.device).train()
        self.network.to(self.device).train()
        self.learning = learning_of(problem, ranks, self.device)
        self.optimiser = optimiser(self.module, recipe)
        self._problem, self._ranks = problem, ranks
        self.wishes = torch.zeros(WISHES)  # of the last step, added up over all ranks
        self._parameters = [one for one in self.module.parameters() if one.requires_grad]
        self._names: dict[Tensor, str] = {parameter: name for name, parameter in self.module.named_parameters()}
        self._nominal = float(min(recipe.batch, data.size("train")))
        self._type = self._mixed_type()
        self._scaler = torch.amp.GradScaler(self.device.type) if self._type is torch.float16 else None
        self._ema = {name: value.detach().clone() for name, value in self._averaged().items()} if recipe.ema else {}

    @property
    def harmless_loss(self) -> float:
        """The loss up to which no step counts as diverged: that of chance."""
        return self.learning.chance

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context of mixed precision, which does nothing without `amp`."""
        return nullcontext() if self._type is None else torch.autocast(self.device.type, self._type)

    def step(
        self, given: Tensor, labels: Tensor, number: int, rate: float, wishes: Sequence[float] = (0.0,) * WISHES
    ) -> tuple[Tensor, Tensor | None]:
        """Train on the rank's share of a batch, and return loss and number of correct answers over all ranks.

        Args:
            given: Examples, as `TrainingData.examples` returns them.
            labels: Their labels.
            number: Number of the step, from 0.
            rate: The learning rate.
            wishes: Numbers that are added up over several ranks, (WISHES,).

        Raises:
            RanksLost: Another rank has ended. The state is as before the step.
        """
        single = self._ranks.world == 1
        before = [] if single else [one.clone() for one in self.module.buffers()]
        prepared = self.learning.training(given.to(self.device), labels.to(self.device), number)
        seed_torch(self._problem.seed, "dropout", number, self._ranks.rank)
        with self.precision():
            outputs = self.module(*prepared.inputs)
            loss = self.learning.loss(outputs, prepared.targets)
        self.optimiser.zero_grad(set_to_none=True)
        weight = None if single else self.learning.weight(prepared.targets)
        # The loss of a rank counts by its share; a nominal total keeps the gradient in its usual range until then.
        weighted = loss if weight is None else loss * (weight / self._nominal)
        (self._scaler.scale(weighted) if self._scaler else weighted).backward()  # type: ignore[no-untyped-call]
        labelled = prepared.targets.ndim == 1 and prepared.rows is None
        correct = (outputs.detach().argmax(1) == prepared.targets).sum() if labelled else None
        found = loss.detach()
        if weight is not None:
            try:
                found, correct = self._reduce(found, weight, correct, wishes)
            except RanksLost:
                for one, value in zip(self.module.buffers(), before, strict=True):
                    one.copy_(value)
                raise
        self._update(number, rate)
        return found, correct

    def evaluate(
        self, part: Part, reduce: Callable[[Tensor], None] | None, stop: Callable[[], bool]
    ) -> dict[str, Result]:
        """Return the result of the module on a part of the data, over all ranks, under the name "".

        Args:
            part: The part.
            reduce: Adds a tensor up over all ranks, in place; None for a single one.
            stop: Returns whether this rank was asked to stop.

        Raises:
            KeyboardInterrupt: A rank was asked to stop.
        """
        problem, ranks = self._problem, self._ranks
        given = part_batches(problem.data, part, problem.recipe.batch, problem.workers, ranks.rank, ranks.world)
        self.module.eval()
        try:
            run = self.evaluated()
            return {"": evaluate(run, self.learning, given, self.device, self.precision, reduce, stop)}
        finally:
            self.module.train()

    def tensors(self) -> dict[str, Tensor]:
        """Return the whole state by "KIND/NAME", without copies."""
        found = {f"module/{name}": value for name, value in self._state().items()}
        found |= {f"optimiser/{name}": value for name, value in optimiser_tensors(self.optimiser, self._names).items()}
        return found | {f"ema/{name}": value for name, value in self._ema.items()}

    def scaler_state(self) -> dict[str, Any]:
        """Return the state of the loss scaling of float16."""
        return self._scaler.state_dict() if self._scaler else {}

    @torch.no_grad()
    def load(self, checkpoint: Checkpoint) -> None:
        """Restore the state of a checkpoint.

        Raises:
            NasctlError: Another version of nasctl, which names or shapes the tensors of the module otherwise, wrote it.
        """
        stored, average = checkpoint.part("module"), checkpoint.part("ema")
        _check_shapes(self._state(), stored, checkpoint)
        _check_shapes(self._ema, average, checkpoint)
        for name, value in self._state().items():
            value.copy_(stored[name])
        load_optimiser(self.optimiser, self._names, checkpoint.part("optimiser"))
        for name, value in average.items():
            self._ema[name].copy_(value)
        if self._scaler and checkpoint.scaler:
            self._scaler.load_state_dict(dict(checkpoint.scaler))

    def evaluated(self) -> Callable[..., Tensor]:
        """Return the module as a function; with its averaged weights if the recipe has an average."""
        if not self._ema:
            return self.module
        return lambda *inputs: functional_call(self.module, self._ema, inputs)

    @torch.no_grad()
    def state(self) -> dict[str, Tensor]:
        """Return a copy of the state dict of the network's module on the CPU, with averaged weights if there are."""
        kept = {name: value.clone() for name, value in self._averaged().items()} if self._ema else {}
        self._overwrite(self._ema)
        found = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
        self._overwrite(kept)
        return found

    def _overwrite(self, values: Mapping[str, Tensor]) -> None:
        own = self._averaged()
        for name, value in values.items():
            own[name].copy_(value)

    def _reduce(
        self, loss: Tensor, weight: Tensor, correct: Tensor | None, wishes: Sequence[float]
    ) -> tuple[Tensor, Tensor | None]:
        """Average gradients and buffers over all ranks by one sum of one flat tensor, and return loss and correct."""
        gradients = [one.grad for one in self._parameters if one.grad is not None]
        # Statistics of norms are averaged too, so that all ranks have the same state at every step.
        buffers = [one for one in self.module.buffers() if one.is_floating_point()]
        none = torch.zeros_like(loss)
        extras = torch.stack([weight.to(loss), loss * weight, none if correct is None else correct.to(loss)])
        flat = torch.cat([one.flatten() for one in (*gradients, *buffers, extras, loss.new_tensor(wishes))])
        self._ranks.reduce(flat)
        total = flat[-EXTRAS]
        start = 0
        for one in gradients:
            one.copy_(flat[start : start + one.numel()].view_as(one) * (self._nominal / total))
            start += one.numel()
        for one in buffers:
            one.copy_(flat[start : start + one.numel()].view_as(one) / self._ranks.world)
            start += one.numel()
        self.wishes = flat[-WISHES:]
        return flat[1 - EXTRAS] / total, None if correct is None else flat[2 - EXTRAS]

    def _update(self, number: int, rate: float) -> None:
        """Change the weights by the gradient."""
        recipe = self._problem.recipe
        if self._scaler:
            self._scaler.unscale_(self.optimiser)
        if recipe.clip:
            clip_grad_norm_(self._parameters, recipe.clip)
        set_rate(self.optimiser, rate)
        if self._scaler:
            self._scaler.step(self.optimiser)
            self._scaler.update()
        else:
            self.optimiser.step()
        if self._ema:
            decay = min(recipe.ema, (1 + number) / (EMA_START + number))
            current = self._averaged()
            get_ema_multi_avg_fn(decay)(  # type: ignore[no-untyped-call]
                tuple(self._ema.values()), tuple(current[name].detach() for name in self._ema), number
            )

    def _state(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name, each tensor once though layers share it."""
        return {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}

    def _averaged(self) -> dict[str, Tensor]:
        """Return the tensors that an average of weights has: parameters, and statistics of norms."""
        return {name: value for name, value in self._state().items() if value.is_floating_point()}

    def _mixed_type(self) -> torch.dtype | None:
        """Return the type of mixed precision on the device; None without it."""
        if not self._problem.recipe.amp:
            return None
        if self.device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.float16
        return torch.bfloat16


def _check_shapes(own: Mapping[str, Tensor], stored: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    """Check that stored tensors have the names and shapes of the module's own.

    Raises:
        NasctlError: They have not.
    """
    shapes, found = ({name: one.shape for name, one in tensors.items()} for tensors in (own, stored))
    if wrong := sorted(name for name in {*shapes, *found} if shapes.get(name) != found.get(name)):
        raise NasctlError(
            f"Cannot continue from the checkpoint of step {checkpoint.step}: nasctl"
            f" {checkpoint.versions.get('nasctl', 'of another version')} built another module of this network, whose"
            f" tensor {wrong[0]!r} differs. Continue with that version of nasctl, or give another --name."
        )


def learning_of(problem: LearningProblem, ranks: Ranks, device: torch.device) -> Learning:
    """Return the task of a problem."""
    data, recipe = problem.data, problem.recipe
    if data.task == "next words":
        return NextWordLearning(recipe, problem.input.vocabulary)
    if data.task == "masked words":
        return MaskedWordLearning(recipe, problem.input.vocabulary, problem.seed)
    (shape,) = problem.network.input_shapes
    return ClassLearning(
        recipe,
        Augmentation(recipe, data.mean, data.deviation, shape, device),
        problem.network.out_shape[0],
        data.class_counts("train"),
        seed=problem.seed,
        whole=min(recipe.batch, data.size("train")),
        rank=ranks.rank,
        world=ranks.world,
        device=device,
    )


__all__ = ["WISHES", "Learner", "Learns", "learning_of"]
