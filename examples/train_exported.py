"""Train an exported network without nasctl: python examples/train_exported.py FILE.py [SIZE].

FILE.py is written by `nasctl export --format python`. SIZE is the height and width of the images, 32 by default.

The data are images of vertical and horizontal stripes, so that the loop shows a result in seconds. Replace them with
your own data.
"""

import runpy
import sys

import torch
from torch import nn

net = runpy.run_path(sys.argv[1])["Net"]()
size = int(sys.argv[2]) if len(sys.argv) > 2 else 32
generator = torch.Generator().manual_seed(0)


def batch(number: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images with stripes, (B, 3, size, size), and labels, (B,): 1 for vertical, 0 for horizontal stripes."""
    labels = torch.randint(2, (number,), generator=generator)
    stripes = (torch.arange(size) // 4 % 2).float().expand(number, 3, size, size)
    images = torch.where(labels.view(-1, 1, 1, 1) == 1, stripes, stripes.transpose(2, 3))
    return images + 0.3 * torch.randn(images.shape, generator=generator), labels


optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
for step in range(10):
    images, labels = batch()
    loss = nn.functional.cross_entropy(net(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: loss {loss.item():.3f}")
