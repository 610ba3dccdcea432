"""The condition number of the neural tangent kernel: how unevenly an untrained network would learn a batch."""

from __future__ import annotations

import torch

from nasctl.api import Candidate, Direction, Transform, only_classes

__all__ = ["NTKCond"]

EPS = 1e-12  # below this share of the largest eigenvalue the smallest is rounding: gradients are single precision


class NTKCond:
    """The largest eigenvalue of the kernel over the smallest, (B, B); the lower, the better the network trains.

    The kernel holds the inner products of the gradients of examples. As in the code of TE-NAS, an example's gradient is
    that of the sum of its logits, in the weights of convolutions, linear layers and batch norms, without biases; the
    paper has a gradient for every logit. Eigenvalues are taken in double precision. A kernel whose smallest eigenvalue
    cannot be told from 0 has no score here; the code of TE-NAS returns what rounding makes of it. Values grow with the
    batch, so only those of one batch size compare.

    Departure from that code: gradients do not pass the statistics of batch norms, which are held constant.

    References:
        Chen, Gong and Wang, "Neural architecture search on ImageNet in four GPU hours: A theoretically inspired
        perspective" (TE-NAS), ICLR 2021, arXiv:2102.11535, section 3.1.1; `lib/procedures/ntk.py` of
        github.com/VITA-Group/TENAS.
    """

    unit = "ratio"
    direction: Direction = "min"
    transform: Transform = "log10"
    needs = frozenset({"samples"})
    version = "1"
    inapplicable_reason = staticmethod(only_classes)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The gradients of the examples are linearly dependent, as where no path leads to the output.
            ArithmeticError: A gradient is not finite.
        """
        values = torch.linalg.eigvalsh(candidate.samples.kernel("logits", norms=True))  # (B,), the smallest first
        smallest, largest = float(values[0]), float(values[-1])
        if smallest <= EPS * largest:
            raise ValueError("no condition number: the gradients of the examples are linearly dependent")
        return largest / smallest
