"""Derivatives of exchange-correlation functionals: invariants, expansions around a density, parameter gradients."""
