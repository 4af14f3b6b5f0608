"""Molecules: what one is, extended-xyz files of them, and their division into train, validation and test."""

from dixc.molecules.molecule import Molecule, open_shell_reason
from dixc.molecules.splits import prepare
from dixc.molecules.xyz import read_xyz, write_xyz

__all__ = ["Molecule", "open_shell_reason", "prepare", "read_xyz", "write_xyz"]
