"""Every format and mode that Pillow reads gives the pixels of its twin in RGB, or a sentence that names the file."""

import io
import random
import struct
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from nasctl.data import pictures, source
from nasctl.data._decoding import ValueScale, decoded, suffixes
from nasctl.errors import NasctlError

SIDE = 32
SCALES = {"I": ValueScale(0.0, 65535.0), "F": ValueScale(0.0, 1.0)}
FORMATS = (
    *("BMP", "DIB", "DDS", "GIF", "ICO", "JPEG", "JPEG2000", "MSP", "PCX"),
    *("PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM"),
)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F")
# The pairs for which Pillow writes other pixels than it was given.
CLIPPED = {(kind, mode) for kind in ("GIF", "WEBP") for mode in ("I", "I;16", "F")}
CLIPPED |= {("GIF", "RGB"), ("GIF", "RGBA")}
OPTIONS = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}


@cache
def drawn(seed=0, size=(SIDE, SIDE)):
    """A smooth picture in colours."""
    small = np.random.default_rng(seed).integers(256, size=(4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def in_mode(mode, picture):
    """The picture in a mode, and its twin in RGB."""
    grey = picture.convert("L")
    values = np.asarray(grey)
    if mode in ("I", "I;16", "F"):
        kinds = {
            "I": values.astype(np.int32) * 257,
            "I;16": values.astype(np.uint16) * 257,
            "F": values / np.float32(255),
        }
        return Image.fromarray(kinds[mode]), grey.convert("RGB")
    if mode == "LAB":
        profiles = map(ImageCms.createProfile, ("sRGB", "LAB"))
        made = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")
    elif mode == "PA":
        made = picture.convert("P").convert("PA")
    else:
        made = picture.convert(mode)
    if mode in ("LA", "RGBA"):
        made.putalpha(grey)
    return made, made.convert("RGB")


def encoded(picture, kind, **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def pixels(content):
    with decoded(content) as image:
        return image.pixels(SCALES)


def planes(picture):
    return np.asarray(picture).transpose(2, 0, 1)


def folder(path, contents):
    for name, content in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def batch(path, number=4, shape=(3, 16, 16)):
    return source(str(path)).images(shape, number, 0)[0]


# --- every mode in every format ---


@pytest.mark.parametrize("kind", FORMATS)
def test_every_mode_equals_its_twin_in_rgb(kind):
    written = 0
    for mode in MODES:
        made, twin = in_mode(mode, drawn())
        try:
            content = encoded(made, kind, **OPTIONS.get(kind, {}))
        except (OSError, KeyError, ValueError):  # the format lacks the mode
            continue
        written += 1
        if (kind, mode) in CLIPPED:
            continue
        found = pixels(content)
        assert found.dtype == np.uint8, mode
        difference = np.abs(found.astype(int) - planes(twin)).max()
        assert difference <= (4 if kind == "JPEG" else 0), mode
    assert written


def test_suffixes_are_those_of_what_pillow_decodes_alone():
    for suffix in (".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".jfif", ".webp", ".jp2", ".tga", ".bmp", ".gif", ".mpo"):
        assert suffix in suffixes()
    for suffix in (".eps", ".ps", ".pdf", ".mpg", ".wmf", ".h5", ".txt", ".npz", ".svg", ""):
        assert suffix not in suffixes()


# --- twins as data ---

GREY_TWINS = {
    "pgm": {"kind": "PPM"},
    "tif": {"kind": "TIFF"},
    "tiff": {"kind": "TIFF", "compression": "tiff_lzw"},
    "TIF": {"kind": "TIFF", "compression": "tiff_deflate"},
    "bmp": {"kind": "BMP"},
    "gif": {"kind": "GIF"},
    "webp": {"kind": "WEBP", "lossless": True},
    "jp2": {"kind": "JPEG2000"},
    "tga": {"kind": "TGA"},
    "pcx": {"kind": "PCX"},
    "sgi": {"kind": "SGI"},
}


@pytest.fixture
def grey_pngs(tmp_path):
    return folder(tmp_path / "png", {f"{'ab'[k % 2]}/{k}.png": encoded(drawn(k).convert("L"), "PNG") for k in range(4)})


@pytest.mark.parametrize("suffix", GREY_TWINS)
def test_formats_of_8_bits_are_twins(suffix, grey_pngs, tmp_path):
    contents = {f"{'ab'[k % 2]}/{k}.{suffix}": encoded(drawn(k).convert("L"), **GREY_TWINS[suffix]) for k in range(4)}
    path = folder(tmp_path / "twin", contents)
    np.testing.assert_array_equal(batch(path), batch(grey_pngs))
    assert source(str(path)).labels.tolist() == [0, 0, 1, 1]


def values(k):
    return np.asarray(drawn(k).convert("L"))


DEEP_TWINS = {
    "16-bit PNG": lambda k: encoded(Image.fromarray(values(k).astype(np.uint16) * 257), "PNG"),
    "16-bit TIFF": lambda k: encoded(Image.fromarray(values(k).astype(np.uint16) * 257), "TIFF"),
    "16-bit PGM": lambda k: encoded(Image.fromarray(values(k).astype(np.int32) * 257), "PPM"),
    "16-bit PPM in colour": lambda k: b"P6 32 32 65535\n" + np.repeat(values(k), 6).tobytes(),
    "PGM of other maximum": lambda k: b"P5 32 32 1020\n" + (values(k).astype(np.uint16) * 4).astype(">u2").tobytes(),
    "float TIFF to 1": lambda k: encoded(Image.fromarray(values(k) / np.float32(255)), "TIFF"),
    "float TIFF to 255": lambda k: encoded(Image.fromarray(values(k).astype(np.float32)), "TIFF"),
    "float TIFF to 65535": lambda k: encoded(Image.fromarray(values(k).astype(np.float32) * 257), "TIFF"),
    "32-bit TIFF to 255": lambda k: encoded(Image.fromarray(values(k).astype(np.int32)), "TIFF"),
    "32-bit TIFF to 65535": lambda k: encoded(Image.fromarray(values(k).astype(np.int32) * 257), "TIFF"),
    "PFM": lambda k: encoded(Image.fromarray(values(k) / np.float32(255)), "PPM"),
}


@pytest.mark.parametrize("name", DEEP_TWINS)
def test_deeper_twins_are_scaled(name, grey_pngs, tmp_path):
    made = {f"{'ab'[k % 2]}/{k}.{'tif' if 'TIFF' in name else 'pnm'}": DEEP_TWINS[name](k) for k in range(4)}
    path = folder(tmp_path / "twin", made)
    np.testing.assert_array_equal(batch(path), batch(grey_pngs))
    notes = source(str(path)).summary.notes
    assert any("Scaled to the range of 8 bits" in note for note in notes) or "PPM in colour" in name


def test_finer_values_are_kept(tmp_path):
    """A ramp of 12 bits in 16 is neither clipped nor rounded to 16 levels; its largest value sets no other scale."""
    ramps = [np.arange(1024, dtype=np.uint16).reshape(32, 32) * step for step in (4, 2)]
    path = folder(
        tmp_path / "set", {f"a/{k}.png": encoded(Image.fromarray(ramp), "PNG") for k, ramp in enumerate(ramps)}
    )
    images = batch(path, 2, (1, 32, 32))
    large, small = sorted((image.ravel() for image in images), key=np.ptp, reverse=True)
    assert len(np.unique(large)) == 1024
    np.testing.assert_allclose(np.ptp(large), 2 * np.ptp(small), rtol=1e-4)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 3e5), (-1000, 3000)])
def test_unusual_ranges_are_those_of_the_set(low, high, tmp_path):
    made = {f"{k}.tif": low + (high - low) * values(k).astype(np.float32) / 255 for k in range(4)}
    path = folder(tmp_path / "set", {name: encoded(Image.fromarray(one), "TIFF") for name, one in made.items()})
    data = source(str(path))
    lowest, highest = (f"{float(end):g}" for end in (min(map(np.min, made.values())), max(map(np.max, made.values()))))
    if low >= 0:
        lowest = "0" if float(lowest) == 0 else lowest
    assert f"4 images of floats from {lowest} to {highest}" in " ".join(data.summary.notes)
    plain = folder(tmp_path / "plain", {f"{k}.png": encoded(Image.fromarray(values(k)), "PNG") for k in range(4)})
    np.testing.assert_allclose(batch(path), batch(plain), atol=0.03)


def with_tag(content, tag, kind, value):
    """A TIFF with another value of a tag that it has."""
    place = content.index(struct.pack("<HHI", tag, kind, 1)) + 8
    return content[:place] + struct.pack("<H", value) + content[place + 2 :]


def test_unsigned_values_of_32_bits():
    wide = (values(0).astype(np.uint32) << 24).astype("<u4")
    content = with_tag(encoded(Image.fromarray(wide.view(np.int32)), "TIFF"), 339, 3, 1)
    with decoded(content) as image:
        assert image.span() == (wide.min(), wide.max())


def test_tiff_images_in_which_0_is_white():
    for made in (values(0), values(0).astype(np.uint16) * 257):
        content = with_tag(encoded(Image.fromarray(made), "TIFF"), 262, 3, 0)
        np.testing.assert_array_equal(pixels(content)[0], 255 - values(0))


def test_values_that_are_not_finite_are_refused(tmp_path):
    bad = np.full((8, 8), np.nan, np.float32)
    path = folder(
        tmp_path / "set", {"a/1.tif": encoded(Image.fromarray(bad), "TIFF"), "a/2.png": encoded(drawn(), "PNG")}
    )
    assert "a/1.tif (it has values that are not finite)" in " ".join(source(str(path)).summary.notes)


# --- orientation, frames, transparency ---


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_orientation_is_applied(kind, suffix, orientation, tmp_path):
    wide = drawn(1, (40, 24))
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = encoded(wide, kind, **OPTIONS.get(kind, {}))
    turned = encoded(wide, kind, exif=exif, **OPTIONS.get(kind, {}))
    known = Image.open(io.BytesIO(plain))
    known.getexif()[0x0112] = orientation
    expected = planes(ImageOps.exif_transpose(known).convert("RGB"))
    np.testing.assert_array_equal(pixels(turned), expected)
    path = folder(tmp_path / "set", {f"a/1.{suffix}": turned})
    said = " ".join(source(str(path)).summary.lines(1000))
    assert ("24x40" if orientation > 4 else "40x24") in said


def test_a_broken_exif_leaves_the_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = bytearray(encoded(drawn(), "JPEG", exif=exif))
    place = content.index(b"Exif\0\0") + 6
    for junk in (b"\xff" * 8, b"II*\0\xff\xff\xff\x7f"):
        content[place : place + 8] = junk
        assert pixels(bytes(content)).shape == (3, SIDE, SIDE)


@pytest.mark.parametrize(("kind", "suffix"), [("TIFF", "tif"), ("GIF", "gif"), ("WEBP", "webp"), ("PNG", "png")])
def test_the_first_frame_counts(kind, suffix, tmp_path):
    frames = [drawn(k).convert("L" if kind == "GIF" else "RGB") for k in range(3)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **OPTIONS.get(kind, {}))
    np.testing.assert_array_equal(pixels(content), planes(frames[0].convert("RGB")))
    path = folder(tmp_path / "set", {f"a/1.{suffix}": content})
    assert f"Of a/1.{suffix} only the first frame or page is used." in source(str(path)).summary.notes


def test_transparency_is_ignored_and_said(tmp_path):
    picture = drawn().convert("RGBA")
    picture.putalpha(picture.convert("L"))
    path = folder(tmp_path / "set", {"a/1.png": encoded(picture, "PNG"), "a/2.png": encoded(drawn(1), "PNG")})
    np.testing.assert_array_equal(pixels(encoded(picture, "PNG")), planes(drawn()))
    summary = source(str(path)).summary
    assert "Transparency is ignored (1 image)." in summary.notes
    assert dict(summary.modes) == {"RGB": 1, "RGBA": 1}


# --- files that cannot be decoded ---


def test_a_bomb_is_skipped_and_named(tmp_path):
    bomb = encoded(Image.new("1", (30_000, 5_000)), "PNG")
    path = folder(tmp_path / "set", {"a/1.png": bomb, "a/2.png": encoded(drawn(), "PNG")})
    assert "a/1.png (Image size (150000000 pixels) exceeds limit" in source(str(path)).summary.notes[0]


def test_only_broken_files_are_refused(tmp_path):
    path = folder(tmp_path / "set", {f"a/{k}.png": encoded(drawn(k), "PNG")[: 60 + k] for k in range(3)})
    with pytest.raises(NasctlError, match=r"none of its 3 images can be decoded\. Replace them; the first is a/0\.png"):
        source(str(path))


def test_a_large_set_is_checked_in_part_and_says_so(tmp_path, monkeypatch):
    path = folder(tmp_path / "set", {f"a/{k}.png": encoded(drawn(k), "PNG") for k in range(6)})
    whole = source(str(path))
    monkeypatch.setattr("nasctl.data._survey.CHECKED_FILES", 4)
    part = source(str(path))
    assert "Only 4 of 6 files were checked" in " ".join(part.summary.notes)
    assert part.digest != whole.digest  # the other two may be read otherwise than in the first version


# --- bent files ---


@cache
def seeds(kind):
    """A file of each mode that a format can have."""
    found = []
    for mode in MODES:
        made, _ = in_mode(mode, drawn(0, (8, 8)))
        try:
            found.append(encoded(made, kind))
        except (OSError, KeyError, ValueError):
            continue
    return found


def bent(content, rng):
    """A file with a few bytes changed, repeated or missing."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content)) if rng.random() < 0.5 else rng.randrange(min(64, len(content)))
        middle = rng.choice(
            (b"", b"\0", b"\xff\xff\xff\x7f", rng.randbytes(rng.randint(1, 8)), content[start : start + 9] * 2)
        )
        content = content[:start] + middle + content[start + rng.choice((0, len(middle), 1, 99)) :]
        content = content or b"\0"
    return content


def fed(kind, number, path):
    @settings(
        max_examples=number, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.integers(0, 2**32))
    def check(seed):
        rng = random.Random(seed)
        (path / "a" / "0.png").write_bytes(bent(rng.choice(seeds(kind)), rng))
        data = pictures.Pictures.at(path)
        images, labels = data.images((3, 8, 8), 1 + (data.summary.images == 2), 0)
        assert np.isfinite(images).all()
        assert labels is None or data.summary.images == 2
        assert data.summary.images == 2 or data.summary.notes[0].startswith(
            "Skipped 1 image that cannot be decoded: a/0.png"
        )

    check()


@pytest.mark.parametrize("kind", FORMATS)
def test_bent_files_are_read_or_named(kind, tmp_path):
    fed(kind, 10, folder(tmp_path, {"a/0.png": b"", "b/1.png": encoded(drawn(), "PNG")}))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_many_bent_files_are_read_or_named(kind, tmp_path):
    fed(kind, 150, folder(tmp_path, {"a/0.png": b"", "b/1.png": encoded(drawn(), "PNG")}))
