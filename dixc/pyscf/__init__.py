"""PySCF mean fields that run on dixc functionals."""

from dixc.pyscf.rks import RKS
from dixc.pyscf.uks import UKS

__all__ = ["RKS", "UKS"]
