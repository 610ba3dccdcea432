"""Bounds as people write them: units, factors and aliases."""

import pytest

from nasctl.errors import NasctlError
from nasctl.problem import constraints

UNITS = {"latency@pixel4": "ms, batch 1", "params": "parameters", "size": "bytes", "macs": "MACs", "depth": "layers"}


def parsed(text):
    return constraints.parse(text, list(UNITS), lambda name: 1000.0, UNITS)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("latency<=10", 10.0),
        ("latency<=10ms", 10.0),
        ("latency <= 10 ms", 10.0),
        ("latency<=0.01s", 10.0),
        ("latency<=0.0033s", 3.3),
        ("latency<=1500us", 1.5),
        ("latency<=1500µs", 1.5),
        ("latency@pixel4<=1e1MS", 10.0),
        ("size<=4MB", 4e6),
        ("size<=4M", 4e6),
        ("size<=4MiB", 4 * 2**20),
        ("size<=500kB", 5e5),
        ("params<=5M", 5e6),
        ("flops<=0.3G", 3e8),
        ("FLOPs<=300MMACs", 3e8),
        ("macs<=60%", 600.0),
        ("depth<=50", 50.0),
    ],
)
def test_a_bound_may_have_a_unit_of_its_quantity(text, bound):
    assert parsed(text).bound == bound


def test_a_run_keeps_the_natural_unit_and_the_real_name():
    assert str(parsed("latency<=0.01s")) == "latency@pixel4<=10"
    assert str(parsed("flops<=300M")) == "macs<=300000000"
    assert constraints.subject("flops<=300M") == "macs"
    assert (
        constraints.subject("memory:bits=8<=2MB") == constraints.subject("peak-memory:bits=8<=2MB") == "memory:bits=8"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency<=10MB", "Cannot read 'MB' in 'latency<=10MB': latency@pixel4 is in ms. Write a bound such as 10ms"),
        ("latency<=10m", "latency@pixel4 is in ms"),  # 10,000,000 ms are not meant
        ("params<=5ms", "params is in parameters. Write a bound such as 5M."),
        ("size<=5s", "size is in bytes. Write a bound such as 4MB or 500KiB."),
        ("depth<=5x", "depth is in layers"),
        ("latency=<10", "'latency=<10' is no constraint; write one such as latency<=20"),
    ],
)
def test_the_unit_of_another_quantity_is_refused(text, message):
    with pytest.raises(NasctlError) as refused:
        parsed(text)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("bound", "unit", "text"),
    [
        (5e6, "parameters", "cost<=5M"),
        (1500.0, "parameters", "cost<=1.5k"),
        (999.0, "MACs", "cost<=999"),
        (57_482_939.4, "MACs", "cost<=57.4829M"),
        (4e6, "bytes", "cost<=4MB"),
        (10.0, "ms, batch 1", "cost<=10"),
        (20_000.0, "ms, batch 1", "cost<=20000"),
        (5e6, "", "cost<=5000000"),
    ],
)
def test_people_read_a_bound_with_its_prefix(bound, unit, text):
    assert constraints.Constraint("cost", True, bound).text(unit) == text
    assert constraints.Constraint("cost", False, bound).text(unit) == text.replace("<=", ">=")


@pytest.mark.parametrize(
    ("text", "least", "hint"),
    [
        ("params<=5", 1.2e6, " The bound is 5 parameters; 5M means 5 million."),
        ("params<=500", 4e5, " The bound is 500 parameters; 500k means 500 thousand."),
        ("size<=4", 1e6, " The bound is 4 bytes; 4MB means 4 million."),
        ("macs<=300", 1e7, " The bound is 300 MACs; 300M means 300 million."),
        ("params<=5k", 1e6, ""),  # the prefix was written
        ("params<=5", 3.0, ""),  # there are such networks
        ("params<=5", 1e9, ""),  # no prefix would help
        ("latency<=5", 1e4, ""),
    ],
)
def test_a_prefix_that_is_probably_missing_is_named(text, least, hint):
    one = parsed(text)
    assert constraints.prefix_hint(one, UNITS[one.name], least) == hint


@pytest.mark.parametrize("text", ["params<=0", "params<=-5M"])
def test_a_bound_on_a_cost_is_positive(text):
    with pytest.raises(NasctlError, match=r"a bound on params must be positive\. Write a bound such as 5M\.$"):
        constraints.check_positive(text, parsed(text), "parameters")
    constraints.check_positive("params>=0", parsed("params>=0"), "parameters")
