"""One network of a front, by each rule; known answers, and what the command says."""

import json
import re
import shlex

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from nasctl.analysis.pick import by_best, by_closest, by_knee, by_order, by_wish, pick
from nasctl.api import Evaluation, NasctlError
from nasctl.architectures import ids
from nasctl.cli import cli
from nasctl.pareto.losses import front
from nasctl.problem.searcher import Goal
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store

ACC = Column("acc v1", "%", "module", Goal("acc", "max", "identity", "module"))
MS = Column("latency@phone v1", "ms", "network", Goal("latency@phone", "min", "identity", "network"))
SNIP = Column("snip v1", "nats", "module", Goal("snip", "max", "log10", "module"))
PARAMS = Column("params v1", "parameters", "network", None)  # only recorded
RECORD = RunRecord("nbmacro", {"acc": ACC, "latency@phone": MS, "params": PARAMS})
ROWS = [(90, 100, 9e6), (88, 40, 5e6), (80, 20, 6e6), (50, 10, 1e6), (87, 41, 2e6)]  # the last one is dominated
VISITED = [
    Evaluation((k,), {"acc": acc, "latency@phone": ms, "params": params}) for k, (acc, ms, params) in enumerate(ROWS)
]


def chosen(rule, under=(), record=RECORD, visited=VISITED):
    found = pick(record, visited, rule, under)
    return found.chosen.genome[0], found.why


@pytest.mark.parametrize(
    ("rule", "under", "expected"),
    [
        (by_closest, [], 2),  # (0.25, 0.11) of the ranges from the best; 1 is at (0.05, 0.33)
        (by_knee, [], 2),  # the least sum of those
        (by_best("acc"), [], 0),
        (by_best("latency"), [], 3),
        (by_best("acc"), ["latency<=50"], 1),
        (by_best("latency"), ["acc>=60"], 2),
        (by_best("params"), [], 3),
        (by_best("acc"), ["params<=3M"], 4),  # on the front of those that hold it
        (by_closest, ["acc>=80"], 1),
        (by_knee, ["acc>=80"], 1),
        (by_wish(["latency=45"]), [], 1),
        (by_wish(["latency@phone=30,params=6.2M"]), [], 2),
        (by_wish(["latency@phone=35", "params=5.2M"]), [], 1),
        (by_order(["acc,latency"], "0%"), [], 0),
        (by_order(["acc", "latency"], "5%"), [], 1),  # within 2 of 90
        (by_order(["acc,latency"], "25%"), [], 2),
        (by_order(["acc,params,latency"], "25%"), [], 2),
        (by_order(["acc,params,latency"], "10%"), [], 1),
        (by_order(["latency,acc"], "100%"), [], 0),
    ],
)
def test_rules_by_hand(rule, under, expected):
    assert chosen(rule, under)[0] == expected


def test_it_says_why():
    assert chosen(by_order(["acc,latency"], "5%"))[1] == (
        "best in acc (2 left), then latency@phone (1 left), each to within 5% of its range on the front"
    )
    why = chosen(by_best("acc"), ["latency<=50,params<=5M"])[1]
    assert why == "best in acc, among those with latency@phone<=50 and params<=5M"
    assert chosen(by_wish(["latency=49"]))[1] == (
        "nearest to latency=49: 0.1 away, each scaled to its range on the front"  # 9 of 90
    )


def test_the_knee_is_where_the_front_bends_and_the_closest_may_be_another():
    rows = [(100, 100), (95, 60), (60, 35), (0, 0)]  # scaled losses (0, 1), (0.05, 0.6), (0.4, 0.35), (1, 0)
    visited = [Evaluation((k,), {"acc": float(acc), "latency@phone": float(ms)}) for k, (acc, ms) in enumerate(rows)]
    assert chosen(by_closest, visited=visited)[0] == 2
    row, why = chosen(by_knee, visited=visited)
    assert (row, why.partition(":")[0]) == (1, "the knee")
    straight = [visited[0], visited[3], Evaluation((4,), {"acc": 50.0, "latency@phone": 50.0})]
    row, why = chosen(by_knee, visited=straight)
    assert (row, why) == (4, chosen(by_closest, visited=straight)[1] + " (the front has no knee)")


def test_wishes_of_logarithms_are_near_in_logarithms():
    record = RunRecord("nbmacro", {"snip": SNIP, "latency@phone": MS})
    rows = [(1000, 30), (100, 20), (1, 10)]
    visited = [Evaluation((k,), {"snip": snip, "latency@phone": ms}) for k, (snip, ms) in enumerate(rows)]
    assert chosen(by_wish(["snip=400"]), record=record, visited=visited)[0] == 0
    assert chosen(by_wish(["snip=5"]), record=record, visited=visited)[0] == 2
    with pytest.raises(NasctlError, match="snip cannot have the value that is wished"):
        chosen(by_wish(["snip=-5"]), record=record, visited=visited)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_without_tolerance_the_order_is_that_of_words(rows):
    visited = [
        Evaluation((k,), {"acc": float(a), "latency@phone": float(b), "params": float(c)})
        for k, (a, b, c) in enumerate(rows)
    ]
    index, _ = chosen(by_order(["params,acc,latency"], "0%"), visited=visited)
    best = min((row[2], -row[0], row[1]) for row in (rows[e.genome[0]] for e in front(visited, RECORD.goals)))
    assert (rows[index][2], -rows[index][0], rows[index][1]) == best


