"""The metrics that a predictor reads, measured of one candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import Objective, version_on
from nasctl.candidates.setting import Setting, parts
from nasctl.errors import NasctlError
from nasctl.prediction.space_predictor import SpacePredictor

# Parts of a setting that change values beyond rounding, and the options that set them.
DECISIVE = {"data": "--data", "fidelity": "--fidelity", "weights seed": "--weights-seed", "weights": "weights"}


def predictor_metrics(predictor: SpacePredictor) -> dict[str, Objective]:
    """Return the objectives whose values a predictor reads, by their specs.

    Raises:
        NasctlError: An objective does not exist, or nasctl computes other values of it than when the predictor was
            fitted.
    """
    found: dict[str, Objective] = {}
    for spec, facts in predictor.file.metrics.items():
        objective: Objective = registry.create("objectives", spec)
        if (version := version_on(objective, predictor.space)) != facts.version:
            raise NasctlError(
                f"Cannot use the predictor: it was fitted to version {facts.version} of {spec}, and this nasctl"
                f" measures version {version}. Fit it again with `nasctl objective fit`."
            )
        found[spec] = objective
    return found


def metric_values(
    predictor: SpacePredictor, metrics: Mapping[str, Objective], candidate: Candidate
) -> dict[str, float]:
    """Return the values of a predictor's metrics for a candidate, without those that failed.

    Args:
        predictor: The predictor.
        metrics: Its metrics, as `predictor_metrics` returns them.
        candidate: The candidate.

    Raises:
        NasctlError: The candidate is measured in another setting than the metrics of the labelled networks.
    """
    setting = candidate.setting
    drawn = replace(setting, seed=setting.seed // setting.fidelity.repeats)  # the setting of the draw's run
    if reason := wrong_setting(predictor, drawn):
        raise NasctlError(f"Cannot predict here: {reason}")
    found = {}
    for name, metric in metrics.items():
        try:
            value = float(metric(candidate))
        except NasctlError:
            raise
        except Exception:  # a failed metric is a feature of its own
            continue
        if math.isfinite(value):
            found[name] = value
    return found


def wrong_setting(predictor: SpacePredictor, setting: Setting) -> str:
    """Return how the setting of a search differs from the predictor's, and a remedy; "" if it does not.

    Args:
        predictor: The predictor.
        setting: The setting, with the seed of the search and not of one of its draws.
    """
    if predictor.file.setting is None:
        return ""
    one, other = parts(predictor.file.setting), parts(str(setting))
    for name, option in DECISIVE.items():
        given, here = one.get(name, "drawn"), other.get(name, "drawn")
        if given != here:
            return (
                f"the predictor was fitted to metrics with the {name} {given}, and here it is {here}. Give {option} of"
                " the fit, or fit another."
            )
    return ""
