"""A search from Python, with the functions behind `nasctl search`, `nasctl pareto show` and `nasctl export`."""

from pathlib import Path
from tempfile import TemporaryDirectory

from nasctl import registry
from nasctl.architectures import ids
from nasctl.networks.python_source import source
from nasctl.pareto.losses import front
from nasctl.search.run import Run
from nasctl.store.store import Store

run = Run("nbmacro", objectives=("synflow", "latency@gpu"), constraints=("params<=2M",))
space = registry.create("spaces", run.space)

with TemporaryDirectory() as folder:
    store = Store(Path(folder) / "nasctl.db")
    for visit in run.search(store, budget=40):  # a second call resumes the run
        print(visit.generation, visit.evaluation.genome, visit.evaluation.values)
    best = front(store.evaluations(run.name), run.task.objectives, run.task.constraints)

for evaluation in best:
    print(ids.encode(run.space, space.genes, evaluation.genome), evaluation.values)

print(source(space.network(best[0].genome)))  # a Python module that depends only on torch
