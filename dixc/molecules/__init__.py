"""Molecules: what one is, where they come from, and their division into splits."""

from dixc.molecules.molecule import Molecule, open_shell_reason
from dixc.molecules.sources import source_files, source_versions
from dixc.molecules.splits import expected_sizes
from dixc.molecules.xyz import read_xyz, write_xyz

__all__ = [
    "Molecule",
    "expected_sizes",
    "open_shell_reason",
    "read_xyz",
    "source_files",
    "source_versions",
    "write_xyz",
]
