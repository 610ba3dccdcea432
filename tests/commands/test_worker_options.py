"""What the command line says of workers."""

import pytest
import torch
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.commands import _workers
from nasctl.commands._workers import WorkerChoice


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "'0' is no number of workers; write one such as 4, or auto"),
        (["--workers", "two"], "'two' is no number of workers"),
        (["--threads", "0"], "0 is not in the range 1<=x<=1024"),
        (["--gpus", "0"], "torch finds no GPU here; leave --gpus out"),
        (["--gpus", "0", "--torch-device", "cuda:1"], "--gpus and --torch-device both say where modules run"),
        (["--cluster", "slurm"], "no cluster is called 'slurm'; write ray, or ray:ADDRESS"),
        (["--cluster", "ray", "--gpus", "0"], "a Ray cluster hands out its GPUs itself"),
        (["--candidate-time", "soon"], "'soon' is no time limit; write 90 (seconds), 5m or 2h"),
        (["--candidate-memory", "4"], "'4' is no amount of memory; write 500MB or 4GB"),
        (["--candidate-memory", "0GB"], "'0GB' is no amount of memory"),
    ],
)
@pytest.mark.parametrize("command", [["search", "-o", "snip"], ["objective", "score", "-o", "snip", "--sample", "3"]])
def test_a_mistake_about_workers_is_one_sentence(command, arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 if "cuda:1" in arguments else 0)
    result = CliRunner().invoke(cli, [*command, "--space", "nb201", *arguments, "--store", str(tmp_path / "store")])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_sizes_and_times_as_people_write_them():
    assert [_workers.size(text) for text in ("4GB", "1.5G", "500 mb")] == [4 * 10**9, 15 * 10**8, 5 * 10**8]
    assert [_workers.duration(text) for text in ("90", "1.5s", "5m", "2h")] == [90, 1.5, 300, 7200]
    assert WorkerChoice("auto", candidate_time="1m", candidate_memory="1GB").options(threads=1).workers >= 1
    assert WorkerChoice("auto").options(threads=10**6).workers == 1
    assert WorkerChoice("auto", cluster="ray").options(threads=1).workers is None  # all that the cluster has
