"""The recurrent cells of NAS-Bench-NLP in its language model: a recipe of up to ten operations, 6e48 genomes.

References:
    Klyuchnikov et al., "NAS-Bench-NLP: Neural architecture search benchmark for natural language processing", IEEE
    Access 10, 2022, arXiv:2006.07116; `search_space.py`, `custom_rnn.py`, `multilinear.py` and `model.py` of
    github.com/fmsnew/nas-bench-nlp-release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import ClassVar

from nasctl.api import (
    BadOption,
    Builder,
    Call,
    Fidelity,
    Gene,
    Genome,
    Input,
    Layer,
    Network,
    Reference,
    Shape,
    validate,
)
from nasctl.spaces._recipes import (
    LINEAR,
    MAX_STATES,
    Recipe,
    Step,
    canonical_recipe,
    format_recipe,
    live_steps,
    parse_recipe,
    reads_x,
    required_steps,
)

__all__ = ["RNN"]

NODES = 10  # nodes of the largest published recipe, activations not counted
# Choice of the operation gene -> (operation of the recipe, number of inputs).
OPERATIONS: Mapping[str, tuple[str, int]] = {
    "linear2": (LINEAR, 2),
    "linear3": (LINEAR, 3),
    "blend": ("blend", 3),
    "prod": ("elementwise_prod", 2),
    "sum": ("elementwise_sum", 2),
}
SIGNATURES = list(OPERATIONS.values())
ACTIVATIONS = ("none", "activation_tanh", "activation_sigm", "activation_leaky_relu")
CELL_INPUTS = ("x", *(f"h_prev_{k}" for k in range(MAX_STATES)))  # values that every node can read
NODE_NAMES = tuple(f"node_{k}" for k in range(2 * NODES))  # name 2k is an operation, name 2k + 1 its activation
GENES_PER_NODE = 5  # operation, activation and three inputs
# Largest value of each option: words, words, layers, units, units.
LIMITS = {"vocabulary": 10_000_000, "length": 4096, "layers": 100, "width": 65_536, "hidden": 65_536}

SOURCE = "search_space.py of github.com/fmsnew/nas-bench-nlp-release"
PUBLISHED: Mapping[str, Recipe] = {
    "gru": (
        ("r", LINEAR, ("x", "h_prev_0")),
        ("r_act", "activation_sigm", ("r",)),
        ("z", LINEAR, ("x", "h_prev_0")),
        ("z_act", "activation_sigm", ("z",)),
        ("rh", "elementwise_prod", ("r_act", "h_prev_0")),
        ("h_tilde", LINEAR, ("x", "rh")),
        ("h_tilde_act", "activation_tanh", ("h_tilde",)),
        ("h_new_0", "blend", ("z_act", "h_prev_0", "h_tilde_act")),
    ),
    "lstm": (
        ("i", LINEAR, ("x", "h_prev_0")),
        ("i_act", "activation_tanh", ("i",)),
        ("j", LINEAR, ("x", "h_prev_0")),
        ("j_act", "activation_sigm", ("j",)),
        ("f", LINEAR, ("x", "h_prev_0")),
        ("f_act", "activation_sigm", ("f",)),
        ("o", LINEAR, ("x", "h_prev_0")),
        ("o_act", "activation_tanh", ("o",)),
        ("kept", "elementwise_prod", ("f_act", "h_prev_1")),
        ("added", "elementwise_prod", ("i_act", "j_act")),
        ("h_new_1", "elementwise_sum", ("kept", "added")),
        ("h_new_1_act", "activation_tanh", ("h_new_1",)),
        ("h_new_0", "elementwise_prod", ("h_new_1_act", "o_act")),
    ),
}


class RNN:
    """Language models of three layers of one recurrent cell, whose recipe of up to ten operations is searched.

    A node is a linear layer of two or three inputs, a product, a sum, or a blend ``a b + (1 - a) c``. It may have an
    activation. A node reads the word vector x, up to three states of the previous position, and earlier nodes before or
    after their activation. Only linear nodes read x, because its width differs. Nodes that no new state depends on are
    not part of the recipe. Embedding and softmax share one matrix. Networks share weights only as values, so a layer
    outputs the matrix, and `memory` counts it among the activations, the same for all genomes. Parameters equal those
    of the benchmark.

    Every genome is a network, because invalid choices are repaired. Where an elementwise operation would read x, it
    reads the first state. A state that is set to "none" is replaced by the first state. A state that is set to the same
    node as an earlier state is merged with that state. If the output would not depend on x, the first live linear node
    reads x as its first input; without a live linear node, the first live node becomes linear. The benchmark's
    generator forbids that a new state reads an old state directly. This space does not, because the benchmark's own GRU
    does so.

    Departures: dropout is omitted, because it only regularises training.

    Args:
        vocabulary: Number of words; the default is the vocabulary of WikiText-2.
        length: Words of one example.
        layers: Number of layers, 1 or more.
        width: Width of the embedding and of the states of the last layer.
        hidden: Width of the states of the other layers.
    """

    share = "entangled"  # of weights in a supernet: layers differ in size, or operations in name

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=20),
        "balanced": Fidelity(batch=8),  # shorter sequences change the order of gradients, which grow with the length
        "fast": Fidelity(size=10, cells=1, batch=40),
    }
    past_levels: Mapping[str, Sequence[Fidelity]] = {"balanced": (Fidelity(size=16, batch=40),)}

    def __init__(
        self, vocabulary: int = 33_278, length: int = 70, layers: int = 3, width: int = 400, hidden: int = 600
    ) -> None:
        given = {"vocabulary": vocabulary, "length": length, "layers": layers, "width": width, "hidden": hidden}
        for name, value in given.items():
            if not 1 <= value <= LIMITS[name]:
                raise BadOption(f"{name} must be 1 to {LIMITS[name]}, got {value} (option of rnn)")
        self.input = Input((length,), "tokens", vocabulary)
        self.genes: Sequence[Gene] = tuple(_genes())
        self._layers, self._width, self._hidden = layers, width, hidden
        self.references = {}
        for name, steps in PUBLISHED.items():
            genome = _encode(canonical_recipe(steps))
            assert genome is not None
            self.references[name] = Reference(genome, SOURCE)

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome of the recipe's canonical form.

        Genomes whose recipes differ only in ways that do not change the function share it; see
        `nasctl.spaces._recipes.canonical_recipe`.
        """
        validate(self.genes, genome)
        encoded = _encode(canonical_recipe(_decode(genome)))
        assert encoded is not None  # The canonical recipe has no more nodes than the genome.
        return encoded

    def spell(self, genome: Genome) -> str:
        """Return the benchmark's JSON: '{"node_0": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": ...}'."""
        return format_recipe(_decode(genome))

    def parse(self, text: str) -> Genome | None:
        """Return the genome of the benchmark's JSON, or None if the text is no recipe or not one of this space."""
        recipe = parse_recipe(text)
        return _encode(recipe) if recipe else None

    def network(self, genome: Genome) -> Network:
        recipe, vocabulary = _decode(genome), self.input.vocabulary
        net = Builder(self.input.shape)
        (tokens,) = net.inputs
        table = net.add(Table(vocabulary, self._width), tokens, name="table")
        x = net.add(LookUp(), tokens, table, name="embedding")
        for k in range(self._layers):
            width = self._width if k == self._layers - 1 else self._hidden
            x = net.add(Recurrent(recipe, width), x, name=f"layer{k + 1}")
        return net.build(net.add(Scores(), x, table, name="logits"))

    def reduced(self, fidelity: Fidelity) -> RNN:
        """Return the space with shorter sequences and fewer layers."""
        reduced, (length,) = copy(self), self.input.shape
        reduced.input = Input((min(length, fidelity.size or length),), "tokens", self.input.vocabulary)
        reduced._layers = min(self._layers, fidelity.cells or self._layers)
        return reduced


