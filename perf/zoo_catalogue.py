"""The models of public zoos that perf/zoo.py traces: their packages, names, sizes and constructors."""

import importlib
import importlib.abc
import importlib.machinery
import inspect
import pkgutil
import re
import subprocess
import sys
import types
from collections import defaultdict

from torch import nn

PACKAGES = {
    "timm": ("timm==1.0.31",),
    "plain": (
        "pytorchcv==0.0.74",
        "vit-pytorch==1.26.11",
        "einops==0.8.2",
        "efficientnet_pytorch==0.7.1",
        "geffnet==1.0.2",
        "resnest==0.0.5",
    ),
}
STAND_INS = ("torchvision", "huggingface_hub", "safetensors", "requests")
# Words in the names of timm's models, the smallest size first; a name without one counts as small.
SIZES = (
    "atto", "femto", "pico", "zepto", "nano", "xxxs", "xxs", "xs", "xt", "xxtiny", "xtiny", "mini", "micro", "tiny",
    "t", "ti", "small", "s", "medium", "m", "base", "b", "plus", "large", "l", "xlarge", "xl", "xxl", "xxlarge", "huge",
    "h", "giant", "g", "gigantic", "7b", "so400m", "so150m", "so150m2", "1b", "2b",
)  # fmt: skip

# Arguments of the constructors of vit-pytorch, small where they have no default.
VIT_PYTORCH = {
    "image_size": 64, "patch_size": 8, "num_classes": 10, "dim": 64, "depth": 2, "heads": 4, "mlp_dim": 128,
    "dim_head": 16,
}  # fmt: skip
FRAMES = {"image_patch_size": 8, "frames": 4, "frame_patch_size": 2}
FOUR_STAGES = {"dim": 32, "heads": (2, 2, 2, 2), "depth": (1, 1, 1, 1)}
# Arguments that differ from the above or that only one model has, and the shape of an example if it is not 3x64x64.
VIT_PYTORCH_OPTIONS = {
    "ats_vit.ViT": ({"max_tokens_per_depth": (48, 32)}, ()),
    "cait.CaiT": ({"cls_depth": 1}, ()),
    "cct.CCT": ({"img_size": 64, "embedding_dim": 64, "num_layers": 2, "num_heads": 4, "mlp_ratio": 2}, ()),
    "cross_vit.CrossViT": ({"sm_dim": 32, "lg_dim": 64, "sm_patch_size": 8, "lg_patch_size": 16}, ()),
    "crossformer.CrossFormer": ({"dim": (32, 32, 64, 64), "depth": (1, 1, 1, 1)}, (3, 224, 224)),
    "cvt.CvT": ({}, (3, 128, 128)),
    "levit.LeViT": (
        {"image_size": 128, "stages": 2, "dim": (64, 96), "depth": 2, "mlp_mult": 2, "heads": (2, 4)},
        (3, 128, 128),
    ),
    "max_vit.MaxViT": ({"depth": (1, 1), "dim_conv_stem": 16, "dim": 32, "window_size": 7}, (3, 224, 224)),
    "mobile_vit.MobileViT": (
        {
            "image_size": (256, 256),
            "patch_size": (2, 2),
            "dims": [32, 48, 64],
            "channels": [8, 8, 16, 16, 24, 24, 32, 32, 40, 40, 64],
        },
        (3, 256, 256),
    ),
    "nest.NesT": ({"num_hierarchies": 2, "block_repeats": (1, 1)}, ()),
    "pit.PiT": ({"depth": (1, 1)}, ()),
    "regionvit.RegionViT": ({"dim": (32, 32, 64, 64), "depth": (1, 1, 1, 1)}, (3, 224, 224)),
    "scalable_vit.ScalableViT": (
        {**FOUR_STAGES, "reduction_factor": (8, 4, 2, 1), "window_size": (64, 32, None, None)},
        (3, 256, 256),
    ),
    "sep_vit.SepViT": ({"dim": 32, "heads": (1, 2, 4), "depth": (1, 1, 1)}, (3, 224, 224)),
    "simple_flash_attn_vit_3d.SimpleViT": (FRAMES, (3, 4, 64, 64)),
    "simple_vit_with_fft.SimpleViT": ({"freq_patch_size": 8}, ()),
    "simple_vit_with_hyper_connections.SimpleViT": ({"num_residual_streams": 2}, ()),
    "wwt.WWT": ({"num_slots": 4}, ()),
    "simple_vit_1d.SimpleViT": ({"seq_len": 64}, (3, 64)),
    "simple_vit_3d.SimpleViT": (FRAMES, (3, 4, 64, 64)),
    "t2t.T2TViT": ({}, ()),
    "twins_svt.TwinsSVT": ({}, (3, 224, 224)),
    "vit_1d.ViT": ({"seq_len": 64}, (3, 64)),
    "vit_3d.ViT": (FRAMES, (3, 4, 64, 64)),
    "vit_with_patch_merger.ViT": ({"patch_merge_layer": 1, "patch_merge_num_tokens": 8}, ()),
    "vivit.ViViT": ({**FRAMES, "spatial_depth": 1, "temporal_depth": 1}, (3, 4, 64, 64)),
    "xcit.XCiT": ({"cls_depth": 1}, ()),
}


