"""Which spaces have networks within bounds, and which width and resolution is chosen."""

from dataclasses import replace

import numpy as np
import pytest

from nasctl import registry
from nasctl.analysis.space_choice import _chosen, _Tried, choose, option_words
from nasctl.analysis.space_fit import BoundsQuestion, best_variant, space_fit, specs_for, suitability, variants
from nasctl.errors import NasctlError
from nasctl.evaluation import ranges
from nasctl.hardware.table import LatencyTable

# Of NAS-Bench-Macro; `test_space_commands_speak_json` has them too.
LEAST_PARAMS, MOST_PARAMS = 387_882, 2_932_586


@pytest.mark.parametrize(
    ("bound", "share", "possible"),
    [
        (f"params<={MOST_PARAMS}", 1.0, True),
        (f"params<={LEAST_PARAMS - 1}", 0.0, False),
        (f"params>={LEAST_PARAMS}", 1.0, True),
        (f"params>{MOST_PARAMS + 1}", 0.0, False),
    ],
)
def test_the_share_of_random_networks_within_bounds(bound, share, possible):
    fit = space_fit("nbmacro", BoundsQuestion(constraints=(bound,)), 60)
    assert (fit.share, fit.possible) == (share, possible)
    assert fit.reach["params"].least == LEAST_PARAMS


def test_costs_are_those_of_the_networks():
    fit = space_fit("nbmacro", BoundsQuestion(("pixel4",), ("latency<=4ms,macs<=50M",)), 40)
    space, table = registry.create("spaces", "nbmacro"), LatencyTable.load("pixel4")
    networks = [space.network(genome) for genome in ranges.sample(space, 40)]
    latency = np.array([table.latency(one) for one in networks])
    macs = np.array([one.macs for one in networks])
    assert fit.values["latency@pixel4"] == pytest.approx(latency)
    within = (latency <= 4) & (macs <= 50e6)
    assert fit.within.tolist() == within.tolist()
    assert fit.mean_macs == pytest.approx(macs[within].mean())
    assert [str(one) for one in fit.constraints] == ["latency@pixel4<=4", "macs<=50000000"]


def test_a_space_whose_blocks_a_table_lacks_has_no_fit():
    assert space_fit("vit", BoundsQuestion(("pixel4",))) is None
    assert space_fit("vit", BoundsQuestion(("mobile",))) is None  # no table of a mobile device knows them
    with pytest.raises(NasctlError, match="did you mean 'pixel4'"):
        space_fit("vit", BoundsQuestion(("pixell4",)))


@pytest.mark.parametrize(
    ("constraint", "message"),
    [("latency<=2ms", "the latency depends on the device"), ("naswot>=2", "naswot is no cost that is known without")],
)
def test_bounds_are_about_costs(constraint, message):
    with pytest.raises(NasctlError, match=message):
        space_fit("nbmacro", BoundsQuestion(constraints=(constraint,)))


def test_variants_leave_given_options_alone():
    assert list(variants("nb201")) == ["nb201"]
    assert list(variants("mbconv:width=1.0")) == [
        "mbconv:width=1.0",
        *(f"mbconv:resolution={size},width=1.0" for size in (192, 160, 128, 96)),
    ]
    assert list(variants("mbconv:resolution=96"))[1:] == [
        f"mbconv:resolution=96,width={width}" for width in (0.5, 0.75, 1.0)
    ]
    assert list(variants("mbconv:resolutions=128,160,width=1.0")) == ["mbconv:resolutions=128,160,width=1.0"]


