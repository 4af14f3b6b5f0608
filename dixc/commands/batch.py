"""All molecules of a file one after the other: a failure is a result like others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dixc import provenance
from dixc.commands.options import Options
from dixc.commands.rows import Rows, as_line
from dixc.display import one_line
from dixc.errors import InputError, UserError
from dixc.functionals import files
from dixc.molecules import Molecule
from dixc.molecules.frames import Frame
from dixc.molecules.molecule import hill_formula
from dixc.molecules.xyz import charge_of, molecules_or_errors, symbols_of
from dixc.version import __version__

if TYPE_CHECKING:
    from pyscf.gto import Mole

Row = dict[str, Any]
NAMES_SHOWN = 5
REASON_LENGTH = 300
UNCONVERGED = "SCF not converged"


@dataclass(frozen=True)
class Calculation:
    """What is done with each molecule.

    Attributes:
        method: name of the functional, as the rows say it.
        settings: all but molecule, charge, method and basis that determines the results, for JSON.
        solve: results of a PySCF molecule and its name, with `converged`, and with `error` (None
            for none) where that does not tell whether the calculation failed.
        text: lines about a row.
    """

    method: str
    settings: Mapping[str, Any]
    solve: Callable[[Mole, str], Row]
    text: Callable[[Row], str]


class Task(NamedTuple):
    """A frame of the file.

    Attributes:
        name, formula, charge: of the molecule; the last two None if they could not be read.
        mol: its PySCF molecule; None if it cannot be computed.
        error: the reason then.
    """

    name: str
    formula: str | None
    charge: int | None
    mol: Mole | None
    error: UserError | None


def run(calculation: Calculation, options: Options) -> None:
    """Print the results of each molecule of a file as they are done, and write them to a file.

    A molecule that cannot be computed, or whose calculation fails, has a row with `converged` False
    and the reason as `error`; rows with an `error` are those that failed. Rows that `out` has
    already, from the same file with the same settings, are not computed again.

    Raises:
        InputError: a file without any molecule that can be computed, or an `out` that cannot be
            written or goes on with other results: nothing is computed or written. Or, when all are
            done and written, failed molecules.
    """
    path, out = options.molecules, options.out
    tasks = list(_tasks(options))
    if all(task.error is not None for task in tasks):
        assert tasks[0].error is not None
        raise tasks[0].error
    method = {"xc": calculation.method, "basis": options.basis}
    key = _key(calculation, options, method)
    failures: list[tuple[str, str]] = []
    with nullcontext() if out is None else Rows(out, key, [task.name for task in tasks]) as file:
        earlier = [] if file is None else file.earlier
        for number, task in enumerate(tasks):
            if number < len(earlier):
                row = earlier[number]
            else:
                about = {"run": key, "name": task.name, "formula": task.formula} | method
                row = about | {"charge": task.charge} | _result(task, path, calculation.solve)
                if file is not None:
                    file.add(row)
            try:
                line = as_line(row) if options.as_json else _text(row, calculation.text)
            except (LookupError, TypeError, ValueError):
                if file is not None and number < len(earlier):  # changed by hand
                    raise file.other() from None
                raise
            print(line, flush=True)
            if "error" in row:
                failures.append((task.name, row["error"]))
    if failures:
        raise InputError(_summary(path, calculation.method, failures, len(tasks)))


def identity(xc: str | None) -> list[str | None]:
    """What tells functionals apart: the name or path, and the hash of the file if it is one."""
    file = None if xc is None else files.model_file(xc)
    return [xc, None if file is None else provenance.file_hash(file)]


def _key(calculation: Calculation, options: Options, method: Mapping[str, str]) -> str:
    """Hash of all that determines the rows."""
    molecules = [provenance.file_hash(options.molecules), options.charge]
    versions = [__version__, provenance.collect()["pyscf"]]
    return provenance.hash_of([*molecules, {**calculation.settings, **method}, *versions])


def _tasks(options: Options) -> Iterator[Task]:
    for frame, molecule in molecules_or_errors(options.molecules, charge=options.charge):
        if isinstance(molecule, UserError):
            yield _refused(frame, options.charge, molecule)
            continue
        about = molecule.name, molecule.formula, molecule.charge
        try:
            yield Task(*about, _in_basis(molecule, options.basis), None)
        except UserError as error:
            yield Task(*about, None, InputError(f"{options.molecules}, {error}"))


def _refused(frame: Frame, charge: int | None, error: UserError) -> Task:
    """A frame that cannot be used, with what can be said of it all the same."""
    formula = None
    with suppress(UserError):
        charge = charge_of(frame) if charge is None else charge
        formula = hill_formula(symbols_of(frame), charge)
    return Task(frame.entries["name"], formula, charge, None, error)


def _in_basis(molecule: Molecule, basis: str) -> Mole:
    mol = molecule.to_pyscf(basis)
    pairs = molecule.n_electrons // 2
    if pairs > mol.nao:
        raise InputError(
            f"{molecule.name}: {molecule.n_electrons} electrons need {pairs} orbitals, {basis} has {mol.nao}"
        )
    return mol


def _result(task: Task, path: Path, solve: Callable[[Mole, str], Row]) -> Row:
    """What `solve` gives, or the reason why it gives nothing."""
    if task.error is not None:
        reason = str(task.error).removeprefix(f"{path}, {task.name}: ").removeprefix(f"{path}: ")
        return _failure(reason)
    try:
        result = solve(task.mol, task.name)
    except UserError as error:
        return _failure(str(error))
    except Exception as error:  # whatever PySCF or a functional raises: the other molecules go on
        return _failure(_words_of(error))
    try:
        as_line(result)
    except ValueError:
        return _failure("the SCF ended with numbers that are not finite")
    unconverged = None if result["converged"] else f"{UNCONVERGED} in {result['cycles']} cycles"
    error_or_none = result.pop("error", unconverged)
    return result if error_or_none is None else result | {"error": error_or_none}


def _failure(reason: str) -> Row:
    return {"converged": False, "error": one_line(reason)[:REASON_LENGTH]}


def _words_of(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}: {one_line(error)}"


def _text(row: Row, text: Callable[[Row], str]) -> str:
    if "e_tot_Eh" in row:
        return text(row)
    about = "" if row["formula"] is None else f" ({row['formula']}, charge {row['charge']})"
    return f"{row['name']}{about}  {row['xc']}/{row['basis']}\n  FAILED: {row['error']}"


def _summary(path: Path, method: str, failures: Sequence[tuple[str, str]], count: int) -> str:
    """One line about the failed molecules of a file, given with their reasons."""
    names = ", ".join(name for name, _ in failures[:NAMES_SHOWN])
    names += " ..." if len(failures) > NAMES_SHOWN else ""
    if all(reason.startswith(UNCONVERGED) for _, reason in failures):
        return f"{path}: SCF with {method} not converged for {len(failures)} of {count}: {names}"
    first, reason = failures[0]
    if count == 1:
        return f"{path}, {first}: {reason}"
    return f"{path}: {len(failures)} of {count} molecules failed: {names} (the first: {reason})"
