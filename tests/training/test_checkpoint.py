"""Checkpoints and trained weights as files."""

import resource
from dataclasses import replace

import pytest
import torch

from nasctl.errors import NasctlError
from nasctl.training import checkpoint, trained_weights
from nasctl.training.checkpoint import Checkpoint, path_of
from nasctl.training.trained_weights import Facts

TENSORS = {
    "module/weight": torch.arange(6.0).view(2, 3).T,  # not contiguous
    "module/count": torch.tensor(3),
    "optimiser/weight/step": torch.tensor(1.5, dtype=torch.float64),
    "losses/recent": torch.zeros(0, dtype=torch.float64),
}


def made(step=5, identity="question"):
    return Checkpoint(identity, step, 1, TENSORS, {"scale": 65536.0})


def test_a_checkpoint_is_read_as_it_was_written(tmp_path):
    found = checkpoint.read(checkpoint.write(tmp_path, made()))
    assert (found.identity, found.step, found.halvings, found.scaler) == ("question", 5, 1, {"scale": 65536.0})
    assert found.versions["torch"] == torch.__version__
    assert found.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(found.tensors[key], TENSORS[key]) for key in TENSORS)
    assert found.part("optimiser").keys() == {"weight/step"}
    assert list(tmp_path.iterdir()) == [path_of(tmp_path, 5)]


def test_only_the_newest_valid_checkpoint_counts(tmp_path, capsys):
    assert checkpoint.newest(tmp_path / "none", "question") is None
    for step in (3, 5, 7, 9):
        checkpoint.write(tmp_path, made(step))
    path_of(tmp_path, 9).write_bytes(b"")
    content = bytearray(path_of(tmp_path, 7).read_bytes())
    content[-3] ^= 1  # one bit of one number, which the layout of the file cannot show
    path_of(tmp_path, 7).write_bytes(content)
    (tmp_path / "step-11.safetensors").touch()
    assert checkpoint.newest(tmp_path, "question").step == 5
    assert " is passed over: it cannot be read" in capsys.readouterr().err
    assert checkpoint.at(tmp_path, 7, "question") is None
    assert checkpoint.at(tmp_path, 3, "other") is None
    with pytest.raises(NasctlError, match="another network or run"):
        checkpoint.newest(tmp_path, "other")


def test_a_checkpoint_of_another_layout_is_refused_and_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    path = checkpoint.write(tmp_path, made())
    monkeypatch.undo()
    with pytest.raises(NasctlError, match=r"wrote it in layout 2, not 1\. Continue with that version of nasctl"):
        checkpoint.newest(tmp_path, "question")
    assert path.exists()


@pytest.mark.parametrize(
    ("recovery", "kept"), [(4, [8, 9, 10]), (10, [9, 10]), (6, [6, 9, 10]), (100, [9, 10]), (9, [9, 10])]
)
def test_old_checkpoints_are_deleted(tmp_path, recovery, kept):
    for step in range(1, 11):
        checkpoint.write(tmp_path, made(step))
    checkpoint.tidy(tmp_path, recovery)
    assert sorted(checkpoint.steps(tmp_path)) == kept
    checkpoint.delete_after(tmp_path, 9)
    assert max(checkpoint.steps(tmp_path)) == 9


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path):
    """Files may not grow beyond a limit: the kernel fails the write halfway, as on a full disk."""
    checkpoint.write(tmp_path, made(1))
    large = replace(made(2), tensors={"module/weight": torch.zeros(10_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(NasctlError, match=r"step-000000002\.safetensors cannot be written .* free some space"):
            checkpoint.write(tmp_path, large)
        with pytest.raises(NasctlError, match=r"weights\.safetensors cannot be written .* free some space"):
            trained_weights.write(tmp_path / "weights.safetensors", large.tensors, FACTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.safetensors"]
    assert checkpoint.newest(tmp_path, "question").step == 1


FACTS = Facts(
    space="mbconv:classes=2",
    genome=(0, 3, 1),
    training="mbconv-1c9f2a07",
    task="classes",
    class_names=("ant", "bee"),
    mean=(120.0, 110.0, 100.0),
    deviation=(60.0, 61.0, 62.0),
    data="photos#b5330deb split=0.8-0.1-0.1 seed=0",
    recipe={"epochs": 3, "rate": 0.1},
    result={"test": {"loss": 0.5, "accuracy": 0.9, "perplexity": None, "examples": 10, "error": 0.1}},
    nasctl="0.1.0",
)


def test_trained_weights_have_their_facts(tmp_path):
    shared = torch.arange(4.0)
    state = {"first.weight": shared, "again.weight": shared, "norm.num_batches_tracked": torch.tensor(7)}
    path = tmp_path / "weights.safetensors"
    trained_weights.write(path, state, FACTS)
    tensors, facts = trained_weights.read(path)
    assert facts == FACTS
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[key], state[key]) for key in state)


def test_other_files_are_no_trained_weights(tmp_path):
    path = checkpoint.write(tmp_path, made())
    with pytest.raises(NasctlError, match="does not say which network"):
        trained_weights.read(path)
    (tmp_path / "text").write_text("text")
    for name in ("text", "none"):
        with pytest.raises(NasctlError, match="Cannot read the weights"):
            trained_weights.read(tmp_path / name)
