"""Image files in a folder or zip, by class; each is decoded when a batch needs it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import numpy as np

from nasctl.data._folders import files_of, is_junk
from nasctl.data._image_arrays import numbered
from nasctl.data._stored_images import StoredImages
from nasctl.errors import NasctlError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm")
# Pillow's names of the formats; a file of another format may not pass as an image by its suffix.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM")

LIMIT = 64 * 2**20  # bytes of an image file, unpacked


class Pictures(StoredImages):
    """Image files in a folder or zip, by class; see `PictureFiles`."""

    accepted = "a folder or .zip of images by class"
    generic = True

    @classmethod
    def claims(cls, path: Path) -> bool:
        return path.is_dir() or path.suffix.lower() == ".zip"

    @classmethod
    def read(cls, path: Path) -> PictureFiles:
        return read(path)


@dataclass(frozen=True)
class PictureFiles:
    """Image files; the directory that holds an image is its class, and classes are numbered in alphabetical order.

    If a folder `train` holds classes, only those are used. Images outside all directories count only if there are no
    others. Images of a single class have no labels.
    """

    path: Path
    names: list[str]
    labels: np.ndarray | None  # (K,)

    def __len__(self) -> int:
        return len(self.names)

    def pictures(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield the images, (3, H, W) uint8 each.

        Raises:
            NasctlError: A file is too large, or cannot be read or decoded.
        """
        with nullcontext(self.path) if self.path.is_dir() else ZipFile(self.path) as root:
            for k in indices:
                name = self.names[k]
                try:
                    yield _decoded(_bytes(root, name))
                except NasctlError:
                    raise
                except Exception as error:  # decoders raise many types
                    reason = " ".join(str(error).split())[:200] or type(error).__name__
                    raise NasctlError(f"{name} in {self.path} cannot be decoded ({reason}); remove it") from None


def read(path: Path) -> PictureFiles:
    """List the image files of a folder or zip.

    Raises:
        NasctlError: The file is no zip.
    """
    if path.is_dir():
        names = files_of(path)
    else:
        try:
            with ZipFile(path) as archive:
                names = sorted({entry.filename for entry in archive.infolist() if not is_junk(entry.filename)})
        except (BadZipFile, ValueError, NotImplementedError):  # a name is not text, or zipfile lacks the compression
            raise NasctlError(f"{path} is no zip archive, or a broken one") from None
    found = [PurePosixPath(name) for name in names if name.lower().endswith(SUFFIXES)]
    found = [name for name in found if "train" in name.parts[:-2]] or found
    found = [name for name in found if name.parent.name] or found
    found.sort(key=lambda name: (name.parent.name, name))
    return PictureFiles(path, [str(name) for name in found], numbered(name.parent.name for name in found))


def _bytes(root: Path | ZipFile, name: str) -> bytes:
    """Return the content of an image file.

    Raises:
        NasctlError: The file is too large.
    """
    with root.open(name) if isinstance(root, ZipFile) else (root / name).open("rb") as stream:
        content = stream.read(LIMIT + 1)  # an archive may state a wrong size
    if len(content) > LIMIT:
        raise NasctlError(f"{name} is larger than {LIMIT // 2**20} MB, too large for an image; remove it")
    return content


def _decoded(content: bytes) -> np.ndarray:
    """Return an image, (3, H, W) uint8."""
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns about images that unpack to hundreds of megabytes, and refuses images of twice that size.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(BytesIO(content), formats=FORMATS)
    with image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


__all__ = ["Pictures"]
