"""Learned choices on the command line: at the end of a training, shown, examined, and drawn from."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from supernets import small_space
from training.examples import save_photos

from nasctl.cli import cli

TRAIN = ("supernet", "train", "--space=two.py:Two", "--data=photos.npz", "--set=batch=8", "--set=evaluate=0")
SPACE = "two.py:Two:classes=3"


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NASCTL_STORE", raising=False)
    monkeypatch.setenv("NASCTL_TRUST", "two.py")
    save_photos("photos.npz")
    Path("two.py").write_text(Path(small_space.__file__).read_text())

    def call(*words, code=0):
        done = CliRunner().invoke(cli, list(words), catch_exceptions=False)
        assert done.exit_code == code, done.stderr
        return done

    return call


def test_learned_choices_are_named_shown_drawn_from_and_examined(nasctl):
    done = nasctl(*TRAIN, "--strategy=enas:hidden=8", "--epochs=2", "--name=e", "--json")
    row = json.loads(done.stdout)
    arch, shares = row["choices"]["chosen"]["id"], row["choices"]["probabilities"]
    assert list(shares) == ["0.kernel", "0.channels", "1.kernel", "1.channels"]
    assert all(sum(one.values()) == pytest.approx(1) for one in shares.values())
    assert f"chosen: {arch}, " in done.stderr
    for command in (
        f"nasctl supernet evaluate e --arch {arch}",
        f"nasctl train --arch {arch} --data DATA --from e",
        f"nasctl space sample {SPACE} --from e",
    ):
        assert command in done.stderr
    assert "export" not in done.stderr
    text = nasctl("supernet", "show", "e", "--plot=e.svg").stdout
    assert f"\nchosen                {arch}, " in text
    assert "\ngene\tbest choice\tprobability\tentropy (bits)\tother choices\n0.kernel\t" in text
    picture = Path("e.svg").read_text()
    assert all(title in picture for title in ("mean over 2 genes, 0.kernel to 1.kernel", "entropy of equal choices"))
    rows = list(csv.DictReader(io.StringIO(nasctl("supernet", "show", "e", "--csv").stdout, newline="")))
    assert {(one["gene"], one["choice"]): float(one["probability"]) for one in rows} == {
        (gene, choice): share for gene, own in shares.items() for choice, share in own.items()
    }
    drawn = json.loads(nasctl("space", "sample", SPACE, "--from=e", "-n", "16", "--json").stdout)
    assert len({one["id"] for one in drawn}) == 16
    assert sum(one["share"] for one in drawn) == pytest.approx(1)  # all networks of the space
    assert len(nasctl("space", "sample", SPACE, "--from=e", "-n", "3").stdout.splitlines()) == 4
    found = json.loads(nasctl("supernet", "controller", "e", "--json").stdout)
    assert 0 < found["untrained"]["change"] != found["trained"]["change"] > 0
    assert len(nasctl("supernet", "controller", "e").stdout.splitlines()) == 6
    assert "which has other genes" in nasctl("space", "sample", "nbmacro", "--from=e", code=2).stderr


def test_supernets_without_learned_choices_say_so(nasctl):
    row = json.loads(nasctl(*TRAIN, "--strategy=single_path", "--epochs=1", "--name=s", "--json").stdout)
    assert row["choices"] is None
    refused = {
        (
            "space",
            "sample",
            SPACE,
            "--from=s",
        ): "its strategy single_path:calr=false,sampling=uniform learns no choices",
        ("supernet", "show", "s", "--csv"): "its strategy has learned none",
        ("supernet", "controller", "s"): "Give a supernet that was trained by enas.",
    }
    for words, reason in refused.items():
        assert reason in nasctl(*words, code=2).stderr
