"""The comparison of one public model with the network traced from it, in a process of its own with limits."""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from networks.patterns.check import counted_flops, differing_outputs, expected_params, randomize
from zoo_catalogue import construct, import_zoo

from nasctl.api import NasctlError, Network

BATCH = 5  # examples of the comparison; tracing uses other numbers
COUNT_BATCHES = (3, 4, 6)
LARGEST = 400_000_000  # parameters of the largest model that is traced
BUILD_SECONDS, COMPARE_SECONDS = 120, 900  # processor time for the stages that are not nasctl's
aten = torch.ops.aten
# Products that torch's FlopCounterMode does not see, with their multiply-accumulates.
UNSEEN = {
    aten.mv: lambda matrix, vector: matrix.numel(),
    aten.addmv: lambda bias, matrix, vector, **_: matrix.numel(),
    aten.dot: lambda one, other: one.numel(),
    aten.vdot: lambda one, other: one.numel(),
    aten._cdist_forward: lambda one, other, *_: one.numel() * other.shape[-2],
    aten.linalg_vecdot: lambda one, other, *_: one.numel(),
    aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *_, **__: (
        query.numel() // query.shape[-1] * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    ),
}


class UnseenProducts(TorchDispatchMode):
    """A count of the products that torch's FlopCounterMode does not see."""

    def __init__(self):
        super().__init__()
        self.macs, self.names = 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Count a call if it is such a product, and call it."""
        formula = UNSEEN.get(func.overloadpacket)
        if formula:
            self.macs += formula(*args, **(kwargs or {}))
            self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def serve(zoo, target, limits):
    """Read names of models from standard input and write one JSON line for each."""
    _end_with_parent()
    import_zoo(zoo, target)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # models may print
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        answers.write(json.dumps(_isolated(zoo, line.strip(), limits)) + "\n")
        answers.flush()


def _isolated(zoo, name, limits):
    """Check one model in a forked process and return its last report."""
    began, (reader, writer) = time.monotonic(), os.pipe()
    child = os.fork()
    if child == 0:
        _end_with_parent()
        os.close(reader)
        _run(zoo, name, limits, lambda **report: os.write(writer, json.dumps(report).encode() + b"\n"))
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as lines:
        reports = [json.loads(line) for line in lines]
    status = os.waitpid(child, 0)[1]
    found = {key: value for report in reports for key, value in report.items()}
    if "status" not in found:
        stage, ended = found.get("stage", "building"), os.waitstatus_to_exitcode(status)
        slow = ended == -signal.SIGXCPU
        kind = "too slow" if slow and stage == "tracing" else "unchecked"
        found |= {"status": kind, "reason": f"{'time limit' if slow else f'ended with {ended}'} while {stage}"}
    found.pop("stage", None)
    return {"name": name, **found, "total": round(time.monotonic() - began, 1)}


def _end_with_parent():
    """Ask Linux to end this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _run(zoo, name, limits, report):
    """Build, trace and compare one model, with a report before each stage."""
    memory = int(limits["memory"] * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    try:
        _limit(BUILD_SECONDS)
        report(stage="building")
        torch.manual_seed(0)
        try:
            module, shape = construct(zoo, name)
        except Exception as error:  # a package that is not there, or arguments that it needs
            report(status="left out", reason=f"{type(error).__name__}: {error}".partition("\n")[0])
            return
        module.eval()
        params = sum(one.numel() for one in module.parameters())
        if params > LARGEST:
            report(status="unchecked", reason=f"more than {LARGEST:,} parameters", params=params)
            return
        randomize(module, only_constant=True)
        if problem := _problem(module, shape):
            report(status="left out", reason=problem, params=params)
            return
        _limit(limits["seconds"])
        report(stage="tracing", shape=shape, params=params)
        began = time.process_time()
        try:
            network = Network.from_module(module, shape)
        except NasctlError as error:
            report(status="refused", reason=str(error), seconds=round(time.process_time() - began, 2))
            return
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            report(status="crashed", reason=reason, seconds=round(time.process_time() - began, 2))
            return
        report(stage="comparing", seconds=round(time.process_time() - began, 2), macs=network.macs)
        _limit(COMPARE_SECONDS)
        status, reason = compare(module, network, shape)
        report(status=status, reason=reason)
    except Exception as error:
        report(status="unchecked", reason=f"{type(error).__name__}: {error}".partition("\n")[0])


def _problem(module, shape):
    """Return why a model is no function of one tensor that returns one tensor, or an empty text."""
    x = torch.randn(2, *shape)
    with torch.no_grad():
        try:
            out, again = module(x.clone()), module(x.clone())
        except Exception as error:
            return f"the model fails: {type(error).__name__}: {error}".partition("\n")[0]
    if not isinstance(out, torch.Tensor):
        return f"the model returns a {type(out).__name__}"
    return "" if torch.equal(out.nan_to_num(), again.nan_to_num()) else "the model draws random numbers in evaluation"


def _limit(seconds):
    """End this process when it has used so much more processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds) + 1, resource.RLIM_INFINITY))


def compare(module, network, shape):
    """Return the verdict on a traced network, and what explains a difference.

    Args:
        module: The model, in evaluation mode; its own caches may change.
        network: The network traced from it.
        shape: Shape of one example.
    """
    notes = []
    x = torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        right = module(x.clone())
    if difference := differing_outputs(network, module, [x], [right]):
        return "wrong", difference
    if not right.isfinite().all():
        notes.append("outputs are not finite")
    elif torch.allclose(right[0], right[1], rtol=1e-4):
        notes.append("outputs say little: two examples have the same")
    expected, dead = expected_params(module), {}
    if network.params != expected:
        dead = _dead_layers(module, x[:2])
        if network.params != expected - sum(dead.values()):
            return "wrong", f"{network.params:,} parameters instead of {expected:,}; without effect are {dead}"
        notes.append(f"{sum(dead.values()):,} parameters have no effect in evaluation")
    macs, unseen = reference_macs(module, shape, dead)
    if macs is None:
        return "unchecked", "torch's count does not grow in proportion to the batch"
    if network.macs != macs and network.macs == macs + unseen.macs:
        notes.append(f"{unseen.macs:,} MACs that torch's counter does not see: {', '.join(sorted(unseen.names))}")
    elif network.macs != macs:
        live = _live_macs(module, shape)
        if network.macs != live:
            return "wrong", f"{network.macs:,} MACs instead of {live:,}; torch does not see {unseen.macs:,} besides"
        notes.append(f"nothing reads the results of {macs - live:,} MACs")
    return "exact", "; ".join(notes)


def _live_macs(module, shape):
    """Count one example's multiply-accumulates in a graph of ATen operators, without those that nothing reads."""
    counts = []
    for batch in COUNT_BATCHES[:2]:
        x = torch.randn(batch, *shape)
        with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH), torch.no_grad():
            graph = make_fx(module, tracing_mode="fake", _allow_non_fake_inputs=True)(x)
        graph.graph.eliminate_dead_code()
        graph.recompile()
        counts.append(counted_flops(graph, x)[""] // 2)
    return counts[0] - (COUNT_BATCHES[0] - 1) * (counts[1] - counts[0])


def _dead_layers(module, x):
    """Return paths of modules with parameters of their own that have no gradient, and the number of the parameters."""
    module.zero_grad()
    module(x).sum().backward()
    sizes = {
        name: sum(one.numel() for one in part.parameters(recurse=False) if one.requires_grad and one.grad is None)
        for name, part in module.named_modules()
    }
    return {name: size for name, size in sizes.items() if size}


def reference_macs(module, shape, dead=()):
    """Count one example's multiply-accumulates with torch's FlopCounterMode, without computing where that is possible.

    Args:
        module: The model.
        shape: Shape of one example.
        dead: Paths of layers whose results nothing reads; they do not count.

    Returns:
        The number, or None if it does not grow in proportion to the batch, and products of one example that the
        counter does not see.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    for mode in (lambda: FakeTensorMode(allow_non_fake_inputs=True), contextlib.nullcontext):
        try:
            counts, unseen = [], []
            for batch in COUNT_BATCHES:
                with mode(), UnseenProducts() as others:
                    flops = counted_flops(module, torch.randn(batch, *shape))
                counts.append((flops[""] - sum(flops.get(name, 0) for name in dead)) // 2)
                unseen.append(others)
            break
        except Exception:
            if mode is contextlib.nullcontext:
                raise
    each, more = counts[1] - counts[0], unseen[1].macs - unseen[0].macs
    unseen[0].macs -= 2 * more
    return (counts[0] - 2 * each if counts[2] == counts[1] + 2 * each else None), unseen[0]
