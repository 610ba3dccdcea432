"""Candidates: one genome in its space and setting, and the facts about its module that metrics read.

Each pass over a candidate's module is one file. A pass runs when a metric first needs it, and runs once.
"""

from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import Objective, closed_form
from nasctl.candidates.setting import Setting, make_setting
from nasctl.candidates.weights_source import DrawnWeights, WeightsSource

__all__ = ["Candidate", "DrawnWeights", "Objective", "Setting", "WeightsSource", "closed_form", "make_setting"]
