"""A trained supernet: its weights in a safetensors file, and the networks that they give."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.networks.memory_layout import channels_last
from nasctl.problem.space import Genome, SearchSpace
from nasctl.problem.strategy import HasCopies, HasMeanTeacher, HasModules, MixesCopies, ScoresGenomes, Strategy
from nasctl.supernets.calibration import calibrate, calibration_batches
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Hull
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.supernets.slots import Share
from nasctl.supernets.step_networks import fitted
from nasctl.supernets.strategy_weights import module_tensors
from nasctl.system.files import replacement
from nasctl.training.recipe import TrainingTask

KEY = "nasctl-supernet"  # of the facts in the metadata of the file

SLOTS = "slots"  # of the hull, beside the facts

HULL = "nasctl-hull"  # of the slots in the metadata of early files


@dataclass(frozen=True)
class SupernetFacts:
    """The origin of shared weights."""

    space: str  # spec of the space as trained, with its number of classes
    share: Share
    strategy: str  # spec, with every option
    seed: int
    steps: int
    task: TrainingTask
    class_names: tuple[str, ...] | None
    mean: tuple[float, ...]  # of each channel, in pixels from 0 to 255; () for words
    deviation: tuple[float, ...]
    data: str  # identity of the data, with its split
    recipe: dict[str, Any]
    result: dict[str, dict[str, dict[str, Any]]]  # by part of the data and name of the network: fields of `Result`
    nasctl: str  # version
    name: str = ""
    judged: dict[str, list[int]] = field(default_factory=dict)  # genomes of the networks of `result`, by name
    chosen: list[int] | None = None  # genome that the strategy chooses; None if it learns no choices
    probabilities: list[list[float]] = field(default_factory=list)  # of the choices of each gene; [] likewise


def write(
    path: Path,
    state: Mapping[str, Tensor],
    calibration: Tensor,
    facts: SupernetFacts,
    validation: tuple[Tensor, Tensor] | None = None,
    hull: Hull | None = None,
) -> None:
    """Write shared weights with the inputs that norms are calibrated with. The file appears complete, or not at all.

    Args:
        path: The file, which is replaced.
        state: The state as `SupernetLearner.state` returns it.
        calibration: Training examples as the data give them: (N, C, H, W) uint8, or (N, T) int64.
        facts: The origin of the weights.
        validation: Validation examples as the data give them, and their labels; see `validation.validation_examples`.
            Without them, the file alone judges no network.
        hull: The slots of the weights. Without them, each process that opens the file finds them anew.

    Raises:
        NasctlError: The file cannot be written.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    tensors["calibration/examples"] = calibration.contiguous()
    if validation is not None:
        examples, labels = validation
        tensors |= {"validation/examples": examples.contiguous(), "validation/labels": labels.contiguous()}
    with replacement(path, "free some space, and give the same command again to continue") as draft:
        try:
            known = asdict(facts) | ({} if hull is None else {SLOTS: hull.text()})
            save_file(tensors, draft, {KEY: msgspec.json.encode(known).decode()})  # it writes several keys in any order
        except SafetensorError as error:  # its Rust code raises no OSError
            raise OSError(str(error)) from None


