"""EPE-NAS: similarity of an untrained network's responses to images of the same class."""

from __future__ import annotations

import numpy as np

from nasctl.api import Candidate, Direction, Network, Transform, only_classes, version_of_layers

__all__ = ["EPENAS"]

LOG_OFFSET = 1e-5  # added to correlations, so that the logarithm of 0 stays finite
MAX_SUMMED_OUTPUTS = 100  # outputs above which class sums are compared pairwise instead of added up


class EPENAS:
    """Correlations between the Jacobians of each class, ``s[c] = sum log(|r| + k)`` with k = 1e-5.

    The Jacobian of an image is the gradient of the sum of all logits with respect to the image. The matrix r,
    (n[c], n[c]), holds the correlations between the n[c] images of class c in the batch. A network with up to 100
    outputs scores ``sum_c |s[c]|``. With more outputs, s[c] is divided by n[c], and the score is the sum of
    ``|s[c] - s[d]|`` over all ordered pairs of classes with at least two images, divided by the number of these
    classes. A class with one image has no pairs to correlate, so the released code skips it.

    Labels must be meaningful. With random labels, the score only measures the similarity of responses to arbitrary
    images.

    References:
        Lopes, Alirezazadeh & Alexandre, "EPE-NAS: Efficient performance estimation without training for neural
        architecture search", ICANN 2021, arXiv:2102.08099, section 3, and github.com/VascoLopes/EPE-NAS.
    """

    unit = "log"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"input_gradients"})
    version = "1"
    version_on = version_of_layers
    inapplicable_reason = staticmethod(only_classes)

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return the requirement on the labels of the data."""
        return ["labels must be meaningful: dead_leaves and noise have random labels; give labelled images with --data"]

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The Jacobian of an image is constant, so it has no correlations. This happens if no path leads
                to the output. Also raised if too few images of the batch share a class.
            ArithmeticError: A Jacobian is not finite.
        """
        jacobians = candidate.input_gradients.flatten(1).double().numpy(force=True)  # (B, D)
        labels = candidate.batch()[1].numpy(force=True)  # (B,)
        if not np.isfinite(jacobians).all():
            raise ArithmeticError("the gradients with respect to the examples are not finite")
        if (np.ptp(jacobians, axis=1) == 0).any():
            raise ValueError("the gradient with respect to an example is constant, so it has no correlations")
        (outputs,) = candidate.scored.out_shape
        classes, images = np.unique(labels, return_counts=True)
        several = images > 1
        if several.sum() < (2 if outputs > MAX_SUMMED_OUTPUTS else 1):
            raise ValueError("too few images of the batch share a class; use a larger batch")
        sums = np.array([np.log(abs(np.corrcoef(jacobians[labels == label])) + LOG_OFFSET).sum() for label in classes])
        if outputs <= MAX_SUMMED_OUTPUTS:
            return float(abs(sums).sum())
        means = (sums / images)[several]
        return float(abs(means - means[:, None]).sum() / len(means))
