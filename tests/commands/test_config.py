"""What a search takes from a file, and that it writes one from which it can be repeated."""

import json
import sqlite3
import tomllib
from contextlib import suppress

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from nasctl.cli import cli
from nasctl.commands._config import Configured, config_option, option_values, read_config, set_option, to_toml
from nasctl.errors import NasctlError

WHOLE = st.integers(-(2**63), 2**63 - 1)
PLAIN = st.text(st.characters(codec="utf-8")) | st.booleans() | WHOLE | st.floats(allow_nan=False, allow_infinity=False)


@click.command(cls=Configured)
@click.option("--budget", default=300, type=click.IntRange(1), envvar="TOY_BUDGET")
@click.option("-o", "--objective", "objectives", multiple=True)
@click.option("--time", "limit")
@click.option("--json", "as_json", is_flag=True)
@click.option("--quick-look", is_flag=True)
@config_option
@set_option
@click.pass_context
def toy(ctx, as_json, **options):
    click.echo(json.dumps({**option_values(ctx), "json": as_json}))


@pytest.fixture
def called(tmp_path):
    def call(content, *arguments, **environment):
        (tmp_path / "f.toml").write_text(content)
        done = CliRunner().invoke(toy, [f"--config={tmp_path / 'f.toml'}", *arguments], env=environment)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return call


def test_a_file_is_checked_even_where_the_environment_wins(tmp_path):
    (tmp_path / "f.toml").write_text("budget = true")
    done = CliRunner().invoke(toy, [f"--config={tmp_path / 'f.toml'}"], env={"TOY_BUDGET": "2"})
    assert "budget takes text or a number" in str(done.exception)


@given(st.dictionaries(st.from_regex("[a-z-]{1,9}", fullmatch=True), PLAIN | st.lists(PLAIN)))
def test_what_is_written_is_read_again(settings):
    assert tomllib.loads(to_toml(settings)) == settings


@given(st.binary(max_size=60))
def test_what_is_no_toml_is_one_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("config") / "f"
    path.write_bytes(content)
    with suppress(NasctlError):  # anything else is a traceback
        read_config(str(path))


def test_a_file_says_what_could_be_typed(called):
    found = called('budget = 7\nobjective = ["a,b", "-c"]\ntime = 1.5\njson = true\nquick-look = false')
    assert found == {"budget": 7, "objective": ["a,b", "-c"], "time": "1.5", "json": True, "quick-look": False}
    assert called('objective = "a"')["objective"] == ["a"]
    assert called("") == {"budget": 300, "objective": [], "json": False, "quick-look": False}


