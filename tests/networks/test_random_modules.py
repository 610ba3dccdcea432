"""Random modules become networks that are equal to them, or are refused in a sentence."""

import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks.random_modules import check, draw_source, module_class


def _checked(number):
    @settings(
        max_examples=number, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.binary(min_size=2, max_size=40))
    def run(content):
        outcome = check(content)
        assert outcome.status in ("exact", "refused"), f"{outcome.reason}\n{draw_source(content)[0]}"

    run()


def test_a_random_module_is_equal_or_refused():
    _checked(40)


@pytest.mark.slow
def test_many_random_modules_are_equal_or_refused():
    _checked(2000)


def test_most_of_the_random_modules_are_taken():
    rng = random.Random(0)
    found = Counter(check(rng.randbytes(rng.randint(2, 40))).status for _ in range(40))
    assert found["exact"] >= 20


def test_a_source_says_what_its_bytes_say():
    assert draw_source(b"\x00\x00") == draw_source(b"\x00\x00")
    assert draw_source(bytes(8))[0].count("torch.relu") > 1
    module_class(draw_source(bytes(range(40)))[0])()
