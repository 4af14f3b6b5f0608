"""The mixin behind `dixc.pyscf.accelerate`: a PySCF mean field with another kernel()."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pyscf import lib
from pyscf.lib import logger
from pyscf.scf import chkfile

from dixc.core.orbitals import split_orbitals
from dixc.core.state import State
from dixc.errors import InputError
from dixc.functionals.base import Functional
from dixc.functionals.identity import display_name
from dixc.pyscf.cheap_model import CheapModel
from dixc.pyscf.few_builds import SHARE_LEFT, Estimate, FewBuilds
from dixc.pyscf.fingerprint import fingerprint
from dixc.pyscf.hybrid_steps import HybridSteps, tolerances
from dixc.pyscf.surrogates import FittedSurrogate, FunctionalSurrogate, Surrogate, fitting_of
from dixc.pyscf.targets import is_left_to_pyscf, require_suited

# attributes of a mean field that no energy depends on: results, and how and how far it is converged
RESULTS = frozenset({"mo_coeff", "mo_occ", "mo_energy", "e_tot", "converged", "cycles", "scf_summary"})
CONTROL = frozenset({"conv_tol", "conv_tol_grad", "conv_tol_cpscf", "max_cycle", "callback", "chkfile"})


@dataclass(frozen=True)
class Acceleration:
    """How a mean field is accelerated.

    Attributes:
        functional: the cheap functional.
        grid_level: PySCF grid level of the cheap functional; None for the grid of the mean field.
        fit_coulomb: Coulomb matrices of the cheap functional by density fitting.
        rtol: relative residual of the conjugate gradients.
        secants: correct the model's inverse Hessian by the gradients seen.
        exchange: correct the model's Hessian for the exact exchange that the functional lacks.
        max_builds: exact Fock builds to spend at most; kernel() then gives the energy that they tell (see
            `dixc.pyscf.few_builds`). None: as many as convergence takes.
        surrogate: what stands for the mean field between builds, "fitted" or "functional" (`dixc.pyscf.surrogates`);
            None for "fitted" with `max_builds`, "functional" without.

    Raises:
        InputError: a setting that is none of these.
    """

    functional: Functional = field(repr=False)
    grid_level: int | None = 0
    fit_coulomb: bool = True
    rtol: float = 3e-2
    secants: bool = True
    exchange: bool = True
    max_builds: int | None = None
    surrogate: str | None = None

    def __post_init__(self) -> None:
        number = self.max_builds
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise InputError(f"accelerate: max_builds must be a whole number above zero, not {number!r}")
        if self.surrogate is not None and self.surrogate not in SHARE_LEFT:
            raise InputError(
                f"accelerate: surrogate must be one of {', '.join(SHARE_LEFT)}, not {self.surrogate!r}"
            )

    @property
    def kind(self) -> str:
        """Which surrogate is meant."""
        return self.surrogate or ("functional" if self.max_builds is None else "fitted")

    @property
    def name(self) -> str:
        """Name of the functional for log lines."""
        return display_name(self.functional)


@dataclass(frozen=True)
class _Solved:
    """What a converged kernel() leaves for the next one."""

    problem: str
    mo_coeff: NDArray
    energy: float
    conv_tol: float
    conv_tol_grad: float
    point: State | None


class Accelerated:
    """Mixin in front of a PySCF mean-field class."""

    __name_mixin__ = "Accelerated"
    _keys = frozenset(
        {"acceleration", "hybrid_fock_builds", "cheap_fock_builds", "cg_products", "accelerated_by_diis",
         "energy_error_estimate", "e_tot_build", "energy_minima", "cheap_scf_wall_s"}
    )  # fmt: skip

    def __init__(self, mf, acceleration: Acceleration):
        self.__dict__.update(mf.__dict__)
        self.acceleration = acceleration
        self.hybrid_fock_builds = self.cheap_fock_builds = self.cg_products = self._veff_calls = 0
        self.accelerated_by_diis, self.energy_error_estimate, self.cheap_scf_wall_s = False, None, 0.0
        self.e_tot_build: float | None = None
        self.energy_minima: list[float] = []
        self._solved: _Solved | None = None
        # a get_veff that was put on the object is called by the counting one below instead of hiding it
        self._given_get_veff = self.__dict__.pop("get_veff", None)

    def undo_accelerate(self):
        """The mean field without acceleration, with the results that it has."""
        plain = lib.view(self, lib.drop_class(self.__class__, Accelerated))
        for name in [*Accelerated._keys, "_solved", "_given_get_veff", "_veff_calls"]:
            plain.__dict__.pop(name, None)
        if self._given_get_veff is not None:
            plain.get_veff = self._given_get_veff
        return plain

    def __reduce__(self) -> tuple:
        return accelerated, (self.undo_accelerate(), self.acceleration)

    def get_veff(self, *args, **kwargs):
        """The mean field's own; every call is counted."""
        self._veff_calls += 1
        return (self._given_get_veff or super().get_veff)(*args, **kwargs)

    def reset(self, mol=None):
        """Forget everything that belongs to the molecule."""
        self._solved = None
        return super().reset(mol)

    def dump_flags(self, verbose=None):
        super().dump_flags(verbose)
        logger.info(self, "accelerated by %s: %s", self.acceleration.name, self.acceleration)
        return self

    def scf(self, dm0: NDArray | None = None, **kwargs) -> float:
        """Converge to conv_tol and conv_tol_grad; the total energy in hartree. Also called kernel().

        The cheap functional's SCF starts from `dm0`, else from the density that the object has, else from PySCF's
        guess. An object that is converged already starts from its own orbitals, and one that this method converged
        to the same thresholds costs no Fock build. With max_cycle 0, without electrons and for a model without atoms
        this is PySCF's own kernel.

        With `max_builds`, e_tot is the energy that so many builds tell, `e_tot_build` that of the last one, and
        `energy_error_estimate` what may be left of e_tot's error; `converged` says that this is below conv_tol.
        Orbitals and density are those after the last step. Another kernel() goes on from there.

        Raises:
            InputError: what was changed since cannot be accelerated, such as fixed irreps.
        """
        require_suited(self)
        if self.max_cycle <= 0 or is_left_to_pyscf(self):
            return self._leave_to_pyscf(dm0, kwargs)
        if dm0 is None and self._is_answered():
            self.e_tot = self._solved.energy
            logger.note(self, "already converged, SCF energy = %.15g", self.e_tot)
            return self.e_tot
        self.dump_flags()
        self.build(self.mol)
        self._veff_calls = self.cheap_fock_builds = self.cg_products = 0
        self.accelerated_by_diis, self.energy_error_estimate, self.cheap_scf_wall_s = False, None, 0.0
        self.e_tot_build, self.energy_minima = None, []
        self._solved = self._solve(dm0, kwargs)
        self.hybrid_fock_builds = self._veff_calls
        if self.e_tot_build is None:  # PySCF's kernel had to finish
            self.e_tot_build = self.e_tot
        return self.e_tot

    kernel = lib.alias(scf, alias_name="kernel")

    def _leave_to_pyscf(self, dm0: NDArray | None, kwargs: dict) -> float:
        self._veff_calls, self._solved, self.accelerated_by_diis = 0, None, True
        self.energy_error_estimate, self.energy_minima = None, []
        super().scf(dm0, **kwargs)
        self.hybrid_fock_builds, self.e_tot_build = self._veff_calls, self.e_tot
        return self.e_tot

    def _problem(self) -> str:
        """Fingerprint of all that reaches the energy: whatever the object holds, and the matrices that come from it."""
        own = Accelerated._keys | {"_solved", "_veff_calls"}
        matrices = np.ascontiguousarray(self.get_hcore()), np.ascontiguousarray(self.get_ovlp())
        values = b"".join(matrix.tobytes() for matrix in matrices) + repr(self.energy_nuc()).encode()
        return hashlib.sha256(values).hexdigest() + fingerprint(self, RESULTS | CONTROL | own)

    def _holds(self, solved: _Solved | None) -> bool:
        """Whether a former solution, converged or not, is still that of this object."""
        return (
            solved is not None and self.mo_coeff is solved.mo_coeff and solved.problem == self._problem()
        )  # fmt: skip

    def _is_answered(self) -> bool:
        conv_tol, conv_tol_grad = tolerances(self)
        solved = self._solved
        close = solved is not None and solved.conv_tol <= conv_tol and solved.conv_tol_grad <= conv_tol_grad
        return self.converged and close and self._holds(solved)

    def _solve(self, dm0: NDArray | None, kwargs: dict) -> _Solved | None:
        """Cheap SCF, then exact builds by the way that is wanted; sets the results.

        Returns:
            What the next kernel() may start from; None if PySCF's own kernel did not converge.
        """
        how = self.acceleration
        model = CheapModel(self, how.functional, how.grid_level, how.fit_coulomb, how.exchange)
        steps = HybridSteps(self, model, how.rtol, how.secants)
        few = FewBuilds(steps, self._surrogate(model), how.kind)
        if dm0 is None and self.mo_coeff is None:  # the guess may lie in the checkpoint that is written next
            dm0 = self.get_init_guess(self.mol, self.init_guess)
        if self.chkfile:
            chkfile.save_mol(self.mol, self.chkfile)
        self.pre_kernel({"mf": self, "h1e": steps.hamiltonian.hcore, "s1e": steps.hamiltonian.overlap})
        start = self._start(steps, dm0)
        if how.max_builds is not None:
            self._take_estimate(few.run(start or self._rough_start(few, dm0), how.max_builds, self._report))
            finished, point = True, None
        else:
            finished = start is not None and self._converge(steps, few, start)
            point = steps.point if finished else None
        self.cheap_fock_builds, self.cg_products = model.fock_builds, steps.products + few.surrogate.products
        self.energy_minima = [e.minimum.energy for e in few.estimates] or steps.minima
        if not finished:
            self._fall_back(steps, dm0, kwargs)
            if not self.converged:
                return None
        return _Solved(self._problem(), self.mo_coeff, self.e_tot, steps.conv_tol, steps.conv_tol_grad, point)

    def _surrogate(self, model: CheapModel) -> Surrogate:
        if self.acceleration.kind == "functional":
            return FunctionalSurrogate(model)
        return self._fitted(model)

    def _fitted(self, model: CheapModel) -> FittedSurrogate:
        return FittedSurrogate(self.undo_accelerate(), fitting_of(self, model), self.acceleration.grid_level)

    def _converge(self, steps: HybridSteps, few: FewBuilds, start: State) -> bool:
        """Build until converged, and take the results; False if the steps do not get there."""
        if self.acceleration.kind == "functional":
            converged = steps.run(start, self.max_cycle, self._report)
        else:
            converged = few.converge(start, self.max_cycle, self._report)
        return converged and self._take(steps)

    def _start(self, steps: HybridSteps, dm0: NDArray | None) -> State | None:
        """The first point: the last solution, the object's own orbitals, or those of the cheap functional."""
        if dm0 is None and self.mo_coeff is not None:
            unchanged = self._holds(self._solved)
            if unchanged and self.converged and self._solved.point is not None:
                return self._solved.point
            frame = np.asarray(self.mo_coeff)
            if (unchanged or self.converged) and _orthonormal(frame, steps.hamiltonian.overlap):
                return steps.build(*split_orbitals(frame, self.mo_occ))
            dm0 = self.make_rdm1()
        clock = time.perf_counter()
        orbitals = steps.model.orbitals(dm0)
        self.cheap_scf_wall_s = time.perf_counter() - clock
        if orbitals is None:
            instead = (
                "PySCF's kernel runs instead"
                if self.acceleration.max_builds is None
                else "fitted integrals give a start"
            )
            logger.note(self, "SCF of %s not converged: %s", self.acceleration.name, instead)
            return None
        start = steps.build(*orbitals)
        logger.info(self, "%s SCF: %d builds; E= %.15g  |g|= %4.3g", self.acceleration.name,
                    steps.model.fock_builds, start.energy, start.norm)  # fmt: skip
        return start

    def _rough_start(self, few: FewBuilds, dm0: NDArray | None) -> State:
        """The first point where the cheap functional gave none: the mean field's own SCF on fitted integrals."""
        dm0 = self.make_rdm1() if dm0 is None else dm0
        return few.steps.build(*self._fitted(few.steps.model).start(dm0))

    def _report(self, step: int, last: State, point: State) -> None:
        """Log line, checkpoint and callback of one step, with the names that PySCF's kernel uses."""
        mo_energy, mo_coeff, mo_occ = point.canonical
        dm, dm_last = point.expansion.dm, last.expansion.dm
        envs = {
            "mf": self, "mol": self.mol, "cycle": step - 1, "e_tot": point.energy, "last_hf_e": last.energy,
            "norm_gorb": point.norm, "norm_ddm": float(np.linalg.norm(dm - dm_last)), "dm": dm,
            "dm_last": dm_last, "vhf": point.expansion.veff, "fock": point.fock, "mo_energy": mo_energy,
            "mo_coeff": mo_coeff, "mo_occ": mo_occ, "scf_conv": False,
        }  # fmt: skip
        logger.info(self, "step= %d E= %.15g  delta_E= %4.3g  |g|= %4.3g  |ddm|= %4.3g", step, point.energy,
                    point.energy - last.energy, point.norm, envs["norm_ddm"])  # fmt: skip
        if self.chkfile:
            self.dump_chk(envs)
        if callable(self.callback):
            self.callback(envs)

    def _take(self, steps: HybridSteps) -> bool:
        """Results of the converged point as PySCF leaves them; False if PySCF would occupy other orbitals."""
        point = steps.point
        mo_energy, mo_coeff, mo_occ = point.canonical
        if self.mol.symmetry:  # labels and degenerate partners are PySCF's business; the density stays
            half = steps.hamiltonian.overlap @ mo_coeff
            mo_energy, mo_coeff = self.eig((half * mo_energy) @ half.T, steps.hamiltonian.overlap)
        mo_occ = self.get_occ(mo_energy, mo_coeff)
        if np.abs(self.make_rdm1(mo_coeff, mo_occ) - point.expansion.dm).max() > 1e-5:
            return False
        self.mo_energy, self.mo_coeff, self.mo_occ = mo_energy, mo_coeff, mo_occ
        self.e_tot = self.energy_tot(point.expansion.dm, steps.hamiltonian.hcore, point.expansion.veff)
        self.converged, self.cycles = True, steps.steps
        self.e_tot_build, self.energy_error_estimate = self.e_tot, steps.estimate
        envs = {name: getattr(self, name) for name in ("e_tot", "mo_energy", "mo_coeff", "mo_occ")}
        if self.chkfile:
            self.dump_chk(envs)
        self.post_kernel(envs | {"mf": self, "scf_conv": True})
        logger.info(self, "%d Fock builds, model's estimate of the energy error %.2g", self._veff_calls,
                    steps.estimate)  # fmt: skip
        self._finalize()
        return True

    def _take_estimate(self, last: Estimate) -> None:
        """Results of a fixed number of builds."""
        minimum = last.minimum
        self.mo_energy, self.mo_coeff, self.mo_occ = minimum.mo_energy, minimum.mo_coeff, minimum.mo_occ
        self.e_tot, self.e_tot_build = minimum.energy, last.point.energy
        self.energy_error_estimate = last.left
        self.converged = bool(last.left < self.conv_tol)
        self.cycles = self._veff_calls
        envs = {name: getattr(self, name) for name in ("e_tot", "mo_energy", "mo_coeff", "mo_occ")}
        if self.chkfile:
            self.dump_chk(envs)
        self.post_kernel(envs | {"mf": self, "scf_conv": self.converged})
        logger.note(self, "energy from %d Fock builds = %.15g, error estimated at %.1e",
                    self._veff_calls, self.e_tot, last.left)  # fmt: skip
        with lib.temporary_env(self, verbose=0):  # it would say that the SCF has not converged
            self._finalize()

    def _fall_back(self, steps: HybridSteps, dm0: NDArray | None, kwargs: dict) -> None:
        """PySCF's own kernel from the best point so far, and if that fails from where it would have begun."""
        self.accelerated_by_diis = True
        if steps.point is not None and np.isfinite(steps.point.energy):
            logger.note(self, "hybrid steps do not converge (|g|= %4.3g after %d): PySCF's kernel takes over",
                        steps.point.norm, steps.steps)  # fmt: skip
            super().scf(steps.point.expansion.dm, **kwargs)
            if self.converged:
                return
            logger.note(self, "not converged from there: PySCF's kernel starts from its own guess")
        super().scf(self.get_init_guess(self.mol, self.init_guess) if dm0 is None else dm0, **kwargs)


def _orthonormal(orbitals: NDArray, overlap: NDArray) -> bool:
    return orbitals.shape[0] == len(overlap) and np.allclose(
        orbitals.T @ overlap @ orbitals, np.eye(orbitals.shape[1]), atol=1e-6
    )


def accelerated(mf, acceleration: Acceleration):
    """A mean field of a class that is mf's with `Accelerated` in front; also what unpickles it."""
    return lib.set_class(Accelerated(mf, acceleration), (Accelerated, mf.__class__))


def _conversion(name: str):
    def convert(self, *args, **kwargs):
        return getattr(self.undo_accelerate(), name)(*args, **kwargs)

    convert.__name__ = name
    convert.__doc__ = f"`{name}()` of the mean field without acceleration."
    return convert


# another kind of mean field is another problem: it is the plain one's
for _name in ("to_rks", "to_uks", "to_gks", "to_rhf", "to_uhf", "to_ghf", "to_hf", "to_ks", "to_gpu"):
    setattr(Accelerated, _name, _conversion(_name))