class TrainedSupernet:
    """The weights of a trained supernet, which are read when they are needed; the file is mapped, not copied.

    Args:
        path: The file that `write` wrote.

    Raises:
        NasctlError: The file cannot be read, or holds no supernet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with safe_open(path, framework="pt") as opened:
                self.facts = msgspec.json.decode((opened.metadata() or {})[KEY], type=SupernetFacts)
        except (OSError, SafetensorError) as error:
            raise NasctlError(f"Cannot read the supernet {path}: {error}. Give the name of a trained one.") from None
        except (KeyError, msgspec.MsgspecError):
            raise NasctlError(
                f"Cannot read the supernet {path}: the file holds no shared weights. Give weights.safetensors of a"
                " supernet."
            ) from None

    @property
    def name(self) -> str:
        """The name of the supernet; that of its folder if it has none."""
        return self.facts.name or self.path.absolute().parent.name

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    @cached_property
    def space(self) -> SearchSpace:
        """The space as trained."""
        found: SearchSpace = registry.create("spaces", self.facts.space)
        return found

    @cached_property
    def _hull(self) -> Hull:
        """The slots as the file has them; those of the space for a file of an early nasctl, which has none.

        Raises:
            NasctlError: This version of nasctl slices the weights of the space otherwise than the one that trained.
        """
        networks = ElasticNetworks(self.space, self.facts.share, self.facts.task)
        with safe_open(self.path, framework="pt") as opened:
            metadata = opened.metadata() or {}
        text = metadata.get(HULL) or msgspec.json.decode(metadata[KEY]).get(SLOTS)
        found = Hull.of(networks) if text is None else Hull.read(networks, text)
        last = self.space.canonical(tuple(len(gene.choices) - 1 for gene in self.space.genes))
        if not found.fits(last) or (text is None and found.has_gates):
            raise self._other_slots()
        return found

    def _other_slots(self) -> NasctlError:
        return NasctlError(
            f"Cannot use the supernet {self.path}: nasctl {self.facts.nasctl} shared the weights of this space"
            " otherwise. Train it again, or use that version."
        )

    @cached_property
    def weights(self) -> SharedWeights:
        """The shared weights, on the CPU.

        Raises:
            NasctlError: This version of nasctl shares the weights of the space otherwise than the one that trained.
        """
        with safe_open(self.path, framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        slots = {key.removeprefix("slots/"): value for key, value in tensors.items() if key.startswith("slots/")}
        visits = tensors["visits/slots"].numpy()
        mixture = self.strategy.mixture if isinstance(self.strategy, MixesCopies) else None
        found = SharedWeights(self._hull, self.facts.seed, len(visits), drawn=False, mixture=mixture)
        if {name: one.shape for name, one in found.tensors.items()} != {k: one.shape for k, one in slots.items()}:
            raise self._other_slots()
        found.load(slots, visits)
        _ = self._calibration_examples, self.validation
        return found

    @cached_property
    def strategy(self) -> Strategy:
        """The strategy, which knows the copy of the weights that a genome has, or how copies are mixed."""
        context = TrainingContext(self._hull, self.facts.seed, self.facts.steps)
        found: Strategy = registry.create("strategies", self.facts.strategy, context)
        own = module_tensors(found.modules) if isinstance(found, HasModules) else {}
        with safe_open(self.path, framework="pt") as opened, torch.no_grad():
            stored = set(opened.keys())
            for name, array in found.arrays.items():
                if f"strategy/{name}" in stored:  # a strategy of an early nasctl may have stored less
                    array[...] = opened.get_tensor(f"strategy/{name}").numpy()
            for name, value in own.items():
                value.copy_(opened.get_tensor(f"modules/{name}"))
        return found

    @property
    def has_several_copies(self) -> bool:
        """Return True if networks have different copies of the weights. The copy of a mean teacher does not count."""
        strategy = self.strategy
        averaged = isinstance(strategy, HasMeanTeacher) and strategy.mean_teacher
        return self.weights.copies > 1 and not averaged

    def score(self, genome: Genome) -> float | None:
        """Return the strategy's own score of a genome, of which less is better; None if it gives none.

        Args:
            genome: A canonical genome.
        """
        return self.strategy.score(genome) if isinstance(self.strategy, ScoresGenomes) else None

    def module(self, genome: Genome, device: torch.device | str = "cpu") -> nn.Module:
        """Return a new module of a genome with its weights and calibrated statistics, in evaluation mode.

        It is that which the task trains: for masked words, it has the head of the words.

        Args:
            genome: A canonical genome.
            device: The device of the module.

        Raises:
            DoesNotFit: The supernet has no place for its weights.
            UntrainedWeights: No step has trained some of its weights.
        """
        copy = self.strategy.copy_of(genome) if isinstance(self.strategy, HasCopies) else 0
        self.weights.check_trained(genome, copy)
        module = self.weights.module(genome, copy).to(device)
        calibrate(module, (tuple(one.to(device) for one in inputs) for inputs in self.calibration(genome)))
        return module

    @cached_property
    def validation(self) -> tuple[Tensor, Tensor] | None:
        """Validation examples as the data give them, and their labels, in the order to use them; None without any."""
        with safe_open(self.path, framework="pt") as opened:
            if "validation/examples" not in opened.keys():  # noqa: SIM118
                return None
            return opened.get_tensor("validation/examples"), opened.get_tensor("validation/labels")

    def calibration(self, genome: Genome) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches that norms are calibrated with, as the genome's network takes them."""
        for some in calibration_batches(self._calibration_examples):
            yield self.inputs(genome, some)

    @cached_property
    def _calibration_examples(self) -> Tensor:
        """The examples as the data give them, which are read with the weights: the file may be replaced later."""
        with safe_open(self.path, framework="pt") as opened:
            found: Tensor = opened.get_tensor("calibration/examples")
            return found

    def inputs(self, genome: Genome, examples: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs of a genome's module for examples as the data give them."""
        if self.facts.task != "classes":
            return (examples,)
        mean, deviation = (
            torch.tensor(one, dtype=torch.float32, device=examples.device).view(1, -1, 1, 1)
            for one in self._normalisation
        )
        return fitted(self.weights.networks, genome, (channels_last((examples.float() - mean) / deviation),))

    @property
    def _normalisation(self) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self.facts.mean), np.maximum(np.asarray(self.facts.deviation), 1e-6)


def holds_supernet(path: Path) -> bool:
    """Return whether a file is that of a supernet; False if it is no safetensors file."""
    try:
        with safe_open(path, framework="pt") as opened:
            return KEY in (opened.metadata() or {})
    except (OSError, SafetensorError):
        return False


__all__ = ["SupernetFacts", "TrainedSupernet", "holds_supernet", "write"]
