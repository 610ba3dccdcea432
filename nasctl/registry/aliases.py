"""Other names of nasctl's plug-ins, as papers, libraries and benchmarks call them.

An alias may be typed wherever a name may. The names that are stored, such as in runs and ids, are the real ones.
"""

from __future__ import annotations

from collections.abc import Mapping

# Aliases by kind and real name, in lower case with "_" for "-".
ALIASES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "spaces": {
        "attentivenas": ("alphanet", "attentive_nas"),
        "bert": ("nas_bench_bert", "nasbench_bert"),
        "darts": ("nas_bench_301", "nasbench301", "nb301"),
        "mbconv": ("mobilenetv3", "mobilenet_v3", "ofa", "once_for_all", "ofa_mbv3"),
        "nats_size": ("nats_bench_size", "nats_sss"),
        "nb101": ("nas_bench_101", "nasbench101"),
        "nb201": ("nas_bench_201", "nasbench201", "nats_tss"),
        "nbmacro": ("nas_bench_macro", "nasbench_macro"),
        "proxyless": ("proxylessnas", "proxyless_nas"),
        "resnet": ("ofa_resnet",),
        "rnn": ("nas_bench_nlp", "nasbench_nlp"),
        "tnb101_macro": ("transnas_bench_101_macro", "transnasbench101_macro"),
        "tnb101_micro": ("transnas_bench_101_micro", "transnasbench101_micro"),
        "vit": ("autoformer",),
    },
    "objectives": {
        "grad_norm": ("gradnorm",),
        "jacov": ("jacob_cov", "jacobian_covariance"),
        "l2_norm": ("l2norm",),
        "macs": ("flops", "madds", "mult_adds"),
        "memory": ("activation_memory", "peak_memory"),
        "naswot": ("nwot",),
        "params": ("parameters",),
        "size": ("model_size",),
        "zen": ("zen_score", "zennas"),
    },
    "searchers": {
        "age_moea2": ("age_moea_ii",),
        "hill_climb": ("hill_climbing",),
        "moead": ("moea_d",),
        "nsga2": ("nsga_ii",),
        "nsga3": ("nsga_iii",),
        "predictor": ("linas",),
        "random": ("random_search",),
        "regularized_evolution": ("aging_evolution", "regularised_evolution"),
    },
}


def alias_of(kind: str, name: str) -> str | None:
    """Return the real name that a name is an alias of; None if it is none. Case, "-" and "_" do not matter."""
    return _REAL.get(kind, {}).get(_plain(name))


def aliases(kind: str, name: str) -> tuple[str, ...]:
    """Return the aliases of a plug-in as people write them, with "-" for "_"."""
    return tuple(alias.replace("_", "-") for alias in ALIASES.get(kind, {}).get(name, ()))


def with_aliases(kind: str, name: str, sentence: str) -> str:
    """Return the sentence of a list on a plug-in, with the aliases of the plug-in at its end."""
    others = aliases(kind, name)
    return f"{sentence.removesuffix('.')}. Also called {', '.join(others)}." if others else sentence


def _plain(name: str) -> str:
    """Return a name without the differences between spellings: "NAS-Bench-201" is "nasbench201"."""
    return name.lower().replace("-", "").replace("_", "")


_REAL = {
    kind: {_plain(alias): name for name, all_ in table.items() for alias in all_} for kind, table in ALIASES.items()
}
