"""Exits by channels, for the space `exits`: a trained network whose channels are divided over stages, after S2DNAS.

Masked weights are trained once for all divisions, each step with another division, and candidates are slices of them.
The paper trains the network that it has found instead.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nasctl.candidates.determinism import deterministic_torch
from nasctl.compression.channel_stages import DividedNetwork
from nasctl.compression.compressed_space import Given
from nasctl.compression.divided_groups import DividedGroups, divided
from nasctl.compression.exit_outputs import ExitOutputs
from nasctl.compression.exit_training import ExitTraining, kept, train, training_images
from nasctl.compression.memoised_outputs import KEPT_BYTES
from nasctl.networks.node import attribute_name
from nasctl.networks.stage_module import StageModule
from nasctl.problem.space import Gene, Genome
from nasctl.system.terminal import say
from nasctl.training.streams import generator

if TYPE_CHECKING:
    from nasctl.networks.graph import Network

OFF = "off"  # choice of a gene: no exit behind the stage

Division = tuple[int, ...]  # choice of each group: which of the possible cumulative shares its channels have


@dataclass(frozen=True)
class ChannelExits:
    """A trained network whose channels are divided over stages, with an exit behind each.

    Args:
        given: The network and the data whose training images the divided network learns from.
        stages: Number of stages.
        shares: Shares of channels up to a stage that are tried, ascending.
        thresholds: Choices of each threshold.
        training: The training of the masked weights.
        folder: Folder of the trained weights.
    """

    given: Given
    stages: int
    shares: tuple[float, ...]
    thresholds: tuple[float, ...]
    training: ExitTraining
    folder: str = field(compare=False)

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """The threshold of the exit behind each stage but the last, and the division of each group of channels."""
        exits = [Gene(f"exit{k + 1}.threshold", (OFF, *self.thresholds)) for k in range(self.stages - 1)]
        texts = tuple("-".join(f"{one:g}" for one in shares) for shares in self.divisions)
        return (*exits, *(Gene(f"{one.name}.channels", texts) for one in _groups(self.given).groups))

    @cached_property
    def divisions(self) -> list[tuple[float, ...]]:
        """The possible shares of channels up to each stage but the last."""
        return list(combinations(self.shares, self.stages - 1))

    def uniform(self) -> dict[float, Genome]:
        """Return the genomes with one threshold at all exits and the middle division of all groups, by threshold."""
        exits, middle = self.stages - 1, len(self.divisions) // 2
        groups = len(self.genes) - exits
        return {one: (*[k + 1] * exits, *[middle] * groups) for k, one in enumerate(self.thresholds)}

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome with the first of equal divisions of each group, such as one of too few channels."""
        exits, found = self.stages - 1, list(genome)
        for place, group in enumerate(_groups(self.given).groups, exits):
            counts = [divided(group, one) for one in self.divisions]
            found[place] = counts.index(counts[genome[place]])
        return tuple(found)

    def network(self, genome: Genome) -> Network:
        """Return the network of a genome."""
        return self._divided(self._thresholds(genome), self._division(genome)).network

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode."""
        return self._module(self._divided(self._thresholds(genome), self._division(genome)))

    def evaluator(self, batches: Sequence[Tensor]) -> ExitOutputs:
        """Return a function that computes the outputs of many variants for the same images.

        Logits of all exits are computed once for each division of the channels, and those used last are kept.

        Args:
            batches: Normalised images, (B, C, H, W) each.
        """
        known: OrderedDict[Division, list[tuple[Tensor, ...]]] = OrderedDict()

        @torch.no_grad()
        def logits(genome: Genome) -> list[tuple[Tensor, ...]]:
            division = self._division(genome)
            if division not in known:
                whole = self._divided([1.0] * (self.stages - 1), division)
                network, module = whole.network, self._module(whole)
                exits = network.nodes[network.output].inputs
                run = StageModule(network, module, range(len(network.nodes) - 1), [-1], exits).eval()
                known[division] = [*zip(*[run(one) for one in batches], strict=True)]
                size = sum(one.nbytes for each in known[division] for one in each)
                while len(known) > 1 and size * len(known) > KEPT_BYTES:
                    known.popitem(last=False)
            known.move_to_end(division)
            chosen = (*self._thresholds(genome), 1.0)
            return [one for one, threshold in zip(known[division], chosen, strict=True) if threshold]

        return ExitOutputs(lambda genome: tuple(filter(None, self._thresholds(genome))), logits)

    def _thresholds(self, genome: Genome) -> list[float]:
        """Return the threshold of each stage's exit but the last; 0 for no exit."""
        return [self.thresholds[choice - 1] if choice else 0.0 for choice in genome[: self.stages - 1]]

    def _division(self, genome: Genome) -> Division:
        return tuple(genome[self.stages - 1 :])

    def _divided(self, thresholds: Sequence[float], division: Division) -> DividedNetwork:
        groups = _groups(self.given)
        counts = [divided(one, self.divisions[k]) for one, k in zip(groups.groups, division, strict=True)]
        return DividedNetwork(self.given.base.network, groups, _orders(self.given), counts, thresholds)

    def _module(self, made: DividedNetwork) -> nn.Module:
        """Return a module with its slices of the weights, and statistics of norms of its own."""
        with torch.random.fork_rng(devices=[]):  # the constructors draw weights first
            module = made.network.module()
        state = made.state(_weights(self), module.state_dict())
        module.load_state_dict(state)
        self._calibrate(module)
        return module.eval()

    def _calibrate(self, module: nn.Module) -> None:
        """Give the norms of a module the statistics of training images."""
        norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the statistics average over all batches
        with torch.no_grad(), deterministic_torch(1):
            for images in training_images(self.given.base, self.given.calibration) if norms else ():
                module.train()(images)

    def trained_weights(self) -> dict[str, Tensor]:
        """Return the masked weights that all divisions share, and the classifiers of all exits."""
        facts = ("channels", self.given.digest, self.stages, self.shares, self.training)
        return kept(self.folder, facts, self._train)

    def _train(self) -> dict[str, Tensor]:
        """Train the masked weights, from those of the given network on."""
        base = self.given.base
        say(f"training {base.name} with divided channels for {self.training.epochs} epochs")
        with torch.random.fork_rng(devices=[]):
            module = _MaskedNetwork(self)
        train(module, module.step, base, self.given.calibration, self.training)
        exits = {
            f"exit{k + 1}.{key}": one for k, exit in enumerate(module.exits) for key, one in exit.state_dict().items()
        }
        return {**module.trunk.state_dict(), **exits}


