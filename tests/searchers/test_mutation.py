"""Uniform mutation of genes."""

import numpy as np
import pytest

from nasctl.searchers._mutation import redraw_genes

CARDINALITIES = np.array([5, 2, 3, 1])


def test_every_other_choice_is_equally_likely():
    rng, genomes = np.random.default_rng(0), np.tile([4, 1, 0, 0], (20_000, 1))
    redrawn = redraw_genes(rng, genomes, CARDINALITIES, 0.25)
    for gene, (cardinality, before) in enumerate(zip(CARDINALITIES, (4, 1, 0, 0), strict=True)):
        shares = np.bincount(redrawn[:, gene], minlength=cardinality) / len(genomes)
        expected = np.full(cardinality, 0.25 / max(1, cardinality - 1))
        expected[before] = 0.75 if cardinality > 1 else 1.0
        assert shares == pytest.approx(expected, abs=0.015), gene  # four standard deviations


def test_a_gene_with_several_choices_changes_for_certain_with_probability_1():
    genomes = np.tile([4, 1, 0, 0], (100, 1))
    assert ((redraw_genes(np.random.default_rng(0), genomes, CARDINALITIES, 1.0) != genomes) == [1, 1, 1, 0]).all()


@pytest.mark.parametrize(("seed", "expected"), [(0, [[0, 0, 1, 0], [3, 0, 0, 0]]), (1, [[0, 1, 1, 0], [4, 1, 0, 0]])])
def test_a_seed_leads_to_the_genomes_of_nasctl_0_1(seed, expected):
    # The numbers come from the mutation that mtf_pdns, guided and predictor each had in version 0.1.
    genomes = np.array([[0, 1, 2, 0], [3, 0, 0, 0]])
    assert redraw_genes(np.random.default_rng(seed), genomes, CARDINALITIES, 0.5).tolist() == expected
