"""PySCF mean fields that run on dixc functionals, or are accelerated by one."""

from dixc.pyscf.accelerate import accelerate
from dixc.pyscf.accelerated import Acceleration
from dixc.pyscf.rks import RKS

__all__ = ["RKS", "Acceleration", "accelerate"]