class _Name(type):
    """A class whose unknown attributes are texts, for enumerations."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty packages in place of those that zoos import and that no model needs."""

    def find_spec(self, fullname, path, target=None):
        """Return a specification for a package that is replaced, and None for all others."""
        if fullname.split(".")[0] in STAND_INS:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        """Return a module that has every name, as an empty class."""
        module = types.ModuleType(spec.name)

        def attribute(name):
            if name.startswith("__"):
                raise AttributeError(name)
            made = _Name(name, (), {"__module__": spec.name, "__init__": lambda self, *args, **options: None})
            setattr(module, name, made)
            return made

        module.__getattr__, module.__path__ = attribute, []
        return module

    def exec_module(self, module):
        """Do nothing: the module has no code."""


def install(zoo, folder):
    """Install the packages of a zoo without their dependencies in a folder of their own, unless they are there.

    Returns:
        The folder.
    """
    target, versions = folder / zoo, "\n".join(PACKAGES[zoo])
    done = target / "installed.txt"
    if not done.exists() or done.read_text() != versions:
        options = ["--quiet", "--no-deps", "--upgrade", "--target", str(target)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *PACKAGES[zoo]], check=True)
        done.write_text(versions)
    return target


def import_zoo(zoo, target):
    """Make the packages of a zoo importable in this process, with stand-ins for what they import besides."""
    sys.meta_path.insert(0, _StandIns())
    sys.path.insert(0, str(target))
    if zoo == "timm":
        import timm  # noqa: F401


def select(zoo, number):
    """Return names of models of a zoo, families in turn: the smallest of each, then the next, ...

    Sizes are read from the names, because making every model takes an hour. Within a family, names that begin with
    another word than those before them come first.
    """
    families = defaultdict(list)
    for family, name in _timm_names() if zoo == "timm" else _plain_names():
        families[family].append(name)
    queues = []
    for family in sorted(families):
        ordered = sorted(families[family], key=_size) if zoo == "timm" else families[family]
        first = {name.split("_")[0]: name for name in reversed(ordered)}.values() if zoo == "timm" else ordered[:1]
        queues.append(sorted(first, key=ordered.index) + [name for name in ordered if name not in first])
    turns = (queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue))
    return [name for name, _ in zip(turns, range(number), strict=False)]


def _size(name):
    """Return a key that sorts names by the size that they state."""
    words = re.split(r"[_\d]+", name) + re.findall(r"\d+[bm]\b", name)
    rank = max((SIZES.index(word) for word in words if word in SIZES), default=SIZES.index("small"))
    return rank, [int(digits) for digits in re.findall(r"\d+", name)], name


