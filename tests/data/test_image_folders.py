"""Folders and zips of images as people have them: every class, label and image counts, or a sentence says why not."""

import io
import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nasctl.cli import cli
from nasctl.data import source
from nasctl.data._folders import list_folder, list_zip
from nasctl.errors import NasctlError


def image(k=0, kind="PNG", size=(8, 8)):
    stream = io.BytesIO()
    pixels = np.random.default_rng(k).integers(256, size=(*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


IMAGE = image()
TEXT = b"text"


def folder(path, names, content=IMAGE):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(TEXT if name.endswith((".txt", ".csv", ".db")) else content)
    return path


def packed(path, names, content=IMAGE):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo("x")
            entry.filename = name  # the constructor would change it
            archive.writestr(entry, content)
    return path


def found(path):
    """The classes with their numbers of images, and everything that is said."""
    summary = source(str(path)).summary
    return {one.name: one.images for one in summary.classes}, " ".join(summary.lines(10_000))


TWO = {"a": 2, "b": 2}
ONE = {"a": 1, "b": 1}
THREE = {"n1": 1, "n2": 1, "n3": 1}
LAYOUTS = {
    "classes": (["a/1.png", "a/2.png", "b/1.png", "b/2.png"], TWO, "4 images"),
    "wrapper": (["w/a/1.png", "w/a/2.png", "w/b/1.png", "w/b/2.png"], TWO, "from folders, 2 images each: a, b."),
    "two wrappers": (["x/y/a/1.png", "x/y/a/2.png", "x/y/b/1.png", "x/y/b/2.png"], TWO, ""),
    "suffixes of any case": (["a/1.JPEG", "a/2.PNG", "b/1.Png", "b/2.JPG"], TWO, ""),
    "one image each": (["n1/1.png", "n2/1.png", "n3/1.png"], THREE, "3 classes from folders, 1 image each: n1"),
    "counts differ": (["a/1.png", "b/1.png", "b/2.png"], {"a": 1, "b": 2}, "a (1), b (2)"),
    "text order": (["10/1.png", "9/1.png"], {"10": 1, "9": 1}, "in the order of their names as text: 10, 9"),
    "images below classes": (["n1/images/1.png", "n2/images/2.png"], {"n1": 1, "n2": 1}, ""),
    "images below some classes": (["n1/images/1.png", "n2/images/2.png", "n3/1.png"], THREE, ""),
    "any name below classes": (["a/x/1.png", "b/x/2.png"], ONE, "in folders called x; the folders above"),
    "Tiny ImageNet": (
        ["t/train/n1/images/1.png", "t/train/n2/images/2.png", "t/val/images/3.png", "t/test/images/4.png"],
        {"n1": 1, "n2": 1},
        "Only the 2 images for training are used, not 1 of test, 1 of val.",
    ),
    "splits": (["train/a/1.png", "train/b/2.png", "val/a/3.png"], ONE, "not 1 of val"),
    "splits of other names": (["Training/a/1.png", "Training/b/2.png", "Test/a/3.png"], ONE, "not 1 of Test"),
    "splits below classes": (["a/train/1.png", "a/val/2.png", "b/train/3.png"], ONE, "not 1 of val"),
    "flat splits": (["train/1.png", "train/2.png", "val/3.png"], {}, "drawn at random"),
    "no training split": (["val/a/1.png", "test/b/2.png"], ONE, "images of test and val are used together"),
    "flat": (["1.png", "2.png"], {}, "Labels are drawn at random, because no folders name their classes"),
    "one class": (["cat/1.png", "cat/2.png"], {}, "drawn at random, because all images are of one class, cat"),
    "beside classes": (["set/logo.png", "set/a/1.png", "set/b/1.png"], ONE, "set/logo.png: beside the folders"),
    "outside": (["logo.png", "a/1.png", "b/1.png"], ONE, "logo.png: outside of all folders, not used"),
    "mixed depths": (["a/1.png", "b/1.png", "b/more/2.png"], {"a": 1, "b": 2}, "b/more: images of subfolders count"),
    "groups of classes": (["x/a/1.png", "y/b/2.png"], ONE, "not the folders above them (x, y)"),
    "domains": (["x/a/1.png", "x/b/2.png", "y/a/3.png", "y/b/4.png"], TWO, "Folders of one name are one class."),
    "domains of depth": (["x/1/a/1.png", "x/1/b/2.png", "y/1/a/3.png", "y/1/b/4.png"], TWO, "(x/1, y/1). Folders"),
    "detection": (["images/1.png", "images/2.png", "labels/1.txt"], {}, "all images are of one class, images"),
    "a class called train": (["train/1.png", "car/1.png"], {"car": 1, "train": 1}, ""),
    "other files": (["a/1.png", "b/1.png", "b/n.txt", "n.csv", "c.txt"], ONE, "no images: 2 .txt, 1 .csv."),
    "no suffix": (["a/1.png", "b/1.png", "a/2"], ONE, "no images: 1 without suffix."),
}  # fmt: skip


@pytest.mark.parametrize("kind", [folder, packed])
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(kind, name, tmp_path):
    names, classes, said = LAYOUTS[name]
    shown, text = found(kind(tmp_path / ("set" if kind is folder else "set.zip"), names))
    assert shown == classes
    assert said in text
    assert name != "classes" or "Skipped" not in text


def test_nothing_is_said_of_what_systems_leave(tmp_path):
    names = ["a/1.png", "b/1.png", "a/Thumbs.db", "desktop.ini", ".DS_Store", "__MACOSX/a/._1.png", "b/.hidden.png"]
    for path in (folder(tmp_path / "set", names), packed(tmp_path / "set.zip", names)):
        assert source(str(path)).summary.notes == ()


def test_labels_and_names_of_classes(tmp_path):
    data = source(str(folder(tmp_path / "set", ["b/1.png", "a/1.png", "b/2.png"])))
    assert data.class_names == ("a", "b")
    assert data.labels.tolist() == [0, 1, 1]
    assert not data.summary.drawn
    flat = source(str(folder(tmp_path / "flat", ["1.png"])))
    assert (flat.class_names, flat.labels, flat.summary.drawn) == (None, None, True)


def test_many_classes_are_named_in_part(tmp_path):
    _, text = found(folder(tmp_path / "set", [f"{k:02}/{j}.png" for k in range(12) for j in range(1 + k % 2)]))
    assert "12 classes from folders, 1 to 2 images each: 00, 01, 02, 03 and 8 more." in text
    lines = source(str(tmp_path / "set")).summary.lines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 2


def test_empty_classes_are_named(tmp_path):
    path = folder(tmp_path / "set", ["w/a/1.png", "w/b/1.png", "w/d/notes.txt"])
    (path / "w" / "c" / "more").mkdir(parents=True)
    names = ["w/a/1.png", "w/b/1.png", "w/c/", "w/d/"]
    for one in (path, packed(tmp_path / "set.zip", names)):
        classes, text = found(one)
        assert classes == {"a": 1, "b": 1}
        assert "Empty classes, folders without images, get no label: w/c, w/d." in text


def test_a_class_of_files_that_cannot_be_read_is_named(tmp_path):
    """Two classes become one, so labels are drawn: the sentence about it is not enough."""
    for name, content in (("2.heic", IMAGE), ("2.png", IMAGE[:50])):
        path = folder(tmp_path / name / "set", ["a/1.png"])
        folder(path, [f"b/{name}"], content)
        classes, text = found(path)
        assert classes == {}
        assert "all images are of one class, a" in text
        assert "get no label: b." in text
        assert name in text or "1 .heic" in text


# --- names in zips ---


@pytest.mark.parametrize(
    "form", ["{}/{}.png", "./{}/{}.png", "{}//{}.png", "/{}/{}.png", "set\\{}\\{}.png", ".\\set/{}\\{}.png",
             "C:\\{}\\{}.png", "../../{}/{}.png", "//{}/./{}.png", "x/../{}/{}.png"]
)  # fmt: skip
def test_names_in_a_zip(form, tmp_path):
    content = {form.format(kind, k): image(k) for k, kind in enumerate("abab")}
    plain = {f"{kind}/{k}.png": image(k) for k, kind in enumerate("abab")}
    for name, entries in (("set.zip", content), ("plain.zip", plain)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for key, pixels in entries.items():
                entry = zipfile.ZipInfo("x")
                entry.filename = key
                archive.writestr(entry, pixels)
    data, expected = source(str(tmp_path / "set.zip")), source(str(tmp_path / "plain.zip"))
    assert data.summary.classes == expected.summary.classes
    for one, other in zip(data.images((3, 8, 8), 4, 0), expected.images((3, 8, 8), 4, 0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_folders_of_a_zip_may_end_in_a_backslash(tmp_path):
    classes, text = found(packed(tmp_path / "a.zip", ["set\\", "set\\a\\", "set\\a\\1.png", "set\\b\\1.png"]))
    assert classes == {"a": 1, "b": 1}
    assert "Skipped" not in text


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_path_that_is_twice_in_a_zip(tmp_path):
    path = packed(tmp_path / "a.zip", ["a/1.png", "b/1.png", "./a/1.png", "a\\1.png"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b/1.png", image(5))
    classes, text = found(path)
    assert classes == {"a": 1, "b": 1}
    assert "a/1.png, a/1.png, b/1.png: this path is in the archive more than once" in text


def test_names_in_utf_8_without_the_flag(tmp_path):
    path = packed(tmp_path / "a.zip", ["katze/1.png", "m\u00e4use/1.png"])
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):  # of the byte with the flag, in a header
        for place in re.finditer(mark, content):
            content[place.start() + offset] &= ~8
    path.write_bytes(content)
    assert [entry.flag_bits for entry in zipfile.ZipFile(path).infolist()] == [0, 0]
    assert list(found(path)[0]) == ["katze", "m\u00e4use"]


def test_names_in_no_known_encoding(tmp_path):
    path = packed(tmp_path / "a.zip", ["xxxx/1.png", "yyyy/1.png"])
    path.write_bytes(path.read_bytes().replace(b"xxxx", b"\x83\x89\xff\xfe"))
    assert len(found(path)[0]) == 2
    disk = Path(os.fsdecode(bytes(tmp_path) + b"/set/\xff\xfe"))
    disk.mkdir(parents=True)
    (disk / "1.png").write_bytes(IMAGE)
    folder(tmp_path / "set", ["a/1.png"])
    assert len(found(tmp_path / "set")[0]) == 2


def test_a_zip_with_a_password(tmp_path):
    path = packed(tmp_path / "a.zip", ["a/1.png", "b/1.png"])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(NasctlError, match=r"a/1\.png in it is protected by a password\. Unpack the archive first"):
        source(str(path))


def test_what_holds_no_images_says_what_it_holds(tmp_path):
    folder(tmp_path / "set", ["a/1.txt", "b/2.txt"])
    packed(tmp_path / "set" / "inner.zip", ["a/1.png"])
    with pytest.raises(NasctlError, match=r"holds no images, only 2 \.txt, 1 \.zip; give a folder or \.zip"):
        source(str(tmp_path / "set"))
    folder(tmp_path / "set", ["c/1.png", "d/1.png"])
    assert "Skipped files that are no images: 2 .txt, 1 .zip." in found(tmp_path / "set")[1]


# --- links ---


def test_links_to_files_and_folders_are_followed(tmp_path):
    folder(tmp_path / "store", ["cats/1.png", "cats/2.png", "dog.png"])
    path = folder(tmp_path / "set", ["bird/1.png", "dog/1.png"])
    (path / "cat").symlink_to(tmp_path / "store" / "cats")
    (path / "dog" / "2.png").symlink_to(tmp_path / "store" / "dog.png")
    assert found(path)[0] == {"bird": 1, "cat": 2, "dog": 2}
    (tmp_path / "link").symlink_to(path)
    assert found(tmp_path / "link")[0] == {"bird": 1, "cat": 2, "dog": 2}


def test_links_that_lead_nowhere_or_in_a_circle_are_named(tmp_path):
    path = folder(tmp_path / "set", ["a/1.png", "b/1.png"])
    (path / "a" / "up").symlink_to(path)
    (path / "a" / "self").symlink_to(path / "a" / "self")
    (path / "b" / "2.png").symlink_to(tmp_path / "none.png")
    os.mkfifo(path / "b" / "3.png")
    classes, text = found(path)
    assert classes == {"a": 1, "b": 1}
    for said in ("a/up: this link leads to a folder above", "b/2.png: this link is dead", "b/3.png: this is neither"):
        assert said in text
    assert "a/self" in text


def test_links_that_multiply_folders_end(tmp_path, monkeypatch):
    monkeypatch.setattr("nasctl.data._folders.FOLDERS_LIMIT", 100)
    for k in range(12):
        (tmp_path / "set" / str(k)).mkdir(parents=True)
    for k in range(11):
        for name in ("x", "y"):
            (tmp_path / "set" / str(k) / name).symlink_to(tmp_path / "set" / str(k + 1))
    with pytest.raises(NasctlError, match="its links lead to over 100 folders"):
        list_folder(tmp_path / "set")


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    path = folder(tmp_path / "set", ["a/1.png", "b/1.png", "c/1.png"])
    scan = os.scandir

    def refuse(at):  # as for a user without the right to read the folder; root may read every folder
        if Path(at).name == "c":
            raise PermissionError(13, "Permission denied")
        return scan(at)

    monkeypatch.setattr(os, "scandir", refuse)
    classes, text = found(path)
    assert classes == {"a": 1, "b": 1}
    assert "c: this folder cannot be opened" in text


# --- tables of labels ---


def test_labels_of_tiny_imagenets_validation_images(tmp_path):
    path = folder(tmp_path / "val", [f"images/val_{k}.JPEG" for k in range(4)])
    rows = [f"val_{k}.JPEG\tn{k % 2}\t0\t0\t62\t62\n" for k in range(4)]
    (path / "val_annotations.txt").write_text("".join(rows))
    data = source(str(path))
    assert (data.class_names, data.labels.tolist()) == (("n0", "n1"), [0, 1, 0, 1])
    assert data.summary.labels_from == "val_annotations.txt"
    assert data.summary.notes == ()
    (path / "val_annotations.txt").write_text("".join(rows[:3]))
    assert found(path)[0] == {}
    assert "val_annotations.txt: does not name one class for each image" in found(path)[1]


# --- identity ---


def test_values_of_a_set_that_was_misread_are_not_reused(tmp_path):
    """Digests of the first reading, which `test_identities_are_as_in_the_first_version` holds too."""
    plain = {"a/1.png": image(1), "b/2.png": image(2)}
    listing = "".join(f"{name}\0{len(content)}\n" for name, content in sorted(plain.items()))
    for name, content in plain.items():
        folder(tmp_path / "set", [name], content)
    from hashlib import sha256

    first = sha256(listing.encode()).hexdigest()[:8]
    assert source(str(tmp_path / "set")).digest == first
    folder(tmp_path / "rest", ["rest.txt"])
    for name, names in {
        "links.zip": ["./a/1.png", "b/2.png"],
        "suffixes.zip": ["a/1.png", "b/2.jfif"],
        "nested.zip": ["a/images/1.png", "b/images/2.png"],
    }.items():
        path = packed(tmp_path / name, names)
        assert source(str(path)).digest != sha256(path.read_bytes()).hexdigest()[:8]
    for name, names in {
        "a.zip": ["a/1.png", "b/2.png"],
        "b.zip": ["x/train/a/1.png", "x/train/b/1.png", "x/test/b/1.png"],
    }.items():
        path = packed(tmp_path / name, names)
        assert source(str(path)).digest == sha256(path.read_bytes()).hexdigest()[:8]


def test_uncompressed_images_of_one_size_are_other_data(tmp_path):
    ones = []
    for k in range(2):
        content = b"P5 8 8 255\n" + np.random.default_rng(k).bytes(64)
        ones.append(str(source(str(folder(tmp_path / str(k) / "set", ["a/1.pgm", "b/1.pgm"], content)))))
    assert ones[0] != ones[1]


# --- the command line ---


def test_scores_are_those_of_the_twin(tmp_path):
    """A zip made on Windows, and grey images in other formats, score as the folder of PNG files does."""
    pictures = {f"set/{'ab'[k % 2]}/{k}": Image.open(io.BytesIO(image(k))).convert("L") for k in range(6)}
    for name, picture in pictures.items():
        for suffix in ("png", "pgm", "tif"):
            path = tmp_path / suffix / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    with zipfile.ZipFile(tmp_path / "back.zip", "w") as archive:
        for name in pictures:
            entry = zipfile.ZipInfo("x")
            entry.filename = name.replace("/", "\\") + ".png"
            archive.writestr(entry, (tmp_path / "png" / f"{name}.png").read_bytes())
    (tmp_path / "cell.txt").write_text("3,3,3,1,3,3\n")
    rows = []
    for data in ("png", "pgm", "tif", "back.zip"):
        words = ["objective", "score", "--space=nb201:channels=4,cells=1", "-o", "grad_norm", "--json"]
        words += [f"--genomes={tmp_path / 'cell.txt'}", f"--data={tmp_path / data}", "--fidelity=size=8,batch=4"]
        done = CliRunner().invoke(cli, [*words, f"--store={tmp_path / 's.db'}"], catch_exceptions=False)
        rows.append(json.loads(done.stdout)[0]["values"]["grad_norm"])
    assert rows == rows[:1] * 4


def test_commands_say_what_they_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "set", ["a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/notes.txt"])
    options = ["--space=nb201:channels=4,cells=1", "--data=set", "-o", "snip", "--fidelity=size=8,batch=2"]
    commands = (
        ["search", *options, "--budget=1", "--searcher=random", "--json"],
        ["objective", "score", *options, "--sample=1", "--json"],
    )
    for words in commands:
        done = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert done.exit_code == 0
        assert "Data set: 4 images of 8x8 pixels (RGB).\n2 classes from folders, 2 images each: a, b.\n" in done.stderr
        assert "no images: 1 .txt" in done.stderr
        assert done.stdout.startswith(("[{", "{"))


def test_a_name_cannot_move_the_cursor(tmp_path):
    path = packed(tmp_path / "a.zip", ["a\x1b[2J/1.png", "b/1.png"])
    done = CliRunner().invoke(
        cli, ["objective", "score", "--space=nb201", f"--data={path}", "-o", "params", "--sample=1",
              f"--store={tmp_path / 's.db'}"]
    )  # fmt: skip
    assert "\\x1b[2J" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_broken_zip(tmp_path):
    (tmp_path / "a.zip").write_bytes(IMAGE)
    with pytest.raises(NasctlError, match="is no zip archive, or a broken one"):
        list_zip(tmp_path / "a.zip")
