"""Processes that train together, connected by gloo."""

import json
import subprocess
import sys

import pytest
from paths import TESTS

SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
import torch.distributed as distributed
from nasctl.training.events import Ranks, StepDone
from nasctl.training.loop import train
from training.examples import QUICK, colour, images, problem, space_problem

rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
if world > 1:
    store = f"file://{folder / 'meeting'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
ranks = Ranks(rank, world, distributed.all_reduce if world > 1 else lambda flat: None)
data = images(number=90)
found = {}
for name, asked in {
    "plain": problem(replace(QUICK, batch=15, class_weights="balanced", ema=0.5, recovery=100), data),
    "norms": space_problem("nb201:resolution=8,cells=1,classes=3", colour(data), replace(QUICK, batch=15, recovery=5)),
}.items():
    events = []
    outcome = train(asked, folder / name / str(world), events.append, ranks=ranks)
    found[name] = {
        "losses": [event.loss for event in events if isinstance(event, StepDone)],
        "result": outcome.results["test"].asdict(),
        "sum": sum(float(value.double().sum()) for value in outcome.state.values()),
    }
print(json.dumps(found))
"""


def run(world, folder):
    """Train in several processes, and return what each has found."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(rank), str(world), str(folder)],
            cwd=TESTS,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    return [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in processes]


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
    """A batch of 15 is shared as 8 and 7. Norms take their statistics from the share of a rank, and differ from one."""
    (one,), (first, second) = run(1, tmp_path), run(2, tmp_path)
    assert first == second  # every rank has the same weights, losses and results
    assert len(one["plain"]["losses"]) == 12
    assert first["plain"]["losses"] == pytest.approx(one["plain"]["losses"], abs=1e-5)
    assert first["plain"]["result"] == pytest.approx(one["plain"]["result"], abs=1e-5)
    assert first["norms"]["losses"] != one["norms"]["losses"]
    assert first["norms"]["losses"] == pytest.approx(one["norms"]["losses"], abs=0.3)
