"""Condition number of the neural tangent kernel (NTK) of an untrained network."""

from __future__ import annotations

import torch

from nasctl.api import Candidate, Direction, Transform, only_classes, version_of_weights

__all__ = ["NTKCond"]

# Share of the largest eigenvalue below which the smallest eigenvalue is a rounding error of float32 gradients.
RELATIVE_TOLERANCE = 1e-12


class NTKCond:
    """Largest eigenvalue of the neural tangent kernel, (B, B), divided by its smallest eigenvalue.

    The lower the condition number, the easier the network trains. An entry of the kernel is the inner product of the
    gradients of two examples. As in the code of TE-NAS, an example's gradient is the gradient of the sum of its logits
    with respect to the weights of convolutions, linear layers and batch norms, without biases. The paper has one
    gradient per logit. Eigenvalues are computed in double precision. A kernel whose smallest eigenvalue cannot be told
    from 0 has no score here, while the code of TE-NAS returns a ratio of rounding errors. Values grow with the batch
    size, so only values of the same batch size can be compared.

    Difference from that code: gradients do not flow through the statistics of batch norms, which are held constant.

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
    version_on = version_of_weights
    inapplicable_reason = staticmethod(only_classes)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The gradients of the examples are linearly dependent, for example because no path leads to the
                output.
            ArithmeticError: A gradient is not finite.
        """
        eigenvalues = torch.linalg.eigvalsh(candidate.samples.kernel("logits", norms=True))  # (B,), the smallest first
        smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
        if smallest <= RELATIVE_TOLERANCE * largest:
            raise ValueError("no condition number: the gradients of the examples are linearly dependent")
        return largest / smallest
