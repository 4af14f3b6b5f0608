"""PySCF mean fields that run on dixc functionals."""

from dixc.pyscf.rks import RKS

__all__ = ["RKS"]
