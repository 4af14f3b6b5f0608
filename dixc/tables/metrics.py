"""The metrics of a run: where each is read, how it is called, and where it is shown or judged.

A metric is a column of one table, read per molecule (`dixc.tables.samples`). Whatever shows some of
them selects by tag. Their order is that of summary.csv.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dixc.text import counted

Tag = Literal[
    "headline",  # the report's table of test metrics
    "builds",  # the report's table about one Fock build
    "judged",  # what each term of the loss did
    "evidence",  # what a recommended loss is chosen by
    "share",  # told as a share of the untrained functionals' error
    "plotted",  # a panel of the report's first figure
    "page",  # a column of docs/results.md
    "lead",  # named first where few metrics are shown
]
FITTED = "e_tot_error_fit_mEh"  # the column of energies after the fit by element
# a row of summary.csv that is no metric: molecules with an element that no training molecule has
UNSEEN = "unseen_element_molecules"


@dataclass(frozen=True)
class Source:
    """Where a metric is read.

    Attributes:
        table, column: names of the schema.
        rows: column -> value that a row must have.
        absolute: take the absolute value.
        builds: rows of SCFs that took fewer Fock builds are no samples, nor are rows of functionals
            without any value.
        against_minao: percent saved against the minao row of the same molecule, not the value.
    """

    table: str
    column: str
    rows: Mapping[str, str] = field(default_factory=dict)
    absolute: bool = False
    builds: int = 0
    against_minao: bool = False


@dataclass(frozen=True, eq=False)
class Metric:
    """One number a molecule (or state), and how to speak of it.

    Attributes:
        name: as in summary.csv, with the unit at its end.
        label, unit, meaning: words for tables and figures.
        tags: where it is shown or judged.
        higher_is_better: false for everything that is an error or a cost.
        terminal: heading and decimals in the terminal's summary; None to leave it out.
        outlier: what one value of it is, where single values are looked at.
        plain: sentence for readers who do not know the method, about the best trained and the
            best untrained functional.
        paper: the paper's figure in few words.
    """

    name: str
    source: Source
    label: str
    unit: str
    meaning: str
    tags: tuple[Tag, ...] = ()
    higher_is_better: bool = False
    terminal: tuple[str, int] | None = None
    outlier: str = ""
    plain: str = ""
    paper: str = ""

    @property
    def heading(self) -> str:
        """Label and unit in one line; counts have no unit."""
        return self.label if self.unit in ("builds", "iterations") else f"{self.label}, {self.unit}"


def _warm_starts() -> Iterator[Metric]:
    """Counts and seconds of the reference functional's SCF, for each start."""
    starts = {
        "minao": "the default guess (minao)",
        "density": "the functional's density",
        "accelerate": "the functional's density, with steps by its Hessian",
    }
    for guess, start in starts.items():
        rows, what = {"guess": guess}, f"of the reference functional's SCF started from {start}"
        yield Metric(
            f"warmstart_fock_builds_{guess}",
            Source("warmstart", "hybrid_fock_builds", rows),
            f"Fock builds ({guess})",
            "builds",
            f"All Fock builds with exact exchange {what}.",
            **_BUILDS.get(guess, {}),
        )
        cycles, wall = Source("warmstart", "cycles", rows), Source("warmstart", "wall_total_s", rows)
        meaning = f"Iterations {what}."
        yield Metric(f"warmstart_cycles_{guess}", cycles, f"Iterations ({guess})", "iterations", meaning)
        meaning = f"Wall-clock {what}, the cheap SCF before it included."
        yield Metric(f"warmstart_wall_total_{guess}_s", wall, f"Wall-clock ({guess})", "s", meaning)


# tags and more of the Fock builds from each start
_BUILDS: dict[str, dict[str, Any]] = {
    "density": {
        "tags": ("headline", "judged", "plotted", "page"),
        "terminal": ("builds", 1),
        "paper": "up to −50 % of the iterations",
    },
    "accelerate": {
        "tags": ("headline", "builds", "judged", "evidence", "page"),
        "terminal": ("builds, acc.", 1),
    },
}


def _savings(prefix: str, guess: str, words: str) -> Iterator[Metric]:
    """Percent of builds and iterations saved against minao, from one start."""
    for name, column, noun in (
        ("builds", "hybrid_fock_builds", "Fock builds"),
        ("cycles", "cycles", "Iterations"),
    ):
        yield Metric(
            f"{prefix}_{name}_saved_percent",
            Source("warmstart", column, {"guess": guess}, against_minao=True),
            f"{noun.removeprefix('Fock ').capitalize()} saved ({guess})",
            "%",
            f"{noun} saved {words}, against the default guess (minao), mean over molecules.",
            ("headline",) if (guess, name) == ("density", "builds") else (),
            higher_is_better=True,
        )


