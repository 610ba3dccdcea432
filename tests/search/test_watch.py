"""What a person is told of a search: its beginning, its state after every candidate, and its end."""

import json
import math
from types import SimpleNamespace

import pytest

from nasctl.architectures import ids
from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.evaluation.task import Task
from nasctl.problem.constraints import Constraint
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Evaluation
from nasctl.search import watch
from nasctl.search.empty_front import retry_words
from nasctl.search.loop import Visit
from nasctl.search.run import Run
from nasctl.search.watch import Watch
from nasctl.testing import Chain


class Metric:
    unit, transform, version = "s", "identity", "1"

    def __init__(self, direction="min", needs="module"):
        self.direction, self.needs = direction, frozenset({needs})

    def __call__(self, candidate):
        return float(sum(candidate.genome))


def genome(number):
    return tuple(number >> k & 1 for k in range(6))


def named(number):
    """The id of a genome of the chain."""
    return ids.encode("nbmacro", Chain(6).genes, genome(number))


def visit(number, values, errors=(), generation=0, proposed=None, seconds=1.0, fresh=True):
    found = Evaluation(genome(number), dict(values), dict(errors))
    return Visit(found, generation, number + 1 if proposed is None else proposed, seconds, fresh)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless a test moves it."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def watched(monkeypatch, clock):
    """A watch of given visits, and the states that it shows."""

    def made(visits=(), budget=8, limit=None, options=(), task=None, move=None, **run):
        states, asked = [], []

        class Shown:
            def __init__(self, shown):
                assert shown == budget

            def __enter__(self):
                return self

            def __exit__(self, *error):
                pass

            def update(self, state):
                states.append(state)

        def search(store, number, deadline, executor):
            asked.append((store, number, deadline, executor))
            for one in visits:
                if move:
                    move(clock)
                yield one

        monkeypatch.setattr(watch.progress, "Progress", Shown)
        task = task or Task(Chain(6), {"metric": Metric("max"), "cost": Metric("min")})
        described = {"name": "mine", "space": "nbmacro", "searcher": "random", "remarks": {}} | run
        one = Watch(SimpleNamespace(task=task, search=search, **described), budget, limit, *options)
        return one, states, asked

    return made


PAIR = [{"metric": 3.0, "cost": 4.0}, {"metric": 5.0, "cost": 9.0}, {"metric": 1.0, "cost": 6.0}]


def test_a_search_without_a_limit_has_no_deadline(watched):
    one, _, asked = watched([visit(0, PAIR[0])])
    one.follow("store", "executor")
    assert asked == [("store", 8, math.inf, "executor")]
    one, _, asked = watched(limit=20.0)
    one.follow("store")
    assert asked == [("store", 8, 120.0, None)]


def test_the_state_counts_candidates_failures_and_the_front(watched):
    visits = [
        visit(0, PAIR[0]),
        visit(1, {"cost": 1.0}, {"metric": "ValueError: no"}),
        visit(2, PAIR[1], fresh=False, seconds=0.5),
        visit(3, PAIR[2]),
    ]
    one, states, _ = watched(visits)
    one.follow(None)
    assert [(s.done, s.budget, s.failed, s.front, s.generation) for s in states] == [
        (1, 8, 0, 1, 0),
        (2, 8, 1, 1, 0),
        (3, 8, 1, 2, 0),
        (4, 8, 1, 2, 0),  # dominated by the first
        (4, 8, 1, 2, 0),
    ]
    assert [s.seconds_each for s in states] == [1.0, 1.0, 1.25, 3.5 / 3, 3.5 / 3]
    assert [s.left for s in states] == [7.0, 6.0, 6.25, 3.5 / 3 * 4, 3.5 / 3 * 4]
    assert [s.hypervolume is None for s in states] == [True] * 4 + [False]
    # The range of the first generation is 1 to 5 and 1 to 9; the front is (3, 4) and (5, 9).
    best, other = (1.05 - 0.5) * (1.05 - 3 / 8), (1.05 - 0.0) * (1.05 - 1.0)
    overlap = (1.05 - 0.5) * (1.05 - 1.0)
    assert states[-1].hypervolume == pytest.approx((best + other - overlap) / 1.05**2)  # share of the ideal box


