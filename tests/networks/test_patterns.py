"""Modules in the manner of published families become exact networks; odd ones are refused, none is silently wrong."""

from functools import cache

import pytest
from networks.patterns import PATTERNS
from networks.patterns.check import compare

POSITIVE = [name for name, one in PATTERNS.items() if not one.negative]
NEGATIVE = [name for name, one in PATTERNS.items() if one.negative]
# Positive patterns that are refused, each with words of the message.
KNOWN_REFUSALS: dict[str, str] = {}


@cache
def outcome(name):
    return compare(PATTERNS[name])


@pytest.mark.parametrize("name", POSITIVE)
def test_a_module_of_a_family_becomes_an_exact_network(name):
    found = outcome(name)
    if name in KNOWN_REFUSALS:
        assert found.status == "refused"
        assert KNOWN_REFUSALS[name] in found.reason
    else:
        assert (found.status, found.reason) == ("exact", "")


@pytest.mark.parametrize("name", NEGATIVE)
def test_an_odd_module_is_refused_in_a_sentence_or_exact(name):
    found = outcome(name)
    assert found.status in ("refused", "exact"), found.reason


def test_ninety_five_percent_trace_exactly_and_none_is_silently_wrong():
    assert len(POSITIVE) >= 60
    assert sum(outcome(name).status == "exact" for name in POSITIVE) >= 0.95 * len(POSITIVE)
    assert {name: outcome(name).reason for name in PATTERNS if outcome(name).status in ("wrong", "crashed")} == {}
