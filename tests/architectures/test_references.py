"""Known answers about the published networks that spaces name."""

import re

import pytest

from nasctl import registry
from nasctl.architectures import ids
from nasctl.architectures.references import (
    differing_references,
    reference_names,
    references,
    visited_references,
)
from nasctl.errors import NasctlError
from nasctl.problem.searcher import Evaluation
from nasctl.store.store import Store

IMAGENET_CELLS = "darts:stem=imagenet,channels=48,cells=14,classes=1000,resolution=224"


# Parameters and MACs in millions as the publications print them, or exactly where a counter of theirs is exact.
@pytest.mark.parametrize(
    ("spec", "name", "params", "macs"),
    [
        # torchvision's MobileNetV3-Large has 5,483,032 parameters and 216.59 M MACs; three blocks here are wider.
        ("mbconv:width=1.0", "mobilenetv3-large", 5_508_048, 221_624_608),
        ("mbconv", "ofa-note10-30ms", 7_465_896, 339_352_816),  # README of Once-for-All: 7.5 M and 339 M
        ("mbconv:width=1.0,resolution=152", "ofa-pixel1-20ms", 4_304_592, 76_664_384),
        # README of MMRazor: 4.6 M and 105.4 M, which counts 4.9 M for norms, activations and pools, too.
        ("mbconv:width=1.0,resolution=152", "ofa-note8-31ms", 4_595_536, 100_520_248),
        ("mnasnet", "mobilenetv2", 3_504_872, 300_774_272),  # torchvision's count
        ("mnasnet:reference=mnasnet_a1", "mnasnet-a1", 3_887_038, 311_579_072),  # table 1: 3.9 M and 312 M
        ("proxyless:widths=24,32,64,96,160,320", "mobilenetv2", 3_504_872, 300_774_272),
        ("proxyless:widths=32,40,80,96,192,320", "proxylessnas-mobile", 4_080_512, 320_427_584),  # 4.1 M, 320 M
        ("proxyless:width=1.4,widths=28,40,80,96,184,320", "proxylessnas-mobile-14", 6_857_568, 580_883_408),
        ("fbnet:head=1504", "fbnet-a", 4_321_464, 249_921_848),  # table 3: 4.3 M and 249 M
        ("fbnet", "fbnet-b", 4_813_048, 296_614_728),  # 4.5 M and 295 M; the authors' code prints 4.8 M
        ("fbnet", "fbnet-c", 5_572_200, 384_960_160),  # 5.5 M and 375 M; the authors' code prints 383 M
        ("attentivenas:resolutions=192,224,256,288", "attentivenas-a0", 8_954_184, 203_389_568),  # README: 203 M
        ("attentivenas:resolutions=192,224,256,288", "attentivenas-a6", 15_154_792, 709_007_232),  # README: 709 M
        ("resnet", "resnet-50d", 25_576_264, 4_328_824_832),  # Bag of tricks, table 5: 25 M and 4.3 G
        ("hytra", "bossnet-t0", 38_415_960, 3_442_978_304),  # README: 3.4 G
        ("hytra:last_stride=1", "bossnet-t1", 38_415_960, 7_944_442_880),  # README: 7.9 G
        ("vit:supernet=s", "autoformer-s", 22_891_432, 5_161_400_832),  # 22.9 M and 5.1 G, table 6
        ("vit:supernet=b", "autoformer-b", 53_691_688, 11_691_179_008),  # 53.7 M and 11 G
        ("darts", "darts-v2", 3_349_342, 528_359_040),  # the logs of DARTS print these parameters
        (IMAGENET_CELLS, "darts-v2", 4_718_752, 529_911_552),
        ("darts", "p-darts", 3_433_798, 532_174_464),  # table 1: 3.4 M
        (IMAGENET_CELLS, "p-darts", 4_944_352, 542_819_328),  # table 2: 4.9 M
        ("darts", "pc-darts-cifar", 3_634_678, 556_670_592),  # table 1: 3.6 M
        (IMAGENET_CELLS, "pc-darts-imagenet", 5_342_464, 581_627_328),  # table 2: 5.3 M
        ("nb201", "nb201-best-cifar10", 73_306 + 4 * 243_040 + 28_000, 153_272_960),
        ("nb101", "nb101-inception", 2_694_282, 402_002_944),  # the benchmark's answer to the example of its README
        ("rnn", "lstm", 20_230_878, 1_413_384_000),
    ],
)
def test_published_networks_have_their_known_costs(spec, name, params, macs):
    space = registry.create("spaces", spec)
    network = space.network(references(space)[name].genome)
    assert (network.params, network.macs) == (params, macs)


def test_every_reference_is_a_canonical_network_of_its_space_with_a_source():
    named = {}
    for space_name in registry.names_without_options("spaces"):
        if not registry.optional("spaces", space_name):
            continue
        space = registry.create("spaces", space_name)
        for name, one in references(space).items():
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
            assert space.canonical(one.genome) == one.genome
            assert one.source
            assert one.accuracy is None or 0.4 < one.accuracy < 1
            named.setdefault(name, []).append(space_name)
        assert len(reference_names(space)) == len(references(space))  # no two names of one network
    assert {"mobilenetv3-large", "mobilenetv2", "fbnet-c", "attentivenas-a1", "darts-v2"} <= set(named)
    assert named["mobilenetv3-large"] == ["mbconv"]


