"""One way to write a file: whole or not at all, whatever ends the writer; and nothing of the product writes another."""

import ast
import os
import re
import subprocess
import sys
import time

import pytest
from paths import ROOT

from nasctl.errors import NasctlError
from nasctl.system import files

# A process that is killed while it writes.
KILLED = """
import os, signal, sys
from pathlib import Path
from nasctl.system import files
with files.replacement(Path(sys.argv[1])) as draft:
    draft.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "a.json"
    with files.replacement(path) as draft:
        assert (draft.parent, draft.suffix, path.exists()) == (tmp_path, ".json", False)
        draft.write_text("new")
        assert not path.exists()
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.json", "new")]
    with files.replacement(path, suffix=".bin") as draft:
        assert draft.suffix == ".bin"
        draft.write_text("newer")
        assert path.read_text() == "new"
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.json", "newer")]


def test_a_file_has_the_permissions_that_every_new_file_gets(tmp_path):
    files.write(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), ValueError("x"), KeyboardInterrupt()])
def test_whatever_ends_the_block_early_leaves_the_old_file_and_no_draft(stop, tmp_path):
    (path := tmp_path / "a").write_text("old")

    def write():
        with files.replacement(path, "do that") as draft:
            draft.write_text("half")
            raise stop

    with pytest.raises(NasctlError if isinstance(stop, OSError) else type(stop)) as raised:
        write()
    if isinstance(stop, OSError):
        assert str(raised.value) == f"{path} cannot be written (No space left on device); free some space, or do that"
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a", "old")]


def test_a_kill_leaves_the_old_file(tmp_path):
    (path := tmp_path / "a").write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, path], check=False).returncode == -9
    assert path.read_text() == "old"
    (stale,) = [one for one in tmp_path.iterdir() if one != path]
    files.write(path, "new")  # a draft of this moment could be of a process that is about to lock it
    assert path.read_text() == "new"
    assert stale.exists()
    old = time.time() - 60
    mine = [tmp_path / name for name in (".a.txt", ".a.b", ".b.0123abcd", ".a.0123abcd.txt")]  # drafts of other files
    for one in (stale, *mine):
        one.touch()
        os.utime(one, (old, old))
    files.write(path, "newer")
    assert {one.name for one in tmp_path.iterdir()} == {"a", *(one.name for one in mine)}


def test_the_draft_of_a_running_process_stays(tmp_path):
    path = tmp_path / "a"
    with files.replacement(path) as draft:
        draft.write_text("slow")
        os.utime(draft, (0, 0))
        files.write(path, "quick")
        assert (path.read_text(), draft.read_text()) == ("quick", "slow")
    assert path.read_text() == "slow"
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_a_draft_without_room_is_told_from_one_with_other_errors(tmp_path):
    draft = tmp_path / "draft"
    draft.touch()
    assert files.room_error(draft, 3_000_000) is None
    assert draft.read_bytes() == b""
    assert files.room_error(tmp_path / "none" / "draft", 10) is None
    code = (
        "import sys, pathlib; from nasctl.system import files; print(files.room_error(pathlib.Path(sys.argv[1]), 3000))"
    )
    limited = ["bash", "-c", 'ulimit -f 1; exec "$0" "$@"', sys.executable, "-c", code, str(draft)]
    assert "File too large" in subprocess.run(limited, capture_output=True, text=True, check=True).stdout


def test_the_content_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    calls, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (calls.append("content"), sync(number)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("name"), replace(*paths)))
    files.write(tmp_path / "a", b"x")
    assert calls == ["content", "name"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none/a", "No such file or directory"), ("file/a", "Not a directory"), ("x" * 300, "File name too long")],
)
def test_a_place_that_takes_no_file_is_one_sentence_before_the_work(name, reason, tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(NasctlError, match=f"cannot be written \\({reason}\\); name another file$"),
        files.replacement(tmp_path / name),
    ):
        pytest.fail("the work has begun")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


PRODUCT = [path for folder in ("nasctl", "spaces", "objectives", "hardware") for path in (ROOT / folder).rglob("*.py")]
METHODS = {"write_text", "write_bytes", "savefig", "tofile", "to_csv", "rename", "hardlink_to", "symlink_to"}
FUNCTIONS = {
    *(f"os.{name}" for name in ("open", "replace", "rename", "write", "truncate", "link", "symlink", "mknod")),
    *(f"shutil.{name}" for name in ("copy", "copy2", "copyfile", "copyfileobj", "copytree", "move")),
    *(f"tempfile.{name}" for name in ("NamedTemporaryFile", "TemporaryFile", "mkstemp")),
    *(f"{name}.dump" for name in ("json", "pickle", "yaml", "marshal", "joblib")),
    *(f"np.{name}" for name in ("save", "savez", "savez_compressed", "savetxt", "memmap")),
    *("torch.save", "torch.export.save", "torch.jit.save", "onnx.save", "onnx.save_model", "sqlite3.connect"),
}
OPENERS = {"open", "io.open", "gzip.open", "bz2.open", "lzma.open", "gzip.GzipFile", "zipfile.ZipFile", "tarfile.open"}
BUFFERS = ("BytesIO()", "StringIO()", "io.BytesIO()", "io.StringIO()")  # in memory
ALLOWED = {  # file: why what it does is no second way to write a file
    "nasctl/system/files.py": "it is the writer",
    "nasctl/store/connection.py": "SQLite writes its file itself, a transaction at a time",
    "nasctl/store/schema.py": "SQLite copies an older store into a draft",
    "nasctl/export/quiet.py": "it opens the null device",
    "nasctl/export/int8.py": "it writes into a temporary folder",
    "nasctl/export/onnx_stages.py": "it fills the draft of a folder",
    "nasctl/networks/onnx_int8.py": "it writes into a temporary folder",
    "nasctl/training/distributed.py": "it opens the null device",
    "nasctl/training/training_log.py": "it appends lines to a log, of which a kill may cut the last",
    "nasctl/registry/named_files.py": "it appends a line of digests, of which a kill may cut the last",
    "hardware/profiling/time_kit.py": "it is a script of a kit, which runs where nasctl is not",
    "hardware/profiling/timings.py": "it appends lines to a log, of which a kill may cut the last",
}


def opens_to_write(call, place):
    """Whether a call has a mode that writes: at that place, as `mode`, or one that only the running code knows."""
    given = [*call.args[place : place + 1], *(one.value for one in call.keywords if one.arg == "mode")]
    modes = [one.value if isinstance(one, ast.Constant) else "w" for one in given]
    return any(re.fullmatch("[rwaxbtU+:|*]+", mode) and set(mode) & set("wax+") for mode in modes)


def writers(source):
    """Lines of a module that write a file, but for those that write a `draft` of `files.replacement`, or a buffer."""
    nodes = list(ast.walk(ast.parse(source)))
    made = [node for node in nodes if isinstance(node, ast.Assign) and ast.unparse(node.value) in BUFFERS]
    harmless = {"draft", *(ast.unparse(target) for node in made for target in node.targets)}
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        name, targets = ast.unparse(call.func), {ast.unparse(one) for one in call.args}
        owner, _, method = name.rpartition(".")
        if name in OPENERS:
            writes = opens_to_write(call, 1)
        elif method == "open" and name not in FUNCTIONS:
            # The first argument of others than paths, such as archives, is a name.
            writes, targets = opens_to_write(call, 0) and not isinstance(call.args[0], ast.Name | ast.Call), {owner}
        elif method in METHODS or (method == "replace" and owner and len(call.args) == 1 and not call.keywords):
            writes, targets = True, {owner, *targets}
        else:
            writes = name in FUNCTIONS
        if writes and not harmless & targets:
            yield call.lineno


@pytest.mark.parametrize(
    "line",
    [
        "path.write_text(text)",
        "Path(name).write_bytes(text)",
        'open(path, "w")',
        'open(path, mode="ab")',
        "open(path, mode)",
        'path.open("w")',
        'gzip.open(path, "wt")',
        'zipfile.ZipFile(path, "w")',
        "os.open(path, flags)",
        "path.replace(other)",
        "path.rename(other)",
        "os.replace(path, other)",
        "torch.save(weights, path)",
        "onnx.save(proto, path)",
        "figure.savefig(path)",
        "json.dump(content, file)",
        "np.savez(path, a=a)",
        "shutil.copy(path, other)",
        "sqlite3.connect(path)",
        "tempfile.NamedTemporaryFile()",
    ],
)
def test_a_second_writer_would_be_found(line):
    assert list(writers(line)) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "draft.write_text(text)",
        "torch.save(weights, draft)",
        "figure.savefig(draft, format=suffix)",
        "sqlite3.connect(draft)",
        "content = BytesIO(); figure.savefig(content)",
        "open(path)",
        'open(path, "rb")',
        "path.open()",
        "archive.open(name)",
        "Image.open(BytesIO(content))",
        "zipfile.ZipFile(path)",
        'tarfile.open(path, "r:*")',
        'text.replace("a", "b")',
        "files.write(path, text)",
        "table.save(path)",
    ],
)
def test_readers_and_drafts_are_no_second_writers(line):
    assert list(writers(line)) == []


def test_every_file_goes_through_the_one_writer():
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in PRODUCT
        if str(path.relative_to(ROOT)) not in ALLOWED
        for line in writers(path.read_text())
    }
    assert found == set()


def test_what_is_allowed_is_there():
    assert [name for name in ALLOWED if not list(writers((ROOT / name).read_text()))] == []
