"""Several processes that train one network: equality with one, stops, losses of processes, and launchers."""

import signal
from dataclasses import replace
from threading import Barrier, BrokenBarrierError, Lock, Thread

import pytest
import torch
from click.testing import CliRunner
from training.examples import QUICK, colour, equal, images, problem, space_problem, words
from training.test_training_loop import PLAIN, spoiled

from nasctl import registry
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.store.store import Store
from nasctl.training import devices as devices_module
from nasctl.training import distributed
from nasctl.training.checkpoint import steps
from nasctl.training.devices import Devices
from nasctl.training.distributed import Ended, Job, TorchrunPlace, death, result_of, torchrun_place
from nasctl.training.events import (
    Checkpointed,
    Diverged,
    Evaluated,
    Ranks,
    RanksLost,
    Resumed,
    StepDone,
    TrainingDiverged,
)
from nasctl.training.local_ranks import train_in_processes
from nasctl.training.loop import train
from nasctl.training.recipe import Recipe
from nasctl.training.training import Training, Work, run_training


class Group:
    """Ranks that are threads of this process, and take turns: global generators are seeded anew between two sums.

    A rank that ends breaks the sums of the others, as a process does.
    """

    def __init__(self, world):
        self.world, self.barrier, self.flats, self.turn = world, Barrier(world), [None] * world, Lock()
        self.sums = 0
        self.stop, self.lost_at = set(), None

    def ranks(self, rank):
        def reduce(flat):
            self.flats[rank] = flat.clone()
            self.turn.release()
            try:
                if rank == 0:
                    self.sums += 1
                    if self.sums == self.lost_at:
                        self.barrier.abort()
                self.barrier.wait(60)
                flat.copy_(sum(self.flats[1:], self.flats[0]))
                self.barrier.wait(60)
            except BrokenBarrierError:
                raise RanksLost("lost") from None
            finally:
                self.turn.acquire()

        return Ranks(rank, self.world, reduce, lambda: rank in self.stop)

    def train(self, asked, folder, until=None, follow=lambda event: None, **options):
        """Train; return outcomes or errors of the ranks, and the events of each. Rank 0 alone has the folder."""
        outcomes, events = [None] * self.world, [[] for _ in range(self.world)]

        def run(rank):
            def note(event):
                events[rank].append(event)
                if rank == 0:
                    follow(event)

            place = folder if rank == 0 else folder.with_name(f"of-rank-{rank}")
            with self.turn:
                try:
                    outcomes[rank] = train(asked, place, note, ranks=self.ranks(rank), until=until, **options)
                except KeyboardInterrupt as error:
                    outcomes[rank] = error
                except NasctlError as error:
                    outcomes[rank] = error
                    self.barrier.abort()

        threads = [Thread(target=run, args=(rank,)) for rank in range(self.world)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        return outcomes, events


def losses(events):
    return [event.loss for event in events if isinstance(event, StepDone)]


WORDS = "rnn:vocabulary=20,length=12,layers=1,width=16,hidden=16"


@pytest.mark.parametrize(
    "asked",
    [
        problem(replace(QUICK, class_weights="balanced", ema=0.9, batch=20)),
        space_problem("bert:vocabulary=20,length=12", words("masked words"), replace(QUICK, rate=0.01)),
    ],
    ids=["classes", "masked words"],
)
def test_three_ranks_equal_one(tmp_path, asked):
    alone = []
    expected = train(asked, tmp_path / "alone", alone.append, until=8)
    group = Group(3)
    outcomes, events = group.train(asked, tmp_path / "ranks", until=8)
    assert losses(events[0]) == losses(events[1]) == losses(events[2]) == pytest.approx(losses(alone), abs=1e-5)
    assert equal(outcomes[0].state, outcomes[1].state)
    assert outcomes[0].results == outcomes[2].results
    result, wanted = outcomes[0].results["validation"], expected.results["validation"]
    assert (result.examples, result.accuracy) == (wanted.examples, wanted.accuracy)
    assert result.loss == pytest.approx(wanted.loss, abs=1e-5)
    evaluated = sum(isinstance(event, Evaluated) for event in events[0])
    assert group.sums == 1 + 8 + evaluated  # the length of the checkpoint, which does not exist, and one sum a step
    assert not (tmp_path / "of-rank-1").exists()


def test_statistics_of_norms_are_averaged_over_ranks(tmp_path):
    asked = space_problem("nb201:resolution=8,cells=1,classes=3", colour(images()), replace(PLAIN, evaluate=0))
    outcomes, _ = Group(2).train(asked, tmp_path / "ranks", until=3)
    assert any("running_var" in name for name in outcomes[0].state)
    assert equal(outcomes[0].state, outcomes[1].state)
    assert outcomes[0].results == outcomes[1].results


def test_all_ranks_stop_after_the_same_step_and_go_on_from_the_folder_of_the_first(tmp_path):
    asked = problem()
    (straight, _), _ = Group(2).train(asked, tmp_path / "straight")
    group = Group(2)

    def follow(event):
        if isinstance(event, StepDone) and event.step == 3:
            group.stop.add(1)  # while rank 1 may be in step 4

    outcomes, events = group.train(asked, tmp_path / "parts", follow=follow)
    assert [type(one) for one in outcomes] == [KeyboardInterrupt] * 2
    done = [max(event.step for event in one if isinstance(event, StepDone)) for one in events]
    assert done[0] == done[1] in (4, 5)
    assert max(steps(tmp_path / "parts")) == done[0]
    outcomes, events = Group(2).train(asked, tmp_path / "parts")
    assert [[event.step for event in one if isinstance(event, Resumed)] for one in events] == [[done[0]]] * 2
    assert equal(outcomes[0].state, straight.state)
    assert equal(outcomes[1].state, straight.state)


def test_a_stop_request_ends_an_evaluation_of_all_ranks(tmp_path):
    asked, group = problem(), Group(2)

    def follow(event):
        if isinstance(event, StepDone) and event.step == 6:  # the last one of an epoch
            group.stop.add(0)

    outcomes, events = group.train(asked, tmp_path / "parts", follow=follow)
    assert [type(one) for one in outcomes] == [KeyboardInterrupt] * 2
    assert not any(isinstance(event, Evaluated) for event in events[0])
    assert max(steps(tmp_path / "parts")) == 6


def test_a_lost_rank_leaves_a_checkpoint_before_the_step_in_progress(tmp_path):
    asked = space_problem("nb201:resolution=8,cells=1,classes=3", colour(images()), replace(QUICK, evaluate=0))
    (straight, _), _ = Group(2).train(asked, tmp_path / "straight")
    group = Group(2)
    group.lost_at = 7  # in the sixth step, after whose forward pass the statistics of norms have changed
    outcomes, _ = group.train(asked, tmp_path / "parts")
    assert [type(one) for one in outcomes] == [RanksLost] * 2
    assert max(steps(tmp_path / "parts")) == 5
    outcomes, _ = Group(2).train(asked, tmp_path / "parts")
    assert equal(outcomes[0].state, straight.state)


def test_all_ranks_go_back_together_where_a_training_diverges(tmp_path):
    asked = problem(replace(PLAIN, recovery=4, evaluate=0), start=None)
    start = spoiled(1)
    outcomes, events = Group(2).train(replace(asked, start=lambda module: once(module, start)), tmp_path / "parts")
    assert [(one.step, one.halvings) for one in outcomes] == [(12, 1)] * 2
    back = [[event.back_to for event in one if isinstance(event, Diverged)] for one in events]
    assert back == [[4], [4]]
    assert equal(outcomes[0].state, outcomes[1].state)


def once(module, start, used=[]):  # noqa: B006
    """Spoil the module of one rank only; the sum spoils the step of all."""
    if not used:
        used.append(True)
        start(module)


def test_the_clock_of_the_first_rank_decides_on_checkpoints(tmp_path):
    asked = problem(replace(QUICK, epochs=1, checkpoint=1e-9, recovery=500))
    _, events = Group(2).train(asked, tmp_path / "parts")
    assert [[event.step for event in one if isinstance(event, Checkpointed)] for one in events] == [[*range(1, 7)], []]


def training(data, world, recipe=None, space=WORDS, genome=None, **changes):
    """A training of words in the store of a folder."""
    recipe = recipe or Recipe(epochs=4, batch=16, optimiser="adamw", rate=0.01, warmup=0.5, smoothing=0.0, evaluate=0)
    made = registry.create("spaces", space)
    genome = made.canonical(genome or (0,) * len(made.genes))
    spec = registry.spelled_out("spaces", space)
    return replace(Training(spec, genome, spec, data.task, str(data), recipe, world=world), **changes)


def test_two_processes_equal_one_and_leave_one_training(tmp_path):
    data, events, alone = words("next words"), [], []
    one, two = training(data, 1), training(data, 2)
    assert one.name != two.name
    expected = run_training(one, data, Store(str(tmp_path / "s.db")), follow=alone.append)
    trained = train_in_processes(Job(two, data, str(tmp_path / "s.db")), ("", ""), events.append)
    assert len(losses(events)) == 16
    assert losses(events)[:10] == pytest.approx(losses(alone)[:10], abs=1e-5)
    assert trained.results["test"].loss == pytest.approx(expected.results["test"].loss, abs=1e-4)
    assert trained.folder.weights.exists()
    assert trained.session_steps == 16
    assert {one.state for one in Store(str(tmp_path / "s.db")).trainings()} == {"finished"}


NEXT = ["--arch", "0,0,0,0,0,0", "--space", "nb201:resolution=8,cells=1", "--data", "digits"]


def refused(tmp_path, *options):
    result = CliRunner().invoke(cli, ["train", *NEXT, "--store", str(tmp_path / "s.db"), *options])
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--gpus 0,1", "torch finds no GPU here; leave --gpus out"),
        ("--processes 2 --torch-device cuda:0", "--processes is for CPUs; for GPUs, give --gpus 0,1"),
        ("--cluster slurm --processes 2", "no cluster is called 'slurm'"),
        ("--cluster ray", "say by how many processes of the Ray cluster to train: --processes 4"),
        ("--processes 9 --set batch=8", "Cannot share a batch of 8 examples among 9 processes"),
    ],
)
def test_devices_that_cannot_be_used_are_refused_in_one_sentence(tmp_path, options, message):
    assert f"Error: {message}" in refused(tmp_path, *options.split())


