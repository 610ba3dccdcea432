"""Images with labels: pixels, parts, statistics and notes."""

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from nasctl.data._image_arrays import ImageArrays
from nasctl.errors import NasctlError
from nasctl.problem.space import Input
from nasctl.training import image_data
from nasctl.training.labelled import training_data
from nasctl.training.split import Split

SIZE = Input((3, 4, 6))  # 4 rows of 6 pixels


def picture(seed, channels=3):
    return np.random.default_rng(seed).integers(256, size=(4, 6, channels), dtype=np.uint8).squeeze()


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)


def animals(root, number=20, order=None):
    """Ants, bees and cats, of which there are more than bees, and more bees than ants."""
    names = [
        f"{name}/{k:02}.png" for name, more in (("ant", 0), ("bee", 20), ("cat", 40)) for k in range(number + more)
    ]
    for place in range(len(names)) if order is None else order.permutation(len(names)):
        save(root / names[place], picture(place))
    return root


def opened(path, shape=SIZE, split="0.8,0.1,0.1", seed=0, classes=None):
    return training_data(str(path), shape, classes, split, seed)


def every(data, part):
    return data.examples(part, np.arange(data.size(part)))


def hard_images(root):
    """One image of each kind that is easily read wrong, with the expected pixels, (3, 4, 6) uint8, in their order."""
    root = root / "train" / "a"
    palette = Image.fromarray(picture(0)).quantize(7)
    save(root / "1-palette.png", palette)
    alpha = picture(1, 4)
    save(root / "2-alpha.png", alpha)
    grey = picture(2, 1)
    save(root / "3-deep.png", grey.astype(np.uint16) * 257)
    save(root / "4-ink.jpg", Image.new("CMYK", (6, 4), (0, 255, 255, 0)), quality=100)
    turned, exif = picture(3), Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    save(root / "5-turned.png", np.rot90(turned), exif=exif)
    save(root / "6-grey.png", grey)
    save(root / "7-bits.png", Image.fromarray(grey > 99))
    red = np.zeros((4, 6, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    greys = [np.stack([values] * 3, axis=2) for values in (grey, grey, (grey > 99) * np.uint8(255))]
    rgb = [np.asarray(palette.convert("RGB")), alpha[..., :3], greys[0], red, turned, greys[1], greys[2]]
    return [one.transpose(2, 0, 1).astype(int) for one in rgb]


def test_images_of_every_kind_have_the_expected_pixels(tmp_path):
    expected = hard_images(tmp_path)
    for part, name in (("train", "b"), ("val", "a"), ("val", "b")):
        save(tmp_path / part / name / "0.png", picture(9))
    data = opened(tmp_path, split="0.8,0.2")
    images, labels = every(data, "train")
    assert images.dtype == np.uint8
    assert labels.tolist() == [0] * 7 + [1]
    for image, pixels in zip(images, expected, strict=False):
        np.testing.assert_allclose(image.astype(int), pixels, atol=2 if (pixels[0] == 255).all() else 0)
    assert any("Transparency is ignored (1 image)" in note for note in data.notes)
    grey = opened(tmp_path, Input((1, 4, 6)), "0.8,0.2").examples("train", np.array([5]))[0]
    np.testing.assert_array_equal(grey[0, 0], expected[5][0])


def test_an_image_is_cropped_in_its_middle_and_resized(tmp_path):
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 5:95] = 200  # the middle, of 3 to 2, and the pixels around it that bicubic resizing reads
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        save(tmp_path / name, wide)
    images, _ = every(opened(tmp_path, split="0.5,0.5"), "train")
    assert (images == 200).all()


def test_the_split_does_not_depend_on_the_order_of_files(tmp_path):
    one = opened(animals(tmp_path / "1" / "photos"))
    other = opened(animals(tmp_path / "2" / "photos", order=np.random.default_rng(1)))
    assert str(one) == str(other)
    assert one == other
    assert hash(one) == hash(other)
    assert str(one).endswith(" split=0.8-0.1-0.1 seed=0")
    assert str(one).startswith("photos#")
    for part in ("train", "validation", "test"):
        for mine, theirs in zip(every(one, part), every(other, part), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert [one.size(part) for part in ("train", "validation", "test")] == [96, 12, 12]
    assert one.class_counts("train").tolist() == [16, 32, 48]
    assert one.class_names == ("ant", "bee", "cat")


def test_the_statistics_are_those_of_the_fitted_training_images(tmp_path):
    data = opened(animals(tmp_path))
    pixels = every(data, "train")[0].astype(float)
    np.testing.assert_allclose(data.mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(data.deviation, pixels.std(axis=(0, 2, 3)), rtol=1e-12)


def test_notes_begin_with_the_counts_of_classes(tmp_path):
    notes = opened(animals(tmp_path)).notes
    assert notes[0] == "3 classes, images by class in the training part: cat 48, bee 32, ant 16."
    assert notes[1] == "Images: 96 train, 12 validation, 12 test."
    assert notes[2] == "Classes are unequal: cat has 3 times as many training images as ant."


def test_a_broken_file_is_named_skipped_and_counted(tmp_path):
    animals(tmp_path)
    (tmp_path / "bee" / "03.png").write_bytes((tmp_path / "bee" / "03.png").read_bytes()[:60])
    data = opened(tmp_path)
    assert sum(data.size(part) for part in ("train", "validation", "test")) == 119
    assert any(note.startswith("Skipped 1 image that cannot be decoded: bee/03.png (") for note in data.notes)


def test_folders_for_validation_and_test_are_used_as_they_are(tmp_path):
    animals(tmp_path / "photos" / "train")
    for k, name in enumerate(("val/bee/1.png", "val/cat/1.png", "val/cat/persian/2.png", "test/images/ant/1.png")):
        save(tmp_path / "photos" / name, picture(1000 + k))
    data = opened(tmp_path / "photos")
    assert [data.size(part) for part in ("train", "validation", "test")] == [120, 3, 1]
    assert every(data, "validation")[1].tolist() == [1, 2, 2]
    assert every(data, "test")[1].tolist() == [0]
    np.testing.assert_array_equal(every(data, "validation")[0][2], picture(1002).transpose(2, 0, 1))
    assert "Classes without validation images: ant." in data.notes
    shutil.rmtree(tmp_path / "photos" / "test")
    data = opened(tmp_path / "photos", split="0.4,0.5,0.1")
    assert [data.size(part) for part in ("train", "validation", "test")] == [96, 3, 24]  # 4 to 1 of 120
    (tmp_path / "photos" / "val" / "cat" / "1.png").write_bytes(b"")
    data = opened(tmp_path / "photos")
    assert data.size("validation") == 2
    assert any(
        note.startswith("Validation: Skipped 1 image that cannot be decoded: val/cat/1.png") for note in data.notes
    )
    save(tmp_path / "photos" / "val" / "dog" / "1.png", picture(3))
    with pytest.raises(NasctlError, match="1 of them are of classes without training images: dog"):
        opened(tmp_path / "photos")


def test_tiny_imagenet_is_read_with_its_validation_part(tmp_path):
    for name in ("n01", "n02"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / f"{name}_boxes.txt").write_text("n01_0.JPEG\t0\t0\t62\t62\n")
        for k in range(9):
            save(tmp_path / "train" / name / "images" / f"{name}_{k}.JPEG", picture(k + 10 * (name == "n02")))
    for part, number in (("val", 4), ("test", 6)):
        for k in range(number):
            save(tmp_path / part / "images" / f"{part}_{k}.JPEG", picture(100 + k + number))
    rows = "".join(f"val_{k}.JPEG\t{'n02' if k % 2 else 'n01'}\t0\t0\t9\t9\n" for k in range(4))
    (tmp_path / "val" / "val_annotations.txt").write_text(rows)
    data = opened(tmp_path)
    assert data.class_names == ("n01", "n02")
    assert data.class_counts("validation").tolist() == [2, 2]
    assert data.size("train") + data.size("test") == 18  # the test images have no labels
    assert data.class_counts("train").min() >= 7


def test_copies_with_other_labels_and_in_other_parts_are_counted(tmp_path):
    animals(tmp_path / "train")
    save(tmp_path / "val" / "cat" / "1.png", picture(0))
    for k in range(3):
        save(tmp_path / "val" / "bee" / f"{k}.png", picture(500 + k))
    shutil.copy(tmp_path / "train" / "ant" / "00.png", tmp_path / "train" / "bee" / "99.png")
    notes = opened(tmp_path, split="0.8,0.2").notes
    assert "3 images have a copy with another label, such as ant/00.png and bee/99.png and val/cat/1.png." not in notes
    assert any(note.startswith("3 images have a copy with another label, such as train/ant/00.png") for note in notes)
    assert any(note.startswith("1 validation image has a copy among the train images") for note in notes)
    assert "1 training images are copies of other training images." in notes


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/1.png", "a/2.png"], r"it has no labels \(all images are of one class, a\)"),
        (["1.png", "2.png"], r"it has no labels \(no folders name their classes\)"),
        (["a/1.png", "b/2.png"], "its validation part is empty, 2 images"),
    ],
)
def test_data_that_cannot_be_learned_is_refused_in_one_sentence(tmp_path, names, message):
    for name in names:
        save(tmp_path / name, picture(1))
    with pytest.raises(NasctlError, match=message) as error:
        opened(tmp_path)
    assert "\n" not in str(error.value)


def test_a_part_without_labels_is_refused():
    """Data of a plug-in, whose test images would otherwise all count as the first class."""
    pixels = np.zeros((40, 3, 4, 6), np.uint8)
    train, test = ImageArrays(pixels, np.arange(40) % 2), ImageArrays(pixels[:5], None)

    class Data:
        def image_parts(self):
            return {"train": train, "test": test}

    with pytest.raises(NasctlError, match="its test images have no labels"):
        image_data.ImageTrainingData.of(Data(), SIZE.shape, Split.parse("0.8,0.1,0.1"), 0)


def test_other_data_is_refused(tmp_path):
    for name in ("dead-leaves", "noise"):
        with pytest.raises(NasctlError, match=r"its images have no labels\. Give digits, or a folder"):
            opened(name)
    with pytest.raises(NasctlError, match="data of words"):
        opened("tokens")
    with pytest.raises(NasctlError, match=r"10 classes, and the network 7 outputs\. Give the space classes=10"):
        opened("digits", Input((3, 8, 8)), classes=7)
    with pytest.raises(NasctlError, match="it is data of images"):
        training_data("digits", Input((3, 8, 8)), 10, "0.8,0.1,0.1", 0, "masked words")


def test_small_images_are_enlarged_up_to_eight_times(tmp_path):
    data = opened("digits", Input((3, 64, 64)), classes=10)
    assert "Images are enlarged to 64x64 pixels, 8 times per side." in data.notes
    with pytest.raises(NasctlError, match=r"28 times smaller per side .* 224x224 pixels. Give .* SPACE:resolution=32 "):
        opened("digits", Input((3, 224, 224)), classes=10)
    animals(tmp_path)
    save(tmp_path / "cat" / "large.png", np.zeros((80, 80, 3), np.uint8))
    notes = opened(tmp_path, Input((3, 8, 8))).notes
    assert any(note.endswith("training images, 96 are enlarged to 8x8 pixels.") for note in notes)


def test_digits_are_read_at_their_size():
    from sklearn.datasets import load_digits

    data = opened("digits", Input((1, 8, 8)))
    assert [data.size(part) for part in ("train", "validation", "test")] == [1438, 179, 180]
    assert data.class_names == tuple("0123456789")
    assert data.in_memory
    images, labels = (
        np.concatenate([every(data, part)[k] for part in ("train", "validation", "test")]) for k in (0, 1)
    )
    known = load_digits()
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(known.target))
    assert images.astype(float).sum() == pytest.approx(known.images.sum() * 255 / 16, rel=1e-3)


