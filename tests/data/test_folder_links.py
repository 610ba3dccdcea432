"""Links in folders of images that lead out of the folder."""

import pytest
from PIL import Image

from nasctl.data import source
from nasctl.data._folders import list_folder


def folder(path, names):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path / name)
    return path


def found(path):
    """The classes with their numbers of images, and everything that is said."""
    summary = source(str(path)).summary
    return {one.name: one.images for one in summary.classes}, " ".join(summary.lines(10_000))


@pytest.mark.parametrize("target", ["..", "../..", "."])
def test_a_link_to_a_folder_above_the_data_adds_nothing(tmp_path, target):
    folder(tmp_path / "q", ["p/cat/1.png", "p/dog/1.png", "other/bird/1.png", "split/train/fish/1.png"])
    (tmp_path / "q" / "p" / "loop").symlink_to(target)
    (tmp_path / "given").symlink_to("q/p")
    for path in (tmp_path / "q" / "p", tmp_path / "given"):
        classes, text = found(path)
        assert classes == {"cat": 1, "dog": 1}
        assert "loop: this link leads to a folder above itself" in text
        assert "loop/" not in text


def test_a_link_behind_a_link_does_not_lead_above_its_own_folder(tmp_path):
    folder(tmp_path, ["set/cat/1.png", "store/birds/tit/1.png", "store/others/worm/1.png"])
    (tmp_path / "set" / "bird").symlink_to(tmp_path / "store" / "birds")
    (tmp_path / "store" / "birds" / "up").symlink_to("..")
    names = [file.name for file in list_folder(tmp_path / "set").files]
    assert names == ["bird/tit/1.png", "cat/1.png"]