def test_the_variant_with_the_most_macs_within_the_bounds_is_the_best():
    """The rule of MCUNet on made-up shares and MACs."""
    fit = space_fit("nbmacro", BoundsQuestion(constraints=("params<=2M",)), 10)

    def made(spec, within, macs):
        return replace(fit, spec=spec, within=np.arange(10) < within, macs=np.full(10, float(macs)))

    wide, narrow, rare, none = made("wide", 5, 90), made("narrow", 10, 60), made("rare", 1, 99), made("none", 0, 200)
    assert best_variant([narrow, wide, none]) is wide
    assert best_variant([narrow, rare, none]) is rare  # a tenth is enough
    less = replace(rare, within=np.arange(20) < 1, macs=np.full(20, 99.0))
    assert best_variant([narrow, less]) is narrow
    assert best_variant([less, none]) is less
    assert best_variant([none]) is None


def test_validated_tables_and_the_size_of_images_decide_what_suits():
    fit = space_fit("nbmacro", BoundsQuestion(constraints=("params<=2M",)), 10)
    assert fit.side == 32
    photos, references = replace(fit, side=224), replace(fit, side=224, references=2)
    rough = replace(references, validated=False)
    assert sorted([rough, fit, photos, references], key=suitability) == [references, photos, fit, rough]
    assert suitability(fit, 32) < suitability(photos, 32)


def test_a_space_is_chosen_with_its_devices_and_the_same_words_ask_again():
    choice = choose(BoundsQuestion(("mobile",), ("latency<=20ms", "params<=5M")), ("mbconv",))
    assert choice.base == "mbconv"
    assert choice.fit.within.any()
    (device,) = choice.question.devices
    assert LatencyTable.load(device).kind == "mobile"  # one device, whatever width and resolution are tried
    assert list(option_words(choice.question)) == [
        *("--device", device, "--constraint", "latency<=20ms", "--constraint", "params<=5M")
    ]


def test_better_suited_spaces_are_passed_over_for_a_reason():
    """Made-up shares of mbconv, which suits photos better than nbmacro."""
    question = BoundsQuestion(constraints=("params<=2M",))
    fit = space_fit("nbmacro", question, 10)
    none, some = np.zeros(10, dtype=bool), np.arange(10) < 1
    far = replace(fit, spec="mbconv", side=224, within=none, reach={"params": ranges.Bounds(3e6, 9e6, proven=False)})
    near = replace(far, spec="mbconv:width=0.5", reach={"params": ranges.Bounds(2.5e6, 9e6, proven=False)})
    possible = replace(far, reach=fit.reach)
    rare = replace(possible, within=some)
    for seen, reason in (
        ([far, near], "its least known params at any width and resolution is 2.5 M, of mbconv:width=0.5"),
        ([far, possible], "none of 10 random networks at any width and resolution is within"),
        ([rare, near], "at most 10% of its networks hold params<=2M"),
    ):
        tried = [_Tried(one, question, "mbconv") for one in seen] + [_Tried(fit, question, "nbmacro")]
        assert _chosen(tried[-1], tried, None).passed == (f"mbconv was passed over: {reason}",)
        assert _chosen(tried[0], tried, None).passed == ()


def test_an_impossible_bound_names_the_nearest():
    with pytest.raises(NasctlError) as refused:
        choose(BoundsQuestion(constraints=("params<=300k",)), ("nbmacro",))
    assert str(refused.value).startswith("Cannot hold params<=300k: the nearest network that is known, of nbmacro, has")
    assert "params 387.9 k" in str(refused.value)


def test_a_network_that_random_ones_miss_is_sought():
    choice = choose(BoundsQuestion(constraints=(f"params<={LEAST_PARAMS}",)), ("nbmacro",))  # one network of 3,969
    assert choice.fit.spec == "nbmacro"


def test_spaces_of_text_are_for_text(tmp_path):
    (tmp_path / "text.txt").write_text("to be or not to be that is the question " * 400)
    assert {"bert", "flexibert"} <= set(specs_for(BoundsQuestion(data=str(tmp_path / "text.txt"))))
    assert "mbconv" not in specs_for(BoundsQuestion(data=str(tmp_path / "text.txt")))
    assert "bert" not in specs_for(BoundsQuestion())
    assert specs_for(BoundsQuestion(data="digits"), ("mbconv",)) == ["mbconv:classes=10,resolution=32"]
