"""Fock builds, counted from outside."""

from __future__ import annotations

import pytest
from pyscf import dft, scf

import dixc.pyscf


@pytest.fixture
def builds(monkeypatch):
    """Counts calls of the hybrid's get_veff on PySCF's classes; those of dixc's own mean fields are left out."""
    calls = []

    def counted(original):
        def get_veff(self, *args, **kwargs):
            if not isinstance(self, dixc.pyscf.RKS):
                calls.append(1)
            return original(self, *args, **kwargs)

        return get_veff

    for cls in (dft.rks.RKS, scf.hf.RHF):
        monkeypatch.setattr(cls, "get_veff", counted(cls.get_veff))
    return calls
