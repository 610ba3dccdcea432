"""Torch modules of recurrent language models, kept apart from the space so that describing a network needs no torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WordTable(nn.Module):
    """A learned vector for each word, repeated for each example: tokens (B, T) -> (B, vocabulary, width)."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        nn.init.uniform_(self.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.weight.expand(tokens.shape[0], -1, -1)  # A view: nothing is copied.


class WordVectors(nn.Module):
    """Lookup of word vectors: tokens (B, T), table (B, vocabulary, width), equal in all examples -> (B, T, width)."""

    def forward(self, tokens: Tensor, table: Tensor) -> Tensor:
        return nn.functional.embedding(tokens, table[0])


class WordScores(nn.Module):
    """A logit for each word: vectors (B, T, width), table (B, vocabulary, width) -> (B, T, vocabulary).

    The table must be equal in all examples; the module reads it from the first one.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        return nn.functional.linear(x, table[0], self.bias)


class Recurrence(nn.Module):
    """A recurrent cell run along a sequence: (B, T, width) -> (B, T, hidden).

    The cell is given as a recipe: steps of a name, an operation and the names of its inputs.
    """

    def __init__(self, recipe: tuple[tuple[str, str, tuple[str, ...]], ...], width: int, hidden: int) -> None:
        super().__init__()
        self.recipe, self.hidden = recipe, hidden
        self.linear = nn.ModuleDict()  # keyed by the step's name and the input's position
        for name, operation, inputs in recipe:
            for position, source in enumerate(inputs if operation == "linear" else ()):
                linear = nn.Linear(width if source == "x" else hidden, hidden, bias=position == 0)
                self.linear[f"{name}_{position}"] = linear
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        # Products with x do not depend on the state, so they are computed for the whole sequence at once.
        projected_x = {
            (name, position): self.linear[f"{name}_{position}"](x)
            for name, _, inputs in self.recipe
            for position, source in enumerate(inputs)
            if source == "x"
        }
        states = sum(name in ("h_new_0", "h_new_1", "h_new_2") for name, _, _ in self.recipe)
        values = {f"h_new_{k}": x.new_zeros(x.shape[0], self.hidden) for k in range(states)}
        outputs = []
        for step in range(x.shape[1]):
            values = {f"h_prev_{k}": values[f"h_new_{k}"] for k in range(states)}
            for name, operation, inputs in self.recipe:
                if operation == "linear":
                    terms = [
                        projected_x[name, position][:, step]
                        if source == "x"
                        else self.linear[f"{name}_{position}"](values[source])
                        for position, source in enumerate(inputs)
                    ]
                    values[name] = sum(terms[1:], start=terms[0])
                    continue
                first, *others = (values[source] for source in inputs)
                if operation == "elementwise_sum":
                    values[name] = first + others[0]
                elif operation == "elementwise_prod":
                    values[name] = first * others[0]
                elif operation == "blend":
                    values[name] = first * others[0] + (1 - first) * others[1]
                elif operation == "activation_tanh":
                    values[name] = torch.tanh(first)
                elif operation == "activation_sigm":
                    values[name] = torch.sigmoid(first)
                else:
                    values[name] = nn.functional.leaky_relu(first)
            outputs.append(values["h_new_0"])
        return torch.stack(outputs, 1)
