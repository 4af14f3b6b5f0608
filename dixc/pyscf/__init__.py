"""PySCF mean fields that run on dixc functionals, or are accelerated by one."""

from dixc.pyscf.accelerate import accelerate
from dixc.pyscf.accelerated import Acceleration
from dixc.pyscf.rks import RKS
from dixc.pyscf.uks import UKS

__all__ = ["RKS", "UKS", "Acceleration", "accelerate"]