def _genes() -> Iterator[Gene]:
    for k in range(NODES):
        yield Gene(f"node{k}.operation", tuple(OPERATIONS))
        yield Gene(f"node{k}.activation", ACTIVATIONS)
        for position in range(3):
            yield Gene(f"node{k}.input{position}", (*CELL_INPUTS, *NODE_NAMES[: 2 * k]))
    yield Gene("h_new_0", NODE_NAMES)
    for k in range(1, MAX_STATES):
        yield Gene(f"h_new_{k}", ("none", *NODE_NAMES))


def _decode(genome: Genome) -> Recipe:
    """Return the recipe that a genome stands for."""
    values = list(CELL_INPUTS)  # by number of the choice; a node without activation stands for its activation too
    steps: list[Step] = []
    for k in range(NODES):
        choice, activation, *choices = genome[GENES_PER_NODE * k : GENES_PER_NODE * (k + 1)]
        operation, arity = SIGNATURES[choice]
        inputs = [values[source] for source in choices[:arity]]
        if operation != LINEAR:
            inputs = [CELL_INPUTS[1] if source == "x" else source for source in inputs]
        steps.append((NODE_NAMES[2 * k], operation, tuple(inputs)))
        values += [NODE_NAMES[2 * k]] * 2
        if activation:
            steps.append((NODE_NAMES[2 * k + 1], ACTIVATIONS[activation], (NODE_NAMES[2 * k],)))
            values[-1] = NODE_NAMES[2 * k + 1]
    node_values = values[len(CELL_INPUTS) :]
    state_values = [node_values[genome[-MAX_STATES]]]  # distinct values that become the new states
    names = {CELL_INPUTS[1]: CELL_INPUTS[1]}
    for k, choice in enumerate(genome[1 - MAX_STATES :], start=1):
        if choice and node_values[choice - 1] not in state_values:
            state_values.append(node_values[choice - 1])
        names[f"h_prev_{k}"] = f"h_prev_{state_values.index(node_values[choice - 1]) if choice else 0}"
    names |= {value: f"h_new_{k}" for k, value in enumerate(state_values)}
    named = tuple(
        (names.get(name, name), operation, tuple([names.get(source, source) for source in inputs]))
        for name, operation, inputs in steps
    )
    return required_steps(_make_output_read_x(named), (f"h_new_{k}" for k in range(len(state_values))))


