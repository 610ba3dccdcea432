"""What data promises: the same identity and images wherever it lies, standardised, and one clear sentence if not."""

import io
import pickle
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from nasctl.data import _picture_files, batch, pictures, source
from nasctl.errors import NasctlError

SHAPE = (3, 8, 8)


def png(colour, size=(12, 9)):
    stream = io.BytesIO()
    Image.new("RGB", size, tuple(colour)).save(stream, "PNG")
    return stream.getvalue()


def noisy(rng, size=(12, 9)):
    stream = io.BytesIO()
    Image.fromarray(rng.integers(256, size=(*size[::-1], 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def zipped(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def unpacked(path, entries):
    for name, content in entries.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def animals():
    rng = np.random.default_rng(0)
    return {f"{kind}/{k}.png": noisy(rng) for kind in ("cat", "ant", "dog") for k in range(4)}


def every(path, number):
    """All images of a source with their labels, in the order of the labels."""
    images, labels = batch(source(str(path)), SHAPE, 10, number, 0)
    order = np.lexsort((images[:, 0, 0, 0], labels))
    return images[order], labels[order]


# --- drawn ---


@pytest.mark.parametrize("name", ["noise", "dead-leaves", "dead_leaves"])
def test_drawn_images_depend_on_seed_and_place_alone(name):
    data = source(name)
    assert str(data) == name.replace("-", "_")
    assert source(name) == data
    assert hash(source(name)) == hash(data)
    (first, _), (again, _) = data.images(SHAPE, 4, 0), data.images(SHAPE, 4, 0)
    assert (first.shape, first.dtype) == ((4, *SHAPE), np.float32)
    assert first.tobytes() == again.tobytes()
    for other in (data.images(SHAPE, 4, 1)[0], data.images(SHAPE, 4, 0, 1)[0]):
        assert np.abs(other - first).max() > 0.5


def slope(images):
    """How the power of square images falls with the frequency: the exponent."""
    side = images.shape[-1]
    power = (np.abs(np.fft.fft2(images.astype(np.double))) ** 2).mean(axis=(0, 1))
    frequency = np.fft.fftfreq(side, 1 / side)
    ring = np.hypot(frequency[:, None], frequency).round().astype(int)
    radius = np.arange(1, side // 2)
    return np.polyfit(np.log(radius), np.log([power[ring == r].mean() for r in radius]), 1)[0]


@pytest.mark.parametrize("side", [16, 32, 64])
def test_dead_leaves_have_the_statistics_of_photographs(side):
    images, _ = source("dead-leaves").images((3, side, side), 32, 0)
    assert -2.8 < slope(images) < -1.5
    assert abs(slope(source("noise").images((3, side, side), 32, 0)[0])) < 0.2
    step = np.diff(images.astype(np.double), axis=-1)
    assert (step**4).mean() > 4 * (step**2).mean() ** 2  # 3 if they were Gaussian
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3), dtype=np.double), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3), dtype=np.double), 1, atol=1e-5)


