"""EPE-NAS: how alike an untrained network treats images of one class."""

from __future__ import annotations

import numpy as np

from nasctl.api import Candidate, Direction, Network, Transform, only_classes

__all__ = ["EPENAS"]

K = 1e-5  # keeps the logarithm finite
MANY = 100  # outputs beyond which classes are compared with each other


class EPENAS:
    """Correlations between the Jacobians of a class, as ``s[c] = sum log(|r| + k)`` with k = 1e-5.

    The Jacobian of an image is the gradient of the sum of all logits with respect to it, and r are the correlations
    between the n[c] images of class c in the batch, (n[c], n[c]). A network of up to 100 outputs scores
    ``sum_c |s[c]|``. With more of them s[c] is divided by n[c], and the score is the sum of ``|s[c] - s[d]|`` over all
    ordered pairs of classes with two images or more, divided by the number of these classes: a class with one image has
    nothing to compare, and the code passes over it.

    Labels have to mean something: with labels drawn at random what is left is how alike the network treats any images.

    References:
        Lopes, Alirezazadeh & Alexandre, "EPE-NAS: Efficient performance estimation without training for neural
        architecture search", ICANN 2021, arXiv:2102.08099, section 3, and github.com/VascoLopes/EPE-NAS.
    """

    unit = "log"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"input_gradients"})
    version = "1"
    inapplicable_reason = staticmethod(only_classes)

    def remarks(self, space: str, example: Network) -> list[str]:
        """What its labels have to be."""
        return ["labels have to mean something: those of dead leaves and noise are drawn; give images with --data"]

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: An image's Jacobian is constant, as where no path leads to the output: it has no correlations.
                Or too few images of the batch share a class.
            ArithmeticError: A Jacobian is not finite.
        """
        jacobians = candidate.input_gradients.flatten(1).double().numpy(force=True)  # (B, D)
        labels = candidate.batch()[1].numpy(force=True)  # (B,)
        if not np.isfinite(jacobians).all():
            raise ArithmeticError("the gradients of the examples are not finite")
        if (np.ptp(jacobians, axis=1) == 0).any():
            raise ValueError("the outputs depend on an example nowhere, or everywhere the same")
        (outputs,) = candidate.scored.out_shape
        classes, images = np.unique(labels, return_counts=True)
        several = images > 1
        if several.sum() < (2 if outputs > MANY else 1):
            raise ValueError("too few images of the batch share a class; a larger batch would help")
        sums = np.array([np.log(abs(np.corrcoef(jacobians[labels == one])) + K).sum() for one in classes])
        if outputs <= MANY:
            return float(abs(sums).sum())
        means = (sums / images)[several]
        return float(abs(means - means[:, None]).sum() / len(means))