@pytest.mark.parametrize(
    ("spec", "name", "accuracy", "remark"),
    [
        ("mbconv:width=1.0", "mobilenetv3-large", 0.752, "3 blocks of stage 3"),
        ("mbconv", "mobilenetv3-large", None, r"width=1.2 \(published with 1.0\)"),
        ("mbconv:classes=5", "ofa-note10-30ms", None, r"classes=5 \(published with 1000\)$"),
        ("mbconv", "ofa-note10-30ms", 0.784, "$"),
        ("attentivenas", "attentivenas-a0", None, r"resolution=224 \(published with 192\)"),
        ("attentivenas:resolutions=192,224,256,288", "attentivenas-a0", 0.773, "$"),
        ("darts", "darts-v2", 0.9724, "the accuracy is on CIFAR-10"),
        ("nb201:classes=100", "nb201-best-cifar100", 0.7351, ".*the accuracy is on cifar100"),
    ],
)
def test_other_options_take_the_accuracy_away_and_are_named(spec, name, accuracy, remark):
    one = references(registry.create("spaces", spec))[name]
    assert one.accuracy == accuracy
    assert re.match(remark, one.remark)


def test_resolutions_that_are_genes_hold_the_nearest_to_the_published_one():
    space = registry.create("spaces", "mbconv:width=1.0,resolutions=128,160,224")
    named = references(space)
    sizes = {name: space.network(one.genome).input_shapes[0][1] for name, one in named.items()}
    assert sizes == {"mobilenetv3-large": 224, "ofa-pixel1-20ms": 160, "ofa-note8-31ms": 160}


def test_networks_of_other_widths_are_not_named():
    assert set(references(registry.create("spaces", "mbconv:width=0.5"))) == {"mobilenetv3-large"}
    assert references(registry.create("spaces", "proxyless:width=0.5")) == {}
    assert references(registry.create("spaces", "vit")) == {}  # AutoFormer-T is not in the space of its supernet


def test_visited_references_are_found_by_genome():
    space = registry.create("spaces", "mbconv")
    genome = references(space)["ofa-note10-30ms"].genome
    seen = [Evaluation((0,) * 45, {}), Evaluation(genome, {"macs": 1.0})]
    assert visited_references(space, seen) == {"ofa-note10-30ms": seen[1]}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            "mbconv:width=0.75,resolution=160",
            ["mobilenetv3-large has width=0.75 (published with 1.0), resolution=160 (published with 224) here"],
        ),
        ("mbconv:width=1.0", ["ofa-pixel1-20ms and ofa-note8-31ms have resolution=224 (published with 152) here"]),
        (
            "attentivenas",
            [
                "attentivenas-a0 has resolution=224 (published with 192) here",
                "attentivenas-a4 and attentivenas-a5 have resolution=224 (published with 256) here",
                "attentivenas-a6 has resolution=224 (published with 288) here",
            ],
        ),
        ("mnasnet", []),
    ],
)
def test_a_space_says_in_which_options_its_networks_differ(spec, said):
    space = registry.create("spaces", spec)
    assert differing_references(space, reference_names(space)) == said
    assert differing_references(space, []) == []


@pytest.fixture
def store(tmp_path):
    return Store.reading(tmp_path / "nasctl.db")


@pytest.mark.parametrize("text", ["mobilenetv3-large", "MobileNetV3-Large", "mobilenetv3_large", "MOBILENETV3LARGE"])
@pytest.mark.parametrize("spec", [None, "mbconv", "mbconv:width=1.0"])
def test_a_name_stands_for_its_network_however_it_is_spelled(store, capsys, text, spec):
    found, genome = ids.resolve(text, store, spec)
    assert found == (spec or "mbconv")
    assert genome == references(registry.create("spaces", found))["mobilenetv3-large"].genome
    said = capsys.readouterr().err
    assert said.startswith(
        f"mobilenetv3-large is a network of {found} (Howard et al., ICCV 2019, tables 1 and 3); here: "
    )


def test_a_name_that_begins_like_ids_of_its_space_is_a_name(store):
    assert ids.resolve("attentivenas-A1", store)[0] == "attentivenas"
    assert ids.resolve("resnet50d", store)[0] == ids.resolve("resnet-50d", store)[0] == "resnet"
    assert ids.resolve("nb201-resnet", store)[1] in reference_names(registry.create("spaces", "nb201"))
    assert ids.resolve("nb201-f882", store)[1] == (4,) * 6  # an id is still an id


def test_a_name_in_several_spaces_asks_for_one(store, monkeypatch):
    found = {"mobilenetv2": [("mnasnet", "mobilenetv2"), ("mine", "mobilenetv2")]}
    monkeypatch.setattr("nasctl.architectures.references._index", lambda: found)
    message = "'MobileNet_V2' is a reference network of mnasnet and mine; say which with --space mnasnet"
    with pytest.raises(NasctlError, match=message):
        ids.resolve("MobileNet_V2", store)
    assert ids.resolve("mobilenetv2", store, "mnasnet")[0] == "mnasnet"


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        ("mobilenetv9", None, r"no reference network \(nasctl space references SPACE lists them\)"),
        ("mobilenetv9", "mbconv", r"no reference network of mbconv \(mobilenetv3-large, ofa-note10-30ms"),
        ("mobilenetv9", "nbmacro", "and nbmacro has no reference networks"),
    ],
)
def test_other_words_are_no_names(store, text, spec, message):
    with pytest.raises(NasctlError, match=message):
        ids.resolve(text, store, spec)
