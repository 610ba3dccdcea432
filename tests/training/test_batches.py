"""Batches: their order, their shares, and the processes that decode them."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sessions import members

from nasctl.errors import NasctlError
from nasctl.problem.space import Input
from nasctl.training.batches import part_batches, steps_per_epoch, train_batches, usual_workers
from nasctl.training.labelled import training_data

INPUT = Input((1, 8, 8))


@pytest.fixture(scope="module")
def digits():
    return training_data("digits", INPUT, 10, "0.1,0.1,0.1", 0)


@pytest.fixture
def folder(tmp_path):
    """Forty images of two classes, each of one grey value."""
    for k in range(40):
        path = tmp_path / "photos" / ("bright" if k >= 20 else "dark") / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 6 * k).save(path)
    return tmp_path / "photos"


def some(batches, number):
    return [(examples.clone(), labels.clone()) for examples, labels in islice(batches, number)]


def equal(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, b) for pair in zip(one, other, strict=True) for a, b in zip(*pair, strict=True)
    )


def test_an_epoch_has_every_example_once_in_a_new_order(digits):
    size = digits.size("train")
    assert steps_per_epoch(digits, size // 4) == 4
    whole, _ = digits.examples("train", np.arange(size))
    batches = some(train_batches(digits, size // 4, 7, 0, 0), 8)
    epochs = [torch.cat([examples for examples, _ in batches[k : k + 4]]).numpy() for k in (0, 4)]
    for images in epochs:
        rows = {image.tobytes() for image in whole}
        assert len(images) == size - size % 4
        assert {image.tobytes() for image in images} <= rows
        assert len({image.tobytes() for image in images}) == len(images)
    assert not np.array_equal(*epochs)
    assert batches[0][0].dtype == torch.uint8
    assert batches[0][1].dtype == torch.int64


def test_a_batch_depends_on_the_seed_and_the_step_alone(digits):
    first = some(train_batches(digits, 16, 3, 0, 0), 30)
    for begin in (1, 10, 11, 12, 29):  # an epoch has 11 steps
        assert equal(some(train_batches(digits, 16, 3, begin, 0), 30 - begin), first[begin:])
    assert not equal(some(train_batches(digits, 16, 4, 0, 0), 2), first[:2])
    assert steps_per_epoch(digits, 16) == 11


def test_a_batch_of_more_examples_than_there_are_has_them_all(digits):
    (examples, labels), (again, _) = some(train_batches(digits, 5000, 0, 0, 0), 2)
    assert len(examples) == len(labels) == digits.size("train")
    assert not torch.equal(examples, again)
    assert steps_per_epoch(digits, 5000) == 1


def test_processes_and_ranks_change_no_bit(folder):
    data = training_data(str(folder), INPUT, 2, "0.5,0.25,0.25", 0)
    whole = some(train_batches(data, 7, 0, 2, 0), 5)
    assert equal(some(train_batches(data, 7, 0, 2, 2), 5), whole)
    shares = [some(train_batches(data, 7, 0, 2, 0, rank, 3), 5) for rank in range(3)]
    assert [len(share[0][1]) for share in shares] == [3, 2, 2]
    together = [tuple(map(torch.cat, zip(*parts, strict=True))) for parts in zip(*shares, strict=True)]
    assert equal(together, whole)
    part = list(part_batches(data, "validation", 4, 0))
    assert [len(labels) for _, labels in part] == [4, 4, 2]
    assert torch.cat([labels for _, labels in part]).tolist() == [0] * 5 + [1] * 5
    assert equal(list(part_batches(data, "validation", 4, 2)), part)
    ranks = [torch.cat([images for images, _ in part_batches(data, "validation", 4, 0, rank, 2)]) for rank in range(2)]
    assert torch.equal(torch.cat(ranks), torch.cat([images for images, _ in part]))


def test_halves_never_mix(digits) -> None:
    data = digits
    size = data.size("train")
    rows = {examples.tobytes(): place for place, examples in enumerate(data.examples("train", np.arange(size))[0])}
    seen: tuple[set[int], set[int]] = (set(), set())
    whole = some(train_batches(data, 12, 3, 0, 0, halves=True), 2 * (size // 12))
    for examples, _ in whole:
        for k, one in enumerate(examples.numpy()):
            seen[k % 2].add(rows[one.tobytes()])
    assert not seen[0] & seen[1]
    assert min(map(len, seen)) > 0.9 * (size // 2)
    assert equal(some(train_batches(data, 12, 3, 5, 0, halves=True), 4), whole[5:9])
    shares = [some(train_batches(data, 12, 3, 0, 0, rank, 3, halves=True), 4) for rank in range(3)]
    for step in range(4):
        assert torch.equal(torch.cat([share[step][0] for share in shares]), whole[step][0])


def test_batches_that_cannot_be_halved(digits) -> None:
    with pytest.raises(NasctlError, match="multiple of 4"):
        train_batches(digits, 6, 0, 0, 0, 0, 2, halves=True)


def test_torch_draws_nothing_from_its_global_generator(folder):
    data = training_data(str(folder), INPUT, 2, "0.5,0.25,0.25", 0)
    before = torch.get_rng_state()
    some(train_batches(data, 7, 0, 0, 1), 1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_breaks_or_vanishes_stops_with_one_sentence(folder, workers):
    data = training_data(str(folder), INPUT, 2, "0.5,0.25,0.25", 0)
    whole = sorted(folder.glob("*/*.png"))
    for path in whole:
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(
        NasctlError, match=r"^(dark|bright)/\d\d\.png in .* cannot be decoded \(.*\); replace or remove it$"
    ):
        some(train_batches(data, 4, 0, 0, workers), 1)
    for path in whole:
        path.unlink()
    with pytest.raises(
        NasctlError, match=r"^(dark|bright)/\d\d\.png in .* \(No such file or directory\); put it back$"
    ):
        some(train_batches(data, 4, 0, 0, workers), 1)


def test_a_vanished_archive_is_one_sentence(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in folder.glob("*/*.png"):
            archive.write(path, path.relative_to(folder))
    data = training_data(str(tmp_path / "a.zip"), INPUT, 2, "0.5,0.25,0.25", 0)
    (tmp_path / "a.zip").unlink()
    with pytest.raises(NasctlError, match=r"^Cannot read .*a\.zip: No such file or directory\. Put it back"):
        some(train_batches(data, 4, 0, 0, 0), 1)


def test_a_batch_too_small_for_all_ranks_is_refused(digits):
    with pytest.raises(NasctlError, match="Cannot share a batch of 2 examples among 3 processes"):
        next(train_batches(digits, 2, 0, 0, 0, 0, 3))


def test_data_in_memory_needs_no_processes(digits, folder, monkeypatch):
    assert usual_workers(digits) == 0
    data = training_data(str(folder), INPUT, 2, "0.5,0.25,0.25", 0)
    assert usual_workers(data) == 0  # 40 images of 64 bytes
    monkeypatch.setattr("nasctl.training.image_data.KEPT_BYTES", 100)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)), raising=False)
    assert usual_workers(data) == 4


ENDLESS = """
import sys
from nasctl.problem.space import Input
from nasctl.training.batches import train_batches
from nasctl.training.labelled import training_data

