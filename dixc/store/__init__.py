"""Chunk files: HDF5, one group a molecule, with provenance, units and a checksum.

A chunk starts with a block of 512 bytes that HDF5 leaves to its user: a line with the format's version and
the size and SHA-256 of all that follows. It is verified before HDF5 sees the file, which is not made for
damaged input. `ChunkWriter` keeps each finished molecule as a small chunk of its own in a hidden folder, so
that a killed job goes on where it stopped, and puts them together at the end.
"""

from dixc.store.files import FORMAT_VERSION, atomic_file, decoding, held_errors, open_chunk, require_writable
from dixc.store.info import molecule_group, molecules_hash, read_info, require_made_from
from dixc.store.sidecar import write_csv, write_sidecar
from dixc.store.writer import ChunkWriter

__all__ = [
    "FORMAT_VERSION",
    "ChunkWriter",
    "atomic_file",
    "decoding",
    "held_errors",
    "molecule_group",
    "molecules_hash",
    "open_chunk",
    "read_info",
    "require_made_from",
    "require_writable",
    "write_csv",
    "write_sidecar",
]