def test_typed_options_win_over_set_then_the_environment_then_the_file_then_defaults(called):
    assert called("", TOY_BUDGET="2")["budget"] == 2
    assert called("budget = 3", TOY_BUDGET="2")["budget"] == 2
    assert called("budget = 3", TOY_BUDGET="")["budget"] == 3  # click takes an empty variable for none
    assert called("budget = 3")["budget"] == 3
    assert called("budget = 3", "--budget=5", TOY_BUDGET="2")["budget"] == 5
    assert called("budget = 3", "--set", "budget=4", TOY_BUDGET="2")["budget"] == 4
    assert called("budget = 3", "--budget=5", "--set", "budget=4")["budget"] == 5
    assert called('objective = ["a"]', "--set", "objective=b", "--set=objective=c=1")["objective"] == ["b", "c=1"]
    assert called('objective = ["a"]', "-o", "d", "--set", "objective=b")["objective"] == ["d"]
    assert called("json = true", "--set", "json=false", "--set", "quick-look=true")["quick-look"]


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("budgte = 3", [], "no option is called 'budgte'; did you mean 'budget'?"),
        ("config = 'other'", [], "no option is called 'config'"),
        ("[search]\nbudget = 3", [], "no option is called 'search'"),
        ("budget = 'many'", [], "Invalid value for '--budget'"),
        ("budget = [1, 2]", [], "budget takes text or a number; mend what stands there"),
        ("budget = true", [], "budget takes text or a number; mend what stands there"),
        ("budget = 2020-01-01", [], "budget takes text or a number; mend what stands there"),
        pytest.param(f"budget = 0x{'f' * 5000}", [], "budget takes text or a number; mend what", id="long"),
        ('space = "a\\u0000b"', [], "space takes text or a number; mend what stands there"),
        ("json = 'yes'", [], "json takes true or false; mend what stands there"),
        ("objective = [['a']]", [], "objective takes text or a number, or a list of these; mend what stands there"),
        ("objective = {a = 1}", [], "objective takes text or a number, or a list of these; mend what stands there"),
        ("budget", [], "is no TOML file in UTF-8 (Expected '=' after a key"),
        pytest.param("a = " + "[" * 10_000, [], "is no TOML file in UTF-8", id="deep"),
        (b"\xff", [], "is no TOML file in UTF-8"),
        pytest.param("#" * 2_000_000, [], "more than 1,000,000 bytes", id="large"),
        ("", ["--set", "budget"], "--set takes KEY=VALUE, such as budget=300, and not 'budget'"),
        ("", ["--set", "bugdet=3"], "--set: no option is called 'bugdet'; did you mean 'budget'?"),
        ("", ["--set", "json=1"], "--set: json takes true or false; mend what stands there"),
        ("", ["--config", "nowhere.toml"], "nowhere.toml cannot be read (No such file or directory)"),
        ("", ["--config", "."], "the configuration . cannot be read (Is a directory)"),
        ("", [], "say which search space: name one of `nasctl space list`"),
    ],
)
def test_a_mistake_is_one_sentence(content, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = CliRunner().invoke(cli, ["search", "--config", "f", *arguments])
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = CliRunner().invoke(cli, list(arguments))
        assert done.exit_code == 0, done.stderr
        return done.stdout

    return call


def test_a_run_is_repeated_from_its_configuration_alone(nasctl, tmp_path):
    asked = ["-oparams", "-oexpected_synflow:linear=true", "--record=memory", "--constraint=macs<=60%", "--device=gpu"]
    nasctl("search", "--space=nbmacro", *asked, "--searcher=nsga2", "--budget=40", "--seed=3", "--fidelity=size=16")
    (tmp_path / "f.toml").write_text(nasctl("runs", "show", "--config"))
    nasctl("search", "--config=f.toml", "--store=other.db")
    shown = [json.loads(nasctl("runs", "show", "--json", f"--store={store}")) for store in ("nasctl.db", "other.db")]
    assert shown[0] | {"seconds": 0} == shown[1] | {"seconds": 0}
    fronts = [nasctl("pareto", "show", "--json", f"--store={store}") for store in ("nasctl.db", "other.db")]
    assert fronts[0] == fronts[1]
    assert nasctl("runs", "show", "--config", "--store=other.db") == (tmp_path / "f.toml").read_text()


def test_a_search_takes_its_budget_and_store_from_the_environment_before_the_file(nasctl, tmp_path, monkeypatch):
    (tmp_path / "f.toml").write_text('space = "nbmacro"\nobjective = "macs"\nbudget = 30\nstore = "file.db"')
    monkeypatch.setenv("NASCTL_BUDGET", "12")
    monkeypatch.setenv("NASCTL_STORE", "environment.db")
    assert json.loads(nasctl("search", "--config=f.toml", "--json"))["distinct"] == 12
    assert json.loads(nasctl("search", "--config=f.toml", "--json", "--set=budget=13"))["distinct"] == 13
    assert (tmp_path / "environment.db").exists()
    assert not (tmp_path / "file.db").exists()


def test_the_configuration_is_that_of_the_last_start(nasctl):
    for budget in ("20", "30"):
        nasctl("search", "--space=nbmacro", "-omacs", "--budget", budget)
    assert tomllib.loads(nasctl("runs", "show", "--config"))["budget"] == 30


def test_a_run_of_an_older_nasctl_says_what_repeats_it(nasctl):
    nasctl("search", "--space=nbmacro", "-omacs", "--budget=20")
    with sqlite3.connect("nasctl.db") as database:
        ((spec,),) = database.execute("SELECT spec FROM run")
        kept = {key: value for key, value in json.loads(spec).items() if key != "config"}
        database.execute("UPDATE run SET spec = ?", (json.dumps(kept),))
    database.close()
    done = CliRunner().invoke(cli, ["runs", "show", "--config"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "this repeats it: nasctl search --space nbmacro --objective macs" in done.stderr


def test_what_a_terminal_would_obey_is_escaped():
    text = to_toml({"data": "\x1b[31m\x9b\u202e\x7f😀", "a\nb": 1})
    assert text.replace("\n", "").isprintable()
    assert len(text.splitlines()) == 2
    assert tomllib.loads(text) == {"data": "\x1b[31m\x9b\u202e\x7f😀", "a\nb": 1}


def test_what_is_no_text_is_refused():
    with pytest.raises(NasctlError, match="is no text"):
        to_toml({"data": "folder\udcff"})
