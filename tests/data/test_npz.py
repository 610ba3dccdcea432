"""Arrays in .npz files: labels of every kind, layouts of images, and the names that people give to arrays."""

import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.data import npz, source
from nasctl.errors import NasctlError

KINDS = ("ant", "bee", "cat")
NUMBERS = np.array([2, 0, 1, 1, 0, 2])
PIXELS = np.random.default_rng(0).integers(256, size=(6, 3, 8, 8), dtype=np.uint8)


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def said(path):
    return " ".join(source(str(path)).summary.lines(10_000))


names = np.array(KINDS)[NUMBERS]
LABELS = {
    "int8": (NUMBERS.astype(np.int8), ("0", "1", "2")),
    "uint64": (NUMBERS.astype(np.uint64) + 2**40, tuple(str(k + 2**40) for k in range(3))),
    "with gaps": (NUMBERS * 7, ("0", "7", "14")),
    "strings": (names, KINDS),
    "bytes": (names.astype("S"), KINDS),
    "whole float": (NUMBERS.astype(np.float32), ("0", "1", "2")),
    "half float": (NUMBERS.astype(np.float16), ("0", "1", "2")),
    "column": (NUMBERS[:, None], ("0", "1", "2")),
    "column of strings": (names[:, None], KINDS),
    "one-hot": (np.eye(3, dtype=np.uint8)[NUMBERS], ("0", "1", "2")),
    "one-hot float": (np.eye(3)[NUMBERS], ("0", "1", "2")),
    "one-hot bool": (np.eye(3, dtype=bool)[NUMBERS], ("0", "1", "2")),
    "one-hot with an empty column": (np.eye(4)[NUMBERS], ("0", "1", "2")),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_every_kind(name, tmp_path):
    labels, classes = LABELS[name]
    data = source(str(saved(tmp_path / "a.npz", images=PIXELS, labels=labels)))
    assert data.labels.tolist() == NUMBERS.tolist()
    assert data.labels.dtype == np.int64
    assert (data.class_names, data.classes) == (classes, 3)
    assert "3 classes from array labels" in said(tmp_path / "a.npz")
    assert ("Columns without images get no label: 3." in said(tmp_path / "a.npz")) == ("empty" in name)


def test_boolean_labels(tmp_path):
    data = source(str(saved(tmp_path / "a.npz", x=PIXELS, y=NUMBERS > 0)))
    assert (data.labels.tolist(), data.class_names) == ([1, 0, 1, 1, 0, 1], ("False", "True"))


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (NUMBERS + 0.5, r"some, such as 2\.5, are not whole"),
        (np.where(NUMBERS == 0, np.nan, NUMBERS), "some are not finite"),
        (np.where(NUMBERS == 0, np.inf, NUMBERS), "some are not finite"),
        (NUMBERS[:5], r"their shape is \(5,\), for 6 images"),
        (np.arange(12), r"their shape is \(12,\), for 6 images"),
        (np.ones((6, 3)), "of their 3 columns not exactly one is 1 in each row"),
        (np.zeros((6, 3), int), "of their 3 columns not exactly one is 1 in each row"),
        (np.full((6, 2), 0.5), "are not whole"),
        (np.full((6, 2), "a"), "of their 2 columns not exactly one is 1"),
        (NUMBERS.astype(object), "an array is of Python objects; save labels as integers or strings"),
        (NUMBERS * 1j, "they are of type complex128"),
        (NUMBERS.astype("M8[s]"), "they are of type datetime64"),
        (np.eye(3)[NUMBERS][None], r"their shape is \(1, 6, 3\)"),
        (np.array(1), r"their shape is \(\), for 6 images"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(labels, reason, tmp_path):
    path = saved(tmp_path / "a.npz", images=PIXELS, labels=labels)
    with pytest.raises(NasctlError, match=reason) as error:
        source(str(path))
    assert "\n" not in str(error.value)
    words = ["objective", "score", "--space=nb201", f"--data={path}", "-o", "params", "--sample=1"]
    assert CliRunner().invoke(cli, words).exit_code == 2


def test_labels_that_usually_stand_for_none_are_said(tmp_path):
    saved(tmp_path / "a.npz", images=PIXELS, labels=NUMBERS - 1)
    assert "Label -1 counts as a class of its own (2 of the images)." in said(tmp_path / "a.npz")
    saved(tmp_path / "b.npz", images=PIXELS, labels=np.where(NUMBERS == 0, "", names))
    assert "Label '' counts as a class" in said(tmp_path / "b.npz")


def test_without_labels_they_are_drawn_and_said_so(tmp_path):
    saved(tmp_path / "a.npz", images=PIXELS)
    assert "Labels are drawn at random, because no array has a name such as labels or y" in said(tmp_path / "a.npz")
    saved(tmp_path / "b.npz", images=PIXELS, labels=np.full(6, 4), kinds=names)
    assert "because all images have the label 4." in said(tmp_path / "b.npz")
    assert "Arrays that are not used: kinds." in said(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images", "labels"),
        ("x", "y"),
        ("X", "Y"),
        ("x_train", "y_train"),
        ("X_train", "y_train"),
        ("train_images", "train_labels"),
        ("data", "target"),
        ("data", "targets"),
        ("arr_0", "arr_1"),
        ("inputs", "label"),
    ],
)
def test_names_of_arrays(images, labels, tmp_path):
    arrays = {images: PIXELS, labels: NUMBERS, "x_test": PIXELS[:2], "y_test": NUMBERS[:2]}
    data = source(str(saved(tmp_path / "a.npz", **arrays)))
    assert data.labels.tolist() == NUMBERS.tolist()
    assert "Arrays that are not used: x_test, y_test." in data.summary.notes


def test_images_of_every_layout_and_type_are_twins(tmp_path):
    expected = source(str(saved(tmp_path / "a.npz", images=PIXELS))).images((3, 8, 8), 6, 0)[0]
    for k, images in enumerate(
        (
            PIXELS.transpose(0, 2, 3, 1),
            PIXELS.astype(np.uint16) * 257,
            PIXELS.astype(np.int64),
            PIXELS / 255,
            PIXELS.astype(np.float32) / 127.5 - 1,
        )
    ):
        found = source(str(saved(tmp_path / f"{k}.npz", images=images))).images((3, 8, 8), 6, 0)[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    bits = PIXELS[:, 0] > 99
    grey = source(str(saved(tmp_path / "bits.npz", images=bits))).images((1, 8, 8), 6, 0)[0]
    np.testing.assert_array_equal(
        grey > grey.mean(), source(str(tmp_path / "bits.npz")).images((3, 8, 8), 6, 0)[0][:, :1] > 0
    )
    for bad in (np.full((2, 8, 8), 1e300), PIXELS.astype(object), PIXELS.reshape(6, -1), PIXELS[:, :2], PIXELS + 1j):
        with pytest.raises(NasctlError, match=r"bad\.npz"):
            source(str(saved(tmp_path / "bad.npz", images=bad)))


def test_the_summary_names_sizes_and_types(tmp_path):
    assert "6 images of 8x8 pixels (RGB, uint8)" in said(saved(tmp_path / "a.npz", images=PIXELS))
    assert "6 images of 8x4 pixels (grey, float32)" in said(saved(tmp_path / "b.npz", images=PIXELS[:, 0, :4] / 255))


def test_values_of_a_file_whose_labels_were_lost_are_not_reused(tmp_path):
    from nasctl.data._stored_images import digest_of

    for name, arrays in {
        "a": {"images": PIXELS, "labels": NUMBERS},
        "b": {"x": PIXELS, "y": NUMBERS, "target": NUMBERS},
        "c": {"images": PIXELS},
    }.items():
        path = saved(tmp_path / f"{name}.npz", **arrays)
        assert source(str(path)).digest == digest_of(path)
    for name in ("target", "Y", "train_labels"):
        path = saved(tmp_path / f"{name}.npz", images=PIXELS, **{name: NUMBERS})
        assert source(str(path)).digest != digest_of(path)


def test_a_name_that_is_no_array(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images", b"text")
    with pytest.raises(NasctlError, match="a file in it is no array"):
        npz.read(tmp_path / "a.npz")
