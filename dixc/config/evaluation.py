"""The section `evaluation` of config.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dixc.config.base import Count, FunctionalName, Section, Split, Threshold, require_unique


class EvaluationScf(Section):
    """SCF with each functional on all molecules, from PySCF's default guess."""

    conv_tol: Threshold = Field(default=1e-9, description="change of the energy at convergence, hartree")
    max_cycle: Count = Field(default=50, description="most SCF iterations; more count as a failure")


class Warmstart(Section):
    """Reference SCF started from the functional's solution."""

    splits: list[Split] = Field(default=["test"], description="splits to run it on; an empty list for none")
    accelerate: bool = Field(
        default=True, description="also with the functional's Hessian (`dixc.pyscf.accelerate`)"
    )


class Tddft(Section):
    """Excitation energies with each functional."""

    splits: list[Split] = Field(default=["test"], description="splits to run it on; an empty list for none")
    n_states: Count = Field(default=3, description="lowest singlets to compare, at most derivatives.n_states")
    methods: list[Literal["tddft", "tda"]] = Field(
        default=["tddft", "tda"], min_length=1, description="tddft: full Casida problem; tda: Tamm-Dancoff"
    )


class Evaluation(Section):
    """What is measured with each functional."""

    baselines: list[FunctionalName] = Field(
        default=["pbe", "r2scan"],
        description="untrained functionals beside the trained ones, by registry name",
    )
    scf: EvaluationScf = Field(default=EvaluationScf(), description="SCF of the functionals")
    warmstart: Warmstart = Field(
        default=Warmstart(), description="reference SCF from the functional's solution"
    )
    tddft: Tddft = Field(default=Tddft(), description="excitation energies")

    @model_validator(mode="after")
    def _no_repeats(self) -> Evaluation:
        require_unique(self.baselines, "baselines")
        require_unique(self.warmstart.splits, "warmstart.splits")
        require_unique(self.tddft.splits, "tddft.splits")
        require_unique(self.tddft.methods, "tddft.methods")
        return self