def construct(zoo, name):
    """Return a model of a zoo with random weights, and the shape of one example."""
    if zoo == "timm":
        import timm

        model = timm.create_model(name)
        return model, tuple(model.pretrained_cfg["input_size"])
    package, _, rest = name.partition("/")
    return _PLAIN[package][1](rest)


def _timm_names():
    import timm

    for module in timm.list_modules():
        for name in timm.list_models(module=module):
            if not name.startswith("test_"):  # timm's own tests have them
                yield module, name


def _plain_names():
    for package, (names, _) in _PLAIN.items():
        for family, name in names():
            yield f"{package}/{family}", f"{package}/{name}"


def _pytorchcv_names():
    from pytorchcv import model_provider

    for name, make in model_provider._models.items():
        yield make.__module__.rpartition(".")[2], name


def _pytorchcv(name):
    from pytorchcv import model_provider

    make = model_provider._models[name]
    alone = {"aux": False} if "aux" in inspect.signature(make).parameters else {}  # without a second output
    model = make(**alone)
    size = getattr(model, "in_size", (224, 224))
    size = size if isinstance(size, tuple) else (size, size)
    return model, (getattr(model, "in_channels", 3), *size)


def _vit_pytorch_names():
    import vit_pytorch

    for info in pkgutil.iter_modules(vit_pytorch.__path__):
        try:
            module = importlib.import_module(f"vit_pytorch.{info.name}")
        except ImportError:  # a package that this zoo does not install
            continue
        for name, kind in vars(module).items():
            if inspect.isclass(kind) and issubclass(kind, nn.Module) and kind.__module__ == module.__name__:
                if name in ("NaViT", "Adapter"):  # they take a list of images, or two models
                    continue
                needed = {key for key, one in inspect.signature(kind).parameters.items() if one.default is one.empty}
                if f"{info.name}.{name}" in VIT_PYTORCH_OPTIONS or needed >= {
                    "image_size",
                    "num_classes",
                    "dim",
                    "depth",
                }:
                    yield info.name, f"{info.name}.{name}"


def _vit_pytorch(name):
    module, _, kind = name.partition(".")
    make = getattr(importlib.import_module(f"vit_pytorch.{module}"), kind)
    own, shape = VIT_PYTORCH_OPTIONS.get(name, ({}, ()))
    known = inspect.signature(make).parameters
    options = {key: value for key, value in VIT_PYTORCH.items() if key in known}
    return make(**{**options, **own}), shape or (3, 64, 64)


def _efficientnet_names():
    return [("efficientnet", f"efficientnet-b{k}") for k in range(4)]


def _efficientnet(name):
    from efficientnet_pytorch import EfficientNet

    size = EfficientNet.get_image_size(name)
    return EfficientNet.from_name(name), (3, size, size)


GEFFNET = ("mnasnet_100", "fbnetc_100", "spnasnet_100", "mobilenetv2_100", "efficientnet_b0", "efficientnet_lite0",
    "tf_efficientnet_b0", "mixnet_s", "tf_mixnet_s", "efficientnet_cc_b0_4e", "mobilenetv3_large_100",
    "tf_mobilenetv3_small_100", "semnasnet_100", "efficientnet_es", "mobilenetv3_rw",
)  # fmt: skip


def _geffnet(name):
    import geffnet

    return geffnet.create_model(name, pretrained=False), (3, 224, 224)


def _resnest(name):
    return getattr(importlib.import_module("resnest.torch.resnest"), name)(pretrained=False), (3, 224, 224)


_PLAIN = {
    "pytorchcv": (_pytorchcv_names, _pytorchcv),
    "vit_pytorch": (_vit_pytorch_names, _vit_pytorch),
    "efficientnet_pytorch": (_efficientnet_names, _efficientnet),
    "geffnet": (lambda: [(name, name) for name in GEFFNET], _geffnet),
    "resnest": (lambda: [("resnest", "resnest50"), ("resnest", "resnest101")], _resnest),
}
