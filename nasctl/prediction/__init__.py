"""Predictors of accuracy from metrics, costs and genes, fitted to the known accuracies of some networks."""
