"""Parts that data sets apart, and arrays that stay on disk."""

import shutil

import numpy as np
import pytest
from PIL import Image

from nasctl.data import npz, source
from nasctl.data._array_file import ArrayFile
from nasctl.data._held_out import held_out_parts
from nasctl.errors import NasctlError


def records(labels, seed):
    pixels = np.random.default_rng(seed).integers(256, size=(len(labels), 3072), dtype=np.uint8)
    return np.concatenate([np.array(labels, np.uint8)[:, None], pixels], axis=1), pixels.reshape(-1, 3, 32, 32)


def test_cifars_test_batch_is_its_test_part(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(records([0, 3, 5, 3], 0)[0].tobytes())
    content, pixels = records([5, 3], 1)
    (tmp_path / "test_batch.bin").write_bytes(content.tobytes())
    parts = source(str(tmp_path)).image_parts()
    assert set(parts) == {"train", "test"}
    assert len(parts["train"]) == 4
    assert parts["test"].labels.tolist() == [2, 1]  # as among the training images
    np.testing.assert_array_equal(np.stack(list(parts["test"].pictures([0, 1]))), pixels)
    (tmp_path / "test_batch.bin").write_bytes(records([5, 9], 1)[0].tobytes())
    with pytest.raises(NasctlError, match="class 9 has no training images"):
        source(str(tmp_path)).image_parts()


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train/a/1.png", "val/a/2.png", "test/3.png"], [None, "validation", "test"]),
        (["a/train/1.png", "a/valid/2.png", "b/test/3.png"], [None, "validation", "test"]),
        (["x/Train/a/1.png", "x/DEV/a/2.png", "x/other/3.png"], [None, "validation", None]),
        (["val/a/1.png", "test/a/2.png"], [None, None]),
        (["a/1.png", "test/2.png"], [None, None]),
    ],
)
def test_folders_beside_training_images_are_parts(names, parts):
    assert held_out_parts(names) == parts


def test_a_class_may_have_the_name_of_a_part(tmp_path):
    for name in ("test", "train", "cat"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    assert set(source(str(tmp_path)).image_parts()) == {"train"}


@pytest.mark.parametrize("shape", [(7, 5, 6), (7, 5, 6, 3), (7, 3, 5, 6), (7, 5, 6, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int16, ">f4", bool])
def test_images_on_disk_are_those_in_memory(tmp_path, monkeypatch, shape, dtype):
    images = np.random.default_rng(0).integers(256, size=shape).astype(dtype)
    path = tmp_path / "a.npz"
    np.savez(path, labels=np.arange(7) % 2, images=images)
    memory = npz.read(path)
    copy = shutil.copy(path, tmp_path / "copy.npz")  # what a path holds is kept, so the file on disk has another path
    batch = source(str(copy)).images((3, 5, 6), 4, 0)[0]
    monkeypatch.setattr(npz, "IN_MEMORY", 10)
    disk = npz.read(path)
    assert isinstance(disk.images, ArrayFile)
    assert disk.summary == memory.summary
    assert disk.span == memory.span
    for one, other in zip(disk.pictures([3, 0, 6]), memory.pictures([3, 0, 6]), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(source(str(path)).images((3, 5, 6), 4, 0)[0], batch)
    np.savez_compressed(path, labels=np.arange(7) % 2, images=images)
    assert isinstance(npz.read(path).images, np.ndarray)  # it cannot be read in pieces


def test_values_on_disk_that_are_not_finite_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "IN_MEMORY", 10)
    for bad in (np.nan, np.inf):
        images = np.zeros((7, 5, 6), np.float32)
        images[3, 2, 1] = bad
        np.savez(tmp_path / "a.npz", images=images)
        with pytest.raises(NasctlError, match="values that are not finite"):
            source(str(tmp_path / "a.npz"))


def test_an_array_file_that_is_cut_off_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "IN_MEMORY", 10)
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((7, 50, 60), np.uint8), labels=np.arange(7) % 2)
    content = npz.read(path)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(NasctlError, match=r"^Cannot read .*a\.npz: it ends too early\. Put the whole file back\.$"):
        list(content.pictures([6]))
    path.unlink()
    with pytest.raises(NasctlError, match="No such file or directory"):
        list(content.pictures([0]))


def test_too_large_arrays_say_how_to_save_them(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "LIMIT", 1000)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((7, 50, 60), np.uint8), labels=np.arange(7) % 2)
    with pytest.raises(NasctlError, match=r"too large; save the images with numpy\.savez, which does not compress"):
        source(str(tmp_path / "a.npz"))
