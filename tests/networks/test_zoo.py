"""The script that traces public zoos: its choice of models, its reports, and its verdicts on small models."""

import sys

import pytest
import torch
from paths import ROOT
from torch import nn

from nasctl.api import Network
from perf import zoo, zoo_catalogue

sys.path.append(str(ROOT / "perf"))
from perf import zoo_check


class Unseen(nn.Module):
    """A product that torch's counter does not see, and a layer that evaluation does not use."""

    def __init__(self):
        super().__init__()
        self.fc, self.vector, self.aux = nn.Linear(8, 5), nn.Parameter(torch.randn(8)), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(x) * torch.mv(x, self.vector)[:, None]


def test_models_of_a_family_are_sorted_by_the_size_in_their_names():
    names = ["resnet50", "vit_base_patch16_224", "resnet18", "vit_tiny_patch16_224", "vit_giant_patch14", "net_7b"]
    ordered = ["vit_tiny_patch16_224", "resnet18", "resnet50", "vit_base_patch16_224", "vit_giant_patch14", "net_7b"]
    assert sorted(names, key=zoo_catalogue._size) == ordered


def test_reasons_are_counted_without_the_names_of_one_model():
    said = "Net cannot be made a network: layers.0.proj is called 3 times"
    assert zoo.kind_of(said) == zoo.kind_of("Other cannot be made a network: stages.1.b.conv is called 12 times")
    result = {"name": "net", "status": "refused", "params": 5_700_000, "seconds": 1.25, "reason": "no"}
    assert zoo.line_of(result) == "refused       5.7M    1.2 s  net  no"
    assert zoo.line_of({"name": "net", "status": "left out"}) == "left out                     net"


def test_the_verdict_explains_what_differs():
    model, network = Unseen().eval(), Network.from_module(Unseen(), (8,))
    status, note = zoo_check.compare(model, network, (8,))
    unused = "45 parameters have no effect in evaluation"
    unseen = "8 MACs that torch's counter does not see: mv"
    assert (status, note) == ("exact", f"{unused}; {unseen}" if network.macs == 48 else unused)


@pytest.mark.parametrize(
    ("other", "said"),
    [(nn.Sequential(nn.Linear(8, 5), nn.Tanh()), "outputs at batch 5"), (nn.Linear(8, 6), "which the module has not")],
)
def test_another_network_is_wrong(other, said):
    network = Network.from_module(nn.Sequential(*([other] if isinstance(other, nn.Linear) else other)), (8,))
    status, reason = zoo_check.compare(nn.Sequential(nn.Linear(8, 5)).eval(), network, (8,))
    assert status == "wrong"
    assert said in reason