def test_each_process_gets_one_of_the_gpus(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert "the GPUs here are 0, 1, 2, not '0,3'" in refused(tmp_path, "--gpus", "0,3")
    assert "leave --processes out" in refused(tmp_path, "--gpus", "0,1", "--processes", "2")
    given = []
    monkeypatch.setattr(devices_module, "train_in_processes", lambda *arguments: given.append(arguments))
    chosen = Devices.asked(gpus=("4", "6"))
    assert (chosen.world, chosen.trained_on) == (2, "cuda:0")
    data = words("next words")
    job = Job(training(data, 2, torch_device="cuda:0"), data, "s.db")
    chosen.train(job, print)
    assert given == [(job, ("4", "6"), print)]
    assert job.training.name == replace(job.training, torch_device="cuda").name != training(data, 2).name


def test_processes_of_a_machine_share_its_cores_for_decoding(monkeypatch):
    data = words("next words")
    job = Job(training(data, 2), data, "s.db")
    assert job.sharing_cores(2) == job  # data in memory needs no decoding
    monkeypatch.setattr(distributed, "usual_workers", lambda data: 4)
    assert [job.sharing_cores(number).work.workers for number in (1, 2, 8)] == [4, 2, 1]
    asked = replace(job, work=Work(workers=3))
    assert asked.sharing_cores(2) == asked


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
ADDRESS = {"MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


def test_the_place_of_a_process_of_torchrun(monkeypatch):
    assert torchrun_place({}) is None
    assert torchrun_place(TORCHRUN) is None  # without an address, some other program has set these
    assert torchrun_place(TORCHRUN | ADDRESS) == TorchrunPlace(3, 4, 1, 2)
    for wrong in ({"RANK": "4"}, {"WORLD_SIZE": "many"}, {"LOCAL_RANK": "-1"}):
        with pytest.raises(NasctlError, match="is not as torchrun sets it"):
            torchrun_place(TORCHRUN | ADDRESS | wrong)
    place = torchrun_place(TORCHRUN | ADDRESS)
    chosen = Devices(torch_device="cuda", place=place)
    assert (chosen.world, chosen.reports, chosen.trained_on) == (4, False, "cuda:1")
    with pytest.raises(NasctlError, match="torchrun has started the processes already"):
        Devices(processes=2, place=place)
    with pytest.raises(NasctlError, match="give --torch-device cuda, or cpu"):
        Devices(torch_device="cuda:0", place=place)


@pytest.mark.parametrize(
    ("kinds", "error", "message"),
    [
        (("lost", "died"), RanksLost, "process 2 of 2 was ended by SIGKILL, perhaps for lack of memory. Give the same"),
        (("refused", "lost"), NasctlError, "of rank 0"),
        (("refused", "refused"), NasctlError, "of rank 0"),
        (("lost", "refused"), NasctlError, "of rank 1"),
        (("diverged", "diverged"), TrainingDiverged, "of rank 0"),
        (("unexpected", "lost"), RuntimeError, "a process of the training failed"),
        (("stopped", "stopped"), KeyboardInterrupt, None),
        (("lost", "lost"), RanksLost, "another process of this training has ended"),
    ],
)
def test_one_error_explains_how_all_processes_ended(kinds, error, message):
    texts = {rank: death(-signal.SIGKILL) if kind == "died" else f"of rank {rank}" for rank, kind in enumerate(kinds)}
    with pytest.raises(error, match=message):
        result_of({rank: Ended(kind, texts[rank]) for rank, kind in enumerate(kinds)})
