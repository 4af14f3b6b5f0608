"""The stage `tables`: merges the parts of a run into its tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dixc import provenance
from dixc.tables import details
from dixc.tables.frames import write_tables
from dixc.tables.merge import Paths, merge
from dixc.tables.summary import summarise

PROGRAMS = ("dixc", "commit", "dirty", "pyscf", "libxc", "torch", "numpy", "environment", "config")


def run(scf: Paths, warmstart: Paths, tddft: Paths, out: Path, config_hash: str | None = None) -> None:
    """Merge all parts and write the tables into `out`.

    Args:
        scf: chunk files of stage "scf".
        warmstart, tddft: CSV parts.
        out: folder of the tables.
        config_hash: hash of the run's config, for the provenance.

    Raises:
        InputError: a part is missing, damaged, of another kind, or tells of the same molecule as
            another part; or a molecule is in two splits.
    """
    tables = merge(scf, warmstart, tddft)
    tables["summary"] = summarise(tables)
    tables |= details.collect(scf, warmstart, tddft)
    write_tables(tables, out, record_of(scf, config_hash))


def record_of(scf: Paths, config_hash: str | None) -> dict[str, Any]:
    """Provenance of the tables: this program's, and that of the programs that made the SCF parts.

    Returns:
        as of `provenance.collect` and `provenance.origin`; `made_by`: distinct versions of the
        programs behind the parts, each with its number of files; `packages`: versions of all
        installed packages.
    """
    from pyscf.dft import libxc  # noqa: F401  (its version is known only once it is loaded)

    from dixc.store import read_info

    found = [read_info(path)["provenance"] for path in scf]
    counts = Counter(tuple((key, part[key]) for key in PROGRAMS if key in part) for part in found)
    molecules = provenance.combined(str(part.get("molecules", "")) for part in found)
    made_by = [dict(versions) | {"files": count} for versions, count in counts.items()]
    record = provenance.collect() | provenance.origin(config_hash, molecules)
    return record | {"made_by": made_by, "packages": provenance.installed()}
