"""The schema of results: losses, and every column of every table with its type, unit and meaning.

Metrics, which are read from these columns, are in `dixc.tables.metrics`. Both are plain data
without pandas, from which tables, report, docs/tables.md, docs/results.md and the terminal take
names, order and words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from dixc.config.base import LOSSES, SPLITS, Loss
from dixc.config.root import NO_LOSS

BASE: Loss = "base"  # the loss that all others are compared with


@dataclass(frozen=True)
class LossWords:
    """How to speak of a loss, and how to draw it.

    Attributes:
        term: what it adds to the loss before it.
        meaning: for readers who know the method.
        plain: for readers who do not: what a functional learns from.
        colour, marker: of every figure.
    """

    term: str
    meaning: str
    plain: str
    colour: str
    marker: str


# in the order of `LOSSES`; colours are Okabe and Ito's, told apart with any colour vision
LOSS_WORDS: dict[Loss, LossWords] = {
    "base": LossWords(
        "energy and density terms",
        "Supervises the total energy and the self-consistent density; sees no derivative of the "
        "reference energy.",
        "energies and electron densities",
        "#E69F00",
        "o",
    ),
    "grad": LossWords(
        "gradient term",
        "base, plus the energy's gradient with respect to orbital rotations, which vanishes at the "
        "reference density.",
        "the same and the gradient of the energy with respect to the orbitals",
        "#009E73",
        "s",
    ),
    "hess": LossWords(
        "Hessian term",
        "grad, plus products of the energy's Hessian with random orbital rotations, and with those of "
        "the lowest excitations: the curvature around the reference density.",
        "the same and the Hessian, the gradient's own derivative",
        "#0072B2",
        "D",
    ),
}


class FunctionalKey(NamedTuple):
    """A functional whatever the seed: a model and its loss, "none" if it was not trained."""

    model: str
    loss: str

    @property
    def is_trained(self) -> bool:
        """Whether the run trained it."""
        return self.loss != NO_LOSS

    @property
    def label(self) -> str:
        """`pbe`, or `xcdiff hess`."""
        return f"{self.model} {self.loss}".strip() if self.is_trained else self.model

    @property
    def style(self) -> str:
        """What colour and marker hang on: the loss, or the name if it was not trained."""
        return self.loss if self.is_trained else self.model


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        kind: "text", "integer" (may be missing), "number" (NaN if missing) or "flag" (a bool).
        unit: empty for what has none.
        values: of text with few values, all of them, in the order of rows.
        part_only: in the parts that the stages write, and not in the table of the run.
        later: files of earlier releases lack it; it is empty then.
    """

    name: str
    kind: Literal["text", "integer", "number", "flag"]
    unit: str
    meaning: str
    values: tuple[str, ...] = ()
    part_only: bool = False
    later: bool = False


@dataclass(frozen=True)
class Table:
    """A table of a run, tables/NAME.csv.

    Attributes:
        rows: what a row is.
        fields: columns in order, those of parts too.
        identity: columns that tell two rows apart.
    """

    rows: str
    fields: tuple[Column, ...]
    identity: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Names of the columns of the run's table."""
        return [column.name for column in self.fields if not column.part_only]

    @property
    def part_columns(self) -> list[str]:
        """Names of the columns of a part."""
        return [column.name for column in self.fields]

    @property
    def later(self) -> list[str]:
        """Names of columns that files of earlier releases lack."""
        return [column.name for column in self.fields if column.later]

    @property
    def measured(self) -> list[str]:
        """Names of a table's columns after those with which all tables of molecules begin."""
        return self.columns[len(TAGS) :]


def _text(name: str, meaning: str, values: tuple[str, ...] = ()) -> Column:
    return Column(name, "text", "", meaning, values)


def _integer(name: str, meaning: str) -> Column:
    return Column(name, "integer", "", meaning)


def _number(name: str, unit: str, meaning: str, part_only: bool = False, later: bool = False) -> Column:
    return Column(name, "number", unit, meaning, (), part_only, later)


def _strength(of: str, part_only: bool = False) -> Column:
    name = "oscillator_strength" if of == "functional" else "reference_strength"
    return _number(name, "", f"oscillator strength of the {of}'s state (length gauge)", part_only)


_MODEL = _text("model", "name of the functional")
_LOSS = _text("loss", "what it was trained with; none if it was not trained", (NO_LOSS, *LOSSES))
_SPLIT = _text("split", "what the molecule is for", SPLITS)
_TAGS = (
    _MODEL,
    _LOSS,
    _integer("seed", "of the training; 0 if there was none"),
    _SPLIT,
    _text("molecule", "its name"),
    _integer("n_heavy", "atoms other than hydrogen"),
    Column("converged", "flag", "", "False if anything failed: the row is kept, and left out of means"),
)
# with these every table of molecules begins; the keys tell functionals and molecules apart
TAGS = [column.name for column in _TAGS]
KEYS = ["model", "loss", "seed", "split", "molecule"]

