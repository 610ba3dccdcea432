"""A candidate: one genome in its space and setting, and what metrics read of it.

Each pass over a candidate's module is one file. A pass runs when a metric first needs it, and runs once.
"""

from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import Objective, closed_form
from nasctl.candidates.setting import Setting

__all__ = ["Candidate", "Objective", "Setting", "closed_form"]
