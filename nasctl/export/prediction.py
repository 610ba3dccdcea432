"""Functions of an exported Python file that read an image, prepare it as the training did, and classify it.

`nasctl.export.application` writes the source of these functions into the file of a trained network. They therefore use
torch, Pillow and the standard library alone, and read the constants below, which have the values of the network there.
What they compute equals what `nasctl.data` computes with numpy.
"""

from __future__ import annotations

import sys
from functools import cache
from os import PathLike
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

CLASSES: tuple[str, ...] = ()  # names of the classes, in the order of the outputs
MEAN: tuple[float, ...] = ()  # mean of each channel of the training images, in pixels from 0 to 255
DEVIATION: tuple[float, ...] = ()  # standard deviation of each channel, in pixels from 0 to 255
SIZE = (0, 0)  # height and width of the network's input
WEIGHTS = ""  # name of the file with the weights, beside this file


class Net(nn.Module):
    """A stand-in for the network of the file."""


@cache
def load() -> Net:
    """Return the network with the trained weights, in evaluation mode."""
    net = Net()
    net.load_state_dict(torch.load(Path(__file__).with_name(WEIGHTS), weights_only=True))
    return net.eval()


def predict(image: Image.Image | str | PathLike[str]) -> list[tuple[str, float]]:
    """Return the classes of an image, or of the image in a file, with probabilities; the most probable is first."""
    with torch.no_grad():
        probabilities = logits(preprocess(image)[None])[0].softmax(0)
    order = probabilities.argsort(descending=True, stable=True)
    return [(CLASSES[k], float(probabilities[k])) for k in order.tolist()]


def logits(pixels: Tensor) -> Tensor:
    """Return the network's outputs, (B, classes), for pixels from 0 to 255, (B, C, H, W)."""
    mean, deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in (MEAN, DEVIATION))
    found: Tensor = load()((pixels - mean) / deviation)
    return found


def preprocess(image: Image.Image | str | PathLike[str]) -> Tensor:
    """Return an image, or the image in a file, as pixels from 0 to 255, (C, H, W) float32.

    The image is turned upright as its EXIF data say, cropped in its middle to the proportions of `SIZE` and resized
    bicubically. Transparency and colour profiles are ignored. Values of 16 bits are scaled to 0 to 255.

    Raises:
        ValueError: The values have 32 bits, which have no fixed range.
    """
    if not isinstance(image, Image.Image):
        with Image.open(image) as opened:
            opened.load()
            return preprocess(opened)
    height, width = SIZE
    planes = [ImageOps.fit(plane, (width, height), Image.Resampling.BICUBIC).convert("F") for plane in channels(image)]
    values = [torch.frombuffer(bytearray(plane.tobytes()), dtype=torch.float32) for plane in planes]
    return torch.stack(values).view(len(MEAN), height, width).round().clamp(0, 255)


def channels(image: Image.Image) -> list[Image.Image]:
    """Return the channels of an image as images of one channel: as many as `MEAN` has."""
    upright = turned(image)
    if image.mode in ("I", "F") and image.format not in ("PPM", "PNG"):
        raise ValueError("values of 32 bits have no fixed range; convert the image to 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = upright.convert("I")
        if image.format == "TIFF" and getattr(image, "tag_v2", {}).get(262) == 0:  # in these images 0 is white
            values = values.point(lambda value: value * -1 + 65535)
        grey = eight_bits(values)
        return [grey] * 3 if len(MEAN) == 3 else [grey.convert("F")]
    # Pillow makes colours of these modes only by way of the modes without "premultiplied" values.
    premultiplied = {"La": "LA", "RGBa": "RGBA"}.get(upright.mode)
    colours = (upright.convert(premultiplied) if premultiplied else upright).convert("RGB")
    return list(colours.split()) if len(MEAN) == 3 else [colours.convert("F")]


def eight_bits(values: Image.Image) -> Image.Image:
    """Return values from 0 to 65535, of mode "I", as values from 0 to 255, of mode "L" if all of them are whole."""
    whole = values.point(lambda value: value * (1 / 256)).convert("L")  # 257 * k / 256, rounded down, is k
    numbers = torch.frombuffer(bytearray(values.tobytes()), dtype=torch.int32)
    if bool((numbers % 257 == 0).all()):
        return whole
    return values.convert("F").point(lambda value: value * (255 / 65535) + 0)


def turned(image: Image.Image) -> Image.Image:
    """Return the image turned upright; the image as it is if its EXIF data are broken."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken data raise errors of many types
        return image


def main(paths: list[str]) -> int:
    """Print the five most probable classes of each image with their probabilities, and return the exit status."""
    if not paths or paths[0] in ("-h", "--help"):
        print(f"usage: python {Path(__file__).name} IMAGE ...", file=sys.stderr)
        return 2
    try:
        load()
    except OSError as error:
        print(f"Cannot read the weights, which belong beside this file: {error}", file=sys.stderr)
        return 2
    failed = False
    for path in paths:
        try:
            found = predict(path)
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = True
            continue
        for name, probability in found[:5]:
            print(*([path] if len(paths) > 1 else []), f"{probability:.4f}", name, sep="\t")
    return int(failed)
