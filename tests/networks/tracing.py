"""Helpers of the tests of tracing: modules with weights that follow from their shapes, and the comparison of two."""

from itertools import count

import torch
from torch import nn

from nasctl.api import Network
from nasctl.networks.python_source import source

BATCHES = (1, 3, 4)


def made(forward, **parts):
    """A module with these parts, whose tensors are buffers."""
    module = type("Odd", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        module.register_buffer(name, part) if type(part) is torch.Tensor else setattr(module, name, part)
    return module


def set_weights(module):
    """Give trained parameters and statistics values that follow from their shapes: no names need to agree."""
    places = count()
    with torch.no_grad():
        for parameter in dict.fromkeys(module.parameters()):
            if parameter.requires_grad:
                parameter.copy_(torch.linspace(-0.4, 0.6, parameter.numel()).view(parameter.shape))
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(torch.linspace(0.5, 1.5, buffer.numel()))
    assert next(places) == 0
    return module.eval()


def drawn(shape, batch, tokens):
    generator = torch.Generator().manual_seed(batch)
    size = (batch, *shape)
    return torch.randint(tokens, size, generator=generator) if tokens else torch.randn(size, generator=generator)


def traced(module, shape, tokens=0):
    """The network of a module, after a comparison of outputs, parameters and exported source with the module."""
    set_weights(module)
    network = Network.from_module(module, shape)
    rebuilt, names = set_weights(network.module()), {}
    exec(source(network, vocabulary=tokens), names)
    exported = names["Net"]().eval()
    exported.load_state_dict(rebuilt.state_dict())
    for batch in BATCHES:
        x = drawn(shape, batch, tokens)
        with torch.no_grad():
            expected, found = module(x.clone()), rebuilt(x.clone())
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
            assert torch.equal(exported(x).nan_to_num(), found.nan_to_num())
    params = sum(one.numel() for one in module.parameters() if one.requires_grad)
    assert network.params == params == sum(one.numel() for one in rebuilt.parameters())
    return network
