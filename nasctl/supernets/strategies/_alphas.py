"""Parameters that say how good the choices of each gene are, and the factors that mixtures of choices get from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Dirichlet
from torch.nn.functional import elu, one_hot

from nasctl.api import BadOption, StepNetworks, StrategyContext

METHODS = ("darts", "drnas", "gdas")

SPREAD = 1e-3  # standard deviation of the initial parameters

BETAS = 0.5, 0.999  # shares that Adam's means of gradients and of their squares keep

EPSILON = 1e-8  # of Adam

HOTTEST, COLDEST = 10.0, 0.1  # temperature of Gumbel softmax at the first and at the last step


class Alphas:
    """One parameter for each choice of each gene, with Adam's state. All of it lies in `arrays`.

    Methods turn the parameters of a gene into factors of its choices:

    - "darts": softmax.
    - "drnas": a draw from the Dirichlet distribution with concentrations elu(parameter) + 1. Gradients reach the
      parameters through the draw.
    - "gdas": the choice with the largest parameter plus Gumbel noise has factor 1, all others 0. Gradients are those of
      the softmax of the sums over a temperature, which falls linearly from 10 to 0.1.

    A step of a strategy takes `leaves` and `factors`, computes a loss, and hands its gradients to `updated`. The new
    parameters enter `arrays` by `settle`, which `told` calls, so that a step which is not completed changes nothing:

        leaves, inputs = alphas.leaves(), second.inputs()
        factors = alphas.factors(leaves, rng, done, inputs[0].device)
        loss = second.loss(networks.mixed(allowed, factors, inputs, frozen=True))
        leaves = alphas.updated(gradients(loss, leaves), second.size, networks)

    Args:
        context: The training.
        method: "darts", "drnas" or "gdas".
        rate: Learning rate of Adam.
        decay: Weight decay, which is added to the gradients.

    Raises:
        BadOption: An option has a value that makes no sense.

    References:
        Liu et al., "DARTS: differentiable architecture search", ICLR 2019, arXiv:1806.09055. Chen et al., "DrNAS:
        Dirichlet neural architecture search", ICLR 2021, arXiv:2006.10355. Dong & Yang, "Searching for a robust neural
        architecture in four GPU hours" (GDAS), CVPR 2019, arXiv:1910.04465.
    """

    def __init__(
        self, context: StrategyContext, method: str = "darts", rate: float = 3e-4, decay: float = 1e-3
    ) -> None:
        if method not in METHODS:
            raise BadOption(f"Cannot learn choices with method={method}. Give method=darts, drnas or gdas.")
        if not rate > 0 or not decay >= 0:
            raise BadOption(
                f"Cannot learn choices with rate={rate:g} and decay={decay:g}. Give a positive rate, and a decay of at"
                " least 0."
            )
        self._method, self._rate, self._decay = method, rate, decay
        self.counts = [len(gene.choices) for gene in context.space.genes]
        self._stops = np.cumsum(self.counts)
        values = SPREAD * np.random.default_rng(context.seed).standard_normal(sum(self.counts))
        self.arrays: dict[str, np.ndarray] = {
            "alphas": values,
            "alpha_means": np.zeros_like(values),
            "alpha_squares": np.zeros_like(values),
            "alpha_updates": np.zeros((), np.int64),
        }
        self._after: dict[str, np.ndarray] | None = None  # `arrays` after the step in progress

    def leaves(self) -> list[Tensor]:
        """Return the parameters of each gene, (genes,) tensors of (choices,), as leaves of the graph of gradients.

        They are float64 and on the CPU.
        """
        return [torch.tensor(own, requires_grad=True) for own in self._split(self.arrays["alphas"])]

    def factors(
        self, leaves: Sequence[Tensor], rng: np.random.Generator, done: float, device: torch.device | str = "cpu"
    ) -> dict[int, Tensor]:
        """Return the factors of the choices of each gene that has several, float32 of (choices,), which add up to 1.

        Args:
            leaves: Parameters of each gene, such as `leaves` returns.
            rng: Generator of draws.
            done: Share of the training that is done, which sets the temperature of "gdas".
            device: Device of the factors.
        """
        several = {place: own for place, own in enumerate(leaves) if len(own) > 1}
        if self._method == "drnas":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(rng.integers(1 << 62)))
                found = {place: Dirichlet(_concentration(own)).rsample() for place, own in several.items()}
        elif self._method == "gdas":
            heat = HOTTEST + (COLDEST - HOTTEST) * min(1.0, max(0.0, done))
            found = {place: _hard(own, rng.gumbel(size=len(own)), heat) for place, own in several.items()}
        else:
            found = {place: own.softmax(0) for place, own in several.items()}
        return {place: one.to(device, torch.float32) for place, one in found.items()}

    def update(self, gradients: Sequence[Tensor | None], size: int, networks: StepNetworks) -> None:
        """Change the parameters by the mean gradient over all processes. A gradient that is not finite changes nothing.

        Args:
            gradients: Gradient of this process's mean loss for each of `leaves`; None counts as zeros.
            size: Number of examples that the loss is the mean over.
            networks: The networks of the step, which know the other processes.
        """
        own = [
            torch.zeros(count, dtype=torch.float64) if one is None else one.detach().double().cpu()
            for one, count in zip(gradients, self.counts, strict=True)
        ]
        row = torch.cat([torch.cat(own) * size, torch.tensor([float(size)], dtype=torch.float64)])
        total = networks.gathered(row[None]).sum(0).numpy()
        gradient = total[:-1] / total[-1]
        if np.isfinite(gradient).all():
            self._adam(gradient)

    def updated(self, gradients: Sequence[Tensor | None], size: int, networks: StepNetworks) -> list[Tensor]:
        """Return the parameters after an update, without gradient. `arrays` change when the step is settled.

        Arguments are those of `update`.
        """
        before = {name: one.copy() for name, one in self.arrays.items()}
        self.update(gradients, size, networks)
        self._after = {name: one.copy() for name, one in self.arrays.items()}
        leaves = [one.detach() for one in self.leaves()]
        _write(self.arrays, before)
        return leaves

    def settle(self) -> None:
        """Write the update of a step that has ended into `arrays`."""
        if self._after is not None:
            _write(self.arrays, self._after)
            self._after = None

    def probabilities(self) -> list[np.ndarray]:
        """Return the expected factor of each choice, (genes,) arrays of (choices,) that add up to 1."""
        found = []
        for own in self._split(self.arrays["alphas"]):
            concentrations = _concentration(torch.from_numpy(own)).numpy()
            values = concentrations if self._method == "drnas" else np.exp(own - own.max())
            found.append(values / values.sum())
        return found

    def _adam(self, gradient: np.ndarray) -> None:
        """Take a step of Adam with the gradient of all parameters, (sum of choices,)."""
        values, means, squares, updates = self.arrays.values()
        gradient = gradient + self._decay * values
        updates += 1
        means += (1 - BETAS[0]) * (gradient - means)
        squares += (1 - BETAS[1]) * (gradient**2 - squares)
        mean, square = means / (1 - BETAS[0] ** int(updates)), squares / (1 - BETAS[1] ** int(updates))
        values -= self._rate * mean / (np.sqrt(square) + EPSILON)

    def _split(self, values: np.ndarray) -> list[np.ndarray]:
        return np.split(values, self._stops[:-1])


def _concentration(parameters: Tensor) -> Tensor:
    """Return the concentrations of a Dirichlet distribution, which are 1 for parameters of 0."""
    return elu(parameters) + 1


def _hard(parameters: Tensor, noise: np.ndarray, heat: float) -> Tensor:
    """Return a one-hot vector with the gradient of the Gumbel softmax."""
    scores = parameters.log_softmax(0) + torch.from_numpy(noise).to(parameters)
    soft = (scores / heat).softmax(0)
    hard = one_hot(soft.argmax(), len(soft)).to(soft)
    return hard - soft.detach() + soft


def gradients(loss: Tensor, leaves: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Return the gradients of a loss, None for a leaf that it does not depend on."""
    if not loss.requires_grad:  # no way leads from the input to the output
        return [None] * len(leaves)
    return torch.autograd.grad(loss, leaves, allow_unused=True)


def _write(arrays: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]) -> None:
    """Write values into arrays in place."""
    for name, array in arrays.items():
        array[...] = values[name]
