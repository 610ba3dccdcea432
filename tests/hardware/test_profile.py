"""Profiles of this machine: what they measure, refuse, resume and write over, and the timer."""

from itertools import count

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.api import Builder, ConvNormAct
from nasctl.cli import cli
from nasctl.hardware.distinct_blocks import distinct_blocks
from nasctl.hardware.fitting.measured import BLOCKS_HELD_OUT
from nasctl.hardware.profiling import profile
from nasctl.hardware.profiling.timing import time_in_turn
from nasctl.hardware.profiling.timings import VISITS
from nasctl.hardware.table import LatencyTable
from nasctl.system import quiet_machine
from nasctl.system.machine_lock import exclusive_machine, shared_machine

pytestmark = pytest.mark.usefixtures("own_lock")
TINY = "nb201:channels=4,cells=1,resolution=8"


def timing(network):
    """Additive over blocks; whole networks take a quarter more, and 7 ms."""
    work = network.params + len(network.nodes)
    return 1.25 * work + 7 if len(network.spans) > 1 else float(work)


class Recorder:
    """Times like `timing`, counts, and can be told to be noisy about a network or to be interrupted."""

    def __init__(self, noisy=None, stop=None):
        self.companies, self.noisy, self.stop, self.loud = [], noisy, stop, False

    def __call__(self, networks, threads, seconds, cuda):
        if len(self.companies) == self.stop:
            raise KeyboardInterrupt
        self.companies.append(networks)
        times = [timing(network) for network in networks]
        if self.noisy in networks:
            self.loud = not self.loud
            times[networks.index(self.noisy)] *= 1 + self.loud
        return times

    @property
    def visits(self):
        return sum(map(len, self.companies))


def run_profile(monkeypatch, path, recorder, *more, used=lambda: 0.0):
    """Profile with recorded timings; `used` is the processor time that others have used, in seconds."""
    monkeypatch.setattr(quiet_machine, "_used", used)
    monkeypatch.setattr(profile, "network_call", lambda network, *setting: network)
    monkeypatch.setattr(profile, "time_in_turn", recorder)
    return CliRunner().invoke(cli, ["device", "profile", "--space", TINY, "--name", "here", "-o", str(path), *more])


def things():
    """What a profile of the space visits."""
    return (
        len(distinct_blocks(registry.create("spaces", TINY)))
        + profile.CALIBRATION_NETWORKS
        + profile.VALIDATION_NETWORKS
    )


def test_profile_measures_validates_and_resumes(monkeypatch, tmp_path):
    path, blocks = tmp_path / "here.json", distinct_blocks(registry.create("spaces", TINY))
    stopped = run_profile(monkeypatch, path, first := Recorder(stop=8))
    assert (stopped.exit_code, path.exists()) == (130, False)
    assert "the same command goes on" in stopped.stderr
    (notes,) = (tmp_path / "here.json.part").iterdir()
    notes.write_text(notes.read_text() + '{"half a li')  # as a kill may leave it
    done = run_profile(monkeypatch, path, rest := Recorder())
    assert done.exit_code == 0, done.output
    assert "busier" not in done.stderr
    assert VISITS * things() <= first.visits + rest.visits < (VISITS + 1) * things()
    assert len(first.companies[0]) > 5  # blocks have company, whole networks have none
    assert sorted({len(company) for company in rest.companies}) == [1, len(first.companies[0])]
    assert list(tmp_path.iterdir()) == [path]
    table = LatencyTable.load(str(path))
    assert len(table.blocks) == len(blocks)
    assert table.spaces == [registry.normal("spaces", TINY)]
    of_networks, of_blocks = table.validation
    assert table.validated(TINY) == of_networks
    assert (of_networks.number, of_networks.mape) == (profile.VALIDATION_NETWORKS, pytest.approx(0, abs=0.01))
    assert of_networks.spearman == pytest.approx(1)
    assert (table.context["alone"], table.overhead) == (pytest.approx(1.25, 1e-3), pytest.approx(7, rel=0.1))
    assert (of_blocks.held_out, of_blocks.against) == (BLOCKS_HELD_OUT, "blocks")
    wider = registry.create("spaces", TINY.replace("channels=4", "channels=8")).network((3,) * 6)
    assert table.block(wider.spans[0].emission).origin == "modelled"


def test_profile_refuses_noise_and_goes_on_from_there(monkeypatch, tmp_path):
    path, blocks = tmp_path / "here.json", distinct_blocks(registry.create("spaces", TINY))
    key = next(key for key in blocks if "Conv" in key)
    refused = run_profile(monkeypatch, path, Recorder(noisy=blocks[key].alone()))
    assert refused.exit_code == 1
    assert f"there is no table yet:\n  {key}\nquiet the machine and type the same command again" in refused.stderr
    assert not path.exists()
    for _ in range(3):  # until the quiet visits outweigh the noisy ones
        if not path.exists():
            quiet = run_profile(monkeypatch, path, again := Recorder())
    assert quiet.exit_code == 0
    assert again.visits < VISITS * things() / 2
    assert key in LatencyTable.load(str(path)).blocks


