"""CIFAR as its site ships it: every format gives the same, and no pickle is run."""

import io
import pickle
import pickletools
import struct
import tarfile

import numpy as np
import pytest

from nasctl.data import cifar, source
from nasctl.errors import NasctlError


def tarred(path, entries):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def unpacked(path, entries):
    path.mkdir()
    for name, content in entries.items():
        (path / name).write_bytes(content)
    return path


def drawn(number=20, seed=0):
    images = np.random.default_rng(seed).integers(256, size=(number, 3072), dtype=np.uint8)
    return images, (np.arange(number) % 10).tolist()


def python2(images, labels):
    """A batch as CIFAR-10's archive has it, written by Python 2: bytes are strings, as long as they may be."""

    def short(text):
        return b"U" + bytes([len(text)]) + text

    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    shape = b"M" + struct.pack("<H", len(images)) + b"M" + struct.pack("<H", 3072) + b"\x86"
    kind = (
        b"cnumpy\ndtype\n("
        + short(b"u1")
        + b"K\x00K\x01tR(K\x03"
        + short(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    raw = images.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + short(b"b") + b"tR("
    array += b"K\x01" + shape + kind + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    names = b"](" + b"".join(short(b"frog_s_%06d.png" % k) for k in range(len(images))) + b"e"
    parts = [short(b"batch_label"), short(b"training batch 1 of 5"), short(b"labels"), listed, short(b"data"), array]
    return b"\x80\x02}(" + b"".join([*parts, short(b"filenames"), names]) + b"u."


def python3(images, labels, name=b"labels"):
    coarse = {b"coarse_labels": [0] * len(labels)} if name == b"fine_labels" else {}
    return pickle.dumps({b"filenames": [b"x"], **coarse, name: labels, b"data": images}, protocol=2)


def test_a_python_2_pickle_is_what_it_says():
    images, labels = drawn()
    loaded = pickle.loads(python2(images, labels), encoding="bytes")
    np.testing.assert_array_equal(loaded[b"data"], images)
    assert loaded[b"labels"] == labels
    assert any(operation.name == "BINSTRING" for operation, _, _ in pickletools.genops(python2(images, labels)))


@pytest.mark.parametrize("write", [python2, python3])
def test_cifar_10_in_every_form(write, tmp_path):
    parts = {k: drawn(seed=k) for k in range(1, 6)}
    pickled = {f"data_batch_{k}": write(*part) for k, part in parts.items()} | {"test_batch": b"", "readme.html": b""}
    records = {
        f"data_batch_{k}.bin": np.column_stack([np.uint8(labels), images]).tobytes()
        for k, (images, labels) in parts.items()
    }
    paths = [
        tarred(tmp_path / "python.tar.gz", {f"cifar-10-batches-py/{name}": pickled[name] for name in pickled}),
        tarred(tmp_path / "binary.tar.gz", {f"cifar-10-batches-bin/{name}": records[name] for name in records}),
        unpacked(tmp_path / "cifar-10-batches-py", pickled),
        unpacked(tmp_path / "cifar-10-batches-bin", records),
    ]
    for path in paths:
        found = cifar.read(path)
        np.testing.assert_array_equal(found.images.reshape(-1, 3072), np.concatenate([x for x, _ in parts.values()]))
        np.testing.assert_array_equal(found.labels, np.concatenate([y for _, y in parts.values()]))
        data = source(str(path))
        assert (str(data)[:-8], data.classes) == (f"{path.name}#", 10)
        images, labels = data.images((3, 32, 32), 100, 0)
        assert np.bincount(labels).tolist() == [10] * 10
        np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_more_labels_than_a_pickler_writes_at_once(tmp_path):
    images, labels = drawn(2500)
    found = cifar.read(tarred(tmp_path / "a.tar.gz", {"data_batch_1": python3(images, labels)}))
    assert found.labels.tolist() == labels


def test_cifar_100_gives_its_fine_labels(tmp_path):
    images, labels = drawn()
    records = np.column_stack([np.zeros(20, np.uint8), np.uint8(labels), images]).tobytes()
    pickled = tarred(tmp_path / "a.tar.gz", {"cifar-100-python/train": python3(images, labels, b"fine_labels")})
    binary = tarred(tmp_path / "b.tar.gz", {"cifar-100-binary/train.bin": records})
    for path in (pickled, binary):
        assert cifar.read(path).labels.tolist() == labels
        np.testing.assert_array_equal(cifar.read(path).images.reshape(-1, 3072), images)


def test_no_pickle_is_ever_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",)

    images, labels = drawn()
    trap = pickle.dumps([Trap(), {"data": images, "labels": labels}], protocol=2)
    assert cifar.read(tarred(tmp_path / "a.tar.gz", {"data_batch_1": trap})).labels.tolist() == labels
    assert not (tmp_path / "sprung").exists()


def test_bad_input_is_one_sentence(tmp_path):
    images, labels = drawn()
    tarred(tmp_path / "none.tar.gz", {"readme.md": b"text"})
    tarred(tmp_path / "short.tar.gz", {"data_batch_1.bin": b"text"})
    tarred(tmp_path / "odd.tar.gz", {"data_batch_1": b"text"})
    tarred(tmp_path / "fewer.tar.gz", {"data_batch_1": python2(images, labels[1:])})
    whole = tarred(tmp_path / "whole.tar.gz", {"data_batch_1": python2(images, labels)}).read_bytes()
    (tmp_path / "whole.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.tgz").write_text("text")
    unpacked(tmp_path / "folder", {"data_batch_1.bin": b""})
    for path in list(tmp_path.iterdir()):
        with pytest.raises(NasctlError) as error:
            source(str(path))
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)
