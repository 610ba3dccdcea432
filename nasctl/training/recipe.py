"""The recipe of a training: every choice but the network, the data and the seed, as one frozen value."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from nasctl.errors import BadOption, NasctlError, UnknownName
from nasctl.system import files

TrainingTask = Literal["classes", "next words", "masked words"]
Optimiser = Literal["sgd", "adamw"]
Schedule = Literal["cosine", "onecycle", "exponential", "constant"]
ClassWeights = Literal["none", "balanced"]

RATE_BATCH = 256  # examples of the batch that the rate of SGD is given for

LIMIT = 1 << 20  # bytes of the largest recipe file that is read


class About(NamedTuple):
    """The explanation and the closed range of a field."""

    help: str  # its comment in a TOML file
    low: float = -math.inf
    high: float = math.inf
    bits: bool = True  # whether the field changes the trained weights
    later: bool = False  # whether the field came after trainings were named: at its default it is no part of the name


ABOUT: Mapping[str, About] = {
    "epochs": About("passes over the training part", 1, 1_000_000),
    "batch": About("examples of a step, on all devices together", 1, 1_000_000),
    "optimiser": About("sgd (with Nesterov momentum) or adamw"),
    "rate": About("peak learning rate; of sgd at a batch of 256, in proportion at others", 0.0, 1e3),
    "momentum": About("momentum of sgd, and the first beta of adamw", 0.0, 0.9999),
    "beta2": About("second beta of adamw", 0.0, 0.999999),
    "weight_decay": About("weight decay; never of biases, norms and other vectors", 0.0, 10.0),
    "warmup": About("epochs in which the rate rises linearly from almost 0", 0.0, 1e6),
    "schedule": About(
        "rate after the warm-up: cosine (to 0), onecycle, exponential (to 5% in two thirds of the steps) or constant"
    ),
    "smoothing": About("label smoothing", 0.0, 0.999),
    "class_weights": About("weights of classes in the loss: none or balanced (rare classes count more)"),
    "crop": About("padding of a random crop, as a share of the image's side; 0: none", 0, 1),
    "flip": About("random horizontal flips"),
    "cutout": About("side of a square erased at random, as a share of the image's side; 0: none", 0, 0.9),
    "mixup": About("alpha of the Beta distribution of mixup; 0: no mixup", 0.0, 100.0),
    "masked": About("share of the words that are masked, where masked words are learnt", 0.01, 0.9),
    "ema": About("decay of a moving average of the weights, such as 0.999; 0: none", 0.0, 0.999999),
    "clip": About("largest norm of the gradient of all weights together; 0: no limit", 0.0, 1e9),
    "amp": About("automatic mixed precision: bfloat16, or float16 with loss scaling on older GPUs"),
    "recovery": About("steps between the points that a diverged training goes back to", 1, 1_000_000_000),
    "evaluate": About("epochs between evaluations on validation data; 0: only at the end", 0, 1_000_000, bits=False),
    "checkpoint": About("minutes between checkpoints; 0: only at every recovery point", 0.0, 1e6, bits=False),
}


@dataclass(frozen=True)
class Recipe:
    """The choices of a training; `ABOUT` explains each field.

    The defaults are for small images such as CIFAR-10; `usual` has those of each task.

    Raises:
        BadOption: A value has the wrong type or is out of its range.

    References:
        Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677: the rate in proportion to the batch, warm-up.
        Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101: AdamW.
        Yu et al., "BigNAS", arXiv:2003.11142: the exponential schedule with a constant end.
        Smith & Topin, "Super-convergence", arXiv:1708.07120: the one-cycle schedule.
        Szegedy et al., CVPR 2016, arXiv:1512.00567: label smoothing.
        DeVries & Taylor, arXiv:1708.04552: cutout. Zhang et al., ICLR 2018, arXiv:1710.09412: mixup.
    """

    epochs: int = 30
    batch: int = 64
    optimiser: Optimiser = "sgd"
    rate: float = 0.1
    momentum: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 5e-4
    warmup: float = 1.0
    schedule: Schedule = "cosine"
    smoothing: float = 0.1
    class_weights: ClassWeights = "none"
    crop: float = 0.125
    flip: bool = True
    cutout: float = 0.25
    mixup: float = 0.0
    masked: float = 0.15
    ema: float = 0.0
    clip: float = 5.0
    amp: bool = False
    recovery: int = 500
    evaluate: int = 1
    checkpoint: float = 5.0

    def __post_init__(self) -> None:
        for one in fields(self):
            object.__setattr__(self, one.name, _checked(one.name, getattr(self, one.name)))
        if self.warmup > self.epochs:
            raise BadOption(
                f"Cannot warm up for {self.warmup:g} of {self.epochs} epochs: a recipe's warmup is at most its epochs."
                f" Set warmup to {min(1, self.epochs)}."
            )

    @property
    def question(self) -> dict[str, Any]:
        """The fields that change the trained weights, by name; names of trainings and digests depend on these alone.

        A field marked `later` in `ABOUT` is left out at its default, so that it renames no earlier training. Its
        default must therefore train as nasctl did before it had the field.
        """
        found = {one.name: getattr(self, one.name) for one in fields(self) if ABOUT[one.name].bits}
        usual_later = {one.name: one.default for one in fields(self) if ABOUT[one.name].later}
        return {name: value for name, value in found.items() if name not in usual_later or value != usual_later[name]}

    @property
    def digest(self) -> str:
        """The first eight hexadecimal digits of the digest of `question`."""
        return hashlib.sha256(json.dumps(self.question, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def peak_rate(self) -> float:
        """The largest learning rate that the optimiser gets."""
        return self.rate * self.batch / RATE_BATCH if self.optimiser == "sgd" else self.rate

    def toml(self) -> str:
        """Return the recipe as TOML: every field with its value, its explanation and, if it differs, its default."""
        lines = []
        for one in fields(self):
            value = _literal(getattr(self, one.name))
            note = "" if getattr(self, one.name) == one.default else f" (default: {_literal(one.default)})"
            if one.name == "rate" and self.peak_rate != self.rate:
                note = f"; here {self.peak_rate:.4g}{note}"
            lines.append(f"{f'{one.name} = {value}':28}# {ABOUT[one.name].help}{note}")
        return "\n".join([*lines, ""])

    def changed(self, values: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """Return the recipe with some fields changed.

        Args:
            values: New values by name of the field.
            where: Where the values come from, for the message.

        Raises:
            UnknownName: A field does not exist; the message offers the nearest name.
            BadOption: A value has the wrong type or is out of its range.
        """
        known = [one.name for one in fields(self)]
        for name in values:
            if name not in known:
                raise UnknownName(f"field of a recipe ({where})", name, known)
        return replace(self, **values)

    @classmethod
    def read(cls, path: Path | str, start: Recipe | None = None) -> Recipe:
        """Return the recipe of a TOML file.

        Args:
            path: The file. A field that it lacks keeps its value in `start`.
            start: The recipe that the file changes; the defaults if None.

        Raises:
            NasctlError: The file cannot be read, is no TOML, or has an unknown field or a bad value.
        """
        try:
            content = tomllib.loads(files.read(path, LIMIT).decode())
        except OSError as error:
            raise NasctlError(
                f"Cannot read the recipe {path}: {error.strerror}. Give a TOML file; `nasctl train --print-recipe`"
                " prints one with every field."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise NasctlError(f"Cannot read the recipe {path}: it is not TOML ({error}). Mend the line.") from None
        return (start or cls()).changed(content, str(path))

    def asdict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


def epoch_steps(examples: int, batch: int) -> int:
    """Return the steps of an epoch. The last partial batch counts only if it is the only one.

    Args:
        examples: Number of training examples.
        batch: Examples of a batch, over all ranks.
    """
    return max(1, examples // batch)


def usual(task: TrainingTask) -> Recipe:
    """Return the default recipe of a task.

    References:
        Devlin et al., NAACL 2019, arXiv:1810.04805, appendix A.2: AdamW, weight decay 0.01, beta2 0.999, 15% masked.
        Clark et al., ICLR 2020, arXiv:2003.10555, table 6: rate 5e-4 of the small model.
        Merity et al., ICLR 2018, arXiv:1708.02182: clip 0.25 of recurrent language models.
    """
    if task == "classes":
        return Recipe()
    words = Recipe(optimiser="adamw", rate=5e-4, weight_decay=0.01, smoothing=0.0, crop=0, flip=False, cutout=0)
    if task == "next words":
        return replace(words, rate=1e-3, clip=0.25, epochs=20, batch=20)
    return replace(words, clip=1.0)


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(Recipe)


def _checked(name: str, value: Any) -> Any:
    """Return a value in the type of its field.

    Raises:
        BadOption: The value has the wrong type or is out of its range.
    """
    wanted, typed = _types()[name], value
    if get_origin(wanted) is Literal:
        choices = get_args(wanted)
        if value not in choices:
            (near, *_) = (*get_close_matches(str(value), choices, 1), choices[0])
            raise BadOption(
                f"Cannot use {name} = {_literal(value)} in a recipe: it is not {' or '.join(choices)}. Give {near!r}."
            )
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and abs(value) > sys.float_info.max:
        value = math.inf if value > 0 else -math.inf  # whole numbers of TOML have no limit
    if number and wanted is float:
        value = float(value)
    elif wanted is int and number and float(value).is_integer():
        value = int(value)
    if type(value) is not wanted and not (number and wanted is int and math.isinf(value)):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[wanted]
        raise BadOption(f"Cannot use {name} = {_literal(value)} in a recipe: it is not {kind}. Give {kind}.")
    about = ABOUT[name]
    if wanted is not bool and not about.low <= value <= about.high:
        raise BadOption(
            f"Cannot use {name} = {_literal(typed)} in a recipe: it is not within {_bound(about.low)} and"
            f" {_bound(about.high)}. Choose a value in this range."
        )
    return value


def _bound(value: float) -> str:
    """Return the bound of a range for people, such as "1,000,000" or "0.9999"."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.12g}"


def _literal(value: object) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf and nan, which JSON has not
    return json.dumps(value, ensure_ascii=False, default=str)  # dates of TOML as text


__all__ = ["RATE_BATCH", "Recipe", "TrainingTask", "usual"]
