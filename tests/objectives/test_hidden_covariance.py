"""Known answers about the covariance of hidden states."""

import csv
import gzip
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import kendalltau
from torch import nn

from nasctl import registry
from nasctl.api import BadOption, Candidate, Embedding, Fidelity, NasctlError, Setting
from nasctl.cli import cli
from nasctl.data import default_source
from nasctl.search import applicability
from nasctl.testing import drawn

SMALL = "rnn:vocabulary=50,length=9,layers=2,width=4,hidden=5"
SETTING = Setting(default_source("tokens"), Fidelity(batch=40))
K = 1e-5


class Layers(nn.Module):
    """Layers in a row that put out given states after each step, (B, T, H), whatever comes in."""

    def __init__(self, *states):
        super().__init__()
        self.states = states
        for k in range(len(states)):
            self.add_module(f"layer{k}", nn.Identity())

    def forward(self, tokens):
        for k, states in enumerate(self.states):
            self.get_submodule(f"layer{k}")(states)
        raise AssertionError("the rest of the network need not run")


def score(*layers, spec="hidden_covariance"):
    """The metric of a candidate whose recurrent layers have these states after each step."""
    nodes = [SimpleNamespace(name=f"layer{k}", layer=SimpleNamespace(recurrent=True)) for k in range(len(layers))]
    other = SimpleNamespace(name="embedding", layer=Embedding(5, 4))
    return registry.create("objectives", spec)(
        SimpleNamespace(
            scored=SimpleNamespace(nodes=[other, *nodes]),
            module=lambda: Layers(*layers),
            batch=lambda: (torch.zeros(1), None),
        )
    )


def expected(values):
    return -sum(math.log(value + K) + 1 / (value + K) for value in values)


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, list(arguments), catch_exceptions=False)


# The states before each step are zeros and those after each step but the last: here 0, 1, -1 of the first unit.
@pytest.mark.parametrize(
    ("other", "correlation"),
    [((1.0, 1.0), 0), ((2.0, -1.0), 3 / math.sqrt(2 * 14 / 3)), ((3.0, -3.0), 1), ((-0.5, 0.5), -1)],
)
def test_two_units_by_hand(other, correlation):
    states = torch.tensor([[[1.0, other[0]], [-1.0, other[1]], [7.0, -9.0]]])
    assert score(states) == pytest.approx(expected([1 + correlation, 1 - correlation]), rel=1e-4)


def test_two_sequences_by_hand():
    # Of each, steps before units: 0, 0, 1, 2 and 0, 0, 1, -2.
    states = torch.tensor([[[1.0, 2.0], [9.0, 9.0]], [[1.0, -2.0], [9.0, 9.0]]])
    correlation = (-3 + 3 / 4) / math.sqrt((5 - 9 / 4) * (5 - 1 / 4))
    found = score(states, spec="hidden_covariance:axis=sequences")
    assert found == pytest.approx(expected([1 + correlation, 1 - correlation]), rel=1e-6)


def test_the_layer_is_counted_from_one():
    torch.manual_seed(0)
    one, two = torch.randn(8, 5, 3), torch.randn(8, 5, 3)
    assert score(one, two) == score(one) != score(two) == score(one, two, spec="hidden_covariance:layer=2")
    with pytest.raises(ValueError, match="has 2 recurrent layers at this fidelity, so it has no layer 3"):
        score(one, two, spec="hidden_covariance:layer=3")


def test_it_is_that_of_the_released_code():
    # `jacobian_score` with the units first, as `hidden_scores` stacks them, by eigenvalues of a general matrix.
    space, objective = registry.create("spaces", SMALL), registry.create("objectives", "hidden_covariance")
    compared = 0
    for genome in drawn(space, 20):
        candidate = Candidate(space, space.canonical(genome), SETTING, objective.needs)
        module, tokens = candidate.module().eval(), candidate.batch()[0]
        after = module.layer1(module.embedding(tokens, module.table(tokens))).detach().numpy()
        before = [np.zeros_like(after[:, 0]), *after.transpose(1, 0, 2)[:-1]]  # a state before each step
        units = np.dstack(before).transpose(1, 0, 2).reshape(5, -1)
        if np.ptp(units, axis=1).min() > 1e-3:
            values = np.linalg.eig(np.corrcoef(units))[0].real + K
            assert objective(candidate) == pytest.approx(-np.sum(np.log(values) + 1 / values), rel=0.01)
            compared += 1
    assert compared > 10


# --- what has no score ---


def test_constant_or_infinite_states_have_no_score():
    states = torch.randn(4, 5, 3)
    states[..., 1] = 0
    with pytest.raises(ValueError, match="no correlations"):
        score(states)
    states[1, 2, 1] = math.inf
    with pytest.raises(ArithmeticError, match="not finite"):
        score(states)


@pytest.mark.parametrize("options", ["layer=0", "axis=rows"])
def test_an_option_without_a_meaning_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("objectives", f"hidden_covariance:{options}")


@pytest.mark.parametrize(
    ("space", "spec", "why"),
    [
        ("nb201", "hidden_covariance", "it needs recurrent layers, and these networks have none"),
        (SMALL, "hidden_covariance:layer=3", "it is about recurrent layer 3, and these networks have 2"),
    ],
)
def test_spaces_without_such_a_layer_are_refused_before_anything_is_written(nasctl, tmp_path, space, spec, why):
    with pytest.raises(NasctlError, match=why):
        applicability.refuse_inapplicable(registry.create("spaces", space), {spec: registry.create("objectives", spec)})
    done = nasctl("search", f"--space={space}", f"--objective={spec},params", "--budget=2")
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert why in done.stderr


def test_a_search_needs_no_word_about_data(nasctl):
    given = ["search", f"--space={SMALL}", "--objective=hidden_covariance,params", "--searcher=random", "--budget=4"]
    done = nasctl(*given)
    assert done.exit_code == 0, done.stderr
    (run,) = json.loads(nasctl("runs", "list", "--json").stdout)
    shown = json.loads(nasctl("runs", "show", run["name"], "--json").stdout)
    assert "data=tokens" in json.dumps(shown)
    assert nasctl(*given).exit_code == 0  # which resumes


# --- against trained networks ---


@pytest.mark.slow  # half a minute
def test_it_orders_published_cells_by_their_loss(data):
    with gzip.open(data("rnn-bert-trainingfree") / "nasbenchnlp_wikitext2.csv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "OK"][::2]
    space, objective = registry.create("spaces", "rnn"), registry.create("objectives", "hidden_covariance")
    setting = Setting(default_source("tokens"), space.levels["balanced"])
    scores = []
    for row in rows:
        genome = space.canonical(space.parse(row["recepie"]))
        try:
            scores.append(objective(Candidate(space, genome, setting, objective.needs)))
        except (ValueError, ArithmeticError):
            scores.append(-math.inf)
    assert kendalltau(scores, [-float(row["test_loss_last"]) for row in rows]).statistic > 0.3