def test_no_time_is_foretold_before_a_candidate_was_measured(watched):
    one, states, _ = watched([visit(0, PAIR[0], fresh=False)])
    one.follow(None)
    assert [(s.seconds_each, s.left) for s in states] == [(None, None)] * 2


@pytest.mark.parametrize(("limit", "left"), [(20.0, 13.0), (5.0, 0.0), (1000.0, 14.0)])
def test_the_limit_bounds_the_time_that_is_left(limit, left, watched):
    one, states, _ = watched([visit(0, PAIR[0], seconds=2.0)], limit=limit, move=lambda c: setattr(c, "now", 107.0))
    one.follow(None)
    assert states[0].left == left


def test_the_limit_alone_says_what_is_left_of_known_candidates(watched):
    one, states, _ = watched([visit(0, PAIR[0], fresh=False)], limit=20.0)
    one.follow(None)
    assert states[0].left == 20.0


def test_the_hypervolume_is_computed_once_a_generation_while_that_is_cheap(watched, clock):
    visits = [visit(k, PAIR[k % 3], generation=k // 2) for k in range(8)]
    one, states, _ = watched(visits, move=lambda c: setattr(c, "now", c.now + 1.0))
    calls = []
    one._tracker = SimpleNamespace(start=lambda found: calls.append(len(found)), share=lambda front: 0.5)
    one.follow(None)
    assert calls == [2, 4, 6, 8]
    assert [s.hypervolume for s in states] == [None, None] + [0.5] * 7

    def slow(front):
        clock.now += 10.0
        return 0.5

    one, states, _ = watched(visits, move=lambda c: setattr(c, "now", c.now + 1.0))
    calls.clear()
    one._tracker = SimpleNamespace(start=lambda found: calls.append(len(found)), share=slow)
    one.follow(None)
    assert calls == [2, 4, 8]  # the first imports a library and does not count; the second takes too large a share


def computed(watched, clock, seconds, before=0.0, each=1.0):
    """The numbers of candidates at which a hypervolume was computed, which takes so many seconds from the second on."""
    calls, durations = [], [before, *seconds]

    def volume(front):
        clock.now += durations.pop(0) if durations else 0.0
        return 0.5

    visits = [visit(k, PAIR[k % 3], generation=k) for k in range(6)]
    one, _, _ = watched(visits, move=lambda c: setattr(c, "now", c.now + each))
    one._tracker = SimpleNamespace(start=lambda found: calls.append(len(found)), share=volume)
    one.follow(None)
    return calls


def test_a_hypervolume_may_take_three_percent_of_the_time(watched, clock):
    assert computed(watched, clock, [], each=0.0) == [1, 2, 3, 4, 5, 6]  # no time is no more than 3% of no time
    assert computed(watched, clock, [1.0], each=20.0) == [1, 2, 3, 4, 5, 6]  # 1 s in 81 s
    assert computed(watched, clock, [3.0], each=1.0) == [1, 2, 6]  # 3 s in 9 s
    assert computed(watched, clock, [2.0, 2.0], each=20.0) == [1, 2, 3, 6]  # 2 s in 82 s, and 4 s in 124 s


def test_what_breaks_a_constraint_is_not_on_the_front(watched):
    held = (Constraint("cost", upper=True, bound=5.0),)
    task = Task(Chain(6), {"metric": Metric("max"), "cost": Metric("min", "network")}, constraints=held)
    one, states, _ = watched([visit(0, {"cost": 9.0}), visit(1, PAIR[0])], task=task, budget=2)
    one.follow(None)
    assert [s.front for s in states] == [0, 1, 1]
    assert (
        one.closing()[1]
        == "1 of them breaks a constraint by its cost alone and went unscored; ranks are among the other 1"
    )
    assert json.loads(one.json())["front"] == [named(1)]


def test_what_breaks_a_constraint_a_little_is_not_on_the_front_either(watched):
    held = (Constraint("cost", upper=True, bound=5.0),)
    task = Task(Chain(6), {"metric": Metric("max"), "cost": Metric("min")}, constraints=held)
    costs = (5.5, 5.0, 9.0)
    one, states, _ = watched([visit(k, {"metric": 9.0 - k, "cost": cost}) for k, cost in enumerate(costs)], task=task)
    one.follow(None)
    assert [s.front for s in states] == [0, 1, 1, 1]
    assert json.loads(one.json())["front"] == [named(1)]


def test_the_end_names_the_next_commands_with_the_candidate_closest_to_the_ideal(watched, clock):
    visits = [visit(k, values, proposed=2 * k + 1) for k, values in enumerate(PAIR)]
    one, _, _ = watched(visits, budget=3, options=[" --store x.db"])
    one.follow(None)
    clock.now += 90.1236
    assert one.closing() == [
        "run mine: 3 candidates in 1 min 30 s, 0 failed, 2 on the front, hypervolume 54.6% of the ideal box",
        "next: nasctl pareto plot --store x.db",
        f"      nasctl export --arch {named(0)} --store x.db",
    ]
    # A recommended network is named with its reason, and is the one to export.
    recommended = SimpleNamespace(chosen=visits[1].evaluation, reason="the best", sentence="recommended: ID, the best")
    assert one.closing(recommended=recommended)[1:] == [
        "recommended: ID, the best",
        "next: nasctl pareto plot --store x.db",
        f"      nasctl export --arch {named(1)} --store x.db",
    ]
    assert json.loads(one.json(recommended)).items() >= {"recommended": named(1), "why": "the best"}.items()
    assert json.loads(one.json()) == {
        "run": "mine",
        "evaluations": 5,
        "distinct": 3,
        "failed": 0,
        "front": [named(1), named(0)],  # the best metric first
        "seconds": 90.124,
    }


def test_the_end_tells_failures_and_why_it_came_early(watched):
    visits = [
        visit(0, {}, {"metric": "ValueError: first", "cost": "ValueError: second"}),
        visit(1, {}, {"cost": "last"}),
    ]
    one, _, _ = watched(visits)
    one.follow(None)
    assert one.closing()[:4] == [
        "run mine: 2 candidates in 0 s, 2 failed, 0 on the front",
        "the search ended early: the space, or the searcher's way through it, is used up",
        "1 of them breaks a constraint by its cost alone and went unscored; ranks are among the other 1",
        "the last failure was: last",
    ]
    assert " ".join(" ".join(one.closing()[4:]).split()) == (
        "no candidate has a score: metric failed for 1 of 2 candidates and cost failed for all 2 candidates. Mend the"
        " cause; `nasctl runs retry mine` then measures what failed again."
    )
    assert one.exit_status == 1
    one, _, _ = watched(visits, limit=5.0)
    one.follow(None)
    assert "ended early" in one.closing()[1]


def test_the_end_says_that_the_time_ended_it_and_how_to_go_on(watched):
    def move(clock):
        clock.now += 3.0

    one, _, _ = watched([visit(0, PAIR[0]), visit(1, PAIR[1])], limit=5.0, move=move)
    one.follow(None)
    assert one.closing()[1] == "--time ended the search after 2 of 8 candidates; the same command goes on"
    one, _, _ = watched([visit(0, PAIR[0]), visit(1, PAIR[1])], budget=2, limit=5.0, move=move)
    one.follow(None)
    assert "--time" not in " ".join(one.closing())


def test_values_without_a_logarithm_are_named_as_the_reason_of_an_empty_front(watched):
    metric = Metric("max")
    metric.transform = "log10"
    task = Task(Chain(6), {"metric": metric, "cost": Metric("min")})
    one, _, _ = watched([visit(k, {"metric": 0.0 - k, "cost": 1.0}) for k in range(2)], budget=2, task=task)
    one.follow(None)
    assert " ".join(" ".join(one.closing()[1:]).split()) == (
        "no candidate has a score: metric is -1 to 0 for all 2 candidates, where its transform log10 is not defined."
        " Mend the values, or change `transform` and `version` of the metric."
    )
    assert one.exit_status == 1
    scored, _, _ = watched([visit(0, {"metric": 0.0, "cost": 1.0}), visit(1, PAIR[0])], budget=2, task=task)
    scored.follow(None)
    assert scored.exit_status == 0


def test_an_empty_front_under_constraints_asks_to_relax_them(watched):
    held = (Constraint("cost", upper=True, bound=1.0),)
    task = Task(Chain(6), {"metric": Metric("max"), "cost": Metric("min")}, constraints=held)
    one, _, _ = watched([visit(0, PAIR[0])], budget=1, task=task)
    one.follow(None)
    assert one.closing()[-1] == "the front is empty: relax a constraint, or give a larger --budget"
    assert one.exit_status == 0


def test_a_time_limit_before_the_first_candidate_says_so(watched):
    one, states, _ = watched(limit=1.0)
    one.follow(None)
    assert states == []
    assert one.exit_status == 0
    assert one.closing() == [
        "run mine: 0 candidates in 0 s, 0 failed, 0 on the front",
        "the time was over before the first candidate; give a larger --time",
    ]


def test_who_interrupts_is_told_how_to_go_on(watched):
    one, _, _ = watched([visit(0, PAIR[0])])
    one.follow(None)
    lines = ["", "stopped after 1 candidate; this goes on:", "  nasctl search --space x"]
    assert one.interrupted("nasctl search --space x") == lines


def test_the_end_of_a_search_of_the_default_store_needs_no_option(watched):
    one, _, _ = watched([visit(0, PAIR[0])], budget=1)
    one.follow(None)
    assert one.closing()[1:] == ["next: nasctl pareto plot", f"      nasctl export --arch {named(0)}"]


def test_the_beginning_says_in_which_direction_every_objective_is_better():
    run = Run("nbmacro", ("naswot", "macs"), "random", constraints=("params<=3M", "macs>=1000"), called="mine")
    _, objectives, subject, _ = Watch(run, 40, None).opening()
    assert objectives == "objectives: naswot (up), macs (down)"
    assert subject == "subject to: params<=3M, macs>=1k"


def test_the_beginning_says_what_is_searched():
    run = Run("nbmacro", ("latency@gpu", "macs"), "nsga2", constraints=("params<=3M",), called="mine")
    first, objectives, subject, *remarks = Watch(run, 40, None).opening()
    assert first == "run mine: nsga2 on nbmacro (6.56e+03 genomes), up to 40 candidates"
    assert objectives == "objectives: latency@gpu (down), macs (down)"
    assert subject == "subject to: params<=3M"
    assert remarks == [f"latency@gpu: {remark}" for remark in run.remarks["latency@gpu"]] != []


def test_costs_are_at_the_resolution_of_each_network():
    setting = Setting(source("noise"), Fidelity(size=16))
    run = Run("attentivenas:resolutions=192,224,288", ("naswot", "macs"), setting=setting)
    line = "metrics on 64 examples of noise, 3x32x32; costs and latency at 3x192x192 to 3x288x288"
    assert line in Watch(run, 4, None).opening()


@pytest.mark.parametrize(
    ("fidelity", "line"),
    [
        (Fidelity(), "metrics on 64 examples of noise, 3x32x32, the network's own size"),
        (
            Fidelity(batch=8, repeats=3),
            "metrics on 8 examples of noise, 3x32x32, the network's own size, mean of 3 draws",
        ),
        (Fidelity(size=16), "metrics on 64 examples of noise, 3x16x16; costs and latency at 3x32x32"),
        (
            Fidelity(size=16, cells=1, batch=4, repeats=2),
            "metrics on 4 examples of noise, 3x16x16, 1 cell or block a stage, mean of 2 draws; costs and latency at"
            " 3x32x32",
        ),
    ],
)
def test_the_beginning_says_at_what_metrics_are_computed(fidelity, line):
    setting = Setting(source("noise"), fidelity)
    assert line in Watch(Run("nb201", ("naswot", "macs"), setting=setting), 4, None).opening()
    recorded = Run("nb201", ("macs",), setting=setting, record=("naswot",))
    assert not any(text.startswith("metrics on") for text in Watch(recorded, 4, None).opening())


def test_a_retry_names_failed_objectives_of_files_which_run_only_if_they_are_named():
    assert retry_words("nasctl runs retry r", ["macs", "my dir/own.py:Mine:k=2"]) == (
        "nasctl runs retry r -o 'my dir/own.py:Mine:k=2'"
    )
    assert retry_words("nasctl runs retry r", ["swap"]) == "nasctl runs retry r"