def test_dead_leaves_show_the_same_scenes_at_every_size():
    large, middle, small = (source("dead-leaves").images((3, side, side), 3, 0)[0] for side in (224, 32, 16))
    for big in (large, middle):
        averaged = big.reshape(3, 3, 16, big.shape[-1] // 16, 16, -1).mean(axis=(3, 5))
        assert np.corrcoef(averaged.ravel(), small.ravel())[0, 1] > 0.99


def test_dead_leaves_of_any_shape():
    images, _ = source("dead-leaves").images((1, 5, 150), 2, 0)
    assert images.shape == (2, 1, 5, 150)
    assert np.isfinite(source("dead-leaves").images((3, 1, 1), 1, 0)[0]).all()


# --- batches ---


def test_a_batch_is_shared_and_read_only():
    images, labels = batch(source("noise"), SHAPE, 5, 100, 0)
    assert batch(source("noise"), SHAPE, 5, 100, 0)[0] is images
    assert set(labels) == set(range(5))
    assert labels.dtype == np.int64
    for array in (images, labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_batches_of_a_file_share_no_image_while_there_are_enough(animals, tmp_path):
    data = source(str(zipped(tmp_path / "a.zip", animals)))
    found = [images.tobytes() for place in range(6) for images in batch(data, SHAPE, 3, 4, 0, place)[0]]
    assert len(set(found[:12])) == len(set(found[12:])) == 12
    assert found[:12] != found[12:]
    assert set(found[:12]) == set(found[12:])
    assert len({images.tobytes() for images in batch(data, SHAPE, 3, 7, 0, 1)[0]}) == 7  # of a new order
    assert found[:4] != [images.tobytes() for images in batch(data, SHAPE, 3, 4, 1)[0]]


# --- folders and zips ---


def test_images_by_class(tmp_path):
    colours = {"zebra": (200, 0, 50), "ant": (0, 100, 50)}
    entries = {f"{kind}/{k}.PNG": png(colour) for kind, colour in colours.items() for k in range(2)}
    images, labels = every(unpacked(tmp_path / "f", entries), 4)
    assert labels.tolist() == [0, 0, 1, 1]  # ant before zebra
    # Two values each: mean in the middle, a deviation away from it; a channel that says nothing is 0.
    np.testing.assert_allclose(images[:, :, 3, 3], [[-1, 1, 0]] * 2 + [[1, -1, 0]] * 2, atol=1e-6)
    grey, _ = batch(source(str(tmp_path / "f")), (1, 8, 8), 10, 4, 0)
    np.testing.assert_allclose(np.sort(grey[:, 0, 0, 0]), [-1, -1, 1, 1], atol=1e-5)


def test_images_are_cropped_in_the_middle_and_averaged(tmp_path):
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(256, size=(2, 8, 8, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    wide = np.concatenate([np.zeros((2, 64, 32, 3), np.uint8), pixels, np.zeros((2, 64, 32, 3), np.uint8)], axis=2)
    np.savez(tmp_path / "narrow.npz", images=pixels)
    np.savez(tmp_path / "wide.npz", images=wide)
    narrow, wide = (batch(source(str(tmp_path / name)), SHAPE, 2, 2, 0)[0] for name in ("narrow.npz", "wide.npz"))
    assert np.corrcoef(narrow.ravel(), wide.ravel())[0, 1] > 0.98  # means and deviations differ
    checks = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
    steps = np.repeat(np.arange(2, dtype=np.uint8) * 255, 32)[:, None] * np.ones(64, np.uint8)
    np.savez(tmp_path / "checks.npz", x=np.stack([checks, steps]))
    images, _ = batch(source(str(tmp_path / "checks.npz")), (1, 8, 8), 2, 2, 0)
    assert min(np.abs(image).max() for image in images) < 0.05  # a fine pattern turns grey


def test_folder_and_zip_hold_the_same(animals, tmp_path):
    for here, there in zip(
        every(zipped(tmp_path / "a.zip", animals), 12), every(unpacked(tmp_path / "a", animals), 12), strict=True
    ):
        np.testing.assert_array_equal(here, there)


def test_identity_is_content_and_name_not_place(animals, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    unpacked(here / "f", animals)
    zipped(here / "f.zip", animals)
    shutil.copytree(here, there)
    for name in ("f", "f.zip"):
        data, same = source(str(here / name)), source(str(there / name))
        assert str(data) == str(same)
        assert data == same
        assert hash(data) == hash(same)
        assert pickle.loads(pickle.dumps(data)) == data
        assert len(str(data)) == len(name) + 9
        assert str(data).startswith(f"{name}#")
    (there / "f" / "cat" / "new.png").write_bytes(png((1, 2, 3)))
    assert source(str(there / "f")) != source(str(here / "f"))


def test_what_is_no_image_of_a_class_is_left_out(animals, tmp_path):
    extra = {f"wrapped/test/{name}": content for name, content in animals.items()}
    extra |= {f"__MACOSX/wrapped/train/cat/._{k}.png": b"junk" for k in range(3)}
    extra |= {"wrapped/train/cat/.hidden.png": b"junk", "logo.png": b"junk", "wrapped/train/cat/notes.txt": b"x"}
    extra |= {"../../evil/x.png": b"junk"}
    path = zipped(tmp_path / "a.zip", {f"wrapped/train/{name}": content for name, content in animals.items()} | extra)
    np.testing.assert_array_equal(every(path, 12)[1], np.repeat(range(3), 4))
    with pytest.raises(NasctlError, match="has 12 images, too few for a batch of 13"):
        batch(source(str(path)), SHAPE, 3, 13, 0)
    path = zipped(tmp_path / "b.zip", animals | {"logo.png": b"junk"})
    assert every(path, 12)[1].tolist() == np.repeat(range(3), 4).tolist()


def test_one_class_has_no_labels(animals, tmp_path):
    flat = {name.replace("/", "-"): content for name, content in animals.items()}
    for path in (unpacked(tmp_path / "flat", flat), zipped(tmp_path / "all.zip", {f"all/{k}": flat[k] for k in flat})):
        data = source(str(path))
        assert data.classes is None
        assert data.images(SHAPE, 12, 0)[1] is None
        assert set(batch(data, SHAPE, 2, 12, 0)[1]) == {0, 1}


# --- .npz ---


def test_a_pickle_in_an_npz_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",)

    np.savez(tmp_path / "a.npz", images=np.array([Trap()]))
    with pytest.raises(NasctlError, match=r"cannot be read as an \.npz of numbers"):
        source(str(tmp_path / "a.npz"))
    assert not (tmp_path / "sprung").exists()


def test_npz_layouts(tmp_path):
    rng = np.random.default_rng(0)
    first = rng.integers(256, size=(6, 3, 8, 8), dtype=np.uint8)
    labels = np.array([7, 7, 3, 3, 5, 5])
    layouts = {
        "first": {"images": first, "labels": labels},
        "last": {"x_train": first.transpose(0, 2, 3, 1), "y_train": labels[:, None]},
        "float": {"x": first / 255, "y": labels.astype(np.uint8)},
    }
    for name, arrays in layouts.items():
        np.savez_compressed(tmp_path / f"{name}.npz", **arrays)
    images, numbers = every(tmp_path / "first.npz", 6)
    assert numbers.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, atol=1e-5)
    for name in ("last", "float"):
        np.testing.assert_allclose(every(tmp_path / f"{name}.npz", 6)[0], images, atol=1e-5)
        assert every(tmp_path / f"{name}.npz", 6)[1].tolist() == numbers.tolist()
    np.savez(tmp_path / "grey.npz", data=first[:, 0])
    grey, _ = batch(source(str(tmp_path / "grey.npz")), SHAPE, 3, 6, 0)
    np.testing.assert_array_equal(grey[:, 0], grey[:, 2])


# --- what cannot be ---


def test_bad_input_is_one_sentence(animals, tmp_path):
    (tmp_path / "a.md").write_text("text")
    (tmp_path / "text.zip").write_text("text")
    (tmp_path / "text.npz").write_text("text")
    (tmp_path / "empty").mkdir()
    zipped(tmp_path / "empty.zip", {})
    zipped(tmp_path / "none.zip", {"readme.md": b"text"})
    pixels = np.zeros((2, 3, 8, 8), np.uint8)
    for name, arrays in {
        "names": {"pixels": pixels},
        "shape": {"images": pixels[..., None]},
        "channels": {"images": np.zeros((2, 5, 8, 8))},
        "text": {"images": np.array(["a", "b"])},
        "nan": {"images": np.full((2, 8, 8), np.nan)},
        "labels": {"images": pixels, "labels": np.arange(3)},
        "float_labels": {"images": pixels, "labels": np.full(2, 0.5)},
        "zero": {"images": pixels[:0]},
    }.items():
        np.savez(tmp_path / f"{name}.arrays.npz", **arrays)
    bad = [path.name for path in tmp_path.iterdir()]
    assert len(bad) == 14
    for name in [*bad, "missing", "missing.zip"]:
        with pytest.raises(NasctlError) as error:
            source(str(tmp_path / name))
        assert name in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(NasctlError, match="no data is called 'dead'; give dead-leaves, digits, noise, or the path of"):
        source("dead")


def test_a_broken_image_is_skipped_and_named(animals, tmp_path, monkeypatch):
    others = {name: content for name, content in animals.items() if name != "cat/0.png"}
    expected = every(zipped(tmp_path / "others.zip", others), 11)
    for broken in (animals["cat/0.png"][:80], b"%!PS-Adobe-3.0 EPSF-3.0\n", b""):
        entries = animals | {"cat/0.png": broken}
        for path in (zipped(tmp_path / "a.zip", entries), unpacked(tmp_path / "a", entries)):
            (note,) = source(str(path)).summary.notes
            assert note.startswith("Skipped 1 image that cannot be decoded: cat/0.png (")
            assert "0x" not in note
            for here, there in zip(every(path, 11), expected, strict=True):
                np.testing.assert_array_equal(here, there)
    path = zipped(tmp_path / "b.zip", animals)
    monkeypatch.setattr(_picture_files, "LIMIT", 100)
    with pytest.raises(NasctlError, match=r"none of its 12 images can be decoded.*ant/0\.png \(it is larger than 0 MB"):
        source(str(path))


def test_an_image_that_breaks_after_the_check_is_named(animals, tmp_path):
    data = source(str(unpacked(tmp_path / "a", animals)))
    (tmp_path / "a" / "cat" / "0.png").write_bytes(animals["cat/0.png"][:80])
    with pytest.raises(NasctlError, match=r"cat/0\.png in .* cannot be decoded \(.*\); replace or remove it"):
        data.images(SHAPE, 12, 0)


def test_a_network_with_too_few_outputs_or_other_channels(animals, tmp_path):
    data = source(str(zipped(tmp_path / "a.zip", animals)))
    with pytest.raises(NasctlError, match="it has 3 classes, and the network 2 outputs"):
        batch(data, SHAPE, 2, 4, 0)
    with pytest.raises(NasctlError, match="have 3 channels and the network takes 4"):
        batch(data, (4, 8, 8), 3, 4, 0)


def test_importing_costs_no_more_than_numpy():
    program = "import sys, nasctl.data; print(sorted({'torch', 'PIL', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


# --- a real set ---


def test_real_images(data):
    path = data("images") / "cifar10_train_12000.zip"
    found = source(str(path))
    assert str(found) == "cifar10_train_12000.zip#b5330deb"
    assert found.classes == 10
    content = pictures.read(path)
    assert len(content) == 12_000
    assert np.bincount(content.labels).tolist() == [1_200] * 10
    (picture,) = content.pictures([content.names.index("train/airplane/0000.jpg")])
    assert np.abs(picture[:, 0, 0].astype(int) - (200, 202, 197)).max() <= 1  # decoders may differ by 1
    images, labels = batch(found, (3, 32, 32), 10, 500, 0)
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=0.1)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, atol=0.1)
    assert np.bincount(labels, minlength=10).min() > 25
    assert -3.2 < slope(images) < -1.5
    small, _ = batch(found, (3, 16, 16), 10, 500, 0)
    averaged = images.reshape(500, 3, 16, 2, 16, 2).mean(axis=(3, 5))
    assert np.corrcoef(averaged.ravel(), small.ravel())[0, 1] > 0.99
