"""Counter-based random streams: every random number of a training is a function of (seed, stream, step).

A training that continues at step k therefore needs no state of a generator.

References:
    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011: the Philox generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

from nasctl.candidates.determinism import seeded_globals

Stream = Literal[
    "augmentation", "mixing", "masking", "dropout", "head", "order", "split", "halves", "genomes", "calibration"
]

# The second half of the key of each stream. Numbers are never reused, so that a recipe keeps its meaning.
STREAMS: dict[Stream, int] = {
    "augmentation": 2,
    "mixing": 3,
    "masking": 4,
    "dropout": 5,
    "genomes": 9,  # that a step of a supernet's training trains
    "calibration": 10,  # of the images that norms are calibrated with
    "head": 8,  # initial weights of a head that only the training has
    "order": 0x6F72646572,  # of the examples of an epoch, whose number is the part
    "halves": 11,  # of the training examples, where a strategy learns from each half something else
    "split": 0x73706C6974,  # of the examples of a class, whose label is the part
}


def generator(seed: int, stream: Stream, step: int = 0, part: int = 0) -> np.random.Generator:
    """Return the generator of one step of a stream.

    Args:
        seed: Seed of the training, from 0 to 2**64 - 1.
        stream: Name of the stream.
        step: Number of the step, 0 or more.
        part: Number, below 2**64, that tells apart several draws of one step, such as a rank or the digest of a row.
            Streams whose draws belong to no step have a part alone.
    """
    # A Philox counter is advanced by its first word, so step and part are the last two: no two steps share a number.
    key, counter = np.array([seed, STREAMS[stream]], np.uint64), np.array([0, 0, part, step], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def torch_seed(seed: int, stream: Stream, step: int = 0, part: int = 0) -> int:
    """Return the seed of a torch generator for one step of a stream, from 0 to 2**63 - 1; see `generator`."""
    return int(generator(seed, stream, step, part).integers(2**63))


@contextmanager
def torch_stream(seed: int, stream: Stream, step: int = 0, part: int = 0) -> Iterator[None]:
    """Seed the global generators for one step of a stream, and restore their states afterwards; see `generator`."""
    with seeded_globals(torch_seed(seed, stream, step, part) % 2**32):
        yield


def seed_torch(seed: int, stream: Stream, step: int = 0, part: int = 0) -> None:
    """Seed torch's global generators for one step of a stream, within a block that restores them at its end."""
    number = torch_seed(seed, stream, step, part)
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)


__all__ = ["STREAMS", "Stream", "generator", "seed_torch", "torch_seed", "torch_stream"]
