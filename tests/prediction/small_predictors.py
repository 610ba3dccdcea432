"""Small predictors of a space, fitted to results that are a function of the network."""

import numpy as np

from nasctl import registry
from nasctl.analysis.accuracy_fit import FitRequest, fit_accuracy
from nasctl.analysis.accuracy_labels import LabelledGenomes
from nasctl.analysis.score import score_genomes
from nasctl.candidates.setting import Setting
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.sampling import unseen
from nasctl.store.store import Store

SMALL = "nb201:channels=4,cells=1"
LOW = Setting(fidelity=Fidelity(size=8, batch=4))  # a setting in which metrics take milliseconds


def known_result(network):
    """A made-up accuracy, in %, which larger networks have more of."""
    return 60 + 2 * np.log1p(network.params)


def small_predictor(
    folder,
    spec=SMALL,
    metrics=("params", "macs"),
    number=16,
    setting=LOW,
    model="gaussian_process+ridge",
):
    """The result of a fit to random networks of a space."""
    space = registry.create("spaces", spec)
    genomes = [space.canonical(one) for one in unseen(space, np.random.default_rng(0), number)]
    labels = np.array([known_result(space.network(genome)) for genome in genomes])
    known = LabelledGenomes(tuple(genomes), labels, np.full(number, 0.1), "accuracy, %", "made up")
    task = Task(space, {name: registry.create("objectives", name) for name in metrics}, setting)
    rows = {row.evaluation.genome: row for row in score_genomes(task, spec, genomes, Store(folder / "fit.db"))}
    nobody = known.part(np.arange(0))
    return fit_accuracy(FitRequest(task, spec, known, nobody, model=model), rows)
