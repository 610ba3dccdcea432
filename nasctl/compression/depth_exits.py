"""Exits by depth, for the space `exits`: classifiers on features of the unchanged network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch

from nasctl.compression.compressed_space import Given
from nasctl.compression.exit_outputs import ExitOutputs
from nasctl.compression.exit_places import Exit, ExitPlace, exit_places, with_exits
from nasctl.compression.exit_training import ExitTraining, kept, train
from nasctl.networks.early_exit import ExitHead, exit_stages
from nasctl.networks.graph import Network
from nasctl.networks.node import attribute_name
from nasctl.networks.stage_module import StageModule
from nasctl.networks.weights import initialised
from nasctl.problem.space import Gene, Genome
from nasctl.system.terminal import say

if TYPE_CHECKING:
    from torch import Tensor, nn

OFF = "off"  # choice of a gene: no exit at the place


@dataclass(frozen=True)
class DepthExits:
    """A trained network with classifiers on the features between its blocks.

    The layers of the given network are unchanged, so images that leave at the last exit have its answer.

    Args:
        given: The network and the data whose training images the classifiers learn from.
        number: Number of places for exits.
        thresholds: Choices of each threshold.
        hidden: Hidden units of each classifier.
        training: The training of the classifiers.
        folder: Folder of the trained classifiers.
    """

    given: Given
    number: int
    thresholds: tuple[float, ...]
    hidden: int
    training: ExitTraining
    folder: str = field(compare=False)

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """The threshold of each exit; the exit is left out at `OFF`."""
        return tuple(Gene(f"exit{k + 1}.threshold", (OFF, *self.thresholds)) for k in range(len(self.places)))

    @cached_property
    def places(self) -> list[ExitPlace]:
        """The places for exits."""
        return exit_places(self.given.base.network, self.number)

    def uniform(self) -> dict[float, Genome]:
        """Return the genomes with one threshold at all places, by this threshold."""
        return {one: (k + 1,) * len(self.genes) for k, one in enumerate(self.thresholds)}

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome: each exit and each threshold changes where images leave."""
        return genome

    def chosen(self, genome: Genome) -> tuple[float, ...]:
        """Return the thresholds of a genome's exits."""
        return tuple(self.thresholds[choice - 1] for choice in genome if choice)

    def network(self, genome: Genome) -> Network:
        """Return the network of a genome."""
        head = ExitHead(self.given.base.network.out_shape[0], self.hidden)
        exits = [
            Exit(f"exit{k + 1}", self.places[k].span, head, self.thresholds[choice - 1])
            for k, choice in enumerate(genome)
            if choice
        ]
        return with_exits(self.given.base.network, exits)

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode."""
        with torch.random.fork_rng(devices=[]):  # the constructors draw weights first
            made = self.network(genome).module().eval()
        state = {**self.given.base.state, **_heads(self)} if any(genome) else self.given.base.state
        made.load_state_dict({key: state[key] for key in made.state_dict()})
        return made

    def evaluator(self, batches: Sequence[Tensor]) -> ExitOutputs:
        """Return a function that computes the outputs of many variants for the same images.

        Args:
            batches: Normalised images, (B, C, H, W) each.
        """
        whole = _all(self)
        network, module = self.network(whole), self.module(whole)
        exits = network.nodes[network.output].inputs
        run = StageModule(network, module, range(len(network.nodes) - 1), [-1], exits).eval()
        with torch.no_grad():
            logits = [*zip(*[run(one) for one in batches], strict=True)]

        def chosen(genome: Genome) -> list[tuple[Tensor, ...]]:
            return [logits[k] for k, choice in enumerate((*genome, 1)) if choice]

        return ExitOutputs(self.chosen, chosen)

    def trained_heads(self) -> dict[str, Tensor]:
        """Return the state of the classifiers at all places."""
        given = self.given
        facts = ("depth", given.digest, [one.span for one in self.places], self.hidden, self.training)
        return kept(self.folder, facts, self._train)

    def _train(self) -> dict[str, Tensor]:
        """Train the classifiers at all places on the features of the given network."""
        base, network = self.given.base, self.network(_all(self))
        say(f"training {len(self.places)} exits of {base.name} for {self.training.epochs} epochs")
        module = initialised(network, self.training.seed).eval()
        module.load_state_dict({**module.state_dict(), **base.state})
        heads = {attribute_name(node.name) for node in network.nodes} - {
            attribute_name(node.name) for node in base.network.nodes
        }
        for name, part in module.named_children():
            part.requires_grad_(name in heads).train(name in heads)
        stages = exit_stages(network)[:-1]  # nothing behind the last classifier is needed
        nodes = [k for stage in stages for k in stage.nodes]
        run = StageModule(network, module, nodes, [-1], [stage.logits for stage in stages])
        train(run, lambda images, _: run(images), base, self.given.calibration, self.training)
        return {key: value for key, value in module.state_dict().items() if key.partition(".")[0] in heads}


def _all(variants: DepthExits) -> Genome:
    """Return the genome with an exit at every place."""
    return (1,) * len(variants.places)


@lru_cache(maxsize=4)
def _heads(variants: DepthExits) -> dict[str, Tensor]:
    """Return the state of the classifiers, which all spaces of a process with the same options share."""
    return variants.trained_heads()


__all__ = ["OFF", "DepthExits"]
