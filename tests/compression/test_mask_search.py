"""Searched masks: swaps, straight-through gradients, and files that later searches read."""

import math
from pathlib import Path

import pytest
import torch
from export.test_compressed_export import OWN

from nasctl import registry
from nasctl.compression import stored_masks as stored
from nasctl.compression.mask_options import MaskOptions, best_seed
from nasctl.compression.mask_search import MaskSearch, _ScoredLayer, searched_masks
from nasctl.compression.recalibrated_variants import prunable_layers
from nasctl.compression.stored_masks import stored_masks
from nasctl.errors import NasctlError
from nasctl.training.folder import CURRENT_STORE

WEIGHT = torch.tensor([[0.1, -0.9, 0.4, 0.8], [0.7, -0.2, 0.3, -0.6]])


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN)
    CURRENT_STORE.set(str(folder / "store.db"))
    return f"sparse:of={folder / 'own.py'}:net,data=digits,sparsities=0,0.8"


def names(space):
    nodes = space.base.network.nodes
    return tuple(nodes[k].name for k in prunable_layers(nodes))


def test_a_search_begins_with_the_largest_weights():
    layer = _ScoredLayer(WEIGHT, 0.5)
    assert layer.mask.tolist() == [[0, 1, 0, 1], [1, 0, 0, 1]]
    assert torch.allclose(layer.scores, torch.where(layer.mask > 0, 1.0, 0.99))


def test_the_gradient_of_the_mask_goes_to_all_scores():
    layer, factor = _ScoredLayer(WEIGHT, 0.5), torch.arange(8.0).view(2, 4)
    (layer.masked() * factor).sum().backward()
    assert torch.equal(layer.masked().detach(), layer.mask * WEIGHT)
    assert torch.allclose(layer.scores.grad, WEIGHT * factor)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.01])
def test_a_share_of_the_swaps_is_made_the_most_extreme_first(share):
    layer = _ScoredLayer(WEIGHT, 0.5)
    with torch.no_grad():  # the last row would be kept in place of what is, from the place 7 to the place 4
        layer.scores.copy_(torch.tensor([[0.5, 0.1, 0.6, 0.2], [0.3, 0.9, 0.8, 0.4]]))
    kept = torch.tensor([1, 3, 4, 7])  # of scores 0.1, 0.2, 0.3 and 0.4
    layer.swap(share)
    swaps = math.ceil(4 * share)  # 0, 2, 5 and 6 have scores of 0.5, 0.6, 0.9 and 0.8
    wanted = set(kept.tolist()[swaps:]) | set([5, 6, 2, 0][:swaps])
    assert set(layer.mask.flatten().nonzero().squeeze(1).tolist()) == wanted


def test_a_search_is_repeatable_and_swaps_weights(spec):
    space = registry.create("spaces", spec)
    sparsity, asked = dict.fromkeys(names(space), 0.8), MaskSearch(epochs=2, rate=30.0, batch=256)
    first, again = (searched_masks(space.base, sparsity, space.calibration, asked) for _ in range(2))
    magnitude = space.module(space.references["uniform-0.8"].genome)
    assert all(torch.equal(first[name], again[name]) for name in first)
    parts = {name: magnitude.get_submodule(name.replace(".", "_")) for name in first}
    assert all(int(mask.sum()) == len(parts[name].values) for name, mask in first.items())
    assert any(not torch.equal(mask, parts[name].layer.weight != 0) for name, mask in first.items())


@pytest.mark.parametrize(("schedule", "wanted"), [("published", {1.0, 1 / 16}), ("shipped", {1.0})])
def test_the_published_schedule_allows_fewer_and_fewer_swaps(spec, monkeypatch, schedule, wanted):
    space, shares = registry.create("spaces", spec), set()
    swap = _ScoredLayer.swap
    monkeypatch.setattr(_ScoredLayer, "swap", lambda layer, share: shares.add(share) or swap(layer, share))
    asked = MaskSearch(epochs=2, schedule=schedule, batch=512)
    searched_masks(space.base, dict.fromkeys(names(space), 0.8), space.calibration, asked)
    assert shares == wanted  # (1 - epoch / 2)^4


def test_masks_are_searched_once(spec, monkeypatch):
    space = registry.create("spaces", f"{spec},mask=jackpot,epochs=1")
    assert "1 epoch for each of 1 sparsity" in space.preparation
    genome = space.references["uniform-0.8"].genome
    first = space.module(genome).state_dict()
    asked = space.variants.options
    monkeypatch.setattr(stored, "searched_masks", lambda *_: pytest.fail("searched again"))
    found = stored_masks(Path(asked.folder), space.base, names(space), 0.8, space.calibration, asked.search)
    for name, mask in found.items():
        key = f"{name.replace('.', '_')}.values"
        assert len(first[key]) == int(mask.sum())
    for path in Path(asked.folder).glob("*.safetensors"):
        path.write_bytes(b"broken")
    with pytest.raises(NasctlError, match="Delete the file"):
        stored_masks(Path(asked.folder), space.base, names(space), 0.8, space.calibration, asked.search)


def test_the_best_of_several_random_masks_is_used(spec):
    space = registry.create("spaces", f"{spec},mask=random,draws=3,seed=2")
    losses = {6: 0.3, 7: 0.1, 8: 0.2}

    def outputs(seed, batches):  # all classes are about as frequent, so less confidence is better
        return [torch.tensor([40 * losses[seed]] + [0.0] * 9).expand(len(one), -1) for one in batches]

    assert best_seed(space.variants.given, MaskOptions("random", seed=2, draws=3), outputs) == 7
    single = [registry.create("spaces", f"{spec},mask=random,seed={seed}") for seed in (6, 7, 8)]
    genome = space.references["uniform-0.8"].genome
    first = next(key for key in space.module(genome).state_dict() if key.endswith("positions"))
    found = space.module(genome).state_dict()[first]
    assert any(torch.equal(found, one.module(genome).state_dict()[first]) for one in single)


@pytest.mark.parametrize(
    "options",
    ["draws=2", "epochs=3", "schedule=shipped", "mask=jackpot,structured=yes", "mask=jackpot,schedule=none", "draws=0"],
)
def test_options_that_say_nothing_of_a_mask_are_refused(spec, options):
    with pytest.raises(NasctlError, match="Cannot"):
        registry.create("spaces", f"{spec},{options}")
