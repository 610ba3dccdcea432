"""Accuracy, loss or score of candidates with the weights of a trained supernet, as objectives measure it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nasctl import registry
from nasctl.errors import BadOption, NasctlError
from nasctl.problem.mixture import Mixture
from nasctl.problem.strategy import ScoresGenomes
from nasctl.supernets.folder import weights_of

if TYPE_CHECKING:
    from nasctl.candidates.candidate import Candidate
    from nasctl.problem.space import Genome, SearchSpace
    from nasctl.supernets.mixture_loss import MixtureLoss
    from nasctl.supernets.trained_supernet import TrainedSupernet
    from nasctl.training.evaluation import Result

DEFAULT_IMAGES = 500  # validation examples that a candidate is evaluated on

Measure = Literal["accuracy", "loss", "score"]


@dataclass(frozen=True)
class InheritedQuality:
    """Validation accuracy or loss of candidates whose weights are slices of a supernet's, or its own score of them.

    A copy in another process maps the file, and reads no weights before the first candidate.

    Args:
        path: The file of the supernet.
        digest: Its digest. A file that has changed is refused.
        name: Name of the supernet.
        images: Validation examples that a candidate is evaluated on; 0 for a score.
        measure: "accuracy", in per cent, "loss", in nats, or "score", of which less is better.
    """

    path: Path
    digest: str
    name: str
    images: int
    measure: Measure

    @classmethod
    def of(cls, named: str, images: int, measure: Measure) -> InheritedQuality:
        """Return the quality under the weights of a supernet that a user names.

        Args:
            named: Name of the supernet, a beginning that no other has, or the path of its file or folder.
            images: Validation examples to evaluate on; all of the file are taken if there are fewer.
            measure: "accuracy", "loss" or "score".

        Raises:
            NasctlError: There is no such supernet, it cannot be read, or its networks have no such quality.
        """
        from nasctl.supernets.trained_supernet import TrainedSupernet
        from nasctl.supernets.validation import stored_batches

        if measure != "score" and images < 1:
            raise BadOption(f"Cannot evaluate on {images} images. Give images=1 or more.")
        supernet = TrainedSupernet(weights_of(named))
        if measure == "accuracy" and supernet.facts.task != "classes":
            raise BadOption(
                f"Cannot measure accuracy@{named}: its networks learned {supernet.facts.task}, which have a loss and no"
                f" accuracy. Give loss@{named}."
            )
        _check_strategy(supernet, named, measure)
        if measure != "score":
            stored_batches(supernet, images)  # refuses a supernet without validation examples
        return cls(supernet.path, supernet.digest, _short(named, supernet), images, measure)

    @property
    def label(self) -> str:
        """Text in place of the spec: "accuracy@NAME", or "accuracy@NAME,images=1000"."""
        images = "" if self.images in (0, DEFAULT_IMAGES) else f",images={self.images}"
        return f"{self.measure}@{self.name}{images}"

    @property
    def version(self) -> str:
        """Text that differs wherever values differ: the digest of the weights, and the number of images, if any."""
        return f"{self.digest}-{self.used}" if self.images else self.digest

    @cached_property
    def used(self) -> int:
        """Number of examples that candidates are evaluated on: those asked for, as far as the file has them."""
        stored = self.supernet.validation
        return min(self.images, len(stored[0])) if stored is not None else 0

    @property
    def supernet(self) -> TrainedSupernet:
        """The supernet.

        Raises:
            NasctlError: The file has changed.
        """
        return _opened(self.path, self.digest)

    def __getstate__(self) -> dict[str, object]:
        return {key: getattr(self, key) for key in ("path", "digest", "name", "images", "measure")}

    def wrong_space(self, space: SearchSpace) -> str:
        """Return why the supernet has no weights for the networks of a space; "" if it has."""
        from nasctl.supernets.subnets import space_difference

        difference = space_difference(self.supernet, space)
        spec = self.supernet.facts.space
        return f"the supernet was trained on {spec}, and this space {difference}" if difference else ""

    def remarks(self) -> list[str]:
        """Return the origin of the weights, the results of the extremes, and how exact values are."""
        from nasctl.training.evaluation import accuracy_error

        facts = self.supernet.facts
        found = next((facts.result[part] for part in ("validation", "test") if facts.result.get(part)), {})
        word = "score" if self.measure == "score" else "loss"
        ends = ", ".join(f"{end} {_shown(found[end], word)}" for end in ("largest", "smallest") if end in found)
        trained = f"{facts.strategy}, {facts.steps:,} steps, seed {facts.seed}, on {facts.data}"
        lines = [f"weights of supernet {self.name}: {trained}{f'; {ends}' if ends else ''}"]
        if self.measure == "score":
            return [*lines, "scores are sums over genes that the training has fitted; less is better"]
        what = "validation images" if facts.task == "classes" else "validation rows"
        fewer = f", all that its file has of {self.images:,}" if self.used < self.images else ""
        lines.append(f"evaluated on {self.used:,} {what}{fewer}; batch-norm statistics calibrated for each network")
        shares = [one["accuracy"] for one in found.values() if one.get("accuracy") is not None]
        if self.measure == "accuracy" and shares:
            error = 100 * max(accuracy_error(share, self.used) for share in shares)
            lines.append(f"standard error ±{error:.1f} points")
            lines[-1] += f"; smaller differences order nothing, and loss@{self.name} ranks better on few images"
        return lines

    def __call__(self, candidate: Candidate) -> float:
        """Return the quality of a candidate, or the loss of a mixture, which has the statistics of each batch.

        Raises:
            NasctlError: The candidate is no network of the supernet's space, or the file has changed. It is a mixture,
                and has no such quality.
            ArithmeticError: Training has not reached some of the candidate's weights.
        """
        from nasctl.supernets.hull import DoesNotFit
        from nasctl.supernets.shared_weights import UntrainedWeights
        from nasctl.supernets.subnets import same_but_classes

        supernet = self.supernet
        allowed = candidate.space.allowed if isinstance(candidate.space, Mixture) else None
        own = (
            supernet.space.network(candidate.genome)
            if allowed is None
            else Mixture(supernet.space, allowed).network(())
        )
        if not same_but_classes(own, candidate.network):
            raise NasctlError(
                f"Cannot evaluate with {self.label}: the supernet was trained on {supernet.facts.space}, and this space"
                " has other networks. Search that space."
            )
        if allowed is not None:
            return self._of_mixture(allowed)
        if self.measure == "score":
            score = supernet.score(candidate.genome)
            assert score is not None
            return score
        try:
            found = _evaluated(self.path, self.digest, candidate.genome, self.used, candidate.setting.device)
        except (DoesNotFit, UntrainedWeights) as failure:  # this candidate has failed; the search goes on
            raise ArithmeticError(str(failure)) from None
        if self.measure == "loss":
            return found.loss
        assert found.accuracy is not None
        return 100 * found.accuracy

    def _of_mixture(self, allowed: Sequence[Sequence[int]]) -> float:
        """Return the loss of the mixture of allowed choices on the CPU; a gene with a single one counts as decided.

        Raises:
            NasctlError: A mixture has no such quality, or the supernet has no mixtures.
        """
        if self.measure != "loss":
            instead = "" if self.measure == "score" else f"Give loss@{self.name}, or use "
            raise NasctlError(
                f"Cannot measure {self.label} of networks that sum choices, which prune measures."
                f" {instead or 'Use '}another searcher."
            )
        return _mixture_loss(self.path, self.digest, self.used, tuple(map(tuple, allowed)))


def _check_strategy(supernet: TrainedSupernet, named: str, measure: Measure) -> None:
    """Raise a `BadOption` if the networks of a supernet have no such quality by its strategy."""
    kind = registry.plugin_of(supernet.facts.strategy)
    scores = issubclass(registry.load("strategies", kind), ScoresGenomes)
    if scores and measure != "score":
        raise BadOption(
            f"Cannot measure {measure}@{named}: its strategy, {kind}, scores networks and trains no classifier. Give"
            f" score@{named}, or a supernet of another strategy."
        )
    if measure != "score":
        return
    if not scores:
        raise BadOption(
            f"Cannot measure score@{named}: its strategy, {kind}, trains networks and scores none. Give loss@{named}."
        )
    if supernet.score(supernet.space.canonical((0,) * len(supernet.space.genes))) is None:
        raise BadOption(
            f"Cannot measure score@{named}: its training was too short to rate all blocks. Train it for more epochs."
        )


@lru_cache(maxsize=2)
def _opened(path: Path, digest: str) -> TrainedSupernet:
    """Return the supernet of a file, which all objectives of a process share.

    Raises:
        NasctlError: The file has changed.
    """
    from nasctl.supernets.trained_supernet import TrainedSupernet

    found = TrainedSupernet(path)
    if found.digest != digest:
        raise NasctlError(f"Cannot evaluate with the supernet {path}: its file has changed. Give the command again.")
    return found


@lru_cache(maxsize=2)
def _mixtures(path: Path, digest: str, images: int) -> MixtureLoss:
    from nasctl.supernets.mixture_loss import MixtureLoss

    return MixtureLoss(_opened(path, digest), images)


@lru_cache(maxsize=4)
def _mixture_loss(path: Path, digest: str, images: int, allowed: tuple[tuple[int, ...], ...]) -> float:
    decided = [gene for gene, choices in enumerate(allowed) if len(choices) == 1]
    return float(_mixtures(path, digest, images)(allowed, decided)[0])


# Accuracy and loss of a candidate come from one evaluation, and so do the draws of a fidelity with several.
@lru_cache(maxsize=4)
def _evaluated(path: Path, digest: str, genome: Genome, images: int, device: str) -> Result:
    from nasctl.supernets.validation import evaluate_subnet, stored_batches

    supernet = _opened(path, digest)
    return evaluate_subnet(supernet, genome, stored_batches(supernet, images), device)


def _short(named: str, supernet: TrainedSupernet) -> str:
    """Return the name to show for a supernet that is named by a path, by its name, or by the beginning of its name."""
    return supernet.name if "/" in named or named.endswith(".safetensors") else supernet.path.parent.name


def _shown(result: dict[str, float | None], word: str) -> str:
    """Return the accuracy of a result in per cent, or its loss, which a strategy may mean as a score."""
    accuracy, loss = result.get("accuracy"), result.get("loss")
    return f"{word} {loss:.3f}" if accuracy is None else f"{100 * accuracy:.1f}%"


__all__ = ["DEFAULT_IMAGES", "InheritedQuality"]