def test_what_failed_is_chosen_last():
    failed = [Evaluation(e.genome, {k: v for k, v in e.values.items() if k != "params"}) for e in VISITED]
    some = [VISITED[1], *failed[2:]]
    assert chosen(by_best("params"), visited=some)[0] == 1
    assert chosen(by_order(["params,acc"], "50%"), visited=some)[0] == 1
    assert chosen(by_wish(["params=1M"]), visited=some)[0] == 1
    for rule in (by_best("params"), by_order(["params"], "0%"), by_wish(["params=1M"])):
        with pytest.raises(NasctlError, match="no network of the front has a value of params; choose by something"):
            chosen(rule, visited=failed)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with one run."""
    path = str(tmp_path_factory.mktemp("pick") / "my own.db")
    run = ["search", "--space=nbmacro", "-oparams,macs", "--record=memory", "--budget=300", "--searcher=random"]
    assert CliRunner().invoke(cli, [*run, "--store", path]).exit_code == 0
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--near", "latency"], "'latency' is no wish; write one such as latency=20 or params=4M"),
        (["--near", "params=4M,params=5M"], "a wish names something twice; leave one out"),
        (["--near", "parms=4M"], "no objective of this run is called 'parms'; did you mean 'params'?"),
        (["--near", "macs=1", "--near", "x"], "'x' is no wish"),
        (["--order", "macs", "--tolerance", "5"], "'5' is no tolerance; write per cent of an objective's range"),
        (["--tolerance", "5%"], "--tolerance belongs to --order; give that too, or leave it out"),
        (["--knee", "--order", "macs"], "--knee and --order are different rules; give one of them"),
        (["--closest", "--knee"], "--closest and --knee are different rules; give one of them"),
        (["--under", "macs<=1"], "no candidate holds macs<=1: the least of the run is"),
        (["--under", "macs<=20M,params>=2.4M"], "no candidate holds macs<=20M and params>=2.4M at once; relax"),
        (["--under", "macs"], "'macs' is no constraint; write one such as latency<=20"),
        (["--under", "macs<=50%"], "a percentage of macs is not known here; write 'macs<=50%' with a number"),
        (["--run", "other"], "no run is called 'other'"),
        (["--best", "synflow"], "no objective of this run is called 'synflow'; there is: params, macs, memory"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, said, store):
    done = CliRunner().invoke(cli, ["pareto", "pick", *arguments, "--store", store])
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_says_what_to_type_next(store):
    def typed(*arguments):
        return CliRunner().invoke(cli, ["pareto", *arguments, "--store", store]).stdout

    found = json.loads(typed("pick", "--json"))
    assert found.keys() == {"run", "id", "genome", "values", "front", "standing", "why", "export"}
    assert found["export"] == f"nasctl export --arch {found['id']} --store {shlex.quote(store)}"
    assert ids.resolve(found["id"], Store(store))[1] == tuple(found["genome"])
    assert (found["id"], found["values"]) in [(row["id"], row["values"]) for row in json.loads(typed("show", "--json"))]
    lines = typed("pick", "--under", "params<=1M").splitlines()
    assert [line.split()[0] for line in lines] == ["id", "params", "macs", "memory", "compared", "why", "export"]
    why = r"why +the least macs within params<=1M; costs [\d.]+ k parameters and [\d.]+ M MACs; of run nbmacro-"
    assert re.match(why, lines[5])
    assert re.match(r"macs +[\d.]+ M, smaller than ([\d.]+%|all)$", lines[2])
    lines = typed("pick", "--closest").splitlines()
    assert re.match(r"why +nearest to the best of every objective, .* of \d+ on the front of run nbmacro-", lines[5])


def test_knee_is_another_option_than_closest_and_says_so(store):
    def picked(*arguments):
        done = CliRunner().invoke(cli, ["pareto", "pick", *arguments, "--json", "--store", store])
        return json.loads(done.stdout), done.stderr

    (closest, silent), (knee, said), (default, _) = picked("--closest"), picked("--knee"), picked()
    assert closest["id"] == default["id"]  # what is recommended without a bound
    assert default["why"].startswith("closest to the best of every objective; costs ")
    assert silent == ""
    assert said == "note: --knee picks the knee of the front; the network nearest to the best of all is --closest now\n"
    assert knee.keys() == closest.keys()
    assert closest["why"] == "nearest to the best of every objective, each scaled to its range on the front"
    assert knee["why"] != closest["why"]
    below = ["--under", "params<=1M"]
    assert picked("--closest", *below)[0]["why"].startswith(closest["why"])
    assert picked(*below)[0]["why"].startswith("the least macs")


def test_an_empty_front_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    run(cli, ["search", "--space=nbmacro", "-oparams", "--budget=3", "--constraint=params>=2932586"])
    done = run(cli, ["pareto", "pick"])
    assert (done.exit_code, "the front of this run is empty; search with a larger --budget" in done.stderr) == (2, True)
