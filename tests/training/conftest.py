"""Small trainings: three classes of flat images, which any network learns in a few steps."""

import numpy as np
import pytest

ARCH = "0,0,0,0,0,0,0,0"
SPACE = "nbmacro:resolution=8"


@pytest.fixture
def photos(tmp_path):
    """The path of 60 images of 8x8 pixels: black, grey and white, with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (labels[:, None, None, None] * 100 + rng.integers(0, 50, (60, 8, 8, 3))).astype(np.uint8)
    path = tmp_path / "photos.npz"
    np.savez(path, x=images, y=labels)
    return path