_GUESS = _text(
    "guess",
    "start of the SCF: PySCF's default, the functional's density, or that with steps by its Hessian",
    ("minao", "density", "accelerate"),
)
_CYCLES = _integer("cycles", "iterations")
_METHOD = _text("method", "full Casida problem, or Tamm-Dancoff approximation", ("tddft", "tda"))
_STATE = _integer("state", "number of the singlet in order of energy, from 1")
_EXCITATION = _number("excitation_eV", "eV", "excitation energy of the functional")
_REFERENCE = _number("reference_eV", "eV", "excitation energy of the reference")

TABLES: dict[str, Table] = {
    "scf": Table(
        "an SCF of a functional; errors are against the reference, at the functional's own density",
        (
            *_TAGS,
            _number("e_tot_error_mEh", "mEh", "total energy less the reference's"),
            _number(
                "e_tot_error_fit_mEh",
                "mEh",
                "the same less energies by element, fitted on training molecules",
            ),
            _number(
                "e_rho_mEh", "mEh", "the reference functional's energy at this density, above its minimum"
            ),
            _number("dipole_error_debye", "D", "length of the difference of the dipole moments"),
            _number(
                "l2_density", "bohr^-1.5", "root of the integrated squared density difference, by electron"
            ),
            _CYCLES,
            _number("wall_s", "s", "wall-clock"),
        ),
        tuple(KEYS),
    ),
    "warmstart": Table(
        "an SCF of the reference functional from one start",
        (
            *_TAGS,
            _GUESS,
            _CYCLES,
            _integer("hybrid_fock_builds", "all Fock builds of the reference functional"),
            _integer("cheap_fock_builds", "Fock builds of the functional that gives density and Hessian"),
            _number("wall_s", "s", "wall-clock without that functional's own SCF"),
            _number("wall_total_s", "s", "wall-clock of everything"),
            _number("e_diff_Eh", "Eh", "converged energy less the reference's"),
            Column(
                "scf_energies", "text", "Eh", "total energy of each cycle, spaces between", part_only=True
            ),
            Column("scf_gradients", "text", "Eh", "orbital gradient of each cycle, its norm", part_only=True),
            _number("one_build_error_uEh", "µEh", "error of the energy after one build", later=True),
            _number("two_build_error_uEh", "µEh", "the same after two", later=True),
        ),
        (*KEYS, "guess"),
    ),
    "tddft": Table(
        "an excited singlet",
        (
            *_TAGS,
            _METHOD,
            _STATE,
            _EXCITATION,
            _REFERENCE,
            _number("error_eV", "eV", "their difference, state by state in order of energy"),
            _number(
                "overlap_error_eV", "eV", "the same for states matched by overlap of transition amplitudes"
            ),
            _strength("functional", part_only=True),
            _strength("reference", part_only=True),
        ),
        (*KEYS, "method", "state"),
    ),
    "summary": Table(
        "a metric of a functional on the molecules of a split",
        (
            _MODEL,
            _LOSS,
            _SPLIT,
            _text("metric", "its name, with the unit at the end"),
            _number("value", "the metric's", "mean over seeds of the mean over a seed's used samples"),
            _number(
                "spread", "the metric's", "sample standard deviation of the seeds' means; empty for one seed"
            ),
            _integer("n", "used samples of a seed (the smallest number, should seeds differ)"),
            _integer("n_failed", "molecules with a sample that cannot be used, counted over all seeds"),
        ),
        ("model", "loss", "split", "metric"),
    ),
    "convergence": Table(
        "a cycle of an SCF, for test molecules and for all SCFs that did not converge",
        (
            *_TAGS,
            _text(
                "scf_of",
                "the functional's own SCF, or the reference's from `guess`",
                ("functional", "reference"),
            ),
            _GUESS,
            _integer("cycle", "number of the cycle, from 1"),
            _number("e_tot_Eh", "Eh", "total energy"),
            _number("gradient_Eh", "Eh", "norm of the orbital gradient"),
        ),
        (*KEYS, "scf_of", "guess", "cycle"),
    ),
    "spectra": Table(
        "an excited singlet, with its intensity",
        (*_TAGS, _METHOD, _STATE, _EXCITATION, _strength("functional"), _REFERENCE, _strength("reference")),
        (*KEYS, "method", "state"),
    ),
}
