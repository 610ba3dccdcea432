"""A search from Python: `import nasctl` offers all that it takes."""

from pathlib import Path
from tempfile import TemporaryDirectory

import nasctl

with TemporaryDirectory() as folder:
    store = Path(folder) / "nasctl.db"
    asked = {"objectives": ["synflow"], "device": "gpu", "constraints": "params<=2M", "store": store}
    result = nasctl.search("nbmacro", budget=30, **asked)
    result = nasctl.search("nbmacro", budget=40, **asked)  # continues with 10 more candidates

    print(f"{len(result.front)} of {len(result.evaluations)} candidates are on the Pareto front:")
    for solution in result.front:
        print(solution.id, solution.values)

    architecture = nasctl.load_architecture(result.front[0].id, store=store)
    print(architecture.genes)

    # The exported Python module depends on torch alone.
    (path,) = nasctl.export(architecture.id, output=folder, store=store).values()
    print(path.read_text())
