"""Small trainings: three classes of flat images, which any network learns in a few steps."""

import pytest
from training.examples import save_photos

ARCH = "0,0,0,0,0,0,0,0"
SPACE = "nbmacro:resolution=8"


@pytest.fixture
def photos(tmp_path):
    """The path of 60 images of 8x8 pixels: black, grey and white, with noise."""
    path = tmp_path / "photos.npz"
    save_photos(path)
    return path
