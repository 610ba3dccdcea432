"""True accuracies of trained networks, beside the objectives of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nasctl.problem.space import Genome
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.system.wording import plural
from nasctl.training.rows import accuracy_text, data_name

Measure = Literal["accuracy", "perplexity", "loss"]


@dataclass(frozen=True)
class TrainedNetworks:
    """The trainings of networks of one space that compare with each other: same data, recipe and seed.

    Of several recipes or data, those of the most finished trainings count; of equally many, the newest.

    Attributes:
        records: The newest training of each network, finished ones first choice, by genome.
        others: Number of finished trainings with another recipe, data or seed, which are left out.
    """

    records: Mapping[Genome, TrainingRecord]
    others: int

    @property
    def finished(self) -> dict[Genome, TrainingRecord]:
        """The trainings that are finished, by genome."""
        return {genome: one for genome, one in self.records.items() if one.state == "finished"}

    @property
    def part(self) -> str:
        """The part that results are shown of: test, or validation where there is no test part."""
        return "test" if any("test" in one.parts for one in self.finished.values()) else "validation"

    @property
    def judged(self) -> str:
        """The part that networks are chosen by: validation, so that the test part stays unseen; else test."""
        return "validation" if any("validation" in one.parts for one in self.finished.values()) else "test"

    @property
    def measure(self) -> Measure:
        """The field of results that is shown: accuracy of classes, perplexity of words, or loss."""
        results = [result for one in self.records.values() for result in one.parts.values()]
        measures: tuple[Measure, ...] = ("accuracy", "perplexity")
        return next((name for name in measures if any(one.get(name) is not None for one in results)), "loss")

    @property
    def head(self) -> str:
        """The heading of a column of `cell`, such as "test accuracy (%)"."""
        return f"{self.name}{' (%)' if self.measure == 'accuracy' else ''}"

    @property
    def name(self) -> str:
        """The name of the results that are shown, such as "test accuracy"."""
        return f"{self.part} {self.measure}"

    @property
    def setting(self) -> str:
        """Data, epochs and seed of the trainings, in words."""
        spec = next(iter(self.records.values())).spec
        epochs = spec["recipe"]["epochs"]
        return f"{data_name(spec['data'])}, {plural(epochs, 'epoch')}, seed {spec['seed']}"

    @property
    def best(self) -> Genome | None:
        """The finished network with the best result on the part that networks are chosen by; None if there is none."""
        values = {genome: self.value(genome, self.judged) for genome in self.finished}
        sign = -1 if self.measure == "accuracy" else 1
        ranked = sorted((sign * value, genome) for genome, value in values.items() if value is not None)
        return ranked[0][1] if ranked else None

    def value(self, genome: Genome, part: str | None = None) -> float | None:
        """Return the result of a finished training of a network as a number, or None.

        Args:
            genome: The network.
            part: The part; None for the one that is shown.
        """
        record = self.finished.get(genome)
        found = None if record is None else record.parts.get(part or self.part, {}).get(self.measure)
        return None if found is None else float(found)

    def error(self, genome: Genome) -> float | None:
        """Return the standard error of an accuracy that is shown; None for perplexity, whose error is of the loss."""
        record = self.finished.get(genome)
        if record is None or self.measure == "perplexity":
            return None
        found = record.parts.get(self.part, {}).get("error")
        return None if found is None else float(found)

    def text(self, genome: Genome) -> str:
        """Return the result of a network, such as "71.3% ± 1.2%"; its state if it is not finished; "" if untrained."""
        record = self.records.get(genome)
        if record is None:
            return ""
        return accuracy_text(record.parts.get(self.part)) if record.state == "finished" else state_text(record)

    def cell(self, genome: Genome) -> str:
        """Return `text` as the cell of a table under `head`, such as "71.3 ± 1.2"."""
        text = self.text(genome)
        return text.replace("%", "") if self.measure == "accuracy" else text.removeprefix(f"{self.measure} ")

    def sentence(self, genome: Genome) -> str:
        """Return the results of a finished training by part: "76.7% ± 3.2% on test, 73.2% ± 3.3% on validation"."""
        parts = sorted(self.finished[genome].parts.items())  # test comes first
        return ", ".join(f"{accuracy_text(result)} on {part}" for part, result in parts)

    def facts(self, genome: Genome) -> dict[str, Any] | None:
        """Return name, state and results of the training of a network as JSON, or None."""
        record = self.records.get(genome)
        if record is None:
            return None
        return {"training": record.name, "state": record.state, "results": record.parts, "rungs": dict(record.rungs)}

    def note(self, genomes: Iterable[Genome]) -> str:
        """Return a sentence on the trainings of these networks.

        Args:
            genomes: The networks of a run.
        """
        visited = set(genomes)
        done = len(visited & self.finished.keys())
        partly = len(visited & self.records.keys()) - done
        more = f", and {partly} more that did not end" if partly else ""
        others = plural(self.others, "other training is", "other trainings are")
        others = f"; {others} in nasctl train list" if self.others else ""
        return f"{self.name} is of {plural(done, 'trained network')} ({self.setting}){more}{others}"


def trained_networks(store: Store, space: str, genomes: Iterable[Genome] | None = None) -> TrainedNetworks | None:
    """Return the trained networks of a space that compare with each other, or None if none was trained.

    Args:
        store: The store.
        space: Spec of the space, with every option.
        genomes: Networks to look for, such as those of a run; None for all.
    """
    if not (trainings := store.trainings(space)):
        return None  # a run may have a million genomes
    wanted = None if genomes is None else set(genomes)
    groups: dict[str, list[TrainingRecord]] = {}
    for record in trainings:  # the newest first
        if wanted is None or record.genome in wanted:
            groups.setdefault(record.comparable(), []).append(record)
    counts = {key: len({one.genome for one in group if one.state == "finished"}) for key, group in groups.items()}
    if not groups:
        return None
    chosen = max(groups, key=lambda key: counts[key])  # of equal ones the first, whose training is the newest
    records: dict[Genome, TrainingRecord] = {}
    for record in sorted(groups[chosen], key=lambda one: one.state != "finished"):  # stable: the newest stays first
        records.setdefault(record.genome, record)
    others = sum(one.state == "finished" for key, group in groups.items() if key != chosen for one in group)
    return TrainedNetworks(records, others)


def state_text(record: TrainingRecord) -> str:
    """Return the state of a training in few letters: "stopped at rung 1" as "rung 1"."""
    return record.state.removeprefix("stopped at ")


__all__ = ["Measure", "TrainedNetworks", "state_text", "trained_networks"]