def _make_output_read_x(steps: Recipe) -> Recipe:
    """Return the steps, changed in at most one step so that the output depends on x."""
    live = live_steps(steps)
    if reads_x(live):
        return steps
    linear = [step for step in live if step[1] == LINEAR]
    name, _, inputs = changed = (linear or live)[0]
    replacement = name, LINEAR, ("x", *inputs[1:])
    return tuple([replacement if step == changed else step for step in steps])


def _encode(recipe: Recipe) -> Genome | None:
    """Return the genome of a recipe, or None if the recipe has too many nodes or an activation that no genome has."""
    nodes = [step for step in recipe if step[1] not in ACTIVATIONS]
    activations = {inputs[0]: (name, operation) for name, operation, inputs in recipe if operation in ACTIVATIONS}
    unsupported = activations.keys() - {name for name, _, _ in nodes}  # activations of something other than a node
    if len(nodes) > NODES or unsupported or len(nodes) + len(activations) < len(recipe):
        return None
    values, genome = {name: k for k, name in enumerate(CELL_INPUTS)}, list[int]()
    for k, (name, operation, inputs) in enumerate(nodes):
        after, activation = activations.get(name, (name, "none"))
        choices = [values[source] for source in inputs] + [0] * (3 - len(inputs))
        genome += [SIGNATURES.index((operation, len(inputs))), ACTIVATIONS.index(activation), *choices]
        values |= {after: len(CELL_INPUTS) + 2 * k + 1, name: len(CELL_INPUTS) + 2 * k}
    genome += [0] * (GENES_PER_NODE * (NODES - len(nodes)))
    state_choices = [values[f"h_new_{k}"] - len(CELL_INPUTS) for k in range(MAX_STATES) if f"h_new_{k}" in values]
    unused = [0] * (MAX_STATES - len(state_choices))
    return (*genome, state_choices[0], *(choice + 1 for choice in state_choices[1:]), *unused)


@dataclass(frozen=True, slots=True)
class Table(Layer):
    """A table of one learned vector per word, independent of the input words: (T,) -> (vocabulary, width)."""

    vocabulary: int
    width: int

    def out(self, *inputs: Shape) -> Shape:
        return self.vocabulary, self.width

    def params(self, *inputs: Shape) -> int:
        return self.vocabulary * self.width

    def module(self, *inputs: Shape) -> Call:
        from nasctl.spaces._rnn import WordTable

        return Call(WordTable, self.vocabulary, self.width)


@dataclass(frozen=True, slots=True)
class LookUp(Layer):
    """Lookup of word vectors in a table: (T,), (vocabulary, width) -> (T, width)."""

    def out(self, *inputs: Shape) -> Shape:
        tokens, table = inputs
        return *tokens, table[1]

    def module(self, *inputs: Shape) -> Call:
        from nasctl.spaces._rnn import WordVectors

        return Call(WordVectors)


@dataclass(frozen=True, slots=True)
class Scores(Layer):
    """A logit for each word at each position: (T, width), (vocabulary, width) -> (T, vocabulary).

    The logit is the product with the word's vector, plus the word's bias.

    References:
        Press & Wolf, "Using the output embedding to improve language models", EACL 2017, arXiv:1608.05859, section 2.
    """

    def out(self, *inputs: Shape) -> Shape:
        x, table = inputs
        return x[0], table[0]

    def params(self, *inputs: Shape) -> int:
        return inputs[1][0]

    def macs(self, *inputs: Shape) -> int:
        (length, width), (vocabulary, _) = inputs
        return length * width * vocabulary

    def module(self, *inputs: Shape) -> Call:
        from nasctl.spaces._rnn import WordScores

        return Call(WordScores, inputs[1][0])


@dataclass(frozen=True, slots=True)
class Recurrent(Layer):
    """A recurrent cell run along a sequence from zero states: (T, D) -> (T, hidden).

    The output is the first state, h_new_0, at every position. A linear step has one matrix per input and one bias.
    """

    recipe: Recipe
    hidden: int
    recurrent: ClassVar[bool] = True  # metrics of recurrent states select layers by this attribute

    def out(self, *inputs: Shape) -> Shape:
        return inputs[0][0], self.hidden

    def params(self, *inputs: Shape) -> int:
        return sum((sum(widths) + 1) * self.hidden for widths in self._linear_input_widths(inputs[0][1]))

    def macs(self, *inputs: Shape) -> int:
        length, width = inputs[0]
        return length * sum(sum(widths) * self.hidden for widths in self._linear_input_widths(width))

    def module(self, *inputs: Shape) -> Call:
        from nasctl.spaces._rnn import Recurrence

        return Call(Recurrence, self.recipe, inputs[0][1], self.hidden)

    def _linear_input_widths(self, width: int) -> Iterator[list[int]]:
        """Yield the widths of the inputs of each linear step."""
        for _, operation, inputs in self.recipe:
            if operation == LINEAR:
                yield [width if source == "x" else self.hidden for source in inputs]
