"""Folders that tests read."""

import os
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent  # the checkout
DATA = Path(os.environ.get("NASCTL_DATA", ROOT.parent / "shared" / "data"))  # published data sets; may be absent
