"""A recurrent network that draws genomes, one gene after another, and learns from their rewards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nasctl.errors import BadOption
from nasctl.problem.space import Genome

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 2.5  # largest logit: the network's outputs x become 2.5 tanh(x)

INITIAL = 0.1  # weights are drawn uniformly from -0.1 to 0.1

LONGEST = 5.0  # norm that longer gradients are shortened to

RECALLED = 10  # genomes of the memory that an update learns to recall

SAMPLED = 64  # genomes whose conditional probabilities are averaged to marginal ones


@dataclass(frozen=True)
class ControllerOptions:
    """The settings of a controller.

    Args:
        hidden: Units of the LSTM.
        rate: Learning rate of Adam.
        entropy: Weight of the entropy, in units of the reward.
        decay: Share of the old baseline in the moving average of rewards.
        memory: Whether the hidden state learns to recall the choices of genomes drawn before.
        buffer: Genomes that the memory holds.

    Raises:
        BadOption: An option is out of range.
    """

    hidden: int = 64
    rate: float = 0.0035
    entropy: float = 1e-4
    decay: float = 0.95
    memory: bool = False
    buffer: int = 1000

    def __post_init__(self) -> None:
        whole = self.hidden >= 1 and self.buffer >= 1
        if not whole or not self.rate > 0 or not self.entropy >= 0 or not 0 <= self.decay < 1:
            raise BadOption(
                f"Cannot use enas with hidden={self.hidden},rate={self.rate:g},entropy={self.entropy:g},"
                f"decay={self.decay:g},buffer={self.buffer}. Give 1 or more units and genomes, a rate above 0, an"
                " entropy of 0 or more, and a decay from 0 to less than 1."
            )


class ChoiceController:
    """An LSTM that reads the choices made so far, and gives the probabilities of the next gene's choices.

    REINFORCE raises the probabilities of genomes whose reward is above a moving average. With `memory`, a linear
    layer on the hidden state also learns to tell every choice that the LSTM has read, on genomes that were drawn
    before, so that the state cannot forget them. The state of the learner is in `arrays`, which are changed in place.

    Args:
        counts: Number of choices of each gene, (genes,).
        seed: Seed of the initial weights.
        options: The settings.

    References:
        Pham et al., "Efficient neural architecture search via parameter sharing", ICML 2018, arXiv:1802.03268,
        section 2.2; settings of Adam (beta1 = 0, epsilon = 1e-3) and initial weights are those of its code, whose LSTM
        has two layers. Adam & Lorraine, "Understanding neural architecture search techniques", arXiv:1904.00438: the
        memory.
    """

    def __init__(self, counts: Sequence[int], seed: int = 0, options: ControllerOptions | None = None) -> None:
        import torch

        self.counts, self.options = tuple(counts), options or ControllerOptions()
        hidden, total = self.options.hidden, sum(counts)
        shapes = {
            "embedding": (total + 1, hidden),  # of each choice of each gene, and of the beginning
            "read": (4 * hidden, hidden),
            "kept": (4 * hidden, hidden),
            "gates": (4 * hidden,),
            "heads": (total, hidden),
        }
        if self.options.memory:
            shapes["recall"] = (total, hidden)
        rng = np.random.default_rng([seed, 1])
        values = {name: rng.uniform(-INITIAL, INITIAL, shape).astype(np.float32) for name, shape in shapes.items()}
        self._weights = {name: torch.from_numpy(value).requires_grad_() for name, value in values.items()}
        self._optimiser = torch.optim.Adam(
            self._weights.values(), self.options.rate, betas=(0.0, 0.999), eps=1e-3, foreach=False
        )
        self.arrays: dict[str, np.ndarray] = dict(values)
        for name, weight in self._weights.items():  # the optimiser's state shares the memory of the arrays
            state = {key: torch.zeros_like(weight, requires_grad=False) for key in ("exp_avg", "exp_avg_sq")}
            state["step"] = torch.zeros(())
            self._optimiser.state[weight] = state
            self.arrays |= {f"{name}.{key}": value.numpy() for key, value in state.items()}
        self.arrays["baseline"] = np.zeros(2)  # moving average of rewards, and number of updates
        if self.options.memory:
            self.arrays["memory"] = np.zeros((self.options.buffer, len(counts)), np.int64)
            self.arrays["remembered"] = np.zeros(1, np.int64)  # genomes drawn so far
        self._starts = np.cumsum([0, *counts[:-1]])  # of the choices of each gene among those of all

    def draw(self, rng: np.random.Generator, number: int = 1) -> list[Genome]:
        """Return raw genomes, drawn from the controller, (number,)."""
        drawn, _ = self._drawn(rng, number)
        return list(map(tuple, drawn.tolist()))

    def likeliest(self) -> Genome:
        """Return the raw genome that has the most probable choice of each gene, given those before it."""
        drawn, _ = self._drawn(None, 1)
        return tuple(drawn[0].tolist())

    def probabilities(self) -> list[np.ndarray]:
        """Return the marginal probability of each choice of each gene, (genes,) arrays of (choices,).

        They are means of the conditional probabilities over 64 genomes that are drawn with a seed of their own.
        """
        _, found = self._drawn(np.random.default_rng(0), SAMPLED)
        means = [one.mean(axis=0) for one in found]
        return [one / one.sum() for one in means]

    def conditionals(self, genomes: Sequence[Genome]) -> list[np.ndarray]:
        """Return the probabilities of each gene's choices given the choices before it in genomes.

        Args:
            genomes: Raw genomes, (N,).

        Returns:
            (genes,) arrays of (N, choices).
        """
        import torch

        with torch.no_grad():
            logs, _ = self._read(np.asarray(genomes))
        return [one.exp().double().numpy() for one in logs]

    def states(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Return the hidden state after all choices of genomes have been read, (N, hidden)."""
        import torch

        with torch.no_grad():
            _, states = self._read(np.asarray(genomes))
        found: np.ndarray = states[-1].numpy()
        return found

    def learn(self, genomes: Sequence[Genome], rewards: Sequence[float], rng: np.random.Generator) -> None:
        """Learn from the rewards of genomes that this controller has drawn.

        Args:
            genomes: Raw genomes, as they were drawn, (N,).
            rewards: Their rewards, (N,); larger is better. One that is not finite teaches nothing.
            rng: Draws the genomes to recall.
        """
        import torch

        known = [k for k, reward in enumerate(rewards) if math.isfinite(reward)]
        if not known:
            return
        chosen, given = np.asarray(genomes)[known], np.asarray(rewards, float)[known]
        baseline = self.arrays["baseline"]
        decay = self.options.decay if baseline[1] else 0.0
        centre = baseline[0] if baseline[1] else given.mean()
        with torch.enable_grad():
            logs, _ = self._read(chosen)
            taken = torch.stack([one[range(len(chosen)), chosen[:, k]] for k, one in enumerate(logs)])  # (genes, N)
            entropy = sum(-(one.exp() * one).sum(1).mean() for one in logs)
            advantage = torch.from_numpy(given - centre).float()
            loss = -(taken.sum(0) * advantage).mean() - self.options.entropy * entropy
            if self.options.memory:
                self._remember(chosen)
                loss = loss + self._recall_loss(rng)
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._weights.values(), LONGEST)
        self._optimiser.step()
        baseline[0] = decay * baseline[0] + (1 - decay) * given.mean()
        baseline[1] += 1

    def _remember(self, genomes: np.ndarray) -> None:
        """Put genomes, (N, genes), into the memory in place of the oldest ones."""
        places = (self.arrays["remembered"][0] + np.arange(len(genomes))) % self.options.buffer
        self.arrays["memory"][places] = genomes
        self.arrays["remembered"][0] += len(genomes)

    def _recall_loss(self, rng: np.random.Generator) -> Tensor:
        """Return the mean cross-entropy of the choices of earlier genes, told from the state after each gene, ()."""
        import torch
        from torch.nn.functional import cross_entropy

        held = min(int(self.arrays["remembered"][0]), self.options.buffer)
        past = self.arrays["memory"][rng.integers(held, size=RECALLED)]  # (N, genes)
        _, states = self._read(past)
        losses = []
        for gene, (start, count) in enumerate(zip(self._starts, self.counts, strict=True)):
            after = torch.cat(states[gene + 1 :])  # states that have read the gene, ((genes - gene) N, hidden)
            scores = after @ self._weights["recall"][start : start + count].T
            targets = torch.from_numpy(np.tile(past[:, gene], len(self.counts) - gene))
            losses.append(cross_entropy(scores, targets))
        return torch.stack(losses).mean()

    def _read(self, genomes: np.ndarray) -> tuple[list[Tensor], list[Tensor]]:
        """Return logarithms of conditional probabilities, and hidden states.

        Args:
            genomes: Raw genomes, (N, genes).

        Returns:
            Logarithms, (genes,) of (N, choices); states after 0 to all genes have been read, (genes + 1,) of
            (N, hidden).
        """
        state, logs, states = self._begin(len(genomes)), [], []
        for gene in range(len(self.counts)):
            states.append(state[0])
            logs.append(self._logs(gene, state[0]))
            state = self._next(gene, genomes[:, gene], state)
        return logs, [*states, state[0]]

    def _drawn(self, rng: np.random.Generator | None, number: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Draw genomes, or take the most probable choices without a generator.

        Returns:
            Raw genomes, (number, genes); the probabilities that each choice was drawn with, (genes,) of
            (number, choices).
        """
        import torch

        columns, found = [], []
        with torch.no_grad():
            state = self._begin(number)
            for gene, count in enumerate(self.counts):
                shares = self._logs(gene, state[0]).double().exp().numpy()
                if rng is None:
                    column = shares.argmax(1)
                else:
                    sums = shares.cumsum(1)
                    at = rng.random((number, 1)) * sums[:, -1:]
                    column = np.minimum((sums <= at).sum(1), count - 1)
                columns.append(column)
                found.append(shares)
                state = self._next(gene, column, state)
        return np.stack(columns, axis=1), found

    def _begin(self, number: int) -> tuple[Tensor, Tensor]:
        """Return state and cell after the beginning, (N, hidden) each."""
        import torch

        zeros = torch.zeros(number, self.options.hidden)
        return self._cell(self._weights["embedding"][-1].expand(number, -1), (zeros, zeros))

    def _next(self, gene: int, column: np.ndarray, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return state and cell after the choices of a gene, (N,), have been read."""
        import torch

        places = torch.from_numpy(column + self._starts[gene])
        return self._cell(self._weights["embedding"][places], state)

    def _cell(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return state and cell of one step of the LSTM, from inputs (N, hidden)."""
        import torch

        read, kept, gates = (self._weights[name] for name in ("read", "kept", "gates"))
        hidden, cell = torch.lstm_cell(inputs, state, read, kept, gates, torch.zeros_like(gates))
        return hidden, cell

    def _logs(self, gene: int, hidden: Tensor) -> Tensor:
        """Return logarithms of the probabilities of a gene's choices, (N, choices)."""
        start = self._starts[gene]
        scores = hidden @ self._weights["heads"][start : start + self.counts[gene]].T
        return (LIMIT * scores.tanh()).log_softmax(1)


__all__ = ["ChoiceController", "ControllerOptions"]
