"""What is imported is declared: another package that needs it today may not need it tomorrow."""

import ast
import re
import sys
import tomllib

from paths import ROOT

# Names of distributions that differ from the module's.
NAMES = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
NAMES |= {"ai_edge_litert": "ai-edge-litert", "litert_torch": "litert-torch"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LISTED = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
DECLARED = [re.match(r"[\w-]+", line)[0] for line in LISTED]


def test_every_import_is_declared():
    found = set()
    for folder in ("nasctl", "spaces", "objectives", "hardware"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
                found |= {name.partition(".")[0] for name in names}
    outside = found - set(sys.stdlib_module_names) - {"nasctl"}
    assert {NAMES.get(name, name) for name in outside} <= set(DECLARED)


def test_dependencies_are_sorted_and_have_a_tested_version():
    assert PROJECT["dependencies"] == sorted(PROJECT["dependencies"])
    tested = [line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()[1:]]
    assert tested == sorted(tested)
    shipped = {re.match(r"[\w-]+", line)[0] for line in PROJECT["dependencies"]}
    assert shipped - set(tested) == set()
