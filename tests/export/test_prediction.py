"""An exported file reads an image as nasctl's data does."""

import numpy as np
import pytest
import torch
from PIL import Image

from nasctl.data import fitted
from nasctl.data._decoding import decoded
from nasctl.export import prediction

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (37, 53, 4), np.uint8)
DEEP = RNG.integers(0, 65536, (37, 53)).astype(np.uint16)


def image(mode):
    if mode == "1":
        return Image.fromarray(COLOURS[:, :, 0] > 128)
    if mode == "P":
        return Image.fromarray(COLOURS[:, :, :3]).quantize(16)
    if mode in ("L", "LA", "CMYK", "RGB", "RGBA", "YCbCr", "HSV"):
        return Image.fromarray(COLOURS[:, :, :3]).convert(mode)
    raise ValueError(mode)


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    Image.fromarray(COLOURS[:, :, :3]).save(path, exif=exif)


MAKERS = {
    "grey.png": lambda path: image("L").save(path),
    "rgb.png": lambda path: image("RGB").save(path),
    "rgba.png": lambda path: image("RGBA").save(path),
    "grey-alpha.png": lambda path: image("LA").save(path),
    "bits.png": lambda path: image("1").save(path),
    "palette.png": lambda path: image("P").save(path),
    "clear-palette.gif": lambda path: image("P").save(path, transparency=3),
    "print.jpg": lambda path: image("CMYK").save(path),
    "turned.jpg": turned,
    "deep.png": lambda path: Image.fromarray(DEEP).save(path),
    "deep-of-8-bits.png": lambda path: Image.fromarray(COLOURS[:, :, 0].astype(np.uint16) * 257).save(path),
    "deep.tif": lambda path: Image.fromarray(DEEP).save(path),
    "white-is-zero.tif": lambda path: Image.fromarray(DEEP).save(path, tiffinfo={262: 0}),
    "big-endian.pgm": lambda path: path.write_bytes(b"P5 53 37 65535\n" + DEEP.astype(">u2").tobytes()),
    "frames.gif": lambda path: image("P").save(path, save_all=True, append_images=[image("P").rotate(90)]),
    "broken-exif.jpg": lambda path: image("RGB").save(path, exif=b"Exif\0\0broken"),
}


@pytest.mark.parametrize("size", [(16, 16), (37, 53), (8, 31)], ids=["smaller", "same", "wider"])
@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning")
def test_pixels_are_those_of_training(name, channels, size, tmp_path, monkeypatch):
    MAKERS[name](tmp_path / name)
    with decoded((tmp_path / name).read_bytes()) as found:
        expected = fitted(found.pixels({}), (channels, *size))
    monkeypatch.setattr(prediction, "MEAN", (0.0,) * channels)
    monkeypatch.setattr(prediction, "SIZE", size)
    pixels = prediction.preprocess(tmp_path / name).numpy()
    if channels == 3:
        np.testing.assert_array_equal(pixels, expected)
        return
    # The luma of a pixel may lie in the middle of two values, and sums of float32 differ on which is nearer.
    difference = np.abs(pixels - expected.astype(np.float32))
    assert difference.max() <= 1
    assert difference.mean() < 0.002


def test_values_without_a_range_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "MEAN", (0.0,))
    for values in (np.zeros((4, 4), np.float32), np.zeros((4, 4), np.int32)):
        Image.fromarray(values).save(tmp_path / "a.tif")
        with pytest.raises(ValueError, match="convert the image to 8 or 16 bits"):
            prediction.preprocess(tmp_path / "a.tif")


def test_an_image_in_memory_may_be_given(monkeypatch):
    monkeypatch.setattr(prediction, "MEAN", (0.0,) * 3)
    monkeypatch.setattr(prediction, "SIZE", (37, 53))
    np.testing.assert_array_equal(prediction.preprocess(image("RGB")), COLOURS[:, :, :3].transpose(2, 0, 1))


def test_the_main_program_prints_the_most_probable_classes(tmp_path, monkeypatch, capsys):
    class Flat(torch.nn.Module):
        def forward(self, images):
            return torch.tensor([[0.0, 3.0, 1.0]]).expand(len(images), 3)

    monkeypatch.setattr(prediction, "load", Flat)
    monkeypatch.setattr(prediction, "CLASSES", ("cat", "dog", "eel"))
    for name in ("MEAN", "DEVIATION"):
        monkeypatch.setattr(prediction, name, (1.0,))
    monkeypatch.setattr(prediction, "SIZE", (4, 4))
    image("RGB").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    assert prediction.main([str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().out == "0.8438\tdog\n0.1142\teel\n0.0420\tcat\n"
    assert prediction.main([str(tmp_path / "b.png"), str(tmp_path / "a.png")]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{tmp_path / 'a.png'}\t0.8438\tdog\n")
    assert shown.err.startswith(f"{tmp_path / 'b.png'}: cannot identify image file")
    assert prediction.main([]) == 2


def test_missing_weights_are_not_the_fault_of_an_image(tmp_path, monkeypatch, capsys):
    def load():
        return torch.load(tmp_path / "net.pt")

    monkeypatch.setattr(prediction, "load", load)
    assert prediction.main([str(tmp_path / "a.png")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Cannot read the weights, which belong beside this file: ")
    assert "net.pt" in said
    assert "a.png" not in said