def test_profile_writes_over_nothing_else(monkeypatch, tmp_path):
    LatencyTable("toy", "cpu", 1, {}).save(path := tmp_path / "here.json")
    before = path.read_text()
    other = tmp_path / "other.json"
    run_profile(monkeypatch, other, Recorder(stop=1))
    for more, message in (
        ((), "here.json is there already"),
        (("--torch-device", "cuda:7", "--force"), "torch cannot use 'cuda:7' here"),
        (("-o", str(tmp_path / "here.txt")), "has to end in .json"),
        (("--name", "a b"), "'a b' is no name for a device"),
        (("-o", str(other), "--batch", "2"), "has the batch 1, not 2; name another file with -o, or add --force"),
    ):
        failed = run_profile(monkeypatch, path, Recorder(), *more)
        assert (failed.exit_code, path.read_text()) == (2, before)
        assert message in failed.stderr
    (notes,) = (tmp_path / "other.json.part").iterdir()
    for junk in ("[]\n", "not JSON\n", notes.read_text() + "[1]\n", notes.read_text() + '{"x": "y"}\n'):
        notes.write_text(junk)
        assert "is not a file of timings" in run_profile(monkeypatch, other, Recorder()).stderr
    with exclusive_machine():
        assert "another `nasctl device profile`" in run_profile(monkeypatch, path, Recorder(), "--force").stderr
    assert run_profile(monkeypatch, path, Recorder(), "--force").exit_code == 0
    assert LatencyTable.load(str(path)).device == "here"


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_the_timer_times(runtime, tmp_path):
    calls = [profile.network_call(chain(n), runtime, "cpu", 1, 1, file=tmp_path / f"{n}.onnx") for n in (1, 30)]
    small, large = time_in_turn(calls, 1, 0.05)
    assert 0 < small < large < 1000
    assert len(list(tmp_path.iterdir())) == (2 if runtime == "onnxruntime" else 0)
    again = profile.network_call(chain(1), runtime, "cpu", 1, 1, file=tmp_path / "1.onnx")
    assert time_in_turn([again], 1, 0.01)[0] < large


def chain(length):
    net = Builder((16, 32, 32))
    (x,) = net.inputs
    for k in range(length):
        x = net.add(ConvNormAct(16, 3), x, name=f"layer{k}")
    return net.build(x)


def test_noise_may_be_accepted_and_is_said(monkeypatch, tmp_path):
    path, blocks = tmp_path / "here.json", distinct_blocks(registry.create("spaces", TINY))
    key = next(key for key in blocks if "Conv" in key)
    words = ("--accept-noise", "--seconds", "0.05")
    done = run_profile(monkeypatch, path, Recorder(noisy=blocks[key].alone()), *words)
    assert done.exit_code == 0, done.output
    table = LatencyTable.load(str(path))
    (remark,) = table.inferred
    assert f"the errors of 1 of {len(blocks)} blocks and of 0 of 80 whole networks are above 5%" in remark
    assert remark.endswith(f"% of {key}.")
    assert remark in done.stderr
    assert set(table.blocks) == set(blocks)
    assert table.command.endswith(" --seconds 0.05 --accept-noise")
    shown = CliRunner().invoke(cli, ["device", "show", str(path)]).stdout
    assert "noise: The machine was not quiet, and noise was accepted" in shown
    assert "inferred: The machine" not in shown


def test_a_busy_machine_is_waited_for(monkeypatch, tmp_path):
    seen = []

    def never(seconds, report):
        report(3.0, seconds)
        seen.append(seconds)
        return False

    monkeypatch.setattr("nasctl.system.quiet_machine.wait_until_quiet", never)
    refused = run_profile(monkeypatch, tmp_path / "here.json", Recorder(), "--wait", "0.5")
    assert (refused.exit_code, seen) == (2, [30.0])
    assert "others keep 3.0 processors busy" in refused.stderr
    assert "Cannot measure: the machine was not quiet within 30 s." in refused.stderr
    monkeypatch.setattr("nasctl.system.quiet_machine.wait_until_quiet", lambda seconds, report: True)
    assert run_profile(monkeypatch, tmp_path / "here.json", Recorder(stop=1), "--wait", "1").exit_code == 130


def test_a_table_of_a_busy_machine_comes_with_a_warning(monkeypatch, tmp_path):
    ever = count()
    done = run_profile(monkeypatch, tmp_path / "here.json", Recorder(), used=lambda: 1e6 * next(ever))
    assert done.exit_code == 0
    (said,) = LatencyTable.load(str(tmp_path / "here.json")).inferred
    assert said.startswith("The machine was not quiet: other processes kept ")
    assert said in done.stderr
    path = tmp_path / "here.json"
    spec = registry.normal("spaces", TINY)
    again = f"nasctl device profile --name here --space {spec} -o {path} --force --wait 60"
    assert f"This measures all of it again once the machine is quiet: {again}\n" in done.stderr
    assert f"      nasctl search {spec} --device {path}\n" in done.stderr


def test_noise_may_be_accepted_beside_a_search(monkeypatch, tmp_path):
    path = tmp_path / "here.json"
    with shared_machine():
        refused = run_profile(monkeypatch, path, Recorder())
        assert (refused.exit_code, path.exists()) == (2, False)
        assert "a search is running on this machine" in refused.stderr
        done = run_profile(monkeypatch, path, Recorder(), "--accept-noise")
    assert done.exit_code == 0, done.output
    assert "measuring beside it, because of --accept-noise" in done.stderr
    remark = "The machine was not quiet: another nasctl was running while the blocks were timed"
    assert LatencyTable.load(str(path)).inferred[-1].startswith(remark)


def test_a_profile_that_waits_for_a_quiet_machine_admits_searches(monkeypatch, tmp_path):
    def searched(seconds, report):
        with shared_machine():
            report(1.0, seconds)
        return True

    monkeypatch.setattr("nasctl.system.quiet_machine.wait_until_quiet", searched)
    done = run_profile(monkeypatch, tmp_path / "here.json", Recorder(stop=1), "--wait", "1")
    assert done.exit_code == 130, done.output
