"""Each kind of data is one file: the registry finds it by its name, or by the paths that it claims."""

import gzip
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nasctl import data as examples
from nasctl import registry
from nasctl.cli import cli
from nasctl.data import StoredImages, source
from nasctl.errors import BadOption, NasctlError
from nasctl.registry import plugins
from nasctl.testing import DataContract

PLUGINS = ["cifar", "dead_leaves", "digits", "noise", "npz", "pictures", "text", "text_folder", "tokens"]

STRIPES = '''
"""Stripes."""
import numpy as np

class Stripes:
    """Vertical stripes, and no labels."""
    kind, classes = "images", None
    def __init__(self, width: int = 1) -> None:
        self.width = width
    def __str__(self):
        return f"stripes:width={self.width}"
    def __eq__(self, other):
        return isinstance(other, Stripes) and self.width == other.width
    def __hash__(self):
        return self.width
    def images(self, shape, number, seed, place=0):
        columns = np.arange(shape[2]) // self.width % 2 * 2.0 - 1
        return np.broadcast_to(columns, (number, *shape)).astype(np.float32), None

__all__ = ["Stripes"]
'''
RAW = '''
"""Raw grey images of 8 by 8 pixels."""
import numpy as np
from nasctl.data import StoredImages

class RawContent:
    def __init__(self, bytes):
        self.pixels, self.labels = np.frombuffer(bytes, np.uint8).reshape(-1, 1, 8, 8), None
    def __len__(self):
        return len(self.pixels)
    def pictures(self, indices):
        return (self.pixels[k] for k in indices)

class RawImages(StoredImages):
    """Raw grey images of 8 by 8 pixels."""
    accepted = "a .raw file"
    @classmethod
    def claims(cls, path):
        return path.suffix == ".raw"
    @classmethod
    def read(cls, path):
        return RawContent(path.read_bytes())

__all__ = ["RawImages"]
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Two more files in the folder of the data plug-ins."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "stripes.py").write_text(STRIPES)
    (folder / "raw.py").write_text(RAW)
    monkeypatch.setattr(examples, "__path__", [*examples.__path__, str(folder)])
    monkeypatch.setattr(plugins, "_own", plugins._own.__wrapped__)  # the cached list lacks the new files
    yield
    for name in ("stripes", "raw"):
        sys.modules.pop(f"nasctl.data.{name}", None)


@pytest.fixture
def files(tmp_path):
    """One example file of each format, by the name of its plug-in."""
    rng = np.random.default_rng(0)
    (tmp_path / "folder" / "cat").mkdir(parents=True)
    for k in range(5):
        Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(tmp_path / f"folder/cat/{k}.png")
    np.savez(tmp_path / "a.npz", images=rng.integers(256, size=(5, 8, 8), dtype=np.uint8), labels=np.arange(5) % 2)
    (tmp_path / "batches").mkdir()
    (tmp_path / "batches" / "data_batch_1.bin").write_bytes(rng.bytes(5 * 3073))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"a b c d\n" * 9, mtime=0))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "b.txt").write_bytes(b"a b c d\n" * 9)
    paths = {"text_folder": "texts", "pictures": "folder", "npz": "a.npz", "cifar": "batches", "text": "a.txt.gz"}
    return {name: tmp_path / path for name, path in paths.items()}


class TestOwn(DataContract):
    @pytest.fixture(params=PLUGINS)
    def data(self, request, files):
        return source(str(files.get(request.param, request.param)))


def test_the_sources_are_plugins(files):
    assert registry.names("data") == PLUGINS
    for name, path in files.items():
        assert type(source(str(path))) is registry.load("data", name)
    for name in ("dead_leaves", "digits", "noise", "tokens"):
        assert source(name) == registry.create("data", name)


def test_each_path_is_claimed_by_one_format_that_is_not_generic(files):
    formats = {name: registry.load("data", name) for name in files}
    for name, path in files.items():
        claiming = [one for one, plugin in formats.items() if plugin.claims(path) and not plugin.generic]
        assert claiming == ([name] if name != "pictures" else [])


def test_plugins_lists_them():
    shown = CliRunner().invoke(cli, ["plugins"]).stdout
    for name in PLUGINS:
        assert any(row.split()[:2] == ["data", name] for row in shown.splitlines())


def test_a_file_adds_data_by_name(own):
    data = source("stripes:width=2")
    assert str(data) == "stripes:width=2"
    assert str(source("stripes")) == "stripes:width=1"
    assert source(str(data)) == data
    np.testing.assert_array_equal(data.images((1, 1, 6), 1, 0)[0][0, 0, 0], [-1, -1, 1, 1, -1, -1])
    with pytest.raises(NasctlError, match=r"give dead-leaves, digits, noise, stripes, or the path of a folder"):
        source("stripe")
    with pytest.raises(BadOption, match="whole number"):
        source("stripes:width=wide")


def test_a_file_adds_a_format(own, tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(range(256)))
    data = source(str(tmp_path / "a.raw"))
    assert isinstance(data, StoredImages)
    assert str(data).startswith("a.raw#")
    assert data.images((3, 8, 8), 4, 0)[0].shape == (4, 3, 8, 8)
    with pytest.raises(NasctlError, match=r"or a \.raw file"):
        source("nowhere.raw")


def test_a_search_with_data_of_an_own_file(own, tmp_path):
    options = ["--budget=2", "--searcher=random", "--fidelity=size=8,batch=4", f"--store={tmp_path / 's.db'}"]
    words = ["search", "--space=nb201:channels=4,cells=1", "-o", "snip", "--data=stripes:width=2", *options]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    from nasctl.store.store import Store

    assert ",".join(Store(tmp_path / "s.db").run()[1].labels.values()).count("data=stripes:width=2,fidelity=") == 1


def test_a_format_may_be_named(files, tmp_path):
    renamed = files["npz"].rename(tmp_path / "arrays.bin")
    with pytest.raises(NasctlError, match=r"arrays\.bin is of no kind that can be read; give a folder"):
        source(str(renamed))
    assert str(source(f"npz:{renamed}")).startswith("arrays.bin#")
    with pytest.raises(NasctlError, match="no data is called 'npz:nowhere'"):
        source("npz:nowhere")


def test_a_format_is_no_data_without_a_path(files, tmp_path, monkeypatch):
    with pytest.raises(NasctlError, match="no data is called 'pictures'"):
        source("pictures")
    monkeypatch.chdir(tmp_path)
    files["pictures"].rename("pictures")
    assert str(source("pictures")).startswith("pictures#")


def test_a_drawn_source_comes_before_a_path(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files["pictures"].rename("noise")
    assert str(source("noise")) == "noise"
    assert str(source("./noise")).startswith("noise#")


def test_names_and_paths_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my photos", "digits"):
        (tmp_path / name).mkdir()
    names = ["my photos", "./digits", "pictures:my photos", "digits", "dead-leaves", "photos", "stripes:width=2"]
    assert [examples.is_path(name) for name in names] == [True] * 3 + [False] * 4


def test_identities_are_as_in_the_first_version(files, tmp_path):
    (tmp_path / "b.txt").write_text("a b\n")
    assert str(source(str(tmp_path / "b.txt"))) == "b.txt#01186fcf"
    (tmp_path / "raw" / "ant").mkdir(parents=True)
    (tmp_path / "raw" / "ant" / "0.ppm").write_bytes(b"P6 1 1 255\n\0\1\2")
    assert str(source(str(tmp_path / "raw"))) == "raw#5269cfcd"


def test_vectors_cannot_be_made_of_pictures(files):
    with pytest.raises(NasctlError, match="is data of images, and the network takes 3 numbers; give noise"):
        source(str(files["npz"])).images((3,), 2, 0)