if __name__ == "__main__":
    data = training_data(sys.argv[1], Input((1, 8, 8)), 2, "0.5,0.25,0.25", 0)
    for _ in train_batches(data, 4, 0, 0, 2):
        print("one", flush=True)
"""


def started(tmp_path, folder):
    """A process that reads batches of two workers without end, once it has read some; and the session that it leads."""
    (tmp_path / "endless.py").write_text(ENDLESS)
    command = [sys.executable, str(tmp_path / "endless.py"), str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for _ in range(20):
        assert process.stdout.readline() == "one\n"
    return process


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_no_process_is_left_behind_after_sigkill(tmp_path, folder):
    with started(tmp_path, folder) as process:
        assert len(members(process.pid)) >= 4  # two workers and the process that forks them
        process.kill()
    end = time.monotonic() + 30
    while members(process.pid) and time.monotonic() < end:
        time.sleep(0.2)
    assert members(process.pid) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_worker_that_dies_is_one_sentence(tmp_path, folder):
    with started(tmp_path, folder) as process:
        error = without_a_worker(process)
    assert "NasctlError: Cannot read on: a process that decodes examples has died" in error
    assert process.returncode == 1


def without_a_worker(process):
    """Kill one worker of a process, and return what the process writes on stderr before it ends."""
    children = [int(one) for one in members(process.pid) if one != process.pid]
    by_parent = {one: int(Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[1]) for one in children}
    worker = next(one for one, parent in by_parent.items() if parent in children)
    os.kill(worker, signal.SIGKILL)
    try:
        return process.communicate(timeout=60)[1]
    finally:
        process.kill()


LIMITED = """
import sys
import numpy as np
from nasctl.problem.space import Input
from nasctl.system.memory_limit import limited_memory
from nasctl.training.batches import part_batches, train_batches
from nasctl.training.labelled import training_data

if __name__ == "__main__":
    import torch, PIL.Image, PIL.JpegImagePlugin
    with limited_memory(150 * 2**20):
        data = training_data(sys.argv[1], Input((3, 224, 224)), 2, "0.6,0.2,0.2", 0)
        assert not data.in_memory
        workers = int(sys.argv[2])
        batches = train_batches(data, 50, 0, 0, workers)
        seen = sum(len(next(batches)[1]) for _ in range(data.size("train") // 50))
        for part in ("validation", "test"):
            seen += sum(len(labels) for _, labels in part_batches(data, part, 50, workers))
        try:
            whole = np.ones((seen, 3, 224, 224), np.uint8)
        except MemoryError:
            print(seen)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize(("kind", "workers"), [("zip", 0), ("npz", 0), ("npz", 2), ("folder", 2)])
def test_data_larger_than_memory_is_streamed(tmp_path, kind, workers):
    number = 2000  # images of 224x224 pixels: 287 MiB in 8 bits
    image = np.random.default_rng(0).integers(256, size=(14, 14, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    path = tmp_path / {"zip": "a.zip", "npz": "a.npz", "folder": "photos"}[kind]
    if kind == "npz":
        np.savez(path, x_train=np.broadcast_to(image, (number, *image.shape)), y_train=np.arange(number) % 2)
    else:
        Image.fromarray(image).save(tmp_path / "a.jpg", quality=60)
        content = (tmp_path / "a.jpg").read_bytes()
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for k in range(number):
                archive.writestr(f"{k % 2}/{k}.jpg", content)
    if kind == "folder":
        zipfile.ZipFile(tmp_path / "a.zip").extractall(path)
    (tmp_path / "limited.py").write_text(LIMITED)
    command = [sys.executable, str(tmp_path / "limited.py"), str(path), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (f"{number}\n", 0), done.stderr[-2000:]
