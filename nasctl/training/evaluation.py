"""Evaluation of a module on a part of the data: loss, accuracy or perplexity, and standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nasctl.training.losses import Learning

SUMS = 5  # numbers that an evaluation adds up over batches and ranks


@dataclass(frozen=True)
class Result:
    """The result of an evaluation."""

    loss: float  # mean cross-entropy of an example, or of a word
    accuracy: float | None  # share of examples whose class has the largest logit; None for words
    perplexity: float | None  # exp of the loss, for words; None for classes
    examples: int  # images, or rows of words
    error: float  # standard error of the accuracy, see `accuracy_error`; for words, of the mean loss

    def asdict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dict(vars(self))


def evaluate(
    run: Callable[..., Tensor],
    learning: Learning,
    batches: Iterable[tuple[Tensor, Tensor]],
    device: torch.device | str = "cpu",
    precision: Callable[[], AbstractContextManager[Any]] | None = None,
    reduce: Callable[[Tensor], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Return the result of a module in evaluation mode.

    The loss is the plain cross-entropy, without label smoothing, class weights and mixup, so that recipes compare. The
    standard error of an accuracy is that of `accuracy_error`. The standard error of a mean loss is that of the mean
    over the rows, because words of one row are not independent.

    Args:
        run: The module.
        learning: The task.
        batches: Examples and labels of the part, or of a rank's share of it.
        device: The device of the module.
        precision: Makes the context of mixed precision.
        reduce: Adds a tensor up over all ranks, in place.
        stop: Returns whether this rank was asked to stop.

    Raises:
        KeyboardInterrupt: A rank was asked to stop; it is raised on all ranks.
    """
    sums = torch.zeros(SUMS, dtype=torch.float64, device=device)
    stopped = False
    with torch.no_grad():
        for given, labels in batches:
            if stopped := stop():
                break
            prepared = learning.evaluation(given.to(device), labels.to(device))
            with precision() if precision else nullcontext():
                outputs = run(*prepared.inputs).flatten(0, -2)
            losses = cross_entropy(outputs.float(), prepared.targets, reduction="none").double()
            sums += _sums(losses, outputs, prepared.targets, prepared.rows, len(given))
    if reduce:
        flat = torch.cat([sums, sums.new_tensor([stopped])])
        reduce(flat)
        sums, stopped = flat[:SUMS], bool(flat[SUMS])
    if stopped:
        raise KeyboardInterrupt
    return _result(sums.tolist(), learning.words)


def accuracy_error(accuracy: float, examples: int) -> float:
    """Return the standard error of an accuracy: half the width of Wilson's interval of one standard error.

    With z = 1, the half width is sqrt(p (1 - p) / n + 1 / (4 n^2)) / (1 + 1 / n). With many examples it approaches
    sqrt(p (1 - p) / n). It is above 0 where all answers are right or wrong: seven right answers of seven have an error
    of 6.3%.

    References:
        Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
        Statistical Association 22 (1927) 209-212. Brown, Cai & DasGupta, "Interval estimation for a binomial
        proportion", Statistical Science 16 (2001) 101-133, equation 4.

    Args:
        accuracy: Share of right answers; NaN without examples.
        examples: Number of examples, n.

    Returns:
        The error, as a share; NaN without examples.
    """
    if not examples:
        return math.nan
    return math.sqrt(accuracy * (1 - accuracy) / examples + 1 / (4 * examples**2)) / (1 + 1 / examples)


def _sums(losses: Tensor, outputs: Tensor, targets: Tensor, rows: Tensor | None, examples: int) -> Tensor:
    """Return examples, places, correct answers or squared row means, summed losses, and summed row means, (SUMS,)."""
    number = losses.new_tensor(len(losses))
    if rows is None:
        correct = (outputs.argmax(1) == targets).sum().double()
        return torch.stack([number, number, correct, losses.sum(), correct])
    totals = losses.new_zeros(examples).index_add_(0, rows, losses)
    counts = losses.new_zeros(examples).index_add_(0, rows, torch.ones_like(losses))
    means = (totals / counts.clamp(min=1))[counts > 0]
    return torch.stack([losses.new_tensor(len(means)), number, means.square().sum(), losses.sum(), means.sum()])


def _result(sums: list[float], words: bool) -> Result:
    examples, places, third, total, fifth = sums
    loss = total / places if places else math.nan
    if not words:
        accuracy = third / examples if examples else math.nan
        return Result(loss, accuracy, None, int(examples), accuracy_error(accuracy, int(examples)))
    mean = fifth / max(1.0, examples)
    variance = max(0.0, third / max(1.0, examples) - mean**2) * examples / max(1.0, examples - 1)
    perplexity = math.exp(loss) if loss < 700 else math.inf
    return Result(loss, None, perplexity, int(examples), math.sqrt(variance / max(1.0, examples)))


__all__ = ["Result", "accuracy_error", "evaluate"]
