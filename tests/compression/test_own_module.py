"""Modules of users as given networks: classes, files that change, and weights that are none."""

import os

import pytest
import torch
from torch import nn

from nasctl import registry
from nasctl.architectures import ids
from nasctl.candidates.setting import Setting
from nasctl.compression.base_sources import trained_base
from nasctl.compression.own_module import own_module
from nasctl.data import source
from nasctl.errors import NasctlError
from nasctl.search.metrics import make_objective

OWN = """
from pathlib import Path
import torch
from torch import nn

SIZE, MEAN, DEVIATION = (8, 8), (77.0,), (95.0,)

def net():
    made = nn.Sequential(nn.Conv2d(1, 4, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 10))
    made.load_state_dict(torch.load(Path(__file__).with_name("net.pt")))
    return made
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return write(tmp_path, 0)


def write(folder, seed, **changes):
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv2d(1, 4, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 10))
    torch.save({**made.state_dict(), **changes}, folder / "net.pt")
    return f"{folder}/own.py:net"


def test_data_of_some_of_the_classes_is_refused_unless_classes_are_named(own, tmp_path):
    (tmp_path / "own.py").write_text(OWN.replace("16, 10", "16, 20"))
    torch.save(
        nn.Sequential(nn.Conv2d(1, 4, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 20)).state_dict(),
        tmp_path / "net.pt",
    )
    with pytest.raises(NasctlError, match=r"10 classes, and the network 20 outputs.*CLASSES"):
        registry.create("spaces", f"quantized:of={own},data=digits")


def test_classes_are_named_for_all_outputs(own, tmp_path):
    (tmp_path / "own.py").write_text(OWN + "\nCLASSES = ('a', 'b')\n")
    with pytest.raises(NasctlError, match="CLASSES has 2 names, and net 10 outputs"):
        trained_base(own)


def test_the_given_network_is_measured_on_the_validation_images(own):
    space = registry.create("spaces", f"quantized:of={own},data=digits")
    said = make_objective("accuracy")[1].setting_remarks(space, Setting(source("digits")))
    assert "on 180 validation images" in said[0] or "validation images of --data; the given network has" in said[0]
    assert "guesses" in said[1]
    assert "not known" in said[2]


def test_other_weights_beside_the_file_are_another_network(own, tmp_path):
    spec = f"quantized:of={own},data=digits"
    space, before, first = registry.create("spaces", spec), registry.spelled_out("spaces", spec), ids.prefix(spec)
    write(tmp_path, 1)
    assert registry.spelled_out("spaces", spec) != before
    assert ids.prefix(spec) != first
    assert ids.prefix(before) == first
    with pytest.raises(NasctlError, match="has changed"):
        _ = space.base
    write(tmp_path, 0)
    assert registry.spelled_out("spaces", spec) == before


def test_a_file_that_has_changed_in_the_process_is_read_again(own, tmp_path):
    first = trained_base(own)
    stat = (tmp_path / "own.py").stat()
    (tmp_path / "own.py").write_text(OWN.replace("77.0", "78.0"))  # of the same size
    os.utime(tmp_path / "own.py", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert (first.mean, trained_base(own).mean) == ((77.0,), (78.0,))


def test_weights_that_differ_from_call_to_call_are_refused(tmp_path):
    (tmp_path / "drawn.py").write_text(OWN.replace("    made.load", "    # made.load"))
    state = torch.get_rng_state()
    with pytest.raises(NasctlError, match="differ from call to call"):
        own_module(f"{tmp_path}/drawn.py:net", ())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("key", "shape"), [("3.bias", (10,)), ("0.weight", (4, 1, 3, 3))])
def test_weights_that_are_not_finite_are_refused(own, tmp_path, key, shape):
    write(tmp_path, 0, **{key: torch.full(shape, float("nan"))})
    with pytest.raises(NasctlError, match="not finite"):
        trained_base(own)
