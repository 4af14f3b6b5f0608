"""Singlet excitation energies: dense Casida matrices, and an iterative solver for larger molecules."""

from dixc.excitations.casida import HARTREE_EV, CasidaMatrix, Excitations
from dixc.excitations.intensity import oscillator_strengths
from dixc.excitations.matrices import Window, dense_matrices
from dixc.excitations.solver import ResponseSolver

__all__ = [
    "HARTREE_EV",
    "CasidaMatrix",
    "Excitations",
    "ResponseSolver",
    "Window",
    "dense_matrices",
    "oscillator_strengths",
]