def test_images_are_kept_only_if_all_fit_into_memory(tmp_path, monkeypatch):
    data = opened(animals(tmp_path))
    first = every(data, "train")
    shutil.rmtree(tmp_path / "cat")
    np.testing.assert_array_equal(every(data, "train")[0], first[0])
    monkeypatch.setattr(image_data, "KEPT_BYTES", 1000)
    assert not data.in_memory
    with pytest.raises(NasctlError, match=r"cat/\d\d.png in .* cannot be read \(No such file or directory\); put it"):
        every(data, "train")
    copy = pickle.loads(pickle.dumps(data))
    assert copy == data
    assert not copy._kept


def test_a_range_of_values_becomes_that_of_pixels(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(20, 4, 6, 3), dtype=np.uint8)
    pixels[0, 0, 0], pixels[0, 0, 1] = 0, 255
    labels = np.arange(20) % 2
    variants = {
        "bytes": pixels,
        "unit": pixels / 255,
        "signed": pixels / 127.5 - 1,
        "deep": pixels.astype(np.uint16) * 257,
    }
    found = {}
    for name, images in variants.items():
        np.savez(tmp_path / f"{name}.npz", images=images, labels=labels)
        data = opened(tmp_path / f"{name}.npz", split="0.5,0.5")
        found[name] = every(data, "train")[0]
        assert any(note.startswith("Values from") for note in data.notes) == (name != "bytes")
    assert len({images.tobytes() for images in found.values()}) == 1


def test_arrays_for_test_are_used_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    images = {part: rng.integers(256, size=(n, 4, 6), dtype=np.uint8) for part, n in (("train", 40), ("test", 6))}
    arrays = {f"x_{part}": pixels for part, pixels in images.items()}
    np.savez(tmp_path / "a.npz", **arrays, y_train=np.arange(40) % 4, y_test=np.array([3, 3, 1, 1, 3, 1]))
    data = opened(tmp_path / "a.npz")
    assert [data.size(part) for part in ("train", "validation", "test")] == [36, 4, 6]
    pixels, labels = every(data, "test")
    assert labels.tolist() == [3, 3, 1, 1, 3, 1]
    assert not any("not used" in note for note in data.notes)
    np.testing.assert_array_equal(pixels[:, 0], images["test"])
    np.savez(tmp_path / "b.npz", **arrays, y_train=np.arange(40) % 4, y_test=np.array([3, 9, 1, 1, 3, 1]))
    with pytest.raises(NasctlError, match=r"test images of b\.npz: class 9 has no training images"):
        opened(tmp_path / "b.npz")
