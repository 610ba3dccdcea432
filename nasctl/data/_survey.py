"""A check of image files when their folder or zip is opened: broken files, sizes, modes and ranges of values."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from nasctl.data._decoding import DecodedImage, ValueScale, decoded
from nasctl.data._folders import NAMED, quoted
from nasctl.data._summary import ImageSizes
from nasctl.system.wording import plural

CHECKED_FILES = 20_000  # the most files that are checked

CHECKED_BYTES = 64 * 2**20  # the most bytes of checked files

CHECKED_PIXELS = 2**28  # the most pixels of checked files

DEPTHS = {"16": "16 bits", "I": "32-bit integers", "F": "floats"}

ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")  # modes with transparency


@dataclass(frozen=True)
class Survey:
    """The outcome of a check of image files. It is small, because each worker gets a copy with the data.

    Attributes:
        checked: Number of checked files.
        broken: Keys of files that cannot be decoded, each with the reason.
        scales: Depths of 32 bits, "I" or "F", each with the scale of its values.
        sizes: Sizes of the checked images.
        modes: Pillow's modes with their numbers of images, the most frequent first.
        turned: Number of images with an EXIF orientation.
        frames: The first files with several frames or pages.
        framed: Number of all of these.
        deep: Depths of more than 8 bits with their numbers of images.
        digest: The digest of the checked files, in hexadecimal.
    """

    checked: int = 0
    broken: tuple[tuple[str, str], ...] = ()
    scales: tuple[tuple[str, ValueScale], ...] = (("I", ValueScale(0.0, 65535.0)), ("F", ValueScale(0.0, 1.0)))
    sizes: ImageSizes | None = None
    modes: tuple[tuple[str, int], ...] = ()
    turned: int = 0
    frames: tuple[str, ...] = ()
    framed: int = 0
    deep: tuple[tuple[str, int], ...] = ()
    digest: str = ""

    def notes(self, total: int) -> Iterator[str]:
        """Yield sentences about the images that are skipped or changed.

        Args:
            total: Number of image files.
        """
        if self.broken:
            named = [f"{key} ({reason})" for key, reason in self.broken]
            yield f"Skipped {plural(len(self.broken), 'image')} that cannot be decoded: {quoted(named)}."
        if self.turned:
            yield f"Turned {plural(self.turned, 'image')} upright by the EXIF orientation."
        if self.framed:
            more = f" and {self.framed - len(self.frames):,} more" if self.framed > len(self.frames) else ""
            yield f"Of {', '.join(self.frames)}{more} only the first frame or page is used."
        if self.deep:
            scales = {"16": ValueScale(0.0, 65535.0), **dict(self.scales)}
            parts = [
                f"{plural(number, 'image')} of {DEPTHS[depth]} from {scales[depth].low:g} to {scales[depth].high:g}"
                for depth, number in self.deep
            ]
            yield f"Scaled to the range of 8 bits: {', '.join(parts)}."
        if alpha := sum(number for mode, number in self.modes if mode in ALPHA):
            yield f"Transparency is ignored ({plural(alpha, 'image')})."
        if self.checked < total:
            yield f"Only {self.checked:,} of {total:,} files were checked for sizes, modes and broken content."


UNCHECKED = Survey()


@dataclass
class Surveyor:
    """A survey in the making.

    Args:
        names: The names of the image files, for the summary.
    """

    names: Sequence[str]
    sizes: set[tuple[int, int]] = field(default_factory=set)
    modes: Counter[str] = field(default_factory=Counter)
    spans: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    broken: list[tuple[str, str]] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    deep: Counter[str] = field(default_factory=Counter)
    turned: int = 0
    pixels: int = 0

    def survey(self, contents: Iterator[tuple[int, bytes | Exception]]) -> Survey:
        """Decode files and return what they are.

        Args:
            contents: Indices of files with their content, or with the error of reading it.
        """
        checked = size = 0
        digest = hashlib.sha256()
        for k, content in contents:
            checked += 1
            try:
                if isinstance(content, Exception):
                    raise content
                size += len(content)
                digest.update(b"%d %d " % (k, len(content)) + content)
                with decoded(content) as image:
                    self._add(self.names[k], image)
            except Exception as error:  # decoders raise many types
                self.broken.append((self.names[k], reason_of(error)))
            if checked >= CHECKED_FILES or size >= CHECKED_BYTES or self.pixels >= CHECKED_PIXELS:
                break
        by_area = sorted(self.sizes, key=lambda size: (size[0] * size[1], size))
        return Survey(
            checked,
            tuple(sorted(self.broken)),
            tuple((depth, self._scale(depth, scale)) for depth, scale in UNCHECKED.scales),
            ImageSizes(by_area[0], by_area[-1], len(by_area)) if by_area else None,
            tuple(self.modes.most_common()),
            self.turned,
            tuple(sorted(self.frames)[:NAMED]),
            len(self.frames),
            tuple(self.deep.items()),
            digest.hexdigest(),
        )

    def _add(self, name: str, image: DecodedImage) -> None:
        if image.depth in ("I", "F"):
            self.spans[image.depth].extend(image.span())
        if image.depth != "8":
            self.deep[image.depth] += 1
        self.sizes.add(image.image.size)
        self.modes[image.mode] += 1
        self.turned += image.turned
        self.pixels += image.image.width * image.image.height
        if image.frames:
            self.frames.append(name)

    def _scale(self, depth: str, default: ValueScale) -> ValueScale:
        spans = self.spans.get(depth)
        return ValueScale.of_range(depth, min(spans), max(spans)) if spans else default


def reason_of(error: Exception) -> str:
    """Return the message of an error in one line of at most 200 characters, or its type."""
    if type(error).__name__ == "UnidentifiedImageError":  # whose message is the address of a buffer
        return "it is of no image format that can be read"
    return " ".join(str(error).split())[:200] or type(error).__name__


def order_of_check(number: int) -> np.ndarray:
    """Return the order in which files are checked: the files that mean and deviation are computed from come first."""
    return np.random.default_rng(0).permutation(number)


__all__ = ["UNCHECKED", "Survey", "Surveyor", "order_of_check", "reason_of"]