class _MaskedNetwork(nn.Module):
    """The given network with masked weights, and the classifiers of exits; each step masks for another division.

    Args:
        variants: The variants.
    """

    def __init__(self, variants: ChannelExits) -> None:
        super().__init__()
        base = variants.given.base
        self.trunk = base.module().train()
        self._variants, self._network = variants, base.network
        last = base.network.nodes[base.network.output]
        self._last, (self._features,) = attribute_name(last.name), last.inputs
        head = self.trunk.get_submodule(self._last)
        classes, features = head.get_parameter("weight").shape
        self.exits = nn.ModuleList()
        for _ in range(variants.stages - 1):
            made = nn.Linear(features, classes, bias=head._parameters.get("bias") is not None)
            made.load_state_dict(head.state_dict())
            self.exits.append(made)

    def step(self, images: Tensor, step: int) -> list[Tensor]:
        """Return the logits of all exits for images, by a division that is drawn for the step."""
        variants = self._variants
        groups = _groups(variants.given)
        drawn = generator(variants.training.seed, "genomes", step).integers(
            len(variants.divisions), size=len(groups.groups)
        )
        stages = self._stages_of([variants.divisions[int(k)] for k in drawn])
        found: list[Tensor] = []
        hook = self.trunk.get_submodule(self._last).register_forward_pre_hook(lambda _, given: found.append(given[0]))
        try:
            logits = functional_call(self.trunk, self._masked(stages), (images,))
        finally:
            hook.remove()
        (features,), of = found, stages[self._features]
        return [*(exit(features * (of <= k)) for k, exit in enumerate(self.exits)), logits]

    def _stages_of(self, shares: Sequence[Sequence[float]]) -> dict[int, Tensor]:
        """Return the stage of each channel of each layer's output by position, (C,)."""
        groups, orders = _groups(self._variants.given), _orders(self._variants.given)
        found = []
        for group, order, one in zip(groups.groups, orders, shares, strict=True):
            stage = torch.zeros(group.width, dtype=torch.int64)
            for count in divided(group, one)[:-1]:
                stage[order[count:]] += 1
            found.append(stage)
        network = self._network
        single = {
            k: torch.zeros(network.input_shapes[0][0] if k < 0 else network.nodes[k].out_shape[0]) for k in groups.of
        }
        return {k: single[k] if group is None else found[group] for k, group in groups.of.items()}

    def _masked(self, stages: dict[int, Tensor]) -> dict[str, Tensor]:
        """Return the weights of layers that mix channels, without those from later stages to earlier ones."""
        masked = {}
        for k, node in enumerate(self._network.nodes):
            if k != self._network.output and _groups(self._variants.given).mixes(k):
                key = f"{attribute_name(node.name)}.weight"
                weight = self.trunk.get_parameter(key)
                mask = stages[node.inputs[0]].unsqueeze(0) <= stages[k].unsqueeze(1)
                masked[key] = weight * mask.view(*mask.shape, *[1] * (weight.ndim - 2))
        return masked


@lru_cache(maxsize=4)
def _groups(given: Given) -> DividedGroups:
    return DividedGroups(given.base.network)


@lru_cache(maxsize=4)
def _orders(given: Given) -> list[Tensor]:
    """Return the order of the channels of each group, by the weights of the given network."""
    groups = _groups(given)
    return [groups.order(one, given.base.state) for one in groups.groups]


@lru_cache(maxsize=4)
def _weights(variants: ChannelExits) -> dict[str, Tensor]:
    """Return the masked weights, which all spaces of a process with the same options share."""
    return variants.trained_weights()


__all__ = ["OFF", "ChannelExits"]