def _foretold(count: int, name: str, tags: tuple[Tag, ...], plain: str = "") -> Metric:
    """Error of the energy that the first Fock builds of an accelerated SCF foretell."""
    return Metric(
        f"{name}_build_mae_uEh",
        Source("warmstart", f"{name}_build_error_uEh", {"guess": "accelerate"}, absolute=True, builds=count),
        f"{name.capitalize()}-build error",
        "µEh",
        "Mean absolute error of the reference functional's energy as foretold after "
        f"{counted(count, 'Fock build')}, by the functional's density and Hessian.",
        tags,
        plain=plain,
    )


METRICS: tuple[Metric, ...] = (
    Metric(
        "e_tot_mae_mEh",
        Source("scf", "e_tot_error_mEh", absolute=True),
        "Total energy MAE",
        "mEh",
        "Mean absolute difference of the functional's SCF energy to the reference's.",
        ("headline", "judged", "evidence", "plotted", "page"),
        terminal=("E MAE/mEh", 1),
        plain="Total energies: {learned} is {value} {unit} off on average, {baseline} {against} {unit}. "
        "Chemical accuracy, 1 kcal/mol, is 1.6 mEh.",
        paper="−66 % against `base`",
    ),
    Metric(
        "e_tot_mae_fit_mEh",
        Source("scf", FITTED, absolute=True),
        "Total energy MAE (fitted)",
        "mEh",
        "The same after subtracting per-element energies fitted on the converged training molecules.",
        ("headline", "judged", "share", "plotted", "page"),
        terminal=("fitted/mEh", 1),
        outlier="total energy (fitted) off by",
    ),
    Metric(
        "e_rho_mEh",
        Source("scf", "e_rho_mEh"),
        "E_rho",
        "mEh",
        "Density error: the reference functional's energy at the functional's own density, above its "
        "minimum.",
        ("headline", "judged", "evidence", "share", "plotted", "page", "lead"),
        terminal=("E_rho/mEh", 2),
        outlier="E_rho",
        plain="Electron density: {learned} comes within {value} {unit} of {reference}'s energy when "
        "{reference} evaluates its density; the best untrained functional, {baseline}, within {against} {unit}.",
        paper="1.2 → 0.8",
    ),
    Metric(
        "dipole_error_debye",
        Source("scf", "dipole_error_debye"),
        "Dipole error",
        "D",
        "Length of the difference of the dipole moments.",
        ("headline", "judged", "plotted", "page"),
        outlier="dipole moment off by",
        paper="not uniform",
    ),
    Metric(
        "l2_density",
        Source("scf", "l2_density"),
        "L2 density error",
        "bohr^-1.5",
        "Root of the integrated squared density difference, divided by the number of electrons.",
        ("headline", "judged", "plotted", "page"),
        paper="not uniform",
    ),
    Metric(
        "scf_cycles",
        Source("scf", "cycles"),
        "SCF iterations",
        "iterations",
        "Iterations of the functional's own SCF from the default guess.",
        ("headline", "plotted"),
    ),
    *_warm_starts(),
    *_savings("warmstart", "density", "by starting from the functional's density"),
    *_savings("accelerate", "accelerate", "by the functional's density and Hessian together"),
    _foretold(
        1,
        "one",
        ("builds", "judged"),
        "{reference}'s own energy from a single Fock build: {learned} foretells it to {value} {unit} on "
        "average, {baseline} to {against} {unit}.",
    ),
    _foretold(2, "two", ("builds",)),
    Metric(
        "tddft_mae_eV",
        Source("tddft", "error_eV", {"method": "tddft"}, absolute=True),
        "TDDFT MAE",
        "eV",
        "Mean absolute error of the lowest singlet excitations, state by state in order of energy.",
        ("headline", "judged", "evidence", "share", "plotted", "page"),
        terminal=("TDDFT MAE/eV", 3),
        outlier="an excitation energy off by",
        plain="Excitation energies, which decide what light a molecule absorbs: {learned} is {value} {unit} "
        "off on average, {baseline} {against} {unit}.",
        paper="−19 to −35 % (XCdiff, `hess`)",
    ),
    Metric(
        "tddft_overlap_mae_eV",
        Source("tddft", "overlap_error_eV", {"method": "tddft"}, absolute=True),
        "TDDFT MAE (matched)",
        "eV",
        "The same with states matched by the overlap of their transition amplitudes.",
        ("headline", "judged"),
    ),
    Metric(
        "tda_mae_eV",
        Source("tddft", "error_eV", {"method": "tda"}, absolute=True),
        "TDA MAE",
        "eV",
        "As TDDFT MAE, in the Tamm-Dancoff approximation.",
        ("headline", "judged", "plotted"),
    ),
)

BY_NAME = {metric.name: metric for metric in METRICS}


def lead_first(metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics with the tag "lead" before all others."""
    return sorted(metrics, key=lambda metric: "lead" not in metric.tags)


def tagged(tag: Tag) -> list[Metric]:
    """The metrics with a tag."""
    return [metric for metric in METRICS if tag in metric.tags]
