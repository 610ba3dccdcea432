"""An export as a user asks for it: the options of `nasctl export`, from which the model and its files follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from nasctl import registry
from nasctl.architectures import ids
from nasctl.compression.compressed_space import CompressedSpace
from nasctl.compression.labelled_data import IDENTITY
from nasctl.errors import NasctlError
from nasctl.export.accuracy import data_of_training
from nasctl.export.compressed import compressed_model
from nasctl.export.export import Exported, destinations, export, model
from nasctl.export.formats import FORMATS, STAGES
from nasctl.export.inherited import inherited_model
from nasctl.export.model import Model
from nasctl.export.trained import trained_model, weights_file
from nasctl.networks.early_exit import thresholds_of
from nasctl.problem.space import Genome
from nasctl.store.store import Store
from nasctl.supernets.named import supernet_named
from nasctl.training.labelled import TrainingData


@dataclass(frozen=True)
class ExportRequest:
    """Options of `nasctl export`.

    Attributes:
        arch: An id, the beginning of one in the store, or a genome; None if `weights` names the network.
        formats: Names of formats.
        output: A file or folder; None for a file that is named after the id or the training.
        space: Spec of the space of a genome, or of an id that the store cannot resolve.
        store: Path of the store.
        seed: Seed of initial weights.
        force: Whether existing files may be overwritten.
        weights: A training or a supernet of the store, or the path of their weights; None for an untrained network.
        data: Path or name of the training's data; None to look for it.
        int8: Whether an int8 ONNX file is written too.
    """

    arch: str | None = None
    formats: tuple[str, ...] = ()
    output: Path | None = None
    space: str | None = None
    store: str | Path = ""
    seed: int = 0
    force: bool = False
    weights: str | None = None
    data: str | None = None
    int8: bool = False

    def run(self, say: Callable[[str], None]) -> tuple[Model, Exported]:
        """Write the files, and return the model with their comparison.

        Args:
            say: Takes sentences about what the files are compared on.

        Raises:
            NasctlError: An option names nothing that exists, options contradict each other, or a file cannot be written
                or does not compute what the module computes.
        """
        exported, stem = self._without_weights(say) if self.weights is None else self._trained(self.weights, say)
        asked = self._by_stages(say) if thresholds_of(exported.architecture.network) else self
        paths = asked._destinations(stem, exported.trained is not None)
        if exported.trained is None:
            return exported, export(exported, paths, self.force)
        exported = replace(exported, weights_name=paths["torch"].name if "torch" in paths else "")
        data = self._data(exported, say)
        return exported, export(exported, paths, self.force, data)

    def _without_weights(self, say: Callable[[str], None]) -> tuple[Model, str]:
        """Return the model with initial weights, or with those of a space of trained networks, and its files' name."""
        if self.arch is None:
            raise NasctlError("Cannot export: no network is named. Give --arch ID, or --weights TRAINING.")
        spec, genome = self._resolve(self.arch)
        space = registry.create("spaces", spec)
        stem = ids.encode(spec, space.genes, genome)
        if isinstance(space, CompressedSpace):
            if self.int8:
                raise NasctlError(
                    f"Cannot use --int8 for {stem}: it is a variant of a trained network. Leave it out, or give"
                    " --weights of the given network."
                )
            exported = compressed_model(spec, space, genome)
            if exported.trained is not None and "validation" in exported.trained.result:
                tested = "test" in exported.trained.result
                remedy = "the test images have no part in that" if tested else "judge it by images that it has not seen"
                say(f"if a search has chosen this network on these validation images, they flatter it; {remedy}")
            return exported, stem
        for option, given in (("--int8", self.int8), ("--data", self.data is not None)):
            if given:
                raise NasctlError(f"Cannot use {option}: the network is untrained. Give --weights TRAINING.")
        self._destinations(stem, False)  # before any work is done
        return model(spec, genome, self.seed), stem

    def _trained(self, weights: str, say: Callable[[str], None]) -> tuple[Model, str]:
        """Return the model with the weights of a training or of a supernet, and the name of its files."""
        supernet = supernet_named(weights, self.store)
        if supernet is not None:
            spec = self.space or supernet.facts.space
            asked = None if self.arch is None else ids.resolve(self.arch, Store.reading(self.store), spec)
            exported = inherited_model(supernet, asked)
            if exported.trained is not None and exported.trained.result:
                say(
                    "if a search has chosen this network on these validation examples, they flatter it: `nasctl"
                    f" supernet evaluate {supernet.name} --arch {exported.architecture.id} --data DATA --part test`"
                )
            return exported, exported.architecture.id
        path = weights_file(weights, self.store)
        exported = trained_model(path, None if self.arch is None else self._resolve(self.arch))
        assert exported.trained is not None
        return exported, exported.trained.training

    def _by_stages(self, say: Callable[[str], None]) -> ExportRequest:
        """Return the request with an ONNX file for each stage of a network with early exits in place of a single one.

        Args:
            say: Takes sentences about formats that run all stages.
        """
        formats, output = registry.split(self.formats), self.output
        if not formats and output is not None and output.suffix == FORMATS["onnx"].suffix:
            formats = ["onnx"]
        if "onnx" in formats and output is not None and output.suffix == FORMATS["onnx"].suffix:
            output = output.with_suffix(FORMATS[STAGES].suffix)
        formats = [STAGES if one == "onnx" else one for one in formats]
        if whole := [one for one in formats if one in FORMATS and one not in ("python", "torch", STAGES)]:
            say(f"{', '.join(whole)}: all stages run for every image; files of python and onnx leave early")
        return replace(self, formats=tuple(formats), output=output)

    def _resolve(self, arch: str) -> tuple[str, Genome]:
        return ids.resolve(arch, Store.reading(self.store), self.space)

    def _destinations(self, stem: str, trained: bool) -> dict[str, Path]:
        return destinations(stem, registry.split(self.formats), self.output, self.force, trained, self.int8)

    def _data(self, exported: Model, say: Callable[[str], None]) -> TrainingData | None:
        """Return the data of the training, if it is at hand and the files can be compared on it."""
        facts = exported.trained
        assert facts is not None
        if self.int8 and not exported.classes:
            raise NasctlError(
                f"Cannot quantise {facts.training}: it learned {facts.task}, and --int8 is for networks that classify "
                "images. Leave --int8 out."
            )
        if facts.task == "masked words":
            say("compared on random words: the head that guesses masked words is no part of the exported network")
            return None
        if self.data is not None:
            return data_of_training(exported, self.data)
        if exported.data is not None:
            return exported.data
        found = IDENTITY.fullmatch(facts.data)
        name = found["name"].partition("#")[0] if found else ""
        try:
            return data_of_training(exported, name)
        except NasctlError as error:
            if self.int8:
                raise NasctlError(
                    f"Cannot quantise {facts.training}: its data, {facts.data}, is not at hand ({error}). Give its "
                    "path with --data."
                ) from None
        say(
            f"compared on random examples: the data of the training, {facts.data}, is not at hand; give its path with"
            " --data"
        )
        return None
